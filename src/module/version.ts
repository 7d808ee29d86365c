import { compareBytewise } from "./byte-order.ts";

interface ParsedVersion {
  readonly major: string;
  readonly minor: string;
  readonly patch: string;
  /** What is missing for the full triple: "", ".0" or ".0.0". */
  readonly missing: string;
  /** With its leading dash, or "". */
  readonly prerelease: string;
  /** With its leading plus, or "". */
  readonly build: string;
}

const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;
const DASH = 0x2d;
const PLUS = 0x2b;

/**
 * Reports whether a string is a version in Go's sense: `v` and one to three numbers without
 * leading zeros, then, only after three, a pre-release and build metadata.
 *
 * @param version - Any string.
 * @source golang.org/x/mod/semver IsValid.
 */
export function isValidVersion(version: string): boolean {
  return parseVersion(version) !== undefined;
}

/**
 * Fills in missing `.0` parts and drops build metadata.
 *
 * @param version - Any string.
 * @returns The canonical form, or "" when the string is no version.
 * @source golang.org/x/mod/semver Canonical.
 */
export function canonicalize(version: string): string {
  const parsed = parseVersion(version);
  return parsed === undefined ? "" : canonicalText(version, parsed);
}

/**
 * The canonical form as modules use it: build metadata is dropped, but `+incompatible` stays.
 * A version of a module is exactly a string that equals its own canonical version.
 *
 * @param version - Any string.
 * @returns The canonical version, or "" when the string is no version.
 * @source golang.org/x/mod/module CanonicalVersion.
 */
export function canonicalVersion(version: string): string {
  const parsed = parseVersion(version);
  if (parsed === undefined) return "";
  const suffix = parsed.build === "+incompatible" ? parsed.build : "";
  return canonicalText(version, parsed) + suffix;
}

/**
 * The major part with its `v`, such as `v2`.
 *
 * @param version - Any string.
 * @returns The major part, or "" when the string is no version.
 * @source golang.org/x/mod/semver Major.
 */
export function majorOf(version: string): string {
  const parsed = parseVersion(version);
  return parsed === undefined ? "" : `v${parsed.major}`;
}

/**
 * Major and minor part, such as `v2.1`; a missing minor part counts as 0.
 *
 * @param version - Any string.
 * @returns The two parts, or "" when the string is no version.
 * @source golang.org/x/mod/semver MajorMinor.
 */
export function majorMinorOf(version: string): string {
  const parsed = parseVersion(version);
  return parsed === undefined ? "" : `v${parsed.major}.${parsed.minor}`;
}

/**
 * The pre-release with its leading dash, such as `-rc.1`.
 *
 * @param version - Any string.
 * @returns The pre-release, or "" when there is none or the string is no version.
 * @source golang.org/x/mod/semver Prerelease.
 */
export function prereleaseOf(version: string): string {
  return parseVersion(version)?.prerelease ?? "";
}

/**
 * The build metadata with its leading plus, such as `+incompatible`.
 *
 * @param version - Any string.
 * @returns The build metadata, or "" when there is none or the string is no version.
 * @source golang.org/x/mod/semver Build.
 */
export function buildOf(version: string): string {
  return parseVersion(version)?.build ?? "";
}

/**
 * Compares by semantic version precedence. Numbers have no size limit, build metadata does not
 * count, an invalid version is less than a valid one, and all invalid ones are equal.
 *
 * @param a - Any string.
 * @param b - Any string.
 * @returns -1, 0 or 1.
 * @source golang.org/x/mod/semver Compare.
 */
export function compareVersions(a: string, b: string): number {
  return compareParsed(parseVersion(a), parseVersion(b));
}

/**
 * Sorts versions, lowest first. Versions of equal precedence are ordered by their text, so the
 * result does not depend on the order of the input.
 *
 * @param list - Any strings; the list itself is left alone.
 * @returns A new, sorted list.
 * @source golang.org/x/mod/semver Sort.
 */
export function sortVersions(list: readonly string[]): string[] {
  return list
    .map((text) => ({ text, parsed: parseVersion(text) }))
    .toSorted((a, b) => compareParsed(a.parsed, b.parsed) || compareBytewise(a.text, b.text))
    .map((item) => item.text);
}

function canonicalText(version: string, parsed: ParsedVersion): string {
  return withoutBuild(version, parsed) + parsed.missing;
}

function withoutBuild(version: string, parsed: ParsedVersion): string {
  return parsed.build === "" ? version : version.slice(0, version.length - parsed.build.length);
}

function parseVersion(text: string): ParsedVersion | undefined {
  if (text.charCodeAt(0) !== 0x76) return undefined;
  const majorEnd = numberEnd(text, 1);
  if (majorEnd < 0) return undefined;
  const major = text.slice(1, majorEnd);
  if (majorEnd === text.length) return shortVersion(major, "0", ".0.0");
  const minorEnd = fieldEnd(text, majorEnd);
  if (minorEnd < 0) return undefined;
  const minor = text.slice(majorEnd + 1, minorEnd);
  if (minorEnd === text.length) return shortVersion(major, minor, ".0");
  const patchEnd = fieldEnd(text, minorEnd);
  if (patchEnd < 0) return undefined;
  const prereleaseEnd = suffixEnd(text, patchEnd, DASH);
  if (prereleaseEnd < 0) return undefined;
  const buildEnd = suffixEnd(text, prereleaseEnd, PLUS);
  if (buildEnd !== text.length) return undefined;
  return {
    major,
    minor,
    patch: text.slice(minorEnd + 1, patchEnd),
    missing: "",
    prerelease: text.slice(patchEnd, prereleaseEnd),
    build: text.slice(prereleaseEnd),
  };
}

function shortVersion(major: string, minor: string, missing: string): ParsedVersion {
  return { major, minor, patch: "0", missing, prerelease: "", build: "" };
}

/** End of a dot and a number at `start`, or -1. */
function fieldEnd(text: string, start: number): number {
  return text.charCodeAt(start) === DOT ? numberEnd(text, start + 1) : -1;
}

/** End of the number at `start`, or -1 when there is none or it has a leading zero. */
function numberEnd(text: string, start: number): number {
  let i = start;
  while (isDigit(text.charCodeAt(i))) i++;
  if (i === start) return -1;
  return text.charCodeAt(start) === ZERO && i - start > 1 ? -1 : i;
}

/** End of an optional pre-release (`DASH`) or build (`PLUS`) at `start`; -1 when malformed. */
function suffixEnd(text: string, start: number, mark: number): number {
  if (text.charCodeAt(start) !== mark) return start;
  let identifierStart = start + 1;
  let i = identifierStart;
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === PLUS && mark === DASH) break;
    if (c === DOT) {
      if (!isIdentifier(text, identifierStart, i, mark)) return -1;
      identifierStart = i + 1;
    } else if (!isIdentifierChar(c)) {
      return -1;
    }
  }
  return isIdentifier(text, identifierStart, i, mark) ? i : -1;
}

/** Refuses empty identifiers and, in a pre-release, numbers with a leading zero. */
function isIdentifier(text: string, start: number, end: number, mark: number): boolean {
  if (start === end) return false;
  if (mark === PLUS || end - start === 1 || text.charCodeAt(start) !== ZERO) return true;
  return !isNumber(text.slice(start, end));
}

function isIdentifierChar(c: number): boolean {
  return isDigit(c) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c === DASH;
}

function isDigit(c: number): boolean {
  return c >= ZERO && c <= NINE;
}

function isNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (!isDigit(text.charCodeAt(i))) return false;
  }
  return true;
}

function compareParsed(a: ParsedVersion | undefined, b: ParsedVersion | undefined): number {
  if (a === undefined || b === undefined) {
    return Number(a !== undefined) - Number(b !== undefined);
  }
  return (
    compareNumbers(a.major, b.major) ||
    compareNumbers(a.minor, b.minor) ||
    compareNumbers(a.patch, b.patch) ||
    comparePrereleases(a.prerelease, b.prerelease)
  );
}

/** Compares decimal numbers of any size, both without leading zeros. */
function compareNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length < b.length ? -1 : 1;
  return compareText(a, b);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Both with their leading dash, or "". */
function comparePrereleases(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "") return 1;
  if (b === "") return -1;
  const left = a.slice(1).split(".");
  const right = b.slice(1).split(".");
  for (const [i, x] of left.entries()) {
    const y = right[i];
    if (y === undefined) return 1;
    const order = compareIdentifiers(x, y);
    if (order !== 0) return order;
  }
  return left.length === right.length ? 0 : -1;
}

function compareIdentifiers(a: string, b: string): number {
  if (a === b) return 0;
  const aNumber = isNumber(a);
  if (aNumber !== isNumber(b)) return aNumber ? -1 : 1;
  return aNumber ? compareNumbers(a, b) : compareText(a, b);
}
