/** One step of a pattern; texts are strings of bytes, one per character. */
type PatternItem =
  | { readonly kind: "byte"; readonly byte: number }
  | { readonly kind: "any" }
  | {
      readonly kind: "class";
      readonly negated: boolean;
      /** Inclusive code point ranges. */
      readonly ranges: readonly (readonly [number, number])[];
    };

/** A run of items without a star in it, perhaps with one in front. */
interface PatternChunk {
  readonly star: boolean;
  readonly items: readonly PatternItem[];
}

type PathPattern = readonly PatternChunk[];

interface PrefixPattern {
  readonly slashes: number;
  readonly matches: (prefix: string) => boolean;
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const INVALID_RUNE = 0xfffd;

const META = /[*?[\\]/;
const ASCII_ONLY = /^[\0-\x7f]*$/;
const UTF8 = new TextEncoder();
const UTF8_DECODER = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/**
 * Matches a whole name against a shell pattern: `*` and `?` stop at slashes, `[a-z]` and `[^a-z]`
 * are classes, a backslash takes the next character literally. The work is at most the product of
 * both lengths, whatever the pattern.
 *
 * @param pattern - A malformed pattern matches nothing.
 * @param name - A slash-separated path.
 * @source Go `path.Match`.
 */
export function matchPathPattern(pattern: string, name: string): boolean {
  const compiled = compilePattern(pattern);
  return compiled !== undefined && matchCompiled(compiled, toBytes(name));
}

/**
 * Checks the form of a shell pattern.
 *
 * @param pattern - Any string.
 * @returns A short reason, or `undefined` when the pattern is good.
 * @source Go `path.ErrBadPattern`.
 */
export function findPathPatternProblem(pattern: string): string | undefined {
  return compilePattern(pattern) === undefined ? "malformed pattern" : undefined;
}

/**
 * Reports whether a path, or the path of one of its parents, matches a pattern of a list in the
 * syntax of GOPRIVATE.
 *
 * @param globs - Patterns, separated by commas; empty and malformed ones are passed over.
 * @param target - A module or package path.
 * @source golang.org/x/mod/module MatchPrefixPatterns.
 */
export function matchPrefixPatterns(globs: string, target: string): boolean {
  return compilePrefixPatterns([globs])(target);
}

/**
 * Prepares patterns in the syntax of GOPRIVATE for repeated use.
 *
 * @param patterns - Each one a pattern or a list with commas; empty and malformed ones are passed
 *   over.
 * @returns A function with the meaning of {@link matchPrefixPatterns}.
 * @source golang.org/x/mod/module MatchPrefixPatterns.
 */
export function compilePrefixPatterns(patterns: readonly string[]): (target: string) => boolean {
  const compiled = patterns
    .flatMap((list) => list.split(","))
    .map((glob) => compilePrefixPattern(glob))
    .filter((pattern) => pattern !== undefined);
  return (target) =>
    compiled.some((pattern) => {
      const prefix = leadingElements(target, pattern.slashes);
      return prefix !== undefined && pattern.matches(prefix);
    });
}

function compilePrefixPattern(text: string): PrefixPattern | undefined {
  const glob = text.endsWith("/") ? text.slice(0, -1) : text;
  if (glob === "") return undefined;
  const slashes = glob.split("/").length - 1;
  if (!META.test(glob)) return { slashes, matches: (prefix) => prefix === glob };
  const compiled = compilePattern(glob);
  if (compiled === undefined) return undefined;
  return { slashes, matches: (prefix) => matchCompiled(compiled, toBytes(prefix)) };
}

/** The part of a path before its slash number `slashes + 1`; `undefined` if it has fewer slashes. */
function leadingElements(target: string, slashes: number): string | undefined {
  let end = -1;
  for (let left = slashes; left >= 0; left--) {
    end = target.indexOf("/", end + 1);
    if (end < 0) return left === 0 ? target : undefined;
  }
  return target.slice(0, end);
}

function matchCompiled(pattern: PathPattern, name: string): boolean {
  let position = 0;
  for (const [index, chunk] of pattern.entries()) {
    const last = index === pattern.length - 1;
    if (chunk.star && chunk.items.length === 0) return name.indexOf("/", position) < 0;
    const end = chunk.star
      ? findChunk(chunk.items, name, position, last)
      : matchChunk(chunk.items, name, position);
    if (end < 0 || (last && end !== name.length)) return false;
    position = end;
  }
  return position === name.length;
}

/**
 * Finds the first place where a chunk matches, without skipping a slash. Taking the first one is
 * enough: whatever a later place allows, the next star allows too.
 */
function findChunk(
  items: readonly PatternItem[],
  name: string,
  start: number,
  last: boolean,
): number {
  for (let from = start; from <= name.length; from++) {
    const end = matchChunk(items, name, from);
    if (end >= 0 && (!last || end === name.length)) return end;
    if (name.charCodeAt(from) === SLASH) return -1;
  }
  return -1;
}

/** End of the match of a chunk at `start`, or -1. */
function matchChunk(items: readonly PatternItem[], name: string, start: number): number {
  let position = start;
  for (const item of items) {
    if (position >= name.length) return -1;
    const byte = name.charCodeAt(position);
    if (item.kind === "byte") {
      if (byte !== item.byte) return -1;
      position++;
    } else {
      if (item.kind === "any" && byte === SLASH) return -1;
      const [rune, width] = decodeRune(name, position);
      if (item.kind === "class" && !classHolds(item.ranges, rune, item.negated)) return -1;
      position += width;
    }
  }
  return position;
}

function classHolds(
  ranges: readonly (readonly [number, number])[],
  rune: number,
  negated: boolean,
): boolean {
  return ranges.some(([low, high]) => low <= rune && rune <= high) !== negated;
}

function compilePattern(text: string): PathPattern | undefined {
  const pattern = toBytes(text);
  const chunks: PatternChunk[] = [];
  let start = 0;
  while (start < pattern.length) {
    let itemsStart = start;
    while (pattern.charCodeAt(itemsStart) === STAR) itemsStart++;
    const end = findChunkEnd(pattern, itemsStart);
    const items = parseItems(pattern.slice(itemsStart, end));
    if (items === undefined) return undefined;
    chunks.push({ star: itemsStart > start, items });
    start = end;
  }
  return chunks;
}

/** Index of the next star that is neither escaped nor inside brackets. */
function findChunkEnd(pattern: string, start: number): number {
  let bracketed = false;
  for (let i = start; i < pattern.length; i++) {
    const c = pattern.charCodeAt(i);
    if (c === BACKSLASH) i++;
    else if (c === OPEN) bracketed = true;
    else if (c === CLOSE) bracketed = false;
    else if (c === STAR && !bracketed) return i;
  }
  return pattern.length;
}

function parseItems(chunk: string): PatternItem[] | undefined {
  const items: PatternItem[] = [];
  let i = 0;
  while (i < chunk.length) {
    const c = chunk.charCodeAt(i);
    if (c === OPEN) {
      const parsed = parseClass(chunk, i + 1);
      if (parsed === undefined) return undefined;
      items.push(parsed.item);
      i = parsed.end;
      continue;
    }
    if (c === QUESTION) {
      items.push({ kind: "any" });
    } else {
      if (c === BACKSLASH) i++;
      if (i === chunk.length) return undefined;
      items.push({ kind: "byte", byte: chunk.charCodeAt(i) });
    }
    i++;
  }
  return items;
}

/** Parses a class from behind its opening bracket. */
function parseClass(chunk: string, start: number): { item: PatternItem; end: number } | undefined {
  const ranges: [number, number][] = [];
  const negated = chunk.charCodeAt(start) === CARET;
  let i = negated ? start + 1 : start;
  while (ranges.length === 0 || chunk.charCodeAt(i) !== CLOSE) {
    const low = parseClassRune(chunk, i);
    if (low === undefined) return undefined;
    let high = low;
    if (chunk.charCodeAt(low.end) === DASH) {
      const bound = parseClassRune(chunk, low.end + 1);
      if (bound === undefined) return undefined;
      high = bound;
    }
    ranges.push([low.rune, high.rune]);
    i = high.end;
  }
  return { item: { kind: "class", negated, ranges }, end: i + 1 };
}

/** One bound of a range. Something must follow it, since the class is still open. */
function parseClassRune(chunk: string, start: number): { rune: number; end: number } | undefined {
  const c = chunk.charCodeAt(start);
  if (c === DASH || c === CLOSE) return undefined;
  const at = c === BACKSLASH ? start + 1 : start;
  if (at >= chunk.length) return undefined;
  const [rune, width] = decodeRune(chunk, at);
  if (rune === INVALID_RUNE && width === 1) return undefined;
  const end = at + width;
  return end < chunk.length ? { rune, end } : undefined;
}

/** The text itself when it is ASCII, else its UTF-8 form with one character for each byte. */
function toBytes(text: string): string {
  if (ASCII_ONLY.test(text)) return text;
  return Array.from(UTF8.encode(text), (byte) => String.fromCharCode(byte)).join("");
}

/** Code point and byte count at an index; a stray byte is U+FFFD of width 1, as in Go. */
function decodeRune(bytes: string, index: number): readonly [rune: number, width: number] {
  const first = bytes.charCodeAt(index);
  if (first < 0x80) return [first, 1];
  const width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const sequence = Uint8Array.from(bytes.slice(index, index + width), (c) => c.charCodeAt(0));
  const chars = Array.from(UTF8_DECODER.decode(sequence));
  // A broken sequence of full width decodes to more than one replacement character.
  if (chars.length !== 1 || sequence.length !== width) return [INVALID_RUNE, 1];
  return [chars[0]?.codePointAt(0) ?? INVALID_RUNE, width];
}
