import { inLargeChunks } from "./read-body.ts";

/** Kept back from clients until the file is committed: a short body tells them of damage. */
export const HELD_BYTES = 64 * 1024;
// A client that lags further behind gets the rest from storage, after the commit.
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

const AT_ONCE = { afterBytes: 0, onStart: (): void => undefined };

/**
 * The body of a zip on its way to the client who asked first, while it is still being stored.
 *
 * Neither side waits for the other: a slow or absent client does not slow the ingest.
 */
export class LiveStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #offeredBytes = 0;
  readonly #sizeBytes: number | undefined;
  #queuedBytes = 0;
  #sentBytes = 0;
  #isLagging = false;
  #isGone = false;
  #startBytes: number;
  readonly #onStart: () => void;

  /**
   * @param sizeBytes Length of the whole body, if the source announced it.
   * @param start After how many bytes the body is worth streaming, and who then learns of it; a
   *   shorter one is never sent.
   */
  constructor(
    sizeBytes: number | undefined,
    start: { readonly afterBytes: number; readonly onStart: () => void } = AT_ONCE,
  ) {
    this.#sizeBytes = sizeBytes;
    this.#startBytes = start.afterBytes;
    this.#onStart = start.onStart;
    const { readable, writable } =
      sizeBytes === undefined ? new IdentityTransformStream() : new FixedLengthStream(sizeBytes);
    this.readable = readable;
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {
      this.#isGone = true;
    });
  }

  /** Offer the next chunk; the last bytes offered so far stay back. */
  offer(chunk: Uint8Array): void {
    if (this.#isLagging || this.#isGone) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    this.#offeredBytes += chunk.length;
    if (!this.hasStarted && !this.#tryStart()) return;
    // Of a body of known length only its very end stays back.
    const comingBytes = this.#sizeBytes === undefined ? 0 : this.#sizeBytes - this.#offeredBytes;
    this.#release(Math.max(0, HELD_BYTES - comingBytes));
  }

  /** Whether a client may have got some of it. */
  get hasStarted(): boolean {
    return this.#startBytes === 0;
  }

  #tryStart(): boolean {
    if (this.#heldBytes < this.#startBytes) return false;
    this.#startBytes = 0;
    this.#onStart();
    return true;
  }

  /**
   * The file is committed: send what is still owed and end the body. Never fails.
   *
   * @param openRest Opens the stored file from an offset, for a client that lagged.
   */
  async complete(
    openRest: (offsetBytes: number) => Promise<ReadableStream<Uint8Array>>,
  ): Promise<void> {
    if (!this.hasStarted) return;
    try {
      this.#release(0);
      if (this.#isLagging) {
        const rest = await openRest(this.#sentBytes);
        for await (const chunk of inLargeChunks(rest)) await this.#writer.write(chunk);
      }
      await this.#writer.close();
    } catch (error) {
      await this.fail(error);
    }
  }

  /** Break the body off, so that the client cannot take it for a whole one. Never fails. */
  async fail(reason: unknown): Promise<void> {
    this.#isGone = true;
    this.#held = [];
    if (!this.hasStarted) return;
    await this.#writer.abort(reason).catch(() => undefined);
  }

  /** Send from the front until only `keepBytes` are held. */
  #release(keepBytes: number): void {
    while (this.#heldBytes > keepBytes && !this.#isLagging) {
      const first = this.#held.shift();
      if (first === undefined) return;
      const sendBytes = Math.min(first.length, this.#heldBytes - keepBytes);
      if (sendBytes < first.length) this.#held.unshift(first.subarray(sendBytes));
      this.#heldBytes -= sendBytes;
      this.#send(first.subarray(0, sendBytes));
    }
  }

  #send(chunk: Uint8Array): void {
    if (this.#queuedBytes + chunk.length > MAX_QUEUED_BYTES) {
      this.#isLagging = true;
      this.#held = [];
      return;
    }
    this.#queuedBytes += chunk.length;
    this.#sentBytes += chunk.length;
    this.#writer.write(chunk).then(
      () => {
        this.#queuedBytes -= chunk.length;
      },
      () => {
        this.#isGone = true;
      },
    );
  }
}
