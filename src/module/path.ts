import { buildOf, isValidVersion, majorOf } from "./version.ts";

declare const modulePathBrand: unique symbol;
declare const escapedPathBrand: unique symbol;

/** A module path as people write it, with its capitals; checked by {@link findModulePathProblem}. */
export type ModulePath = string & { readonly [modulePathBrand]: true };

/** A module path as it stands in addresses and object keys: each capital is `!` and lower case. */
export type EscapedPath = string & { readonly [escapedPathBrand]: true };

// Bits of CHAR_CLASSES: where an ASCII character may stand.
const FIRST_ELEMENT = 1;
const MODULE = 2;
const IMPORT = 4;
const FILE = 8;
type PathKind = typeof MODULE | typeof IMPORT | typeof FILE;

const SLASH = 0x2f;
const DOT = 0x2e;
const DASH = 0x2d;
const BANG = 0x21;
const TILDE = 0x7e;
const LOWER_V = 0x76;
const ZERO = 0x30;
const ASCII_END = 0x80;
const CASE_BIT = 0x20;

const LETTER = /^\p{L}$/u;
const RESERVED_NAME = /^(?:con|prn|aux|nul|com[1-9]|lpt[1-9])$/;
const CHAR_CLASSES = makeCharClasses();

/**
 * Checks a module path.
 *
 * @param path - Any string, not escaped.
 * @returns A short reason, or `undefined` when the path is good.
 * @source golang.org/x/mod/module CheckPath.
 */
export function findModulePathProblem(path: string): string | undefined {
  return (
    findPathProblem(path, MODULE) ??
    findFirstElementProblem(path) ??
    (findPathMajorStart(path) < 0 ? "invalid major version suffix" : undefined)
  );
}

/**
 * Checks a package path.
 *
 * @param path - Any string.
 * @returns A short reason, or `undefined` when the path is good.
 * @source golang.org/x/mod/module CheckImportPath.
 */
export function findImportPathProblem(path: string): string | undefined {
  return findPathProblem(path, IMPORT);
}

/**
 * Checks the path of a file inside a module: slashes as separators, no leading slash, and only
 * names that every operating system can store.
 *
 * @param path - Any string.
 * @returns A short reason, or `undefined` when the path is good.
 * @source golang.org/x/mod/module CheckFilePath.
 */
export function findFilePathProblem(path: string): string | undefined {
  return findPathProblem(path, FILE);
}

/**
 * Splits the major version suffix from a path: `/v2` and up, or `.v0` and up for gopkg.in, where it
 * may carry `-unstable`.
 *
 * @param path - A module path, not escaped.
 * @returns The two parts, which joined give the path; `pathMajor` is "" without a suffix.
 *   `undefined` when the suffix is malformed.
 * @source golang.org/x/mod/module SplitPathVersion.
 */
export function splitPathVersion(path: string): { prefix: string; pathMajor: string } | undefined {
  const start = findPathMajorStart(path);
  if (start < 0) return undefined;
  return { prefix: path.slice(0, start), pathMajor: path.slice(start) };
}

/**
 * Reports whether a version belongs under a major version suffix.
 *
 * @param version - A valid version.
 * @param pathMajor - A suffix as {@link splitPathVersion} gives it, "" for none.
 * @source golang.org/x/mod/module MatchPathMajor, CheckPathMajor.
 */
export function matchPathMajor(version: string, pathMajor: string): boolean {
  const suffix = trimUnstable(pathMajor);
  // An old bug named commits without tags v0.0.0 under .v1; such versions are in use for ever.
  if (suffix === ".v1" && version.startsWith("v0.0.0-")) return true;
  const major = majorOf(version);
  if (suffix === "") {
    return major === "v0" || major === "v1" || buildOf(version) === "+incompatible";
  }
  return (suffix.startsWith("/") || suffix.startsWith(".")) && major === suffix.slice(1);
}

/**
 * Checks that a path and a version can name a module version. It does not ask for a canonical
 * version.
 *
 * @param path - Any string, not escaped.
 * @param version - Any string, not escaped.
 * @returns A short reason, or `undefined` when both are good and fit.
 * @source golang.org/x/mod/module Check.
 */
export function findModuleVersionProblem(path: string, version: string): string | undefined {
  const problem = findModulePathProblem(path);
  if (problem !== undefined) return problem;
  if (!isValidVersion(version)) return "not a semantic version";
  const pathMajor = path.slice(findPathMajorStart(path));
  if (matchPathMajor(version, pathMajor)) return undefined;
  const wanted = pathMajor === "" ? "v0 or v1" : trimUnstable(pathMajor).slice(1);
  return `version should be ${wanted}, not ${majorOf(version)}`;
}

/**
 * Brands a string as a module path after checking it.
 *
 * @param path - Any string, not escaped.
 * @returns The same string, or `undefined` when it is no module path.
 * @source golang.org/x/mod/module CheckPath.
 */
export function tryParseModulePath(path: string): ModulePath | undefined {
  return findModulePathProblem(path) === undefined ? (path as ModulePath) : undefined;
}

/**
 * Escapes the capitals of a module path, so that two paths stay apart where case is ignored.
 *
 * @param path - A checked module path.
 * @source golang.org/x/mod/module EscapePath.
 */
export function escapePath(path: ModulePath): EscapedPath {
  return escapeCapitals(path) as EscapedPath;
}

/**
 * Reads an escaped path back and checks it. Runs on every request, so a path without capitals costs
 * two scans and no allocation.
 *
 * @param escaped - Any string; percent escapes must be decoded already.
 * @returns The module path, or `undefined` when the escape or the path is malformed.
 * @source golang.org/x/mod/module UnescapePath.
 */
export function tryUnescapePath(escaped: string): ModulePath | undefined {
  const path = tryUnescapeCapitals(escaped);
  return path === undefined ? undefined : tryParseModulePath(path);
}

/**
 * Escapes a version or a query for an address.
 *
 * @param version - Any string; branch names and hashes are fine, slashes are not.
 * @returns The escaped form, or `undefined` for a string that cannot stand in an address.
 * @source golang.org/x/mod/module EscapeVersion.
 */
export function tryEscapeVersion(version: string): string | undefined {
  if (findElementProblem(version, 0, version.length, FILE) !== undefined) return undefined;
  for (let i = 0; i < version.length; i++) {
    const c = version.charCodeAt(i);
    if (c === BANG || c >= ASCII_END) return undefined;
  }
  return escapeCapitals(version);
}

/**
 * Reads an escaped version or query back.
 *
 * @param escaped - Any string; percent escapes must be decoded already.
 * @returns The version as people write it, or `undefined` when it is malformed. Nothing says yet
 *   that it is a semantic version.
 * @source golang.org/x/mod/module UnescapeVersion.
 */
export function tryUnescapeVersion(escaped: string): string | undefined {
  const version = tryUnescapeCapitals(escaped);
  if (version === undefined) return undefined;
  return findElementProblem(version, 0, version.length, FILE) === undefined ? version : undefined;
}

function findPathProblem(path: string, kind: PathKind): string | undefined {
  if (path === "") return "empty path";
  if (kind !== FILE && path.charCodeAt(0) === DASH) return "leading dash";
  let start = 0;
  for (;;) {
    const slash = path.indexOf("/", start);
    const end = slash < 0 ? path.length : slash;
    const problem = findElementProblem(path, start, end, kind);
    if (problem !== undefined || slash < 0) return problem;
    start = end + 1;
  }
}

/** Checks what only the first element, the host, must obey. */
function findFirstElementProblem(path: string): string | undefined {
  let dotted = false;
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c === SLASH) break;
    if (c === DOT) dotted = true;
    if (((CHAR_CLASSES[c] ?? 0) & FIRST_ELEMENT) === 0) {
      return "invalid character in first path element";
    }
  }
  return dotted ? undefined : "missing dot in first path element";
}

function findElementProblem(
  path: string,
  start: number,
  end: number,
  kind: PathKind,
): string | undefined {
  if (start === end) return "empty path element";
  const first = path.charCodeAt(start);
  if (kind === MODULE && first === DOT) return "leading dot in path element";
  if (path.charCodeAt(end - 1) === DOT) return "trailing dot in path element";
  let stemEnd = end;
  for (let i = start; i < end; i++) {
    const c = path.charCodeAt(i);
    if (c >= ASCII_END) {
      const letter = kind === FILE ? letterLength(path, i) : 0;
      if (letter === 0) return "invalid character in path";
      i += letter - 1;
    } else if (((CHAR_CLASSES[c] ?? 0) & kind) === 0) {
      return "invalid character in path";
    } else if (c === DOT && stemEnd === end) {
      stemEnd = i;
    }
  }
  return findStemProblem(path, start, stemEnd, kind);
}

/** Checks the part of an element before its first dot against the habits of Windows. */
function findStemProblem(
  path: string,
  start: number,
  end: number,
  kind: PathKind,
): string | undefined {
  if (mayBeReserved(path, start, end)) {
    const stem = path.slice(start, end).toLowerCase();
    if (RESERVED_NAME.test(stem)) return `${stem} is a reserved name on Windows`;
  }
  if (kind !== FILE && isShortName(path, start, end)) {
    return "trailing tilde and digits in path element";
  }
  return undefined;
}

/** A cheap first look, so that ordinary elements need no copy. */
function mayBeReserved(path: string, start: number, end: number): boolean {
  const length = end - start;
  if (length !== 3 && length !== 4) return false;
  const first = path.charCodeAt(start) | CASE_BIT;
  return first === 0x61 || first === 0x63 || first === 0x6c || first === 0x6e || first === 0x70;
}

function isShortName(path: string, start: number, end: number): boolean {
  let i = end;
  while (i > start && isDigit(path.charCodeAt(i - 1))) i--;
  return i < end && i > start && path.charCodeAt(i - 1) === TILDE;
}

/** UTF-16 length of the letter at an index, 0 when there is no letter. */
function letterLength(path: string, index: number): number {
  const char = String.fromCodePoint(path.codePointAt(index) ?? 0);
  return LETTER.test(char) ? char.length : 0;
}

/** Index where the major version suffix starts; the length without one; -1 when malformed. */
function findPathMajorStart(path: string): number {
  if (path.startsWith("gopkg.in/")) return findGopkgMajorStart(path);
  let i = path.length;
  let dotted = false;
  for (; i > 0; i--) {
    const c = path.charCodeAt(i - 1);
    if (c === DOT) dotted = true;
    else if (!isDigit(c)) break;
  }
  const numbered = i < path.length && i > 1 && isMajorMark(path, i, SLASH);
  if (!numbered) return path.length;
  const start = i - 2;
  const leadingZero = path.charCodeAt(i) === ZERO;
  return dotted || leadingZero || path.slice(start) === "/v1" ? -1 : start;
}

function findGopkgMajorStart(path: string): number {
  const end = path.length - (path.endsWith("-unstable") ? "-unstable".length : 0);
  let i = end;
  while (i > 0 && isDigit(path.charCodeAt(i - 1))) i--;
  if (i <= 1 || !isMajorMark(path, i, DOT)) return -1;
  const start = i - 2;
  if (i === path.length) return -1;
  // Only a bare ".v0" may start with a zero: neither ".v00" nor ".v0-unstable" may.
  return path.charCodeAt(i) === ZERO && path.slice(start) !== ".v0" ? -1 : start;
}

function isMajorMark(path: string, digits: number, separator: number): boolean {
  return path.charCodeAt(digits - 1) === LOWER_V && path.charCodeAt(digits - 2) === separator;
}

function trimUnstable(pathMajor: string): string {
  const unstable = pathMajor.startsWith(".v") && pathMajor.endsWith("-unstable");
  return unstable ? pathMajor.slice(0, -"-unstable".length) : pathMajor;
}

/** The text must be ASCII without `!`, which every checked path and version is. */
function escapeCapitals(text: string): string {
  let escaped = "";
  let copied = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!isCapital(c)) continue;
    escaped += `${text.slice(copied, i)}!${String.fromCharCode(c | CASE_BIT)}`;
    copied = i + 1;
  }
  return copied === 0 ? text : escaped + text.slice(copied);
}

function tryUnescapeCapitals(escaped: string): string | undefined {
  let text = "";
  let copied = 0;
  for (let i = 0; i < escaped.length; i++) {
    const c = escaped.charCodeAt(i);
    if (c >= ASCII_END || isCapital(c)) return undefined;
    if (c !== BANG) continue;
    const next = escaped.charCodeAt(i + 1);
    if (!(next >= 0x61 && next <= 0x7a)) return undefined;
    text += escaped.slice(copied, i) + String.fromCharCode(next & ~CASE_BIT);
    i++;
    copied = i + 1;
  }
  return copied === 0 ? escaped : text + escaped.slice(copied);
}

function isCapital(c: number): boolean {
  return c >= 0x41 && c <= 0x5a;
}

function isDigit(c: number): boolean {
  return c >= ZERO && c <= 0x39;
}

function makeCharClasses(): Uint8Array {
  const classes = new Uint8Array(ASCII_END);
  const allow = (chars: string, bits: number): void => {
    for (let i = 0; i < chars.length; i++) {
      const c = chars.charCodeAt(i);
      classes[c] = (classes[c] ?? 0) | bits;
    }
  };
  const lower = "abcdefghijklmnopqrstuvwxyz";
  allow(`${lower}0123456789-.`, FIRST_ELEMENT | MODULE | IMPORT | FILE);
  allow(`${lower.toUpperCase()}_~`, MODULE | IMPORT | FILE);
  allow("+", IMPORT | FILE);
  allow("!#$%&(),=@[]^{} ", FILE);
  return classes;
}
