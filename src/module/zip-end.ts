import type { ByteWindow } from "./byte-window.ts";

/** Where the central directory of an archive lies. */
export interface DirectoryPlace {
  readonly offset: number;
  /** End of the directory, exclusive: the next record starts here. */
  readonly end: number;
  readonly entries: number;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const END64_SIGNATURE = 0x06064b50;
const END64_BYTES = 56;
const LOCATOR64_SIGNATURE = 0x07064b50;
const LOCATOR64_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
const FULL16 = 0xffff;
const FULL32 = 0xffff_ffff;

/** The counts of an end record, of either kind. */
interface EndCounts {
  readonly entries: number;
  readonly sizeBytes: number;
  readonly offset: number;
}

/**
 * Finds the central directory, and refuses archives of which two readers could see different
 * contents: a second end record, data behind it, a 64-bit end record that disagrees, or bytes in
 * front of the first entry.
 *
 * @param window - The archive.
 * @source APPNOTE.TXT 4.3.14 to 4.3.16; Go archive/zip readDirectoryEnd, which is laxer.
 */
export async function readDirectoryPlace(
  window: ByteWindow,
): Promise<DirectoryPlace | { problem: string }> {
  const tailBytes = Math.min(
    window.sizeBytes,
    LOCATOR64_BYTES + END64_BYTES + END_BYTES + MAX_COMMENT_BYTES,
  );
  const tailStart = window.sizeBytes - tailBytes;
  if (tailBytes < END_BYTES || !(await window.load(tailStart, tailBytes))) {
    return { problem: "archive without an end record" };
  }
  const end = findEndRecord(window, tailStart);
  if (typeof end === "object") return end;
  if (window.uint32(end + 4) !== 0) return { problem: "archive in several parts" };
  if (window.uint16(end + 8) !== window.uint16(end + 10)) {
    return { problem: "end record with two entry counts" };
  }
  const counts = {
    entries: window.uint16(end + 10),
    sizeBytes: window.uint32(end + 12),
    offset: window.uint32(end + 16),
  };
  const locator = end - LOCATOR64_BYTES;
  const has64 = locator >= tailStart && window.uint32(locator) === LOCATOR64_SIGNATURE;
  return has64 ? read64(window, tailStart, locator, counts) : place(counts, end);
}

/** Looks from the back for the one record whose comment ends with the archive. */
function findEndRecord(window: ByteWindow, tailStart: number): number | { problem: string } {
  let found = -1;
  for (let at = window.sizeBytes - END_BYTES; at >= tailStart; at--) {
    if (window.uint32(at) !== END_SIGNATURE) continue;
    const reachesEnd = at + END_BYTES + window.uint16(at + 20) === window.sizeBytes;
    if (found < 0 && !reachesEnd) return { problem: "data behind the end record" };
    if (found >= 0 && reachesEnd) return { problem: "two end records" };
    if (found < 0) found = at;
  }
  return found < 0 ? { problem: "archive without an end record" } : found;
}

function read64(
  window: ByteWindow,
  tailStart: number,
  locator: number,
  counts: EndCounts,
): DirectoryPlace | { problem: string } {
  const end64 = locator - END64_BYTES;
  const located =
    window.uint32(locator + 4) === 0 &&
    window.uint64(locator + 8) === end64 &&
    window.uint32(locator + 16) === 1;
  if (!located || end64 < tailStart || window.uint32(end64) !== END64_SIGNATURE) {
    return { problem: "malformed 64-bit end record" };
  }
  const counts64 = {
    entries: window.uint64(end64 + 32),
    sizeBytes: window.uint64(end64 + 40),
    offset: window.uint64(end64 + 48),
  };
  const whole =
    window.uint64(end64 + 4) === END64_BYTES - 12 &&
    window.uint64(end64 + 16) === 0 &&
    window.uint64(end64 + 24) === counts64.entries;
  const agrees =
    agrees64(counts.entries, counts64.entries, FULL16) &&
    agrees64(counts.sizeBytes, counts64.sizeBytes, FULL32) &&
    agrees64(counts.offset, counts64.offset, FULL32);
  if (!whole || !agrees) return { problem: "64-bit end record disagrees with the end record" };
  return place(counts64, end64);
}

/** A narrow field holds the value itself, or is full and leaves it to the wide one. */
function agrees64(narrow: number, wide: number, full: number): boolean {
  return narrow === full || narrow === wide;
}

function place(counts: EndCounts, end: number): DirectoryPlace | { problem: string } {
  if (counts.offset + counts.sizeBytes !== end) {
    return { problem: "central directory does not end at the end record" };
  }
  return { offset: counts.offset, end, entries: counts.entries };
}
