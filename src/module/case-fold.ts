const PLAIN = /^[\0-@[-\x7f]*$/;

// Capital dotted I and small dotless I: their case mappings cross with i, their folding does not.
const DOTTED_CAPITAL_I = 0x130;
const DOTLESS_SMALL_I = 0x131;

/**
 * Folds a text so that two texts are equal ignoring case exactly when their folded forms are equal.
 * This is Unicode simple folding: one character stays one character, no language counts.
 *
 * @param text - Any well-formed string.
 * @returns The folded form; the text itself when it is ASCII without capitals.
 * @source golang.org/x/mod/zip strToFold, Go `unicode.SimpleFold`.
 */
export function foldCase(text: string): string {
  return PLAIN.test(text) ? text : Array.from(text, foldChar).join("");
}

/** Upper case first, then lower case, brings all members of a case family to one character. */
function foldChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code === DOTTED_CAPITAL_I || code === DOTLESS_SMALL_I) return char;
  const upper = singleOr(char.toUpperCase(), char);
  return singleOr(upper.toLowerCase(), upper);
}

/** The mapped text if it is one character; simple folding knows no longer ones. */
function singleOr(mapped: string, fallback: string): string {
  const code = mapped.codePointAt(0);
  return code !== undefined && String.fromCodePoint(code).length === mapped.length
    ? mapped
    : fallback;
}
