import { toPlainText } from "../errors/plain-text.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import type { Clock } from "../proxy/ports.ts";

/** One server that we ask, as configured. */
export interface HttpOrigin {
  /** Shown in errors and logs in place of the URL. */
  readonly name: string;
  /** Without a slash at the end. */
  readonly baseUrl: string;
  /** Value of the Authorization header; sent to the origin of `baseUrl` and nowhere else. */
  readonly authorization: string | undefined;
  /** Statuses that mean "absent here". */
  readonly notFound: readonly number[];
}

/** A complete head of an answer; the body is still on its way. */
export type HttpAnswer =
  | { readonly found: false; readonly reason: string }
  | {
      readonly found: true;
      readonly body: ReadableStream<Uint8Array>;
      readonly sizeBytes: number | undefined;
      readonly contentType: string;
    };

/** The whole of a small answer. */
export type BytesAnswer =
  | { readonly found: false; readonly reason: string }
  | { readonly found: true; readonly bytes: Uint8Array };

/** The only way out of the product. */
export interface HttpClient {
  /**
   * GET a path below an origin, with retries and redirects.
   *
   * @param path Starts with a slash; already escaped for a URL.
   * @param deadlineMs Time to the first byte of the answer, tries and redirects included.
   * @returns Absence as a value.
   * @throws ProxyError with the code that the failure maps to; see {@link toFailure}.
   */
  get(origin: HttpOrigin, path: string, deadlineMs: number): Promise<HttpAnswer>;
  /** As `get`, with the whole of a small body. */
  getBytes(
    origin: HttpOrigin,
    path: string,
    limits: { readonly deadlineMs: number; readonly maxBytes: number },
  ): Promise<BytesAnswer>;
  /** Whether an origin answers at all, and not with a failure of its own. Never fails. */
  probe(origin: HttpOrigin, deadlineMs: number): Promise<boolean>;
}

const MAX_TRIES = 3;
const MAX_REDIRECTS = 5;
const RETRY_BASE_MS = 100;
// A Retry-After within this time is waited for; a longer one ends the tries.
const MAX_RETRY_AFTER_MS = 2000;
const REASON_MS = 1000;
const MAX_READ_BYTES = 8 * 1024;
// As much as an error body can hold.
const REASON_LIMITS = { maxLines: 8, maxBytes: 640 };

const INNER_IPV4 =
  /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./;
// Also those that carry an IPv4 address: ::/16, NAT64 and 6to4; no public source is named so.
const INNER_IPV6 = /^\[(?:::|64:ff9b:|2002:|f[c-f])/;
const INNER_NAME = /\.(?:local|internal|localhost)$/;

type Try =
  | { readonly kind: "done"; readonly answer: HttpAnswer }
  | { readonly kind: "failed"; readonly error: ProxyError; readonly retryAfterMs: number }
  | { readonly kind: "final"; readonly error: ProxyError };

/** Tries, redirects and statuses of the sources; the one user of the platform's `fetch`. */
class FetchClient implements HttpClient {
  readonly #clock: Clock;
  readonly #send: typeof fetch;

  constructor(clock: Clock, send: typeof fetch) {
    this.#clock = clock;
    this.#send = send;
  }

  async get(origin: HttpOrigin, path: string, deadlineMs: number): Promise<HttpAnswer> {
    const endMs = this.#clock.now() + deadlineMs;
    for (let tries = 1; ; tries++) {
      const result = await this.#tryOnce(origin, path, endMs);
      if (result.kind === "done") return result.answer;
      if (result.kind === "final" || tries === MAX_TRIES) throw result.error;
      const jittered = RETRY_BASE_MS * tries * (0.5 + this.#clock.random());
      const delayMs = Math.max(result.retryAfterMs, jittered);
      if (delayMs > MAX_RETRY_AFTER_MS || this.#clock.now() + delayMs >= endMs) throw result.error;
      await this.#clock.wait(delayMs);
    }
  }

  async getBytes(
    origin: HttpOrigin,
    path: string,
    { deadlineMs, maxBytes }: { readonly deadlineMs: number; readonly maxBytes: number },
  ): Promise<BytesAnswer> {
    const endMs = this.#clock.now() + deadlineMs;
    const answer = await this.get(origin, path, deadlineMs);
    if (!answer.found) return answer;
    const cancelled = Promise.withResolvers<never>();
    const cancelTimer = this.#clock.after(Math.max(1, endMs - this.#clock.now()), () => {
      cancelled.reject(new ProxyError("upstream_timeout", `${origin.name} stands still`));
    });
    try {
      const reading = readWhole(origin, answer, maxBytes);
      return { found: true, bytes: await Promise.race([reading, cancelled.promise]) };
    } finally {
      cancelTimer();
    }
  }

  async probe(origin: HttpOrigin, deadlineMs: number): Promise<boolean> {
    try {
      const response = await this.#sendInTime(origin, "/", this.#clock.now() + deadlineMs);
      await response.body?.cancel();
      return response.status < 500;
    } catch {
      return false;
    }
  }

  async #tryOnce(origin: HttpOrigin, path: string, endMs: number): Promise<Try> {
    try {
      const response = await this.#sendInTime(origin, path, endMs);
      if (response.status === 200) return { kind: "done", answer: toFound(response) };
      const reason = await this.#readReasonInTime(origin, response);
      if (origin.notFound.includes(response.status)) {
        return { kind: "done", answer: { found: false, reason } };
      }
      return toFailure(origin, response, reason, this.#clock.now());
    } catch (error) {
      if (error instanceof ProxyError) return { kind: "final", error };
      const detail = `${origin.name} could not be reached`;
      return {
        kind: "failed",
        error: new ProxyError("upstream_unavailable", detail, { cause: error }),
        retryAfterMs: 0,
      };
    }
  }

  /** What the source says of its refusal, if it says so soon: the status is what counts. */
  async #readReasonInTime(origin: HttpOrigin, response: Response): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const cancelTimer = this.#clock.after(REASON_MS, () => resolve(""));
    try {
      return await Promise.race([readReason(origin, response), promise]);
    } finally {
      cancelTimer();
    }
  }

  /** The head of the answer, redirects followed; the body is not timed here. */
  async #sendInTime(origin: HttpOrigin, path: string, endMs: number): Promise<Response> {
    const abort = new AbortController();
    const leftMs = Math.max(1, endMs - this.#clock.now());
    const cancelTimer = this.#clock.after(leftMs, () => abort.abort());
    try {
      return await follow(this.#send, origin, path, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      const detail = `${origin.name} sent nothing in time`;
      throw new ProxyError("upstream_timeout", detail, { cause: error });
    } finally {
      cancelTimer();
    }
  }
}

/**
 * Make the HTTP client.
 *
 * @param clock Waiting and jitter.
 * @param send The platform's `fetch`; replaced in tests that reach no network.
 */
export function createHttpClient(clock: Clock, send: typeof fetch = fetch): HttpClient {
  return new FetchClient(clock, send);
}

/** Send the request and follow redirects by hand, so that the credential stays at its origin. */
async function follow(
  send: typeof fetch,
  origin: HttpOrigin,
  path: string,
  signal: AbortSignal,
): Promise<Response> {
  const home = new URL(origin.baseUrl).origin;
  let url = new URL(origin.baseUrl + path);
  for (let hops = 0; ; hops++) {
    const headers = new Headers({ "Accept-Encoding": "identity", "User-Agent": "goproxy-edge" });
    if (origin.authorization !== undefined && url.origin === home) {
      headers.set("Authorization", origin.authorization);
    }
    const response = await send(url, { headers, redirect: "manual", signal });
    const location = response.headers.get("Location");
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    const target = URL.parse(location, url);
    if (hops === MAX_REDIRECTS || target === null || !isAllowedHop(home, url, target)) {
      throw new ProxyError("upstream_refused", `${origin.name} redirects in a way not followed`);
    }
    url = target;
  }
}

function isAllowedHop(home: string, from: URL, to: URL): boolean {
  // A source outside must not make us ask what only we can reach.
  if (isInnerHost(to.hostname) && !isInnerHost(new URL(home).hostname)) return false;
  if (to.protocol === "https:") return true;
  return to.protocol === "http:" && from.protocol === "http:";
}

function toFound(response: Response): HttpAnswer {
  const body = response.body ?? new Blob([]).stream();
  const length = response.headers.get("Content-Length");
  const encoding = response.headers.get("Content-Encoding");
  const isPlain = encoding === null || encoding === "identity";
  return {
    found: true,
    body,
    sizeBytes: length !== null && isPlain && /^[0-9]+$/.test(length) ? Number(length) : undefined,
    contentType: response.headers.get("Content-Type") ?? "",
  };
}

/**
 * Loopback, link-local and private addresses, and names that only an inner network has.
 *
 * @param hostname As a URL gives it: in lower case, addresses in their shortest form.
 */
function isInnerHost(hostname: string): boolean {
  if (hostname.startsWith("[")) return INNER_IPV6.test(hostname);
  const host = hostname.replace(/\.$/, "");
  return /^[0-9.]+$/.test(host)
    ? INNER_IPV4.test(host)
    : !host.includes(".") || INNER_NAME.test(host);
}

/** The one place where a status of a source becomes an error of ours. */
function toFailure(origin: HttpOrigin, response: Response, reason: string, nowMs: number): Try {
  const { status } = response;
  const said = reason === "" ? "" : `: ${reason}`;
  const retryAfterSeconds = readRetryAfter(response, nowMs);
  if (status === 429) {
    const detail = `${origin.name} asks to slow down${said}`;
    return { kind: "final", error: new ProxyError("rate_limited", detail, { retryAfterSeconds }) };
  }
  if (status === 403) {
    const detail = `${origin.name} answered 403${said}`;
    return { kind: "final", error: new ProxyError("upstream_denied", detail) };
  }
  if (status === 401 || status === 407) {
    const detail = `${origin.name} refused our credential (${status})`;
    return { kind: "final", error: new ProxyError("upstream_refused", detail) };
  }
  const detail = `${origin.name} answered ${status}${said}`;
  if (status < 500 && status !== 408) {
    return { kind: "final", error: new ProxyError("upstream_refused", detail) };
  }
  const error = new ProxyError("upstream_unavailable", detail);
  return { kind: "failed", error, retryAfterMs: 1000 * (retryAfterSeconds ?? 0) };
}

/**
 * Seconds from now; undefined when there is none, and garbage counts as none.
 *
 * @source RFC 9110, 10.2.3 and 5.6.7
 */
function readRetryAfter(response: Response, nowMs: number): number | undefined {
  const text = response.headers.get("Retry-After")?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  const dateMs = /^[A-Z][a-z]+, .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, Math.ceil((dateMs - nowMs) / 1000));
}

/** What a plain-text error body says, fit to be shown. */
async function readReason(origin: HttpOrigin, response: Response): Promise<string> {
  const type = response.headers.get("Content-Type") ?? "";
  if (response.body === null) return "";
  if (!type.startsWith("text/plain")) {
    await response.body.cancel();
    return "";
  }
  const text = await readStart(response.body);
  const shown = toPlainText(text, REASON_LIMITS);
  // Of a text with a credential nothing is shown; one may come to light only by the clean-up.
  return secretsOf(origin).some((secret) => `${text}\n${shown}`.includes(secret)) ? "" : shown;
}

/** Every form in which an origin's credential could come back to us. */
function secretsOf({ authorization }: HttpOrigin): string[] {
  const [scheme, value = ""] = authorization?.split(" ") ?? [];
  if (value === "") return [];
  if (scheme !== "Basic") return [value];
  const pair = Buffer.from(value, "base64").toString("utf8");
  return [value, pair, pair.slice(pair.indexOf(":") + 1)].filter((secret) => secret !== "");
}

async function readWhole(
  origin: HttpOrigin,
  { body, sizeBytes }: Extract<HttpAnswer, { found: true }>,
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      total += chunk.length;
      if (total > maxBytes) throw new RangeError(`longer than ${maxBytes} bytes`);
    }
  } catch (error) {
    const detail = `${origin.name}'s answer broke off`;
    throw new ProxyError("upstream_unavailable", detail, { cause: error });
  }
  if (sizeBytes !== undefined && total !== sizeBytes) {
    throw new ProxyError("upstream_unavailable", `${origin.name}'s answer broke off`);
  }
  return Buffer.concat(chunks);
}

async function readStart(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  try {
    while (text.length < MAX_READ_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
  } catch {
    // The status alone tells enough.
  }
  return text;
}
