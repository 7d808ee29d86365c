import { settlesInTime } from "./flights.ts";
import { HELD_BYTES } from "./live-stream.ts";
import type { Clock } from "./ports.ts";
import { inLargeChunks, openReader } from "./read-body.ts";

/** How a client of a shared body gets the rest of it from storage. */
export interface RestOfBody {
  /** What was shared is the committed file: only the client was slow. */
  readonly openCommitted: (offsetBytes: number) => Promise<ReadableStream<Uint8Array>>;
  /** Nothing came for a while: the whole file, once it is committed. It may be another one. */
  readonly awaitCommit: () => Promise<ReadableStream<Uint8Array>>;
}

// Every piece costs a turn for each client, so it is what comes in about this time.
const PIECE_MS = 50;
const MIN_PIECE_BYTES = 16 * 1024;
const MAX_PIECE_BYTES = 1024 * 1024;
// What stays in memory, once the file is committed, for clients who are a little behind.
const KEPT_BYTES = 512 * 1024;
// A source that stands still for 8 seconds is given up by the one who reads it. After more than
// that without a byte, the request that hands them on here is gone.
const STALL_MS = 10_000;

/**
 * The body of a zip on its way to all clients of one isolate who asked while it is being stored.
 *
 * It is read once; each client is sent its pieces at his own pace. The one who fills it keeps the
 * end back until the commit, so who got the whole of it got a committed file.
 */
export class SharedBody {
  readonly sizeBytes: number;
  readonly #clock: Clock;
  /** Undefined where a piece was dropped after the commit. */
  readonly #pieces: (Uint8Array | undefined)[] = [];
  #state: "filling" | "whole" | "broken" = "filling";
  #changed = Promise.withResolvers<void>();
  #grownAtMs: number;

  constructor(sizeBytes: number, clock: Clock) {
    this.sizeBytes = sizeBytes;
    this.#clock = clock;
    this.#grownAtMs = clock.now();
  }

  /** When the last bytes came, in milliseconds since the epoch. */
  get grownAtMs(): number {
    return this.#grownAtMs;
  }

  /** Take in the whole of a body, whose end says that the file is committed. Never fails. */
  async fill(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = openReader(body);
    const startMs = this.#clock.now();
    let takenBytes = 0;
    try {
      for (;;) {
        const bytesPerMs = takenBytes / Math.max(1, this.#grownAtMs - startMs);
        const wantBytes = this.#toPieceBytes(takenBytes, bytesPerMs * PIECE_MS);
        const piece = await reader.next(wantBytes, Math.max(wantBytes, MIN_PIECE_BYTES));
        if (piece === undefined) break;
        takenBytes += piece.length;
        this.#grownAtMs = this.#clock.now();
        this.#pieces.push(piece);
        this.#wake();
      }
      this.#state = takenBytes === this.sizeBytes ? "whole" : "broken";
    } catch {
      this.#state = "broken";
    }
    this.#dropEarlyPieces();
    this.#wake();
  }

  /** How many bytes are worth waiting for. */
  #toPieceBytes(takenBytes: number, comingBytes: number): number {
    // The first bytes are handed on as soon as they are there.
    if (takenBytes === 0) return 1;
    const wantBytes = Math.min(MAX_PIECE_BYTES, Math.max(MIN_PIECE_BYTES, comingBytes));
    // What comes before the commit must not wait for what comes after it.
    const liveBytes = this.sizeBytes - HELD_BYTES - takenBytes;
    return Math.floor(liveBytes > 0 ? Math.min(wantBytes, liveBytes) : HELD_BYTES);
  }

  /** The body for one client, from its beginning. */
  open(rest: RestOfBody): ReadableStream<Uint8Array> {
    const { readable, writable } = new FixedLengthStream(this.sizeBytes);
    void this.#send(writable, rest);
    return readable;
  }

  async #send(writable: WritableStream<Uint8Array>, rest: RestOfBody): Promise<void> {
    const writer = writable.getWriter();
    try {
      let sentBytes = 0;
      for (let index = 0; sentBytes < this.sizeBytes; index++) {
        const isThere = index < this.#pieces.length || (await this.#grows(index));
        if (!isThere) {
          await this.#sendCompared(writer, await rest.awaitCommit(), sentBytes);
          break;
        }
        const piece = this.#pieces[index];
        if (piece === undefined) {
          const body = await rest.openCommitted(sentBytes);
          writer.releaseLock();
          await body.pipeTo(writable);
          return;
        }
        await writer.write(piece);
        sentBytes += piece.length;
      }
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => undefined);
    }
  }

  /**
   * Wait for a piece.
   *
   * @returns False when nothing came for too long.
   * @throws Error when the body broke off.
   */
  async #grows(index: number): Promise<boolean> {
    while (index >= this.#pieces.length) {
      if (this.#state !== "filling") throw new Error("the file was not committed");
      if (!(await settlesInTime(this.#clock, this.#changed.promise, STALL_MS))) return false;
    }
    return true;
  }

  /** Send what follows the bytes that were sent already, which must be those of this file. */
  async #sendCompared(
    writer: WritableStreamDefaultWriter<Uint8Array>,
    body: ReadableStream<Uint8Array>,
    sentBytes: number,
  ): Promise<void> {
    const sent = Buffer.concat(this.#pieces.filter((piece) => piece !== undefined)).subarray(
      0,
      sentBytes,
    );
    let offset = 0;
    for await (const chunk of inLargeChunks(body)) {
      const known = sent.subarray(offset, offset + chunk.length);
      if (known.compare(chunk.subarray(0, known.length)) !== 0) {
        throw new Error("what was committed is not what was sent");
      }
      offset += chunk.length;
      if (known.length < chunk.length) await writer.write(chunk.subarray(known.length));
    }
  }

  /** Nobody's slowness may hold the memory: who is far behind reads storage. */
  #dropEarlyPieces(): void {
    let keptBytes = 0;
    for (let index = this.#pieces.length - 1; index >= 0; index--) {
      keptBytes += this.#pieces[index]?.length ?? 0;
      if (keptBytes > KEPT_BYTES) this.#pieces[index] = undefined;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
