import { createHash } from "node:crypto";
import { crc32, createInflateRaw, type InflateRaw, inflateRawSync } from "node:zlib";

import type { ByteWindow } from "./byte-window.ts";
import { METHOD_STORE, type ZipEntry } from "./zip-directory.ts";

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
const STEP_BYTES = 1024 * 1024;
/** Larger entries are inflated as a stream, which is as fast, holds less and can pause. */
const MAX_INFLATED_AT_ONCE_BYTES = STEP_BYTES;
const STREAM_INPUT_BYTES = 64 * 1024;
const STREAM_OUTPUT_BYTES = 128 * 1024;

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
 * @param options - `keep`: return the bytes too.
 * @returns The verified content, or a problem.
 * @source golang.org/x/mod/zip Unzip; Go archive/zip checksumReader, which is laxer at the end.
 */
export async function verifyContent(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  options: { readonly keep: boolean; readonly pacer: Pacer },
): Promise<VerifiedContent | { problem: string }> {
  const sink = makeSink(entry.uncompressedBytes, options);
  const problem =
    entry.method === METHOD_STORE
      ? await readStored(window, entry, offset, sink)
      : await readDeflated(window, entry, offset, sink);
  return problem === undefined ? sink.finish(entry) : { problem };
}

/** Where content flows, piece by piece. */
interface Sink {
  /** Takes a piece; false when there is more than declared. */
  write(piece: Uint8Array): Promise<boolean>;
  finish(entry: ZipEntry): VerifiedContent | { problem: string };
}

function makeSink(
  declaredBytes: number,
  options: { readonly keep: boolean; readonly pacer: Pacer },
): Sink {
  const sha256 = createHash("sha256");
  const kept: Uint8Array[] = [];
  let crc = 0;
  let size = 0;
  return {
    async write(piece) {
      size += piece.length;
      if (size > declaredBytes) return false;
      for (let at = 0; at < piece.length; at += STEP_BYTES) {
        const step = piece.length <= STEP_BYTES ? piece : piece.subarray(at, at + STEP_BYTES);
        crc = crc32(step, crc);
        sha256.update(step);
        const pause = options.pacer.spend(step.length);
        if (pause !== undefined) await pause;
      }
      if (options.keep) kept.push(piece);
      return true;
    },
    finish(entry) {
      if (size !== declaredBytes) return { problem: "size differs from the declared one" };
      if (crc !== entry.crc32) return { problem: "checksum (CRC) differs from the declared one" };
      return { sha256: sha256.digest("hex"), bytes: options.keep ? join(kept) : undefined };
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
  entry: ZipEntry,
  offset: number,
  sink: Sink,
): Promise<string | undefined> {
  const end = offset + entry.compressedBytes;
  for (let at = offset; at < end; at += STEP_BYTES) {
    const length = Math.min(STEP_BYTES, end - at);
    if (!(await window.load(at, length))) return CUT_OFF;
    if (!(await sink.write(window.slice(at, length)))) return "larger than declared";
  }
  return undefined;
}

async function readDeflated(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  sink: Sink,
): Promise<string | undefined> {
  const { compressedBytes, uncompressedBytes } = entry;
  if (Math.max(compressedBytes, uncompressedBytes) > MAX_INFLATED_AT_ONCE_BYTES) {
    return inflateAsStream(window, entry, offset, sink);
  }
  if (!window.has(offset, compressedBytes) && !(await window.load(offset, compressedBytes))) {
    return CUT_OFF;
  }
  const content = tryInflate(window.slice(offset, compressedBytes), uncompressedBytes);
  if (content === undefined) return "malformed compressed data, or larger than declared";
  return (await sink.write(content)) ? undefined : "larger than declared";
}

/**
 * Inflates at once. workerd may refuse a limit of exactly the true size, hence the slack; the
 * caller compares the size.
 */
function tryInflate(compressed: Uint8Array, declaredBytes: number): Uint8Array | undefined {
  const maxOutputLength = declaredBytes + (declaredBytes >> 2) + 65_536;
  // One output buffer that surely has room left, so that nothing needs joining.
  const chunkSize = declaredBytes + 64;
  try {
    const inflated: unknown = inflateRawSync(compressed, {
      maxOutputLength,
      chunkSize,
      info: true,
    });
    return isInflated(inflated) && inflated.engine.bytesWritten === compressed.length
      ? inflated.buffer
      : undefined;
  } catch {
    return undefined;
  }
}

/** The true shape with `info: true`, which the type declarations do not know. */
function isInflated(
  value: unknown,
): value is { buffer: Uint8Array; engine: { bytesWritten: number } } {
  return typeof value === "object" && value !== null && "buffer" in value && "engine" in value;
}

/**
 * Inflates piece by piece. Not with DecompressionStream: workerd's accepts all input at once and
 * keeps all output, so that a bomb would fill the memory; this one waits for its reader.
 */
async function inflateAsStream(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  sink: Sink,
): Promise<string | undefined> {
  const inflate = createInflateRaw({ chunkSize: STREAM_OUTPUT_BYTES });
  // The reading side meets the same failure and tells of it.
  inflate.on("error", () => undefined);
  const end = offset + entry.compressedBytes;
  const [fed, drained] = await Promise.all([
    feed(window, offset, end, inflate),
    drain(inflate, sink),
  ]);
  const whole = inflate.bytesWritten === entry.compressedBytes;
  return drained ?? fed ?? (whole ? undefined : MALFORMED);
}

/** Throws only what reading the source throws. Ends early when the stream has had enough. */
async function feed(
  window: ByteWindow,
  start: number,
  end: number,
  inflate: InflateRaw,
): Promise<string | undefined> {
  const closed = new Promise<void>((resolve) => inflate.once("close", () => resolve()));
  for (let at = start; at < end && !inflate.destroyed; at += STREAM_INPUT_BYTES) {
    const size = Math.min(STREAM_INPUT_BYTES, end - at);
    try {
      if (!window.has(at, size) && !(await window.load(at, size))) {
        inflate.destroy();
        return CUT_OFF;
      }
    } catch (error) {
      inflate.destroy();
      throw error;
    }
    const piece = window.slice(at, size);
    // After a failure only "close" comes, not the answer to the write.
    await Promise.race([
      new Promise<void>((resolve) => inflate.write(piece, () => resolve())),
      closed,
    ]);
  }
  if (!inflate.destroyed) inflate.end();
  return undefined;
}

/** Throws only what the sink throws. */
async function drain(inflate: InflateRaw, sink: Sink): Promise<string | undefined> {
  const pieces = (inflate as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const piece = await pieces.next().catch(() => undefined);
      if (piece === undefined) return MALFORMED;
      if (piece.done === true) return undefined;
      if (!(await sink.write(piece.value))) return "larger than declared";
    }
  } finally {
    inflate.destroy();
  }
}
