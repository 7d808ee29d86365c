import { endsLine, lexGoMod, type GoModToken } from "./go-mod-lexer.ts";

/** One directive: a line of its own, or a line of a block. */
export interface GoModLine {
  /** The verb, such as `require`. */
  readonly verb: string;
  /** What follows the verb, as written. */
  readonly args: readonly string[];
  /** The comment that belongs to the directive, without slashes, lines joined by LF. */
  readonly comment: string;
}

/** Verbs that may open a block; blocks of others are unknown and left out. */
const BLOCK_VERBS: ReadonlySet<string> = new Set([
  "exclude",
  "godebug",
  "ignore",
  "module",
  "replace",
  "require",
  "retract",
  "tool",
]);

/** Tokens with a position: the only state of the parser. */
interface Cursor {
  readonly tokens: readonly GoModToken[];
  position: number;
}

interface RawLine {
  readonly words: readonly string[];
  /** Comments above it, then the one behind it. */
  readonly comments: readonly string[];
}

/**
 * Parses the lines and blocks of a go.mod file, without judging the directives.
 *
 * @param text - The decoded file.
 * @returns The directives in order, or a problem when the file is malformed or cut off.
 * @source golang.org/x/mod/modfile, the parser in read.go; parseDirectiveComment for comments.
 */
export function parseGoModLines(text: string): GoModLine[] | { problem: string } {
  const tokens = lexGoMod(text);
  if (!Array.isArray(tokens)) return tokens;
  const cursor: Cursor = { tokens, position: 0 };
  const lines: GoModLine[] = [];
  let above: string[] = [];
  for (;;) {
    const token = peek(cursor);
    if (token.kind === "end") return lines;
    if (token.kind === "lineComment") {
      above.push(token.text);
      cursor.position++;
    } else if (token.kind === "newline") {
      above = [];
      cursor.position++;
    } else {
      const statement = parseStatement(cursor, above);
      if ("problem" in statement) return statement;
      lines.push(...statement);
      above = [];
    }
  }
}

function peek(cursor: Cursor): GoModToken {
  return cursor.tokens[cursor.position] ?? { kind: "end", text: "" };
}

function next(cursor: Cursor): GoModToken {
  const token = peek(cursor);
  cursor.position++;
  return token;
}

function parseStatement(
  cursor: Cursor,
  above: readonly string[],
): GoModLine[] | { problem: string } {
  const words = [next(cursor).text];
  for (;;) {
    const token = next(cursor);
    if (endsLine(token)) {
      const verb = words[0] ?? "";
      return [{ verb, args: words.slice(1), comment: joinComments([...above, token.text]) }];
    }
    if (token.text === "(") {
      if (endsLine(peek(cursor))) return parseBlock(cursor, words, above);
      if (isEmptyBlock(cursor)) {
        cursor.position += 2;
        return [];
      }
    }
    words.push(token.text);
  }
}

/** Holds when the opening parenthesis just read is closed at once, and its line ends there. */
function isEmptyBlock(cursor: Cursor): boolean {
  const after = cursor.tokens[cursor.position + 1];
  return peek(cursor).text === ")" && after !== undefined && endsLine(after);
}

function parseBlock(
  cursor: Cursor,
  words: readonly string[],
  blockComments: readonly string[],
): GoModLine[] | { problem: string } {
  const raw = readBlockLines(cursor);
  if ("problem" in raw) return raw;
  const verb = words[0] ?? "";
  if (words.length !== 1 || !BLOCK_VERBS.has(verb)) return [];
  return raw.map((line) => ({
    verb,
    args: line.words,
    comment: joinComments(line.comments.length === 0 ? blockComments : line.comments),
  }));
}

function readBlockLines(cursor: Cursor): RawLine[] | { problem: string } {
  const lines: RawLine[] = [];
  let above: string[] = [];
  for (;;) {
    const token = peek(cursor);
    if (token.kind === "end") return { problem: "file ends inside a block" };
    if (token.text === ")") {
      cursor.position++;
      if (!endsLine(next(cursor))) return { problem: "text after a closing parenthesis" };
      return lines;
    }
    if (endsLine(token)) {
      // A blank line counts as a comment above, although it adds no text: it keeps the comment of
      // the whole block away from the line that follows it.
      if (token.kind === "lineComment") above.push(token.text);
      else if (token.kind === "newline" && keepsBlank(above, lines)) above.push("");
      cursor.position++;
    } else {
      lines.push(readBlockLine(cursor, above));
      above = [];
    }
  }
}

function keepsBlank(above: readonly string[], lines: readonly RawLine[]): boolean {
  return above.length === 0 ? lines.length > 0 : above.at(-1) !== "";
}

function readBlockLine(cursor: Cursor, above: readonly string[]): RawLine {
  const words: string[] = [];
  for (;;) {
    const token = next(cursor);
    if (endsLine(token)) {
      return { words, comments: token.kind === "comment" ? [...above, token.text] : above };
    }
    words.push(token.text);
  }
}

/** Drops the slashes and outer blanks of comments; other texts are left out. */
function joinComments(texts: readonly string[]): string {
  return texts
    .filter((text) => text.startsWith("//"))
    .map((text) => text.slice(2).trim())
    .join("\n");
}
