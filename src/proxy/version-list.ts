import { ProxyError } from "../errors/proxy-error.ts";
import { findCanonicalProblem } from "../module/request.ts";
import { isPseudoVersion } from "../module/pseudo-version.ts";
import { compareVersions, isValidVersion, sortVersions } from "../module/version.ts";

/** A source's list, reduced to what a client may see. */
export interface VersionList {
  /** Canonical, of the right major, no pseudo-versions, in the order of precedence. */
  readonly versions: readonly string[];
  /** Newest pseudo-version that the source named. */
  readonly newestPseudo: string | undefined;
  /** Whether nothing is left that the module could be used by. */
  readonly isEmpty: boolean;
}

/**
 * Parse the body of `@v/list`.
 *
 * Only the first field of a line counts, and lines that are no version are passed over, as the
 * go command does; but a body that holds text and not one version is no list.
 *
 * @throws ProxyError `upstream_invalid`.
 * @source cmd/go's modfetch/proxy.go, versions
 */
export function parseVersionList(modulePath: string, body: Uint8Array): VersionList {
  const text = new TextDecoder().decode(body);
  const versions = new Set<string>();
  let newestPseudo: string | undefined;
  let hasVersion = false;
  for (const line of text.split("\n")) {
    const version = line.trim().split(/\s/, 1)[0] ?? "";
    if (!isValidVersion(version)) continue;
    hasVersion = true;
    if (findCanonicalProblem(modulePath, version) !== undefined) continue;
    if (!isPseudoVersion(version)) {
      versions.add(version);
    } else if (newestPseudo === undefined || compareVersions(version, newestPseudo) > 0) {
      newestPseudo = version;
    }
  }
  if (!hasVersion && text.trim() !== "") {
    throw new ProxyError("upstream_invalid", "the list holds text but no version");
  }
  return {
    versions: sortVersions([...versions]),
    newestPseudo,
    isEmpty: versions.size === 0 && newestPseudo === undefined,
  };
}

/** The body of `@v/list`. */
export function formatVersionList(versions: readonly string[]): string {
  return versions.length === 0 ? "" : `${versions.join("\n")}\n`;
}
