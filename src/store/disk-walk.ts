import type { FilePage, Scope } from "../proxy/ports.ts";
import type { DiskFolder } from "./disk-folder.ts";

const MAX_PATHS_PER_PAGE = 2000;
const VERSIONS_FOLDER = "@v";
// What the disk service writes to before it puts a file in place: `.{name}.{process}.{number}.tmp`.
const LEFTOVER = /^\..+\.\d+\.\d+\.tmp$/;

/**
 * Walk the committed files of a scope, folder by folder in the order of their names.
 *
 * The cursor is the last folder of versions that was read, so a page costs a listing of that
 * folder's ancestors and of what follows, however large the whole store is.
 *
 * @returns Paths below the scope of files that have a record, and which of them are not there.
 */
export async function walkModules(
  folder: DiskFolder,
  scope: Scope,
  cursor: string | undefined,
  recordSuffix: string,
): Promise<FilePage> {
  const paths: string[] = [];
  const lost: string[] = [];
  let last: string | undefined;

  /** Returns whether the page is full. */
  async function visit(path: string, after: readonly string[]): Promise<boolean> {
    const entries = await folder.list(path === "" ? scope : `${scope}/${path}`);
    if (path.endsWith(`/${VERSIONS_FOLDER}`)) {
      const names = new Set(entries.map(({ name }) => name));
      for (const name of names) {
        if (!name.endsWith(recordSuffix)) continue;
        const file = name.slice(0, -recordSuffix.length);
        paths.push(`${path}/${file}`);
        if (!names.has(file)) lost.push(`${path}/${file}`);
      }
      last = path;
      return paths.length >= MAX_PATHS_PER_PAGE;
    }
    const [resume, ...deeper] = after;
    const folders = entries.filter((entry) => entry.type === "directory").map(({ name }) => name);
    for (const name of folders.toSorted()) {
      if (resume !== undefined && name < resume) continue;
      const isResumed = name === resume;
      if (isResumed && deeper.length === 0) continue;
      const child = path === "" ? name : `${path}/${name}`;
      if (await visit(child, isResumed ? deeper : [])) return true;
    }
    return false;
  }

  const isFull = await visit("", cursor === undefined ? [] : cursor.split("/"));
  return { paths, lost, cursor: isFull ? last : undefined };
}

/**
 * Delete what killed writes have left in a folder and all below it.
 *
 * They lie beside the file that was to be written, anywhere. A walk over 100,000 files with their
 * records costs about a second of processor time, and comes once a day.
 *
 * @param folder By a service that shows hidden names.
 * @param olderThanMs Milliseconds since the epoch: what was written to since may still be in use.
 * @returns How many.
 */
export async function sweepLeftovers(
  folder: DiskFolder,
  path: string,
  olderThanMs: number,
): Promise<number> {
  let count = 0;
  for (const { name, type } of await folder.list(path)) {
    const key = path === "" ? name : `${path}/${name}`;
    if (type === "directory" && !name.startsWith(".")) {
      count += await sweepLeftovers(folder, key, olderThanMs);
    } else if (type === "file" && LEFTOVER.test(name)) {
      if ((await folder.modifiedAtMs(key)) > olderThanMs) continue;
      await folder.delete(key);
      count++;
    }
  }
  return count;
}
