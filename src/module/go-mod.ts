import { parseGoModLines, type GoModLine } from "./go-mod-syntax.ts";
import { quote, tryUnquote } from "./go-string.ts";
import { matchPathMajor, splitPathVersion } from "./path.ts";
import { canonicalVersion } from "./version.ts";

/**
 * Withdrawn versions: a closed interval, both ends equal for a single version. The ends are as
 * written, not necessarily canonical; compare them by precedence.
 */
export interface Retraction {
  readonly low: string;
  readonly high: string;
  /** The author's reason; absent without a comment. */
  readonly rationale?: string;
}

/** What a proxy needs to know of a go.mod file. */
export interface GoMod {
  /** As the file declares it; not checked. */
  readonly modulePath: string;
  /** Such as `1.24`; absent without a go line, or when {@link GoMod.directiveProblem} is set. */
  readonly goVersion?: string;
  /** The author's message; absent when the module is not deprecated. */
  readonly deprecated?: string;
  readonly retract: readonly Retraction[];
  /**
   * Why the go command refuses the file although its syntax and module path are good: a malformed
   * `go`, `require` or `ignore` line. It then treats the file as if it had no go line.
   */
  readonly directiveProblem?: string;
}

const GO_VERSION = /^[1-9][0-9]*\.(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))?(?:[a-z]+[0-9]+)?$/;
const LAX_GO_VERSION = /^v?([1-9][0-9]*\.(?:0|[1-9][0-9]*))[^0-9].*$/;
const DEPRECATED = /(?:^|\n\n)Deprecated: *(.*?)(?:$|\n\n)/s;
const MUST_QUOTE = /[^\p{L}\p{M}\p{N}\p{P}\p{S}]|["'`]|\/[/*]/u;
const MUST_QUOTE_LONG = /[()[\]{},]/;

/**
 * Reads a go.mod file of a dependency: unknown directives, and those that only count in a main
 * module, are ignored. One bad retraction is passed over, as the go command does.
 *
 * @param text - The decoded file; decode with `ignoreBOM`, since a byte order mark is an error.
 * @returns The parsed file, or a problem when it is malformed, cut off, or names no module.
 * @source golang.org/x/mod/modfile ParseLax; protocol note: a fork may declare another path.
 */
export function parseGoMod(text: string): GoMod | { problem: string } {
  const lines = parseGoModLines(text);
  if (!Array.isArray(lines)) return lines;
  const moduleLines = lines.filter((line) => line.verb === "module");
  const [moduleLine] = moduleLines;
  if (moduleLine === undefined) return { problem: "no module line" };
  if (moduleLines.length > 1) return { problem: "more than one module line" };
  const modulePath = parseModuleArgument(moduleLine);
  if (modulePath === undefined || modulePath === "") return { problem: "malformed module line" };
  const deprecated = DEPRECATED.exec(moduleLine.comment)?.[1] ?? "";
  return {
    modulePath,
    ...(deprecated === "" ? {} : { deprecated }),
    retract: lines.flatMap((line) => parseRetraction(line) ?? []),
    ...readDirectives(lines, moduleLine),
  };
}

/**
 * The go.mod that stands for a module without one: a single module line.
 *
 * @param modulePath - The path of the module.
 * @returns The text of the file; the path is quoted only if the syntax demands it.
 * @source cmd/go modfetch legacyGoMod; golang.org/x/mod/modfile AutoQuote.
 */
export function syntheticGoMod(modulePath: string): string {
  const quoted =
    modulePath === "" ||
    MUST_QUOTE.test(modulePath) ||
    (modulePath.length > 1 && MUST_QUOTE_LONG.test(modulePath));
  return `module ${quoted ? quote(modulePath) : modulePath}\n`;
}

function parseModuleArgument(line: GoModLine): string | undefined {
  const [argument] = line.args;
  if (argument === undefined || line.args.length !== 1) return undefined;
  return argument.startsWith("`") ? tryUnquote(argument) : parseArgument(argument);
}

/** Reads a word or a string with double quotes; other quotes are reserved. */
function parseArgument(argument: string | undefined): string | undefined {
  if (argument === undefined) return undefined;
  if (argument.startsWith('"')) return tryUnquote(argument);
  return /["'`]/.test(argument) ? undefined : argument;
}

function readDirectives(
  lines: readonly GoModLine[],
  moduleLine: GoModLine,
): { goVersion?: string } | { directiveProblem: string } {
  const goLines = lines.filter((line) => line.verb === "go");
  const goVersions = goLines.map(parseGoVersion);
  const directiveProblem =
    (goLines.length > 1 ? "more than one go line" : undefined) ??
    (goVersions.includes(undefined) ? "malformed go line" : undefined) ??
    (moduleLine.args[0]?.startsWith("`") === true ? "module path in backquotes" : undefined) ??
    lines.map(findDirectiveProblem).find((problem) => problem !== undefined);
  if (directiveProblem !== undefined) return { directiveProblem };
  const [goVersion] = goVersions;
  return goVersion === undefined ? {} : { goVersion };
}

function parseGoVersion(line: GoModLine): string | undefined {
  const [argument = ""] = line.args;
  if (line.args.length !== 1) return undefined;
  return GO_VERSION.test(argument) ? argument : LAX_GO_VERSION.exec(argument)?.[1];
}

function findDirectiveProblem(line: GoModLine): string | undefined {
  if (line.verb === "ignore") {
    const good = line.args.length === 1 && parseArgument(line.args[0]) !== undefined;
    return good ? undefined : "malformed ignore line";
  }
  if (line.verb !== "require") return undefined;
  return isRequirement(line.args) ? undefined : "malformed require line";
}

function isRequirement(args: readonly string[]): boolean {
  const path = parseArgument(args[0]);
  const version = canonicalVersion(parseArgument(args[1]) ?? "");
  if (path === undefined || version === "" || args.length !== 2) return false;
  const split = splitPathVersion(path);
  return split !== undefined && matchPathMajor(version, split.pathMajor);
}

/** `v1.2.3` or `[v1.0.0, v1.2.3]`; anything may follow. */
function parseRetraction(line: GoModLine): Retraction | undefined {
  if (line.verb !== "retract") return undefined;
  const [first, second, comma, third, close] = line.args;
  if (first !== "[") {
    const version = first === "(" ? undefined : parseArgument(first);
    return version === undefined ? undefined : retraction(version, version, line.comment);
  }
  const low = parseArgument(second);
  const high = parseArgument(third);
  const closed = low !== undefined && high !== undefined && comma === "," && close === "]";
  return closed ? retraction(low, high, line.comment) : undefined;
}

function retraction(low: string, high: string, comment: string): Retraction {
  return { low, high, ...(comment === "" ? {} : { rationale: comment }) };
}
