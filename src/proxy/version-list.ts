import { ProxyError } from "../errors/proxy-error.ts";
import { parseGoTime, ZERO_GO_TIME_MS } from "../module/go-time.ts";
import { findCanonicalProblem } from "../module/request.ts";
import { isPseudoVersion, pseudoVersionTime } from "../module/pseudo-version.ts";
import { isValidVersion, prereleaseOf, sortVersions } from "../module/version.ts";

/** A source's list, reduced to what a client may see. */
export interface VersionList {
  /** Canonical, of the right major, no pseudo-versions, in the order of precedence. */
  readonly versions: readonly string[];
  /** Of the pseudo-versions that the source named, the one with the latest time. */
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
  const pseudo = new NewestPseudo();
  let hasVersion = false;
  for (const line of text.split("\n")) {
    const [version = "", time] = line.trim().split(/\s+/, 2);
    if (!isValidVersion(version)) continue;
    hasVersion = true;
    if (findCanonicalProblem(modulePath, version) !== undefined) continue;
    if (isPseudoVersion(version)) pseudo.offer(version, time);
    else versions.add(version);
  }
  if (!hasVersion && text.trim() !== "") {
    throw new ProxyError("upstream_invalid", "the list holds text but no version");
  }
  const newestPseudo = pseudo.version;
  return {
    versions: sortVersions([...versions]),
    newestPseudo,
    isEmpty: versions.size === 0 && newestPseudo === undefined,
  };
}

/**
 * The pseudo-version of the latest commit among those offered; of equal times the first.
 *
 * Their order as versions says nothing of that: a commit after v1.2.0 may be older than one that
 * is counted from v0.0.0.
 *
 * @source cmd/go's modfetch/proxy.go, latestFromList
 */
export class NewestPseudo {
  version: string | undefined;
  // One whose time cannot be read, or is Go's zero time, is never the newest.
  #timeMs = ZERO_GO_TIME_MS;

  /** @param time What the list says of its time, which then counts in place of its own. */
  offer(version: string, time?: string): void {
    const timeMs = time === undefined ? pseudoVersionTime(version)?.getTime() : parseGoTime(time);
    if (timeMs === undefined || timeMs <= this.#timeMs) return;
    this.version = version;
    this.#timeMs = timeMs;
  }
}

/**
 * The versions of a list, the best one for `@latest` first: releases, then pre-releases, then the
 * newest pseudo-version.
 *
 * @source cmd/go's modload/query.go, and modfetch/proxy.go, latestFromList
 */
export function listByPreference({
  body,
  newestPseudo,
}: {
  readonly body: string;
  readonly newestPseudo?: string;
}): string[] {
  const versions = body
    .split("\n")
    .filter((line) => line !== "")
    .toReversed();
  const isRelease = (version: string): boolean => prereleaseOf(version) === "";
  return [
    ...versions.filter(isRelease),
    ...versions.filter((version) => !isRelease(version)),
    ...(newestPseudo === undefined ? [] : [newestPseudo]),
  ];
}

/** The body of `@v/list`. */
export function formatVersionList(versions: readonly string[]): string {
  return versions.length === 0 ? "" : `${versions.join("\n")}\n`;
}
