import { foldCase } from "./case-fold.ts";
import { findFilePathProblem } from "./path.ts";

/** Largest zip, and largest sum of the sizes of its files. @source x/mod/zip MaxZipFile. */
export const MAX_ZIP_BYTES = 500 * 1024 * 1024;
/** Largest go.mod and largest LICENSE. @source x/mod/zip MaxGoMod, MaxLICENSE. */
const MAX_SPECIAL_FILE_BYTES = 16 * 1024 * 1024;
const SHOWN_NAME_CHARS = 120;

/**
 * Makes a check for the entries of one module zip, to be asked once for each entry, in any order.
 *
 * @param prefix - `path@version/`, not escaped.
 * @returns A function from an entry's name and declared size to a short reason, or `undefined` when
 *   the entry is good beside those before it.
 * @source golang.org/x/mod/zip CheckZip, collisionChecker.
 */
export function makeEntryNameCheck(
  prefix: string,
): (entryName: string, uncompressedBytes: number) => string | undefined {
  const seen = new Map<string, string>();
  let totalBytes = 0;
  return (entryName, uncompressedBytes) => {
    if (!entryName.startsWith(prefix)) return `${show(entryName)}: unexpected file, lacks prefix`;
    const name = entryName.slice(prefix.length);
    if (name.endsWith("/") || name === "") {
      if (uncompressedBytes !== 0) return `${show(name)}: directory with content`;
      return name === "" ? undefined : findNameProblem(name.slice(0, -1), true, seen);
    }
    totalBytes += uncompressedBytes;
    if (totalBytes > MAX_ZIP_BYTES) return "files are larger than 500 MiB together";
    return (
      findNameProblem(name, false, seen) ??
      findGoModProblem(name) ??
      findSizeProblem(name, uncompressedBytes)
    );
  };
}

function findNameProblem(
  name: string,
  isDirectory: boolean,
  seen: Map<string, string>,
): string | undefined {
  const problem = findFilePathProblem(name) ?? findCollision(name, isDirectory, seen);
  return problem === undefined ? undefined : `${show(name)}: ${problem}`;
}

/**
 * Enters a path and its parents into `seen`, which maps folded paths to real ones; directories
 * are marked there by a slash at the end.
 */
function findCollision(
  name: string,
  isDirectory: boolean,
  seen: Map<string, string>,
): string | undefined {
  let path = name;
  let mark = isDirectory ? `${name}/` : name;
  for (;;) {
    const folded = foldCase(path);
    const other = seen.get(folded);
    if (other === undefined) seen.set(folded, mark);
    else if (other !== mark) return describeCollision(path, other);
    // A directory seen before has brought its parents along.
    else return mark.endsWith("/") ? undefined : "two entries for one file";
    const slash = path.lastIndexOf("/");
    if (slash < 0) return undefined;
    path = path.slice(0, slash);
    mark = `${path}/`;
  }
}

function describeCollision(path: string, other: string): string {
  const otherPath = other.endsWith("/") ? other.slice(0, -1) : other;
  return otherPath === path
    ? "both a file and a directory"
    : `differs from ${show(otherPath)} only in letter case`;
}

function findGoModProblem(name: string): string | undefined {
  const base = name.slice(name.lastIndexOf("/") + 1);
  if (base.toLowerCase() !== "go.mod" || name === "go.mod") return undefined;
  return base === name
    ? `${show(name)}: go.mod must be lower case`
    : `${show(name)}: go.mod file not in module root directory`;
}

function findSizeProblem(name: string, uncompressedBytes: number): string | undefined {
  if (name !== "go.mod" && name !== "LICENSE") return undefined;
  return uncompressedBytes > MAX_SPECIAL_FILE_BYTES ? `${name}: larger than 16 MiB` : undefined;
}

/** A name as it may stand in an error text: printable ASCII, of limited length. */
function show(name: string): string {
  const short = name.length > SHOWN_NAME_CHARS ? `${name.slice(0, SHOWN_NAME_CHARS)}…` : name;
  return JSON.stringify(short).replaceAll(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
