import { ProxyError } from "../errors/proxy-error.ts";
import type { EscapedPath, ModulePath } from "../module/path.ts";
import { parseEscapedModule, parseEscapedVersion } from "../module/request.ts";

/** A module version that a database is asked for. */
export interface Lookup {
  readonly modulePath: ModulePath;
  readonly escapedPath: EscapedPath;
  readonly version: string;
  readonly escapedVersion: string;
}

/**
 * Read what stands behind `/lookup/`, by the rules for the addresses of files: no database has a
 * record of a version that cannot be asked for.
 *
 * @param escaped As a client sent it: `escaped path@escaped version`.
 * @throws ProxyError `malformed_path` or `malformed_version`.
 */
export function parseLookup(escaped: string): Lookup {
  const at = escaped.indexOf("@");
  const module = parseEscapedModule(at < 0 ? escaped : escaped.slice(0, at));
  if ("problem" in module) throw new ProxyError("malformed_path", module.problem);
  const escapedVersion = at < 0 ? "" : escaped.slice(at + 1);
  const parsed = parseEscapedVersion(module.modulePath, escapedVersion);
  if ("problem" in parsed) throw new ProxyError("malformed_version", parsed.problem);
  return { ...module, version: parsed.version, escapedVersion };
}
