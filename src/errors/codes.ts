import type { ErrorOwner, ProxyErrorCode } from "./proxy-error.ts";

/** How one error code looks from outside. */
export interface ErrorRow {
  readonly status: number;
  readonly owner: ErrorOwner;
  /** First words of the text that the go command prints. */
  readonly title: string;
  /** What the reader can do about it; a line of its own in the text. */
  readonly advice?: string;
}

/**
 * Status, owner and words of every error code.
 *
 * The go command falls through to the next proxy on 404 and 410 alone, so an outage must never
 * have either.
 */
const ERROR_ROWS = {
  malformed_path: { status: 404, owner: "client", title: "not found: malformed path" },
  malformed_version: { status: 404, owner: "client", title: "not found: invalid version" },
  module_not_found: { status: 404, owner: "client", title: "not found" },
  not_fetched: {
    status: 404,
    owner: "client",
    title: "not found: not stored",
    advice: "this address answers from storage only; ask the ordinary address to fetch it",
  },
  sumdb_not_found: { status: 404, owner: "client", title: "not found: checksum database" },
  credentials_missing: {
    status: 401,
    owner: "client",
    title: "unauthorized",
    advice: "put the team's token for this host in netrc, or let GOAUTH send it",
  },
  credentials_invalid: {
    status: 401,
    owner: "client",
    title: "unauthorized",
    advice: "put the team's token for this host in netrc, or let GOAUTH send it",
  },
  role_missing: { status: 403, owner: "client", title: "forbidden" },
  module_denied: { status: 403, owner: "policy", title: "denied by policy" },
  method_not_allowed: { status: 405, owner: "client", title: "method not allowed" },
  invalid_request: { status: 400, owner: "client", title: "invalid request" },
  invalid_config: { status: 422, owner: "client", title: "invalid configuration" },
  not_configured: { status: 503, owner: "platform", title: "not_configured" },
  version_conflict: { status: 409, owner: "client", title: "conflict" },
  precondition_failed: { status: 412, owner: "client", title: "precondition failed" },
  range_unsatisfiable: { status: 416, owner: "client", title: "range not satisfiable" },
  rate_limited: { status: 429, owner: "upstream", title: "too many requests" },
  upstream_denied: { status: 403, owner: "upstream", title: "refused by the source" },
  upstream_refused: { status: 502, owner: "upstream", title: "unexpected answer from the source" },
  upstream_unavailable: { status: 502, owner: "upstream", title: "source unavailable" },
  upstream_timeout: { status: 504, owner: "upstream", title: "source timed out" },
  upstream_invalid: { status: 502, owner: "upstream", title: "bad answer from the source" },
  checksum_mismatch: { status: 502, owner: "upstream", title: "checksum mismatch" },
  checksum_missing: {
    status: 502,
    owner: "upstream",
    title: "not verified",
    advice: "a version that the checksum database does not know is not served; see noSum",
  },
  sumdb_unavailable: { status: 502, owner: "upstream", title: "checksum database unavailable" },
  sumdb_invalid: { status: 502, owner: "upstream", title: "checksum database answer refused" },
  tree_forked: { status: 502, owner: "upstream", title: "checksum database forked" },
  storage_unavailable: { status: 503, owner: "storage", title: "storage unavailable" },
  /** The request is answered anew; a client sees this only if that meets it again. */
  file_restored: { status: 503, owner: "storage", title: "storage unavailable" },
  unavailable: { status: 503, owner: "platform", title: "unavailable" },
  internal: { status: 500, owner: "platform", title: "internal error" },
} as const satisfies Record<ProxyErrorCode, ErrorRow>;

/** The row of one code. */
export function errorRow(code: ProxyErrorCode): ErrorRow {
  return ERROR_ROWS[code];
}
