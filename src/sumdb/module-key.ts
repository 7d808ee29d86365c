import { ProxyError } from "../errors/proxy-error.ts";

/** A module version and the spelling that it has in addresses and keys. */
export interface ModuleKey {
  readonly modulePath: string;
  readonly version: string;
  /** `escaped path@escaped version`: in a lookup address, and the key of a stored record. */
  readonly escaped: string;
}

/**
 * The key of a module version.
 *
 * @param modulePath - as in go.mod, checked against the module rules by the caller.
 * @param version - full, for example `v1.2.3` or a pseudo-version.
 * @throws {ProxyError} malformed_path - no database can have a record for it.
 * @source module.EscapePath
 */
export function toModuleKey(modulePath: string, version: string): ModuleKey {
  return parseModuleKey(`${escape(modulePath)}@${escape(version)}`);
}

/**
 * Read what stands behind `/lookup/` in an address.
 *
 * Only the outer form is held here, so that nothing odd gets into an address or a key: the whole of
 * the module rules belongs to the caller.
 *
 * @param escaped - as a client sent it, still escaped with `!`.
 * @throws {ProxyError} malformed_path - no escaped module path and full version.
 * @source sumdb.Server (modVerRE), module.UnescapePath
 */
export function parseModuleKey(escaped: string): ModuleKey {
  const [path = "", version = "", ...rest] = escaped.split("@");
  const isPath = path.split("/").every(isPathElement) && path.split("/")[0]?.includes(".");
  const plainVersion = unescape(version);
  if (!isPath || !isFullVersion(plainVersion) || !isEscaped(escaped) || rest.length > 0) {
    throw new ProxyError("malformed_path", "lookup needs an escaped module@version");
  }
  return { modulePath: unescape(path), version: plainVersion, escaped };
}

function isPathElement(element: string): boolean {
  return /^[A-Za-z0-9!._~+-]+$/.test(element) && !/^\.+$/.test(element);
}

function isFullVersion(version: string): boolean {
  return /^v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+incompatible)?$/.test(version);
}

/** Capitals are spelled `!x`, and `!` stands for nothing else. */
function isEscaped(text: string): boolean {
  return !/[A-Z]|!(?![a-z])/.test(text);
}

function escape(text: string): string {
  return text.replaceAll(/[A-Z!]/g, (letter) => `!${letter.toLowerCase()}`);
}

function unescape(text: string): string {
  return text.replaceAll(/!([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
