/** A token of a go.mod file. Line ends are their own tokens; a comment ends its line. */
export interface GoModToken {
  readonly kind: "word" | "string" | "punctuation" | "newline" | "comment" | "lineComment" | "end";
  /**
   * As written, quotes included. For the comment kinds without the line end; `lineComment` stands
   * alone on its line, `comment` follows other tokens.
   */
  readonly text: string;
}

const PUNCTUATION = "()[]{},";
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u;

/**
 * Splits a go.mod file into tokens.
 *
 * @param text - The decoded file; a byte order mark is an error, as for the go command.
 * @returns The tokens with one `end` token at the end, or a problem with its line number.
 * @source golang.org/x/mod/modfile, the lexer in read.go.
 */
export function lexGoMod(text: string): GoModToken[] | { problem: string } {
  const tokens: GoModToken[] = [];
  let position = 0;
  let line = 1;
  let lineEmpty = true;
  while (position < text.length) {
    const next = readToken(text, position, lineEmpty);
    if ("problem" in next) return { problem: `line ${line}: ${next.problem}` };
    position = next.end;
    if (next.token === undefined) continue;
    tokens.push(next.token);
    lineEmpty = endsLine(next.token);
    if (lineEmpty) line++;
  }
  tokens.push({ kind: "end", text: "" });
  return tokens;
}

/**
 * Reports whether a token is the last one of its line.
 *
 * @param token - Any token.
 * @source golang.org/x/mod/modfile tokenKind.isEOL.
 */
export function endsLine(token: GoModToken): boolean {
  const { kind } = token;
  return kind === "newline" || kind === "comment" || kind === "lineComment" || kind === "end";
}

type ReadToken = { token: GoModToken | undefined; end: number } | { problem: string };

function readToken(text: string, start: number, lineEmpty: boolean): ReadToken {
  const char = text[start] ?? "";
  if (char === " " || char === "\t" || char === "\r") return { token: undefined, end: start + 1 };
  if (text.startsWith("//", start)) return readComment(text, start, lineEmpty);
  if (text.startsWith("/*", start)) return { problem: "comments must use //" };
  if (char === "\n") return { token: { kind: "newline", text: char }, end: start + 1 };
  if (PUNCTUATION.includes(char)) {
    return { token: { kind: "punctuation", text: char }, end: start + 1 };
  }
  if (char === '"' || char === "`") return readString(text, start, char);
  return readWord(text, start);
}

function readComment(text: string, start: number, lineEmpty: boolean): ReadToken {
  const newline = text.indexOf("\n", start);
  const end = newline < 0 ? text.length : newline + 1;
  let textEnd = newline < 0 ? end : newline;
  if (newline >= 0 && text[textEnd - 1] === "\r") textEnd--;
  const kind = lineEmpty ? "lineComment" : "comment";
  return { token: { kind, text: text.slice(start, textEnd) }, end };
}

function readString(text: string, start: number, quote: string): ReadToken {
  for (let i = start + 1; i < text.length; i++) {
    const char = text[i];
    if (char === "\n") return { problem: "line ends inside a string" };
    if (char === quote) {
      return { token: { kind: "string", text: text.slice(start, i + 1) }, end: i + 1 };
    }
    if (char === "\\" && quote === '"') i++;
  }
  return { problem: "file ends inside a string" };
}

function readWord(text: string, start: number): ReadToken {
  let end = start;
  while (end < text.length) {
    const length = wordCharLength(text, end);
    if (length === 0 || text.startsWith("//", end)) break;
    if (text.startsWith("/*", end)) return { problem: "comments must use //" };
    end += length;
  }
  if (end === start) return { problem: "unexpected character" };
  return { token: { kind: "word", text: text.slice(start, end) }, end };
}

/** UTF-16 length of a character that may stand in a word, else 0. */
function wordCharLength(text: string, index: number): number {
  const code = text.codePointAt(index) ?? 0;
  if (code < 0x80) {
    return code > 0x20 && code < 0x7f && !PUNCTUATION.includes(String.fromCharCode(code)) ? 1 : 0;
  }
  const char = String.fromCodePoint(code);
  return PRINTABLE.test(char) ? char.length : 0;
}
