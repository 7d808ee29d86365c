import {
  type EscapedPath,
  findModuleVersionProblem,
  type ModulePath,
  tryUnescapePath,
  tryUnescapeVersion,
} from "./path.ts";
import { canonicalVersion, isValidVersion } from "./version.ts";

/** The three immutable files of a version. */
export type FileKind = "info" | "mod" | "zip";

/**
 * One question of the GOPROXY protocol, checked and unescaped.
 *
 * Routing, rights, policy, storage and caches all work on this one value.
 */
export interface ModuleRequest {
  /** `query` is the `.info` of anything but a canonical version: a branch, a hash, `v1.2`. */
  readonly kind: "list" | "latest" | "query" | FileKind;
  readonly modulePath: ModulePath;
  readonly escapedPath: EscapedPath;
  /** The unescaped version or query; empty for `list` and `latest`. */
  readonly version: string;
  /** The whole path in its one normal spelling: `{escaped module}/@v/{escaped version}.{ext}`. */
  readonly path: string;
}

/** A request for one of the three immutable files. */
export type FileRequest = ModuleRequest & { readonly kind: FileKind };

/** A request whose answer changes with time: a list, the latest version, a query. */
export type MutableRequest = ModuleRequest & { readonly kind: "list" | "latest" | "query" };

/** Why a path is no question of the protocol. */
export interface RequestProblem {
  readonly problem: string;
  /** What was wrong: the path as a whole, or only its version. */
  readonly where: "path" | "version";
}

// Room for `.zip.record` and a temporary suffix within the 255 bytes of a file name.
const MAX_ESCAPED_ELEMENT_BYTES = 200;
const MAX_MODULE_PATH_BYTES = 500;

// Words that the go command resolves by itself from the list.
const CLIENT_SIDE_QUERIES: ReadonlySet<string> = new Set(["latest", "upgrade", "patch"]);

const NO_PROTOCOL_PATH: RequestProblem = {
  problem: "not an address of the module proxy protocol",
  where: "path",
};

type ModuleOfRequest = Pick<ModuleRequest, "modulePath" | "escapedPath">;

/**
 * Parse one path of the GOPROXY protocol.
 *
 * @param path Escaped path without a leading slash and already percent-decoded,
 *   e.g. `github.com/!azure/x/@v/v1.0.0.info`.
 * @returns The request, or why it is none.
 * @source https://go.dev/ref/mod#goproxy-protocol
 */
export function parseModuleRequest(path: string): ModuleRequest | RequestProblem {
  const at = path.indexOf("/@");
  if (at < 0) return NO_PROTOCOL_PATH;
  const module = parseEscapedModule(path.slice(0, at));
  if ("problem" in module) return module;
  const name = path.slice(at + 1);
  if (name === "@v/list") return { kind: "list", ...module, version: "", path };
  if (name === "@latest") return { kind: "latest", ...module, version: "", path };
  if (!name.startsWith("@v/")) return NO_PROTOCOL_PATH;
  return parseVersionFile(module, path, name.slice(3));
}

/**
 * The request for one file of a version of the module of `of`.
 *
 * @param version A canonical version; it must suit the module's path and be escapable.
 */
export function toFileRequest(
  of: ModuleOfRequest,
  kind: FileKind,
  version: string,
  escapedVersion: string,
): FileRequest {
  const { modulePath, escapedPath } = of;
  return {
    kind,
    modulePath,
    escapedPath,
    version,
    path: `${escapedPath}/@v/${escapedVersion}.${kind}`,
  };
}

/** Whether a request is for one of the immutable files. */
export function isFileRequest(request: ModuleRequest): request is FileRequest {
  return request.kind === "zip" || request.kind === "mod" || request.kind === "info";
}

/** Unescape and check the module part of a path, its lengths included. */
export function parseEscapedModule(escaped: string): ModuleOfRequest | RequestProblem {
  if (hasLongElement(escaped)) return { problem: "module path is too long", where: "path" };
  const modulePath = tryUnescapePath(escaped);
  if (modulePath === undefined) return { problem: "invalid escaped module path", where: "path" };
  if (modulePath.length > MAX_MODULE_PATH_BYTES) {
    return { problem: "module path is too long", where: "path" };
  }
  return { modulePath, escapedPath: escaped as EscapedPath };
}

function parseVersionFile(
  module: ModuleOfRequest,
  path: string,
  file: string,
): ModuleRequest | RequestProblem {
  const dot = file.lastIndexOf(".");
  const kind = file.slice(dot + 1);
  if (dot <= 0 || (kind !== "info" && kind !== "mod" && kind !== "zip")) return NO_PROTOCOL_PATH;
  const version = unescapeVersion(file.slice(0, dot));
  if (typeof version !== "string") return version;
  const problem = findCanonicalProblem(module.modulePath, version);
  if (problem === undefined) return { kind, ...module, version, path };
  if (kind !== "info") return { problem, where: "version" };
  if (CLIENT_SIDE_QUERIES.has(version)) {
    return { problem: `"${version}" is resolved by the client`, where: "version" };
  }
  return { kind: "query", ...module, version, path };
}

/**
 * Why a version cannot be stored for a module, if so.
 *
 * @returns A reason, or undefined for a canonical version of the right major.
 * @source golang.org/x/mod/module, CanonicalVersion and Check
 */
export function findCanonicalProblem(modulePath: string, version: string): string | undefined {
  if (!isValidVersion(version)) return `"${version}" is not a version`;
  if (canonicalVersion(version) !== version) return `${version} is not a canonical version`;
  return findModuleVersionProblem(modulePath, version);
}

/** Unescape and check the version part of a path, for a version that a file can be stored under. */
export function parseEscapedVersion(
  modulePath: string,
  escaped: string,
): { readonly version: string } | RequestProblem {
  const version = unescapeVersion(escaped);
  if (typeof version !== "string") return version;
  const problem = findCanonicalProblem(modulePath, version);
  return problem === undefined ? { version } : { problem, where: "version" };
}

function unescapeVersion(escaped: string): string | RequestProblem {
  if (escaped.length > MAX_ESCAPED_ELEMENT_BYTES) {
    return { problem: "version is too long", where: "version" };
  }
  return tryUnescapeVersion(escaped) ?? { problem: "invalid escaped version", where: "version" };
}

function hasLongElement(escapedPath: string): boolean {
  let start = 0;
  for (;;) {
    const end = escapedPath.indexOf("/", start);
    if ((end < 0 ? escapedPath.length : end) - start > MAX_ESCAPED_ELEMENT_BYTES) return true;
    if (end < 0) return false;
    start = end + 1;
  }
}
