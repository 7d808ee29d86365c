/** How much of a text is kept. */
export interface TextLimits {
  readonly maxLines: number;
  readonly maxBytes: number;
}

// The go command drops a whole text for one character that is neither of these nor white space.
const NOT_GRAPHIC = /[^\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}\n]/gu;
const CUT = "...";

/**
 * Make a text fit to be shown by a terminal and by the go command, which stops at a blank line.
 *
 * @returns Lines without control characters, none of them blank, cut between two characters.
 * @source cmd/go/internal/web, Response.formatErrorDetail
 */
export function toPlainText(text: string, { maxLines, maxBytes }: TextLimits): string {
  const lines = text
    .replaceAll("\t", " ")
    .replaceAll(NOT_GRAPHIC, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return cut(lines.slice(0, maxLines).join("\n"), maxBytes);
}

function cut(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  // What begins a character without ending it stays with the decoder.
  const whole = new TextDecoder().decode(bytes.subarray(0, maxBytes - CUT.length), {
    stream: true,
  });
  return `${whole.trimEnd()}${CUT}`;
}
