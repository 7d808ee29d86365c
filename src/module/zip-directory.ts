import type { ByteWindow } from "./byte-window.ts";
import { readDirectoryPlace } from "./zip-end.ts";

/** What the central directory says of one entry. */
export interface ZipEntry {
  /** Ends in a slash for a directory. */
  readonly name: string;
  readonly flags: number;
  /** Store (0) or deflate (8). */
  readonly method: number;
  readonly crc32: number;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  readonly headerOffset: number;
}

/** All entries, ordered by where they lie in the archive. */
export interface ZipDirectory {
  readonly entries: readonly ZipEntry[];
  /** Where the last entry must end. */
  readonly offset: number;
}

/** Content as it is. @source APPNOTE.TXT 4.4.5. */
export const METHOD_STORE = 0;
/** Content compressed with deflate. @source APPNOTE.TXT 4.4.5. */
export const METHOD_DEFLATE = 8;
/** CRC and sizes stand behind the content. @source APPNOTE.TXT 4.4.4, bit 3. */
export const FLAG_DESCRIPTOR = 0x0008;

/** More would not fit into the memory of one isolate; the largest public modules have a tenth. */
const MAX_ENTRIES = 200_000;
const HEADER_SIGNATURE = 0x02014b50;
const HEADER_BYTES = 46;
const FULL32 = 0xffff_ffff;
const EXTRA_ZIP64 = 0x0001;
const EXTRA_UNICODE_PATH = 0x7075;
/** Encryption (0, 6, 13) and patch data (5). */
const REFUSED_FLAGS = 0x0001 | 0x0020 | 0x0040 | 0x2000;
const CREATOR_UNIX = 3;
const CREATOR_DARWIN = 19;
const TYPE_MASK = 0xf000;
const TYPE_REGULAR = 0x8000;
const TYPE_DIRECTORY = 0x4000;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the central directory and checks its form, not yet the names.
 *
 * @param window - The archive.
 * @param pause - Awaited for each entry when it returns a promise, to give way to other work.
 * @source APPNOTE.TXT 4.3.12; Go archive/zip readDirectoryHeader, which is laxer.
 */
export async function readZipDirectory(
  window: ByteWindow,
  pause: () => Promise<void> | undefined,
): Promise<ZipDirectory | { problem: string }> {
  const place = await readDirectoryPlace(window);
  if ("problem" in place) return place;
  if (place.entries > MAX_ENTRIES) return { problem: `more than ${MAX_ENTRIES} entries` };
  const entries: ZipEntry[] = [];
  let offset = place.offset;
  let ordered = true;
  while (offset < place.end) {
    if (entries.length === place.entries) return { problem: "more entries than declared" };
    const pausing = pause();
    if (pausing !== undefined) await pausing;
    const read = await readEntry(window, offset, place.end);
    if ("problem" in read) return read;
    ordered &&= read.entry.headerOffset >= (entries.at(-1)?.headerOffset ?? 0);
    entries.push(read.entry);
    offset = read.end;
  }
  if (entries.length !== place.entries) return { problem: "fewer entries than declared" };
  if (!ordered) entries.sort((a, b) => a.headerOffset - b.headerOffset);
  return { entries, offset: place.offset };
}

/**
 * Looks for an extra field of a header.
 *
 * @param window - The archive, with the fields loaded.
 * @param start - Where the extra fields of the header start.
 * @param length - Their length in bytes.
 * @param id - The kind of field.
 * @returns Start and length of its data, or `undefined`. Fields behind a malformed one are not
 *   seen.
 * @source APPNOTE.TXT 4.5.1.
 */
function findExtraField(
  window: ByteWindow,
  start: number,
  length: number,
  id: number,
): { start: number; length: number } | undefined {
  const end = start + length;
  let at = start;
  while (at + 4 <= end) {
    const size = window.uint16(at + 2);
    if (at + 4 + size > end) return undefined;
    if (window.uint16(at) === id) return { start: at + 4, length: size };
    at += 4 + size;
  }
  return undefined;
}

/**
 * Reads the 64-bit values that stand in for full 32-bit fields.
 *
 * @param window - The archive, with the extra fields loaded.
 * @param extra - Start and length of all extra fields of the header.
 * @param narrow - The 32-bit fields, in the order of APPNOTE.TXT.
 * @returns The true values, or `undefined` when one is missing, or when the field repeats
 *   something else than the 32-bit fields.
 * @source APPNOTE.TXT 4.5.3.
 */
export function tryWiden(
  window: ByteWindow,
  extra: { start: number; length: number },
  narrow: readonly number[],
): number[] | undefined {
  const field = findExtraField(window, extra.start, extra.length, EXTRA_ZIP64);
  const full = narrow.filter((value) => value === FULL32).length;
  if (field === undefined) return full === 0 ? [...narrow] : undefined;
  if (full === 0) return repeatsFields(window, field, narrow) ? [...narrow] : undefined;
  if (field.length < full * 8) return undefined;
  let at = field.start;
  return narrow.map((value) => {
    if (value !== FULL32) return value;
    at += 8;
    return window.uint64(at - 8);
  });
}

/** Some writers repeat the 32-bit fields although they need not; then both must agree. */
function repeatsFields(
  window: ByteWindow,
  field: { start: number; length: number },
  narrow: readonly number[],
): boolean {
  return narrow.every((value, index) => {
    const at = index * 8;
    return at + 8 > field.length || window.uint64(field.start + at) === value;
  });
}

async function readEntry(
  window: ByteWindow,
  at: number,
  directoryEnd: number,
): Promise<{ entry: ZipEntry; end: number } | { problem: string }> {
  const cut = { problem: "central directory is cut off" };
  if (at + HEADER_BYTES > directoryEnd) return cut;
  if (!window.has(at, HEADER_BYTES) && !(await window.load(at, HEADER_BYTES))) return cut;
  if (window.uint32(at) !== HEADER_SIGNATURE) return { problem: "malformed central directory" };
  const nameBytes = window.uint16(at + 28);
  const extraBytes = window.uint16(at + 30);
  const length = HEADER_BYTES + nameBytes + extraBytes + window.uint16(at + 32);
  if (at + length > directoryEnd) return cut;
  if (!window.has(at, length) && !(await window.load(at, length))) return cut;
  const entry = parseEntry(window, at, nameBytes, extraBytes);
  return typeof entry === "string" ? { problem: entry } : { entry, end: at + length };
}

function parseEntry(
  window: ByteWindow,
  at: number,
  nameBytes: number,
  extraBytes: number,
): ZipEntry | string {
  const name = tryDecode(window.slice(at + HEADER_BYTES, nameBytes));
  if (name === undefined) return "file name that is not UTF-8";
  const extra = { start: at + HEADER_BYTES + nameBytes, length: extraBytes };
  const sizes = tryWiden(window, extra, [
    window.uint32(at + 24),
    window.uint32(at + 20),
    window.uint32(at + 42),
  ]);
  if (sizes === undefined) return "64-bit sizes missing or contradictory";
  const [uncompressedBytes = 0, compressedBytes = 0, headerOffset = 0] = sizes;
  const entry = {
    name,
    flags: window.uint16(at + 8),
    method: window.uint16(at + 10),
    crc32: window.uint32(at + 16),
    compressedBytes,
    uncompressedBytes,
    headerOffset,
  };
  const mode = window.uint32(at + 38);
  return (
    findEntryProblem(entry, window.uint16(at + 34)) ??
    findModeProblem(name, window.uint16(at + 4) >> 8, mode >>> 16) ??
    (namesTwice(window, extra, name) ? "entry with two names" : entry)
  );
}

function findEntryProblem(entry: ZipEntry, disk: number): string | undefined {
  if (disk !== 0) return "archive in several parts";
  if ((entry.flags & REFUSED_FLAGS) !== 0) return "encrypted or patched entry";
  if (entry.method !== METHOD_STORE && entry.method !== METHOD_DEFLATE) {
    return "unsupported compression method";
  }
  if (entry.method === METHOD_STORE && entry.compressedBytes !== entry.uncompressedBytes) {
    return "stored entry with two sizes";
  }
  return undefined;
}

/** Go ignores the mode; unzip would make a link or a device of such an entry. */
function findModeProblem(name: string, creator: number, mode: number): string | undefined {
  if (creator !== CREATOR_UNIX && creator !== CREATOR_DARWIN) return undefined;
  const type = mode & TYPE_MASK;
  const wanted = name.endsWith("/") ? TYPE_DIRECTORY : TYPE_REGULAR;
  return type === 0 || type === wanted ? undefined : "entry that is neither file nor directory";
}

/** Info-ZIP can put another name into an extra field, which Go ignores and others obey. */
function namesTwice(
  window: ByteWindow,
  extra: { start: number; length: number },
  name: string,
): boolean {
  const field = findExtraField(window, extra.start, extra.length, EXTRA_UNICODE_PATH);
  if (field === undefined) return false;
  return tryDecode(window.slice(field.start + 5, Math.max(0, field.length - 5))) !== name;
}

function tryDecode(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
