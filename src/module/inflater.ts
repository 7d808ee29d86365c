import { constants, createInflateRaw, type InflateRaw } from "node:zlib";

/**
 * The synchronous part of a zlib stream, which the type declarations do not know.
 *
 * The public calls make a whole stream object and fresh buffers for each entry, which costs more
 * than inflating a source file. Node and workerd share these names.
 *
 * @source Node lib/zlib.js processChunkSync; workerd src/node/internal/internal_zlib_base.ts.
 */
interface SyncInflate extends InflateRaw {
  readonly _handle: {
    reset(): void;
    writeSync(
      flush: number,
      input: Uint8Array,
      inputOffset: number,
      inputBytes: number,
      output: Uint8Array,
      outputOffset: number,
      outputBytes: number,
    ): void;
  };
  /** After a write: bytes of room left in the output, and bytes left of the input. */
  readonly _writeState: Uint32Array;
}

/** What one step of inflating brought. */
export interface InflateStep {
  /** Valid until the next step. */
  readonly output: Uint8Array;
  /** How much of the input was used; all of it, unless the output is full or the stream ended. */
  readonly consumedBytes: number;
}

/** A step brings at most this much, however much it could become. */
export const STEP_OUTPUT_BYTES = 128 * 1024;

/** Inflates raw deflate streams, one after the other, with one state and one buffer for all. */
export class Inflater {
  readonly #output = new Uint8Array(STEP_OUTPUT_BYTES);
  readonly #stream = createInflateRaw() as SyncInflate;

  constructor() {
    // A failure is looked for after each step; without a listener it would be thrown as well.
    this.#stream.on("error", () => undefined);
  }

  /** Begin with the next stream. */
  reset(): void {
    const { _handle: handle } = this.#stream;
    handle.reset();
  }

  /**
   * Inflate until the input is used up, the output is full, or the stream ends.
   *
   * @param input - Goes on where the last step stopped.
   * @param isLast - Whether the stream must end with this input.
   * @returns Undefined when the data is malformed or cut off; the inflater is of no use then.
   */
  step(input: Uint8Array, isLast: boolean): InflateStep | undefined {
    const { _handle: handle, _writeState: state } = this.#stream;
    const flush = isLast ? constants.Z_FINISH : constants.Z_NO_FLUSH;
    handle.writeSync(flush, input, 0, input.length, this.#output, 0, STEP_OUTPUT_BYTES);
    if (this.#stream.destroyed) return undefined;
    const [roomBytes = 0, leftBytes = 0] = state;
    return {
      output: this.#output.subarray(0, STEP_OUTPUT_BYTES - roomBytes),
      consumedBytes: input.length - leftBytes,
    };
  }

  /** Give the state back. */
  close(): void {
    this.#stream.destroy();
  }
}
