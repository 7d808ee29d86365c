import { ProxyError } from "../errors/proxy-error.ts";
import { tryEscapeVersion } from "../module/path.ts";
import { type FileRequest, type MutableRequest, toFileRequest } from "../module/request.ts";
import { checkInfo } from "./check-info.ts";
import type { Clock, MutableAnswer } from "./ports.ts";
import { readAll } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";
import { formatVersionList, listByPreference, parseVersionList } from "./version-list.ts";

/** What a fetch of a changing answer works with. */
export interface FetchPorts {
  readonly clock: Clock;
  readonly chain: SourceChain;
  readonly deadlineMs: number;
  /** Another changing answer of the same module; undefined when the module has none. */
  readMutable(request: MutableRequest): Promise<MutableAnswer | undefined>;
  /** Keep an answer that was fetched on the way. */
  keep(request: MutableRequest, fetched: FetchedMutable): void;
  /** The `.info` of an exact version; undefined when there is none. */
  readInfo(request: FileRequest): Promise<Uint8Array | undefined>;
}

/** A changing answer, fetched and checked. */
export interface FetchedMutable {
  readonly body: string;
  readonly newestPseudo?: string | undefined;
}

const MAX_LIST_BYTES = 8 * 1024 * 1024;
const MAX_INFO_BYTES = 64 * 1024;

/**
 * Fetch a list, a latest version or the answer to a query.
 *
 * @throws ProxyError the errors of the source chain, and `upstream_invalid`.
 */
export async function fetchMutable(
  ports: FetchPorts,
  request: MutableRequest,
): Promise<FetchedMutable | { readonly absent: string }> {
  switch (request.kind) {
    case "list":
      return await fetchList(ports, request);
    case "latest":
      return await fetchLatest(ports, request);
    case "query":
      return await fetchInfo(ports, request);
  }
}

async function fetchList(
  ports: FetchPorts,
  request: MutableRequest,
): Promise<FetchedMutable | { readonly absent: string }> {
  const answer = await ports.chain.ask(request, { deadlineMs: ports.deadlineMs });
  if (!answer.found) return { absent: answer.reason };
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_LIST_BYTES };
  const body = await readAll(answer.body, limits, ports.clock);
  const list = parseVersionList(request.modulePath, body);
  if (list.isEmpty && !(await hasLatest(ports, request))) {
    return { absent: "the source knows no version" };
  }
  return { body: formatVersionList(list.versions), newestPseudo: list.newestPseudo };
}

/**
 * An empty list says "exists, nothing tagged", which must be true: it ends the client's search, and
 * what was listed once stays listed.
 *
 * So the source's latest version decides, and the answer is kept, since it is what the client asks
 * for next. A source that refuses or fails to say (403, 429, 5xx, time-out) has not decided: then
 * neither an empty 200 nor a 404 would be true, and the list fails in the same way, to be asked for
 * again; a list that was stored before goes on being served.
 */
async function hasLatest(ports: FetchPorts, request: MutableRequest): Promise<boolean> {
  const latest = toLatest(request);
  const fetched = await fetchInfo(ports, latest);
  if ("absent" in fetched) return false;
  ports.keep(latest, fetched);
  return true;
}

async function fetchLatest(
  ports: FetchPorts,
  request: MutableRequest,
): Promise<FetchedMutable | { readonly absent: string }> {
  const fetched = await fetchInfo(ports, request);
  if (!("absent" in fetched)) return fetched;
  const list = await ports.readMutable(toList(request));
  if (list === undefined) return fetched;
  const [newest] = listByPreference(list);
  const escaped = newest === undefined ? undefined : tryEscapeVersion(newest);
  if (newest === undefined || escaped === undefined) return fetched;
  const info = await ports.readInfo(toFileRequest(request, "info", newest, escaped));
  return info === undefined ? fetched : { body: new TextDecoder().decode(info) };
}

async function fetchInfo(
  ports: FetchPorts,
  request: MutableRequest,
): Promise<FetchedMutable | { readonly absent: string }> {
  const answer = await ports.chain.ask(request, { deadlineMs: ports.deadlineMs });
  if (!answer.found) return { absent: answer.reason };
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_INFO_BYTES };
  const body = await readAll(answer.body, limits, ports.clock);
  checkInfo(body, request);
  try {
    return { body: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body) };
  } catch (error) {
    throw new ProxyError("upstream_invalid", "info is not UTF-8", { cause: error });
  }
}

function toLatest(request: MutableRequest): MutableRequest {
  return { ...request, kind: "latest", path: `${request.escapedPath}/@latest` };
}

/** The request for the list of a module. */
export function toList(request: MutableRequest): MutableRequest {
  return { ...request, kind: "list", path: `${request.escapedPath}/@v/list` };
}
