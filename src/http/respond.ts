import { errorRow } from "../errors/codes.ts";
import { toPlainText } from "../errors/plain-text.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import {
  type Answer,
  CONTENT_TYPES,
  type FileAnswer,
  type LiveAnswer,
  type WholeAnswer,
} from "../proxy/answer.ts";
import { parseRange } from "./range.ts";

/** Who may keep an answer: only what an open part says of immutable files may be kept. */
export interface CacheRules {
  /** Whether the answer came from a part without rights. */
  readonly open: boolean;
  /** Whether a header or prefix chose between storage and source. */
  readonly cachedOnly: boolean;
}

const IMMUTABLE = "public, max-age=31536000, immutable";
const PRIVATE = "private, no-store";
// Of an error text at most 8 lines and 640 bytes are sent, the last line with the request's id
// included; ids are ours and have less than 50 bytes.
const MAX_ID_LINE_BYTES = 64;
const ERROR_LIMITS = { maxLines: 7, maxBytes: 640 - MAX_ID_LINE_BYTES };
const ERROR_HEADERS = new Headers({
  "Content-Type": "text/plain; charset=utf-8",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
});
// By far the commonest error: the go command probes for modules by asking for them.
const NOT_FOUND = { status: 404, headers: ERROR_HEADERS };
const LINES_KEY = Symbol("lines");
const HEADERS_KEY = Symbol("headers");

/** An answer that was sent before carries the headers that were built for it. */
type WithHeaders = (WholeAnswer | FileAnswer) & { [HEADERS_KEY]?: Headers };

/** The response to a plain GET for a whole answer: the hot path. */
export function respondWhole(answer: WholeAnswer, rules: CacheRules): Response {
  return new Response(answer.body, { headers: toSharedHeaders(answer, rules) });
}

/** The response to a plain GET for a stored file, passed through. */
export async function respondFile(answer: FileAnswer, rules: CacheRules): Promise<Response> {
  return new Response(await answer.open(), { headers: toSharedHeaders(answer, rules) });
}

/**
 * Tell the web server in front to send a stored file by itself: rights and digest are checked.
 *
 * @param prefix An internal location of that server, over the folder of our files.
 * @source nginx, ngx_http_proxy_module, X-Accel-Redirect
 */
export function respondAccelerated(
  answer: FileAnswer,
  rules: CacheRules,
  prefix: string,
): Response {
  const headers = toHeaders(answer, rules);
  headers.set("X-Accel-Redirect", prefix + answer.location);
  return new Response(null, { headers });
}

/**
 * The response to any GET or HEAD: conditions, ranges and all.
 *
 * @param requestId For the text of a refusal.
 */
export async function respond(
  request: Request,
  answer: Answer,
  rules: CacheRules,
  requestId: string,
): Promise<Response> {
  if (answer.kind === "live") return respondLive(answer, rules);
  const { method } = request;
  const headers = toHeaders(answer, rules);
  const etag = `"${answer.sha256}"`;
  const ifMatch = request.headers.get("If-Match");
  if (ifMatch !== null && !matches(ifMatch, etag, false)) {
    const error = new ProxyError("precondition_failed", "If-Match names another content");
    return respondError(error, { ...rules, requestId, method });
  }
  const ifNoneMatch = request.headers.get("If-None-Match");
  if (ifNoneMatch !== null && matches(ifNoneMatch, etag, true)) {
    return new Response(null, { status: 304, headers });
  }
  if (method === "HEAD") return respondHead(answer, headers);
  const ifRange = request.headers.get("If-Range");
  const range =
    ifRange === null || ifRange === etag
      ? parseRange(request.headers.get("Range"), answer.sizeBytes)
      : undefined;
  if (range === undefined) {
    const body = answer.kind === "whole" ? answer.body : await answer.open();
    if (answer.kind === "file") headers.set("Content-Length", String(answer.sizeBytes));
    return new Response(body, { headers });
  }
  if (range === "unsatisfiable") {
    const size = answer.sizeBytes;
    const error = new ProxyError("range_unsatisfiable", `it has ${size} bytes`);
    const response = respondError(error, { ...rules, requestId, method });
    response.headers.set("Content-Range", `bytes */${size}`);
    return response;
  }
  const { offsetBytes, lengthBytes } = range;
  const last = offsetBytes + lengthBytes - 1;
  headers.set("Content-Range", `bytes ${offsetBytes}-${last}/${answer.sizeBytes}`);
  headers.set("Content-Length", String(lengthBytes));
  return new Response(await openSlice(answer, range), { status: 206, headers });
}

/**
 * The text of an error, in the form that the go command prints.
 *
 * @param requestId Last line of the text, by which the log line is found.
 */
export function respondError(
  error: ProxyError,
  options: {
    readonly requestId: string;
    readonly method: string;
    readonly cachedOnly: boolean;
    readonly open: boolean;
  },
): Response {
  const row = errorRow(error.code);
  const text = toErrorText(error, options.requestId);
  const isPlain = options.method === "GET" && !options.cachedOnly && options.open;
  if (row.status === 404 && isPlain) {
    return new Response(text, NOT_FOUND);
  }
  const headers = new Headers(ERROR_HEADERS);
  if (!options.open) headers.set("Cache-Control", PRIVATE);
  if (options.cachedOnly) headers.set("Vary", "Disable-Module-Fetch");
  if (row.status === 401) headers.set("WWW-Authenticate", 'Basic realm="goproxy-edge"');
  if (row.status === 405) headers.set("Allow", "GET, HEAD");
  if (error.retryAfterSeconds !== undefined) {
    headers.set("Retry-After", String(error.retryAfterSeconds));
  }
  if (options.method !== "HEAD") return new Response(text, { status: row.status, headers });
  headers.set("Content-Length", String(Buffer.byteLength(text)));
  return new Response(null, { status: row.status, headers });
}

/** At most 8 lines and 640 bytes, no blank line: what the go command shows whole. */
export function toErrorText(error: ProxyError, requestId: string): string {
  const kept = error as ProxyError & { [LINES_KEY]?: string };
  // All but the last line is the same in every answer.
  return `${(kept[LINES_KEY] ??= toErrorLines(error))}\nrequest-id: ${requestId}\n`;
}

function toErrorLines({ code, publicDetail }: ProxyError): string {
  const { title, advice = "" } = errorRow(code);
  return toPlainText(`${title}: ${publicDetail}\n${advice}`, ERROR_LIMITS);
}

function respondLive(answer: LiveAnswer, rules: CacheRules): Response {
  const headers = new Headers({
    "Content-Type": answer.contentType,
    "Cache-Control": cacheControl(true, rules),
    "X-Content-Type-Options": "nosniff",
  });
  if (answer.sizeBytes === undefined) return new Response(answer.body, { headers });
  headers.set("Content-Length", String(answer.sizeBytes));
  return new Response(answer.body, { headers });
}

function respondHead(answer: WholeAnswer | FileAnswer, headers: Headers): Response {
  headers.set("Content-Length", String(answer.sizeBytes));
  return new Response(null, { headers });
}

async function openSlice(
  answer: WholeAnswer | FileAnswer,
  range: { readonly offsetBytes: number; readonly lengthBytes: number },
): Promise<ReadableStream<Uint8Array> | Uint8Array> {
  if (answer.kind === "file") return await answer.open(range);
  const { body } = answer;
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return bytes.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes);
}

/** The headers are built once for each answer of the open part and shared by all its responses. */
function toSharedHeaders(answer: WholeAnswer | FileAnswer, rules: CacheRules): Headers {
  if (!rules.open || rules.cachedOnly) return toFullHeaders(answer, rules);
  const kept = answer as WithHeaders;
  return (kept[HEADERS_KEY] ??= toFullHeaders(answer, rules));
}

/** The length is known of a stream, too. */
function toFullHeaders(answer: WholeAnswer | FileAnswer, rules: CacheRules): Headers {
  const headers = toHeaders(answer, rules);
  if (answer.kind === "file") headers.set("Content-Length", String(answer.sizeBytes));
  return headers;
}

function toHeaders(answer: WholeAnswer | FileAnswer, rules: CacheRules): Headers {
  const headers = new Headers({
    "Content-Type": answer.contentType,
    "Cache-Control": cacheControl(answer.immutable, rules),
    ETag: `"${answer.sha256}"`,
    "X-Content-Type-Options": "nosniff",
  });
  if (answer.contentType === CONTENT_TYPES.zip) headers.set("Accept-Ranges", "bytes");
  if (rules.cachedOnly) headers.set("Vary", "Disable-Module-Fetch");
  return headers;
}

function cacheControl(immutable: boolean, rules: CacheRules): string {
  if (!rules.open) return PRIVATE;
  if (rules.cachedOnly) return "no-store";
  return immutable ? IMMUTABLE : "no-cache";
}

/** @source RFC 9110, 13.1: If-None-Match compares weakly, If-Match strongly. */
function matches(header: string, etag: string, weak: boolean): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((item) => {
    const tag = item.trim();
    return tag === etag || (weak && tag === `W/${etag}`);
  });
}
