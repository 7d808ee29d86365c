import type { ByteWindow } from "./byte-window.ts";
import { FLAG_DESCRIPTOR, tryWiden, type ZipEntry } from "./zip-directory.ts";

/** Begins a local header. @source APPNOTE.TXT 4.3.7. */
export const HEADER_SIGNATURE = 0x04034b50;
/** Length of a local header without the name and the extra field. */
export const HEADER_BYTES = 30;
/** May begin a data descriptor. @source APPNOTE.TXT 4.3.9.3. */
export const DESCRIPTOR_SIGNATURE = 0x08074b50;
const UTF8 = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/**
 * Checks that the local header of an entry tells the same as the central directory, and that the
 * entry and its data descriptor can fill its place to the byte.
 *
 * @param window - The archive.
 * @param entry - The entry, of which the central directory told.
 * @param end - Where the next entry, or the central directory, starts.
 * @returns The offset of the content, or a problem.
 * @source APPNOTE.TXT 4.3.7; Go archive/zip ignores most of the local header.
 */
export async function locateContent(
  window: ByteWindow,
  entry: ZipEntry,
  end: number,
): Promise<number | { problem: string }> {
  const at = entry.headerOffset;
  const cut = { problem: "entry is cut off or overlaps the next one" };
  if (at + HEADER_BYTES > end) return cut;
  if (!window.has(at, HEADER_BYTES) && !(await window.load(at, HEADER_BYTES))) return cut;
  if (window.uint32(at) !== HEADER_SIGNATURE) return { problem: "no local header" };
  const nameBytes = window.uint16(at + 26);
  const extraBytes = window.uint16(at + 28);
  const content = at + HEADER_BYTES + nameBytes + extraBytes;
  const tail = end - content - entry.compressedBytes;
  if (tail < 0) return cut;
  if (!window.has(at, content - at) && !(await window.load(at, content - at))) return cut;
  const problem =
    findHeaderProblem(window, entry, nameBytes, extraBytes) ?? findTailProblem(entry, tail);
  return problem === undefined ? content : { problem };
}

/**
 * Checks the data descriptor of an entry. It may come with or without its signature and with
 * sizes of 32 or 64 bits; the place that it fills says which.
 *
 * @param window - The archive.
 * @param entry - The entry, checked by {@link locateContent}.
 * @param start - Where the content ends.
 * @param end - Where the next entry, or the central directory, starts.
 * @returns A short reason, or `undefined` when it agrees or there is none to be.
 * @source APPNOTE.TXT 4.3.9; Go archive/zip readDataDescriptor, which ignores the sizes.
 */
export async function findDescriptorProblem(
  window: ByteWindow,
  entry: ZipEntry,
  start: number,
  end: number,
): Promise<string | undefined> {
  const length = end - start;
  if (length === 0) return undefined;
  if (!window.has(start, length) && !(await window.load(start, length))) {
    return "archive is cut off";
  }
  return descriptorAgrees(window, entry, start, length)
    ? undefined
    : "data descriptor disagrees with the central directory";
}

function findTailProblem(entry: ZipEntry, tail: number): string | undefined {
  if ((entry.flags & FLAG_DESCRIPTOR) === 0) {
    return tail === 0 ? undefined : "data between entries";
  }
  return tail >= 12 && tail <= 24 && tail % 4 === 0 ? undefined : "malformed data descriptor";
}

function findHeaderProblem(
  window: ByteWindow,
  entry: ZipEntry,
  nameBytes: number,
  extraBytes: number,
): string | undefined {
  const at = entry.headerOffset;
  const name = window.slice(at + HEADER_BYTES, nameBytes);
  const sizes = tryWiden(window, { start: at + HEADER_BYTES + nameBytes, length: extraBytes }, [
    window.uint32(at + 22),
    window.uint32(at + 18),
  ]);
  if (sizes === undefined) return "64-bit sizes missing or contradictory in the local header";
  const [uncompressedBytes, compressedBytes] = sizes;
  const deferred = (entry.flags & FLAG_DESCRIPTOR) !== 0;
  const agrees = (local: number | undefined, central: number): boolean =>
    local === central || (deferred && local === 0);
  const same =
    window.uint16(at + 6) === entry.flags &&
    window.uint16(at + 8) === entry.method &&
    agrees(window.uint32(at + 14), entry.crc32) &&
    agrees(uncompressedBytes, entry.uncompressedBytes) &&
    agrees(compressedBytes, entry.compressedBytes) &&
    spells(name, entry.name);
  return same ? undefined : "local header disagrees with the central directory";
}

function descriptorAgrees(
  window: ByteWindow,
  entry: ZipEntry,
  start: number,
  length: number,
): boolean {
  const signed = length === 16 || length === 24;
  const wide = length >= 20;
  if (signed && window.uint32(start) !== DESCRIPTOR_SIGNATURE) return false;
  const at = signed ? start + 4 : start;
  const compressed = wide ? window.uint64(at + 4) : window.uint32(at + 4);
  const uncompressed = wide ? window.uint64(at + 12) : window.uint32(at + 8);
  return (
    window.uint32(at) === entry.crc32 &&
    compressed === entry.compressedBytes &&
    uncompressed === entry.uncompressedBytes
  );
}

/** Compares bytes with a name, without decoding the usual ASCII. */
function spells(bytes: Uint8Array, name: string): boolean {
  for (const [index, byte] of bytes.entries()) {
    if (byte >= 0x80) return UTF8.decode(bytes) === name;
    if (name.charCodeAt(index) !== byte) return false;
  }
  return bytes.length === name.length;
}
