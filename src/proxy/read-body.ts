import { createHash } from "node:crypto";
import { ProxyError } from "../errors/proxy-error.ts";
import type { Clock } from "./ports.ts";

// A body that stands still for this long is given up.
const IDLE_MS = 8000;
// Large reads: each one costs a turn of the event loop.
const READ_BYTES = 256 * 1024;

/** Reads a body in large chunks and gives up on one that stands still. */
export interface ChunkReader {
  /** The next chunk, or undefined at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Drop the rest; never fails. */
  cancel(): Promise<void>;
}

/**
 * Read a source's body chunk by chunk.
 *
 * @throws ProxyError `upstream_unavailable` from `next` when the body breaks off, is longer or
 *   shorter than announced, or longer than `maxBytes`; `upstream_timeout` when it stands still.
 */
export function readChunks(
  body: ReadableStream<Uint8Array>,
  limits: { readonly sizeBytes: number | undefined; readonly maxBytes: number },
  clock: Clock,
): ChunkReader {
  const read = openReader(body);
  const stall = watchForStall(clock);
  let total = 0;

  async function readNext(): Promise<Uint8Array | undefined> {
    const leftBytes = (limits.sizeBytes ?? limits.maxBytes) - total;
    stall.begin();
    try {
      // One byte more than there may be shows a body that is too long, and the end of one that is not.
      const wantBytes = Math.max(1, Math.min(READ_BYTES, leftBytes + 1));
      // The first bytes are handed on as soon as they are there.
      const chunk = await Promise.race([
        read.next(total === 0 ? 1 : wantBytes, wantBytes),
        stall.stalled,
      ]);
      stall.pause();
      return chunk;
    } catch (error) {
      stall.end();
      if (error instanceof ProxyError) throw error;
      const detail = "the source's answer broke off";
      throw new ProxyError("upstream_unavailable", detail, { cause: error });
    }
  }

  return {
    async next() {
      const chunk = await readNext();
      if (chunk === undefined) stall.end();
      total += chunk?.length ?? 0;
      if (total > limits.maxBytes) {
        throw new ProxyError("upstream_invalid", `longer than ${limits.maxBytes} bytes`);
      }
      const { sizeBytes } = limits;
      if (
        sizeBytes !== undefined &&
        (chunk === undefined ? total !== sizeBytes : total > sizeBytes)
      ) {
        const detail = `the source sent ${total} of ${sizeBytes} bytes`;
        throw new ProxyError("upstream_unavailable", detail);
      }
      return chunk;
    },
    async cancel() {
      stall.end();
      await read.cancel();
    },
  };
}

/** Read a whole small body. */
export async function readAll(
  body: ReadableStream<Uint8Array>,
  limits: { readonly sizeBytes: number | undefined; readonly maxBytes: number },
  clock: Clock,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const reader = readChunks(body, limits, clock);
  try {
    for (;;) {
      const chunk = await reader.next();
      if (chunk === undefined) return concat(chunks);
      chunks.push(chunk);
    }
  } catch (error) {
    await reader.cancel();
    throw error;
  }
}

/**
 * The sha256 of a stored body, in lower-case hex.
 *
 * @returns Undefined when the body breaks off, stands still or is longer than recorded.
 */
export async function tryDigest(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  clock: Clock,
): Promise<string | undefined> {
  const reader = readChunks(body, { sizeBytes: undefined, maxBytes }, clock);
  const hash = createHash("sha256");
  try {
    for (;;) {
      const chunk = await reader.next();
      if (chunk === undefined) return hash.digest("hex");
      hash.update(chunk);
    }
  } catch {
    await reader.cancel();
    return undefined;
  }
}

/** Join chunks; a single one is returned as it is. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/**
 * Rejects when a read has brought nothing for too long; one timer serves the whole body.
 *
 * What happens between two reads is not the source's doing and does not count.
 */
function watchForStall(clock: Clock): {
  readonly stalled: Promise<never>;
  begin(): void;
  pause(): void;
  end(): void;
} {
  const { promise: stalled, reject } = Promise.withResolvers<never>();
  stalled.catch(() => undefined);
  let begunAtMs: number | undefined;
  let cancel = clock.after(IDLE_MS, check);

  function check(): void {
    const idleMs = begunAtMs === undefined ? 0 : clock.now() - begunAtMs;
    if (idleMs < IDLE_MS) {
      cancel = clock.after(IDLE_MS - idleMs, check);
      return;
    }
    reject(new ProxyError("upstream_timeout", "the source's answer stands still"));
  }

  return {
    stalled,
    begin() {
      begunAtMs = clock.now();
    },
    pause() {
      begunAtMs = undefined;
    },
    end: () => cancel(),
  };
}

/**
 * The chunks of a body of our own storage, as large as they can be had.
 *
 * Read as it is, such a body comes in pieces of 4 KiB, each with a turn of the event loop. Whoever
 * leaves the loop early drops the rest.
 */
export async function* inLargeChunks(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const reader = openReader(body);
  let isWhole = false;
  try {
    for (;;) {
      const chunk = await reader.next(READ_BYTES, READ_BYTES);
      isWhole = chunk === undefined;
      if (chunk === undefined) return;
      yield chunk;
    }
  } finally {
    if (!isWhole) await reader.cancel();
  }
}

/** Reads a body piece by piece. */
export interface RawReader {
  /** At least `minBytes` unless the body ends, at most `maxBytes` where the body allows a choice. */
  next(minBytes: number, maxBytes: number): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
}

/** Use workerd's large reads where the body is a byte stream, else ordinary ones. */
export function openReader(body: ReadableStream<Uint8Array>): RawReader {
  const byob = tryByobReader(body);
  if (byob !== undefined) {
    return {
      async next(minBytes, maxBytes) {
        const { value } = await byob.readAtLeast(minBytes, new Uint8Array(maxBytes));
        return value === undefined || value.length === 0 ? undefined : value;
      },
      cancel: () => byob.cancel().catch(() => undefined),
    };
  }
  const reader = body.getReader();
  return {
    async next() {
      const { value, done } = await reader.read();
      return done ? undefined : value;
    },
    cancel: () => reader.cancel().catch(() => undefined),
  };
}

function tryByobReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    const reader = body.getReader({ mode: "byob" });
    if ("readAtLeast" in reader) return reader;
    (reader as { releaseLock(): void }).releaseLock();
  } catch {
    // Not a byte stream.
  }
  return undefined;
}
