import { ProxyError } from "../errors/proxy-error.ts";

/**
 * Text of the database's bytes, refused unless it is valid UTF-8.
 *
 * A byte order mark is kept, so that encoding the result gives the same bytes, and hashes, again.
 *
 * @param bytes - as received, unverified.
 * @param what - names the input in the error, for example "lookup answer".
 * @throws {ProxyError} sumdb_invalid - the bytes are no UTF-8.
 * @source note.Open, tlog.FormatRecord (both demand valid UTF-8)
 */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ProxyError("sumdb_invalid", `${what} is not valid UTF-8`, { cause });
  }
}

/** UTF-8 bytes of a text. */
export function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Standard base64 with padding. @source encoding/base64 StdEncoding */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/**
 * Bytes of a base64 text in its one canonical spelling.
 *
 * Stricter than Go's decoder, which takes stray bits in the last character: two spellings of one
 * signature or hash have no use but to confuse a comparison of texts.
 *
 * @returns undefined when the text is not canonical base64.
 * @source encoding/base64 StdEncoding.Strict
 */
export function tryFromBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const binary = atob(text);
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return toBase64(bytes) === text ? bytes : undefined;
}

/** Whether two byte strings are equal. Not for secrets: it stops at the first difference. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && startsWith(a, b);
}

/** Whether `bytes` begins with all of `prefix`. */
export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, at) => bytes[at] === byte);
}

/** One byte string made of several. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
