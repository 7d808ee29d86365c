import { ProxyError } from "../errors/proxy-error.ts";
import { isPseudoVersion, pseudoVersionTime } from "../module/pseudo-version.ts";
import { findCanonicalProblem, type ModuleRequest } from "../module/request.ts";

// Some sources round the time of a commit to the minute; the version is exact.
const MAX_TIME_DIFFERENCE_MS = 60_000;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** What an `.info` says, as far as it can be checked without a proof. */
export interface Info {
  /** Canonical and of the right major. */
  readonly version: string;
  readonly commit: string | undefined;
}

/**
 * Check the form of an `.info`, its version and the time of a pseudo-version.
 *
 * @param bytes The body as the source sent it.
 * @param request An exact `info` request must be answered with its own version; any other with
 *   some canonical version of the module.
 * @throws ProxyError `upstream_invalid` with the reason.
 * @source https://go.dev/ref/mod#goproxy-protocol and cmd/go's modfetch/proxy.go, Stat
 */
export function checkInfo(bytes: Uint8Array, request: ModuleRequest): Info {
  const { Version: version, Time: time, Origin: origin } = parseObject(bytes);
  if (typeof version !== "string" || version === "") throw invalid("info has no Version");
  if (request.kind === "info" && version !== request.version) {
    throw invalid(`info is of ${printable(version)} instead of ${request.version}`);
  }
  const problem = findCanonicalProblem(request.modulePath, version);
  if (problem !== undefined) throw invalid(`info names no usable version: ${printable(problem)}`);
  checkTime(version, time);
  return { version, commit: toCommit(origin) };
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw invalid("info is not JSON", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("info is not a JSON object");
  }
  return value as Record<string, unknown>;
}

function checkTime(version: string, time: unknown): void {
  if (time === undefined || time === null) return;
  const timeMs = typeof time === "string" && RFC3339.test(time) ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(timeMs)) throw invalid("info has a Time that is not RFC 3339");
  if (!isPseudoVersion(version)) return;
  const expected = pseudoVersionTime(version);
  if (expected === undefined) throw invalid("pseudo-version has an impossible time");
  if (Math.abs(timeMs - expected.getTime()) >= MAX_TIME_DIFFERENCE_MS) {
    throw invalid("info has another Time than its pseudo-version");
  }
}

function toCommit(origin: unknown): string | undefined {
  if (typeof origin !== "object" || origin === null) return undefined;
  const hash = (origin as Record<string, unknown>)["Hash"];
  return typeof hash === "string" && /^[0-9a-f]{40,64}$/.test(hash) ? hash : undefined;
}

function invalid(detail: string, cause?: unknown): ProxyError {
  return new ProxyError("upstream_invalid", detail, { cause });
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 100);
}
