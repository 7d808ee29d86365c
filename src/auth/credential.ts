/** What a request shows of its sender. */
export type Credential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "malformed"; readonly problem: string };

const MAX_TOKEN_BYTES = 8 * 1024;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Read the token out of an Authorization header.
 *
 * It comes as the Basic password with any user name, as the Basic user name with an empty
 * password, or as Bearer; the names of the schemes count in any case.
 *
 * @param header Several headers arrive joined by a comma, which no scheme of ours contains.
 * @source RFC 7617 and RFC 6750
 */
export function parseCredential(header: string | null): Credential {
  if (header === null) return { kind: "none" };
  if (header.includes(",")) return malformed("more than one Authorization header");
  const [scheme = "", value = "", ...rest] = header.trim().split(/ +/);
  if (rest.length > 0 || value === "") return malformed("unreadable Authorization header");
  if (value.length > 2 * MAX_TOKEN_BYTES) return malformed("the token is too long");
  const token = toToken(scheme.toLowerCase(), value);
  if (token === undefined || token === "") return malformed("no token in the Authorization header");
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) return malformed("the token is too long");
  return { kind: "token", token };
}

function toToken(scheme: string, value: string): string | undefined {
  if (scheme === "bearer") return value;
  // Decoding alone would pass over what does not belong there.
  if (scheme !== "basic" || !BASE64.test(value)) return undefined;
  const pair = Buffer.from(value, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  if (colon < 0) return undefined;
  const password = pair.slice(colon + 1);
  return password === "" ? pair.slice(0, colon) : password;
}

function malformed(problem: string): Credential {
  return { kind: "malformed", problem };
}
