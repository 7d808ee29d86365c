import { findPseudoShape } from "./pseudo-shape.ts";
import { buildOf, canonicalize, isValidVersion, prereleaseOf } from "./version.ts";

interface PseudoParts {
  /** What stands before the timestamp, without the joining `-` or `.`. */
  readonly head: string;
  /** 14 digits, not necessarily a date. */
  readonly timestamp: string;
  readonly revision: string;
  /** With its leading plus, or "". */
  readonly build: string;
}

/**
 * Reports whether a version has the form that Go gives to a commit without a tag of its own.
 * The date need not exist: see {@link pseudoVersionTime}.
 *
 * @param version - Any string.
 * @source golang.org/x/mod/module IsPseudoVersion.
 */
export function isPseudoVersion(version: string): boolean {
  return splitPseudoVersion(version) !== undefined;
}

/**
 * Makes the version of a commit.
 *
 * @param major - The major that the module path fixes, such as `v2`; "" means `v0`.
 * @param older - The version that the commit comes after, canonical or with build metadata; "" or
 *   an invalid one when there is none.
 * @param time - The commit time; fractions of a second are dropped.
 * @param revision - The short hash: the first 12 hex digits for git.
 * @source golang.org/x/mod/module PseudoVersion.
 */
export function pseudoVersion(major: string, older: string, time: Date, revision: string): string {
  const segment = `${formatTimestamp(time)}-${revision}`;
  const base = canonicalize(older);
  if (base === "") return `${major === "" ? "v0" : major}.0.0-${segment}`;
  const build = buildOf(older);
  if (prereleaseOf(base) !== "") return `${base}.0.${segment}${build}`;
  const patchStart = base.lastIndexOf(".") + 1;
  const patch = BigInt(base.slice(patchStart)) + 1n;
  return `${base.slice(0, patchStart)}${patch}-0.${segment}${build}`;
}

/**
 * The commit time that a pseudo-version names.
 *
 * @param version - Any string.
 * @returns The time in whole seconds, or `undefined` when this is no pseudo-version or the date
 *   does not exist.
 * @source golang.org/x/mod/module PseudoVersionTime.
 */
export function pseudoVersionTime(version: string): Date | undefined {
  const timestamp = splitPseudoVersion(version)?.timestamp;
  if (timestamp === undefined) return undefined;
  const field = (start: number, end: number): number => Number(timestamp.slice(start, end));
  const time = new Date(0);
  time.setUTCFullYear(field(0, 4), field(4, 6) - 1, field(6, 8));
  time.setUTCHours(field(8, 10), field(10, 12), field(12, 14));
  return formatTimestamp(time) === timestamp ? time : undefined;
}

/**
 * The revision that a pseudo-version names.
 *
 * @param version - Any string.
 * @returns The revision as written, or `undefined` when this is no pseudo-version.
 * @source golang.org/x/mod/module PseudoVersionRev.
 */
export function pseudoVersionRevision(version: string): string | undefined {
  return splitPseudoVersion(version)?.revision;
}

/**
 * The version that a pseudo-version comes after.
 *
 * @param version - Any string.
 * @returns The base version with its build metadata, "" when there is none, or `undefined` when
 *   this is no pseudo-version or no base could have led to it.
 * @source golang.org/x/mod/module PseudoVersionBase.
 */
export function pseudoVersionBase(version: string): string | undefined {
  const parts = splitPseudoVersion(version);
  if (parts === undefined) return undefined;
  const { head, build } = parts;
  const prerelease = prereleaseOf(head);
  if (prerelease === "") return build === "" ? "" : undefined;
  if (prerelease !== "-0") return head.slice(0, -".0".length) + build;
  const release = head.slice(0, -"-0".length);
  const patchStart = release.lastIndexOf(".") + 1;
  const patch = BigInt(release.slice(patchStart));
  if (patch === 0n) return undefined;
  return `${release.slice(0, patchStart)}${patch - 1n}${build}`;
}

function splitPseudoVersion(version: string): PseudoParts | undefined {
  if (!isValidVersion(version)) return undefined;
  const build = buildOf(version);
  const bare = version.slice(0, version.length - build.length);
  const shape = findPseudoShape(bare);
  if (shape === undefined) return undefined;
  return {
    head: bare.slice(0, shape.timestampStart - 1),
    timestamp: bare.slice(shape.timestampStart, shape.revisionStart - 1),
    revision: bare.slice(shape.revisionStart),
    build,
  };
}

/** `yyyymmddhhmmss` in UTC. */
function formatTimestamp(time: Date): string {
  return time.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14);
}
