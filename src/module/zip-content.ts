import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import type { ByteWindow } from "./byte-window.ts";
import { type Inflater, STEP_OUTPUT_BYTES } from "./inflater.ts";
import { METHOD_STORE, type ZipEntry } from "./zip-directory.ts";
import type { StreamedContents } from "./zip-stream.ts";

/** Lets other requests of the isolate go on during long work. */
export interface Pacer {
  /** Counts work; waits when enough has come together. */
  spend(bytes: number): Promise<void> | undefined;
}

/** The content of an entry that held what the directory said. */
export interface VerifiedContent {
  /** Lower-case hex. */
  readonly sha256: string;
  /** The bytes, if they were asked for. */
  readonly bytes: Uint8Array | undefined;
}

const MALFORMED = "malformed compressed data";
const CUT_OFF = "archive is cut off";
const TOO_LONG = "larger than declared";
const STEP_BYTES = 1024 * 1024;

/**
 * Makes a pacer that pauses once for each MiB.
 *
 * @param yieldNow - Gives way to other work; `undefined` for no pauses.
 * @source Project: long work yields at least every 1 MiB.
 */
export function makePacer(yieldNow: (() => Promise<void>) | undefined): Pacer {
  let spent = 0;
  return {
    spend(bytes) {
      spent += bytes;
      if (yieldNow === undefined || spent < STEP_BYTES) return undefined;
      spent = 0;
      return yieldNow();
    },
  };
}

/**
 * Reads the content of an entry, proves size and CRC, and hashes it. Compressed content must end
 * exactly where the directory says, and never becomes longer than declared.
 *
 * @param window - The archive.
 * @param entry - Its declared size must have been checked against the limits.
 * @param offset - Where the content starts.
 * @param options - `keep`: return the bytes too; `streamed`: what was found while the archive came.
 * @returns The verified content, or a problem.
 * @source golang.org/x/mod/zip Unzip; Go archive/zip checksumReader, which is laxer at the end.
 */
export async function verifyContent(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  options: {
    readonly keep: boolean;
    readonly pacer: Pacer;
    readonly inflater: Inflater;
    readonly streamed: StreamedContents | undefined;
  },
): Promise<VerifiedContent | { problem: string }> {
  const known = options.keep ? undefined : tryTakeStreamed(options.streamed, entry, offset);
  if (known !== undefined) return known;
  const sink = makeSink(entry, options.keep);
  const place = { offset, end: offset + entry.compressedBytes };
  const problem =
    entry.method === METHOD_STORE
      ? await readStored(window, place, sink, options.pacer)
      : await readDeflated(window, place, sink, options);
  return problem === undefined ? sink.finish() : { problem };
}

/** What was found at this place, if it is all that the directory says: else it is read again. */
function tryTakeStreamed(
  streamed: StreamedContents | undefined,
  entry: ZipEntry,
  offset: number,
): VerifiedContent | undefined {
  const content = entry.method === METHOD_STORE ? undefined : streamed?.find(offset);
  const isSame =
    content?.compressedBytes === entry.compressedBytes &&
    content.uncompressedBytes === entry.uncompressedBytes &&
    content.crc32 === entry.crc32;
  return isSame ? { sha256: content.sha256, bytes: undefined } : undefined;
}

interface Place {
  readonly offset: number;
  /** Exclusive. */
  readonly end: number;
}

/** Where content flows, piece by piece. */
interface Sink {
  /** Takes a piece, which may change afterwards; false when there is more than declared. */
  write(piece: Uint8Array): boolean;
  finish(): VerifiedContent | { problem: string };
}

function makeSink(entry: ZipEntry, keep: boolean): Sink {
  const sha256 = createHash("sha256");
  const kept: Uint8Array[] = [];
  let crc = 0;
  let size = 0;
  return {
    write(piece) {
      size += piece.length;
      if (size > entry.uncompressedBytes) return false;
      crc = crc32(piece, crc);
      sha256.update(piece);
      if (keep) kept.push(piece.slice());
      return true;
    },
    finish() {
      if (size !== entry.uncompressedBytes) {
        return { problem: "size differs from the declared one" };
      }
      if (crc !== entry.crc32) return { problem: "checksum (CRC) differs from the declared one" };
      return { sha256: sha256.digest("hex"), bytes: keep ? join(kept) : undefined };
    },
  };
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

async function readStored(
  window: ByteWindow,
  { offset, end }: Place,
  sink: Sink,
  pacer: Pacer,
): Promise<string | undefined> {
  for (let at = offset; at < end; at += STEP_BYTES) {
    const length = Math.min(STEP_BYTES, end - at);
    if (!window.has(at, length) && !(await window.load(at, length))) return CUT_OFF;
    if (!sink.write(window.slice(at, length))) return TOO_LONG;
    const pause = pacer.spend(length);
    if (pause !== undefined) await pause;
  }
  return undefined;
}

async function readDeflated(
  window: ByteWindow,
  { offset, end }: Place,
  sink: Sink,
  { inflater, pacer }: { readonly inflater: Inflater; readonly pacer: Pacer },
): Promise<string | undefined> {
  inflater.reset();
  let at = offset;
  for (;;) {
    const length = Math.min(STEP_BYTES, end - at);
    if (!window.has(at, length) && !(await window.load(at, length))) return CUT_OFF;
    const step = inflater.step(window.slice(at, length), at + length === end);
    if (step === undefined) return MALFORMED;
    const { output, consumedBytes } = step;
    if (!sink.write(output)) return TOO_LONG;
    const pause = pacer.spend(output.length);
    if (pause !== undefined) await pause;
    at += consumedBytes;
    if (output.length === STEP_OUTPUT_BYTES) continue;
    // Room left in the output: the input is used up, or the stream has ended.
    if (consumedBytes < length) return MALFORMED;
    if (at === end) return undefined;
  }
}
