import { parseEnv } from "node:util";
import { UsageError } from "../usage-error.ts";

// One entry of a dotenv file: nothing, a comment, or a name and its value, which in quotes may go
// over several lines. Node's parser skips what it does not understand.
const ENTRY =
  /[^\S\n]*(?:#[^\n]*|(?:export[^\S\n]+)?[A-Za-z_][\w.-]*[^\S\n]*=[^\S\n]*(?:(["'`])[^]*?\1[^\n]*|(?!["'`])[^\n]*))?(?:\n|$)/y;

/**
 * Parse a file of secrets.
 *
 * @param path Named in errors; the content never is.
 * @throws UsageError naming the first line that is no entry.
 */
export function parseSecrets(text: string, path: string): Record<string, string> {
  const entry = new RegExp(ENTRY);
  for (let start = 0; start < text.length; start = entry.lastIndex) {
    entry.lastIndex = start;
    const isEntry = entry.exec(text)?.[0].includes("\0") === false;
    if (isEntry) continue;
    const line = text.slice(0, start).split("\n").length;
    throw new UsageError(`${path}:${line}: must be NAME=value, with quotes that are closed`);
  }
  return parseEnv(text) as Record<string, string>;
}
