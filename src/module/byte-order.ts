/**
 * Compares two strings by the bytes of their UTF-8 form, the order in which Go sorts strings.
 * JavaScript compares UTF-16 units, which puts characters above U+FFFF before U+E000 to U+FFFF.
 *
 * @param a - Any well-formed string.
 * @param b - Any well-formed string.
 * @returns Negative when `a` comes first, positive when `b` does, 0 when they are equal.
 * @source Go `strings.Compare`; dirhash and semver.Sort order by it.
 */
export function compareBytewise(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Moves surrogates (which stand for U+10000 and above) behind U+E000 to U+FFFF. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
