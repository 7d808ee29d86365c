import { createHash } from "node:crypto";
import { crc32, inflateRawSync } from "node:zlib";

import { type ByteWindow, WINDOW_BYTES } from "./byte-window.ts";
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
/** Larger entries are inflated as a stream. */
const MAX_INFLATED_AT_ONCE_BYTES = 16 * 1024 * 1024;
/** What a piece fed to a stream may become, if the declared sizes tell the truth. */
const STREAM_GROWTH_BYTES = 1024 * 1024;
/** Deflate expands 1032-fold at most, so a piece that lies becomes 17 MB before it is counted. */
const MAX_STREAM_PIECE_BYTES = 16 * 1024;
const MIN_STREAM_PIECE_BYTES = 1024;
const STREAM_READ_BYTES = 128 * 1024;

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
  /** Takes a piece, which may change afterwards; false when there is more than declared. */
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
      if (options.keep) kept.push(piece.slice());
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
  if (compressedBytes > WINDOW_BYTES || uncompressedBytes > MAX_INFLATED_AT_ONCE_BYTES) {
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

async function inflateAsStream(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  sink: Sink,
): Promise<string | undefined> {
  const stream = new DecompressionStream("deflate-raw");
  const [fed, drained] = await Promise.all([
    feed(window, entry, offset, stream.writable.getWriter()),
    drain(stream.readable, sink),
  ]);
  return drained ?? fed;
}

/** Throws only what reading the source throws. */
async function feed(
  window: ByteWindow,
  entry: ZipEntry,
  offset: number,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<string | undefined> {
  // The reading side meets the same failure and tells of it.
  writer.closed.catch(() => undefined);
  const pieceBytes = pieceSize(entry);
  const end = offset + entry.compressedBytes;
  for (let at = offset; at < end; at += pieceBytes) {
    const size = Math.min(pieceBytes, end - at);
    try {
      if (!window.has(at, size) && !(await window.load(at, size))) {
        await writer.abort(CUT_OFF).catch(() => undefined);
        return CUT_OFF;
      }
    } catch (error) {
      await writer.abort(error).catch(() => undefined);
      throw error;
    }
    if (!(await succeeds(writer.write(window.slice(at, size))))) return MALFORMED;
  }
  return (await succeeds(writer.close())) ? undefined : MALFORMED;
}

function pieceSize({ compressedBytes, uncompressedBytes }: ZipEntry): number {
  const size = Math.floor((STREAM_GROWTH_BYTES * compressedBytes) / (uncompressedBytes + 1));
  return Math.min(MAX_STREAM_PIECE_BYTES, Math.max(MIN_STREAM_PIECE_BYTES, size));
}

function succeeds(work: Promise<void>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  );
}

async function drain(
  readable: ReadableStream<Uint8Array>,
  sink: Sink,
): Promise<string | undefined> {
  const reader = openReader(readable);
  for (;;) {
    const piece = await reader.read().catch(() => undefined);
    if (piece === undefined) return MALFORMED;
    if (piece.done || piece.value === undefined) return undefined;
    if (!(await sink.write(piece.value))) {
      await reader.cancel().catch(() => undefined);
      return "larger than declared";
    }
  }
}

/** Reads a stream piece by piece; a piece is good until the next one is read. */
interface PieceReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/**
 * workerd fills one buffer again and again, where pieces of its own size would be 4 kB each and
 * pile up. Node has no such reader for this stream.
 */
function openReader(readable: ReadableStream<Uint8Array>): PieceReader {
  const reader = tryOpenBufferReader(readable);
  if (reader === undefined) return readable.getReader();
  let buffer = new ArrayBuffer(STREAM_READ_BYTES);
  return {
    async read() {
      const piece = await reader.read(new Uint8Array(buffer));
      if (piece.value !== undefined) buffer = piece.value.buffer;
      return piece;
    },
    cancel: () => reader.cancel(),
  };
}

function tryOpenBufferReader(
  readable: ReadableStream<Uint8Array>,
): ReadableStreamBYOBReader | undefined {
  try {
    return readable.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}
