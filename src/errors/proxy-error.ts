/** Who has to act on an error: it decides the severity of the log line. */
export type ErrorOwner = "client" | "policy" | "upstream" | "storage" | "platform";

/**
 * Every way in which a request can end without its answer.
 *
 * The set is closed: `errors/codes.ts` must give each one its row, or nothing compiles.
 */
export type ProxyErrorCode =
  | "malformed_path"
  | "malformed_version"
  | "module_not_found"
  | "not_fetched"
  | "sumdb_not_found"
  | "credentials_missing"
  | "credentials_invalid"
  | "role_missing"
  | "module_denied"
  | "method_not_allowed"
  | "invalid_request"
  | "invalid_config"
  | "not_configured"
  | "version_conflict"
  | "precondition_failed"
  | "range_unsatisfiable"
  | "rate_limited"
  | "upstream_denied"
  | "upstream_refused"
  | "upstream_unavailable"
  | "upstream_timeout"
  | "upstream_invalid"
  | "checksum_mismatch"
  | "checksum_missing"
  | "sumdb_unavailable"
  | "sumdb_invalid"
  | "tree_forked"
  | "storage_unavailable"
  | "file_restored"
  | "unavailable"
  | "internal";

/** An error in a form that crosses a Durable Object's boundary, where classes do not survive. */
export interface ErrorValue {
  readonly code: ProxyErrorCode;
  readonly publicDetail: string;
  readonly retryAfterSeconds?: number;
}

/**
 * The one error of the product.
 *
 * Thrown only where the caller cannot go on; expected outcomes (absent object, refused
 * credential) are values.
 */
export class ProxyError extends Error {
  override readonly name = "ProxyError";
  readonly code: ProxyErrorCode;
  /** Safe to print: holds no team's name but the caller's, no token, object key or upstream URL. */
  readonly publicDetail: string;
  /** Seconds after which the client may try again, when the source said so. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ProxyErrorCode,
    publicDetail: string,
    options: ErrorOptions & { retryAfterSeconds?: number | undefined } = {},
  ) {
    super(`${code}: ${publicDetail}`, options);
    this.code = code;
    this.publicDetail = publicDetail;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/**
 * Turn anything thrown into a value that survives an RPC call.
 *
 * An error that is not ours is a fault of the platform: its text stays in the log and is not shown.
 */
export function toErrorValue(error: unknown): ErrorValue {
  if (!(error instanceof ProxyError)) {
    return { code: "internal", publicDetail: "unexpected failure" };
  }
  const { code, publicDetail, retryAfterSeconds } = error;
  return { code, publicDetail, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
}

/** The inverse of {@link toErrorValue}, on the caller's side of the call. */
export function fromErrorValue(value: ErrorValue): ProxyError {
  return new ProxyError(value.code, value.publicDetail, {
    retryAfterSeconds: value.retryAfterSeconds,
  });
}
