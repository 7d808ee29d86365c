import { type ByteSource, ByteWindow } from "./byte-window.ts";
import { hash1, type HashedFile } from "./dirhash.ts";
import { findModuleVersionProblem } from "./path.ts";
import { Inflater } from "./inflater.ts";
import { canonicalVersion } from "./version.ts";
import { makePacer, type Pacer, verifyContent } from "./zip-content.ts";
import { readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip-directory.ts";
import { findDescriptorProblem, locateContent } from "./zip-local.ts";
import { makeEntryNameCheck, MAX_ZIP_BYTES } from "./zip-names.ts";
import type { StreamedContents } from "./zip-stream.ts";

/** What a good module zip holds. */
export type ModuleZip = {
  /** Hash of names and contents, as in go.sum. */
  h1: string;
  /** The root go.mod, byte for byte; `undefined` when the zip has none. */
  goMod: Uint8Array | undefined;
  /** Number of files, directories not counted. */
  files: number;
  /** Sum of the sizes of the files. */
  uncompressedBytes: number;
};

/** Work that an entry costs beside its content, for the pauses. */
const ENTRY_WORK_BYTES = 4096;

/**
 * Checks a module zip against the rules of the go command, and beyond them that no reader can see
 * other contents in it: one end record at the very end, nothing in front, between or behind, local
 * headers that agree with the directory, true sizes and CRCs. Declared sizes are checked before
 * anything is inflated.
 *
 * @param source - The archive; read in ranges of at most 4 MiB, the end first, then from the start.
 *   What its `read` throws comes through.
 * @param modulePath - Not escaped.
 * @param version - Canonical.
 * @param options - `yieldNow` is awaited at least once for each MiB of content; `streamed` has taken
 *   all bytes of the archive, in their order.
 * @returns What the zip holds, or a short reason to refuse it, safe to print.
 * @source golang.org/x/mod/zip CheckZip and Unzip, sumdb/dirhash HashZip.
 */
export async function verifyModuleZip(
  source: ByteSource,
  modulePath: string,
  version: string,
  options: { yieldNow?: () => Promise<void>; streamed?: StreamedContents | undefined } = {},
): Promise<ModuleZip | { problem: string }> {
  const versionProblem =
    findModuleVersionProblem(modulePath, version) ??
    (canonicalVersion(version) === version ? undefined : "version is not canonical");
  if (versionProblem !== undefined) return { problem: versionProblem };
  if (source.sizeBytes > MAX_ZIP_BYTES) return { problem: "zip is larger than 500 MiB" };
  const window = new ByteWindow(source);
  const pacer = makePacer(options.yieldNow);
  const directory = await readZipDirectory(window, () => pacer.spend(ENTRY_WORK_BYTES));
  if ("problem" in directory) return directory;
  const prefix = `${modulePath}@${version}/`;
  const nameProblem = await findNamesProblem(directory, prefix, pacer);
  if (nameProblem !== undefined) return { problem: nameProblem };
  const inflater = new Inflater();
  try {
    const { streamed } = options;
    return await verifyEntries(window, directory, prefix, { pacer, inflater, streamed });
  } finally {
    inflater.close();
  }
}

async function findNamesProblem(
  directory: ZipDirectory,
  prefix: string,
  pacer: Pacer,
): Promise<string | undefined> {
  const check = makeEntryNameCheck(prefix);
  for (const { name, uncompressedBytes } of directory.entries) {
    const pause = pacer.spend(ENTRY_WORK_BYTES);
    if (pause !== undefined) await pause;
    const problem = check(name, uncompressedBytes);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

interface Tools {
  readonly pacer: Pacer;
  readonly inflater: Inflater;
  readonly streamed: StreamedContents | undefined;
}

async function verifyEntries(
  window: ByteWindow,
  directory: ZipDirectory,
  prefix: string,
  tools: Tools,
): Promise<ModuleZip | { problem: string }> {
  const { entries } = directory;
  const start = entries[0]?.headerOffset ?? directory.offset;
  if (start !== 0) return { problem: "data before the first entry" };
  const hashed: HashedFile[] = [];
  let goMod: Uint8Array | undefined;
  let files = 0;
  let uncompressedBytes = 0;
  for (const [index, entry] of entries.entries()) {
    const pause = tools.pacer.spend(ENTRY_WORK_BYTES);
    if (pause !== undefined) await pause;
    const keep = entry.name.length === prefix.length + 6 && entry.name.endsWith("/go.mod");
    const end = entries[index + 1]?.headerOffset ?? directory.offset;
    const content = await verifyEntry(window, entry, end, { keep, ...tools });
    if ("problem" in content) return { problem: `${content.problem} (entry ${index + 1})` };
    hashed.push({ name: entry.name, sha256: content.sha256 });
    if (keep) goMod = content.bytes;
    if (!entry.name.endsWith("/")) files++;
    uncompressedBytes += entry.uncompressedBytes;
  }
  const h1 = hash1(hashed);
  return typeof h1 === "string" ? { h1, goMod, files, uncompressedBytes } : h1;
}

async function verifyEntry(
  window: ByteWindow,
  entry: ZipEntry,
  end: number,
  options: Tools & { readonly keep: boolean },
): ReturnType<typeof verifyContent> {
  const offset = await locateContent(window, entry, end);
  if (typeof offset === "object") return offset;
  const content = await verifyContent(window, entry, offset, options);
  if ("problem" in content) return content;
  const contentEnd = offset + entry.compressedBytes;
  const problem = await findDescriptorProblem(window, entry, contentEnd, end);
  return problem === undefined ? content : { problem };
}
