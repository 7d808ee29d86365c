const SIMPLE_ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 0x5c,
  '"': 0x22,
};
const NUMERIC_ESCAPE = /^(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})/;
const LONGEST_ESCAPE = 9;
const PRINTABLE = /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u;
const UTF8 = new TextEncoder();
const UTF8_DECODER = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/**
 * Reads a Go string literal.
 *
 * @param literal - With its double quotes or backquotes.
 * @returns The value, or `undefined` when the literal is malformed. Bytes that are no UTF-8 become
 *   U+FFFD.
 * @source Go `strconv.Unquote`.
 */
export function tryUnquote(literal: string): string | undefined {
  const mark = literal[0];
  if (literal.length < 2 || literal.at(-1) !== mark) return undefined;
  const body = literal.slice(1, -1);
  if (mark === "`") return body.includes("`") ? undefined : body.replaceAll("\r", "");
  if (mark !== '"' || body.includes("\n")) return undefined;
  return body.includes("\\") || body.includes('"') ? unescapeBody(body) : body;
}

/**
 * Writes a Go string literal with double quotes, printable characters as they are.
 *
 * @param text - Any well-formed string.
 * @source Go `strconv.Quote`.
 */
export function quote(text: string): string {
  return `"${Array.from(text, quoteChar).join("")}"`;
}

function quoteChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  for (const [letter, value] of Object.entries(SIMPLE_ESCAPES)) {
    if (value === code) return `\\${letter}`;
  }
  if (PRINTABLE.test(char)) return char;
  const hex = (digits: number): string => code.toString(16).padStart(digits, "0");
  if (code < 0x20 || code === 0x7f) return `\\x${hex(2)}`;
  return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
}

function unescapeBody(body: string): string | undefined {
  const bytes: number[] = [];
  let i = 0;
  while (i < body.length) {
    const backslash = body.indexOf("\\", i);
    const plain = body.slice(i, backslash < 0 ? body.length : backslash);
    if (plain.includes('"')) return undefined;
    bytes.push(...UTF8.encode(plain));
    if (backslash < 0) break;
    const escape = readEscape(body.slice(backslash + 1, backslash + 1 + LONGEST_ESCAPE));
    if (escape === undefined) return undefined;
    bytes.push(...escape.bytes);
    i = backslash + 1 + escape.length;
  }
  return UTF8_DECODER.decode(Uint8Array.from(bytes));
}

/** Reads the escape behind a backslash. */
function readEscape(text: string): { bytes: Iterable<number>; length: number } | undefined {
  const letter = text[0] ?? "";
  const simple = SIMPLE_ESCAPES[letter];
  if (simple !== undefined) return { bytes: [simple], length: 1 };
  const match = NUMERIC_ESCAPE.exec(text)?.[0];
  if (match === undefined) return undefined;
  if (letter === "x") return { bytes: [Number.parseInt(match.slice(1), 16)], length: 3 };
  if (letter !== "u" && letter !== "U") {
    return { bytes: [Number.parseInt(match, 8)], length: match.length };
  }
  const code = Number.parseInt(match.slice(1), 16);
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
  return { bytes: UTF8.encode(String.fromCodePoint(code)), length: match.length };
}
