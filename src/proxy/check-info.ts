import { ProxyError } from "../errors/proxy-error.ts";
import { isPseudoVersion, pseudoVersionTime } from "../module/pseudo-version.ts";
import { findCanonicalProblem, type ModuleRequest } from "../module/request.ts";
import { decodeInfo } from "./info-json.ts";

// Some sources round the time of a commit to the minute; the version is exact.
const MAX_TIME_DIFFERENCE_MS = 60_000;
const COMMIT = /^[0-9a-f]{40,64}$/;

/** What an `.info` says, as far as it can be checked without a proof. */
export interface Info {
  /** Canonical and of the right major. */
  readonly version: string;
  readonly commit: string | undefined;
}

/**
 * Check the form of an `.info`, its version and the time of a pseudo-version.
 *
 * What the go command would refuse must not be stored for ever; what it takes is taken.
 *
 * @param bytes The body as the source sent it.
 * @param request An exact `info` request must be answered with its own version; any other with
 *   some canonical version of the module.
 * @throws ProxyError `upstream_invalid` with the reason.
 * @source https://go.dev/ref/mod#goproxy-protocol and cmd/go's modfetch/proxy.go, Stat
 */
export function checkInfo(bytes: Uint8Array, request: ModuleRequest): Info {
  const info = decodeInfo(toText(bytes));
  if ("problem" in info) throw invalid(`info: ${info.problem}`);
  const { version, timeMs, commit } = info;
  if (version === "") throw invalid("info has no Version");
  if (request.kind === "info" && version !== request.version) {
    throw invalid(`info is of ${printable(version)} instead of ${request.version}`);
  }
  const problem = findCanonicalProblem(request.modulePath, version);
  if (problem !== undefined) throw invalid(`info names no usable version: ${printable(problem)}`);
  checkTime(version, timeMs);
  return { version, commit: COMMIT.test(commit) ? commit : undefined };
}

/** Go would take bytes that are no UTF-8, too; no source has any reason to send them. */
function toText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw invalid("info is not UTF-8", error);
  }
}

function checkTime(version: string, timeMs: number | undefined): void {
  if (timeMs === undefined || !isPseudoVersion(version)) return;
  const expected = pseudoVersionTime(version);
  if (expected === undefined) throw invalid("pseudo-version has an impossible time");
  if (Math.abs(timeMs - expected.getTime()) >= MAX_TIME_DIFFERENCE_MS) {
    throw invalid("info has another Time than its pseudo-version");
  }
}

function invalid(detail: string, cause?: unknown): ProxyError {
  return new ProxyError("upstream_invalid", detail, { cause });
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 100);
}
