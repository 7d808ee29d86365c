/** One file of an archive. */
export interface TxtarFile {
  readonly name: string;
  readonly text: string;
}

/** A text archive: files one after the other, each below a line with its name. */
export interface Txtar {
  /** What stands before the first file. */
  readonly comment: string;
  readonly files: readonly TxtarFile[];
}

const MARKER = /^-- (.+) --$/;

/**
 * Read a text archive.
 *
 * @source golang.org/x/tools/txtar
 */
export function parseTxtar(text: string): Txtar {
  const files: { name: string; text: string }[] = [];
  let comment = "";
  for (const line of text.split(/(?<=\n)/)) {
    const name = MARKER.exec(line.trimEnd())?.[1]?.trim();
    const last = files.at(-1);
    if (name !== undefined) files.push({ name, text: "" });
    else if (last === undefined) comment += line;
    else last.text += line;
  }
  return { comment, files };
}
