import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";

import { Inflater, STEP_OUTPUT_BYTES } from "./inflater.ts";
import { makePacer, type Pacer } from "./zip-content.ts";
import { FLAG_DESCRIPTOR, METHOD_DEFLATE, METHOD_STORE } from "./zip-directory.ts";
import { DESCRIPTOR_SIGNATURE, HEADER_BYTES, HEADER_SIGNATURE } from "./zip-local.ts";

/** What a deflated content was found to be, wherever its end was found. */
export interface StreamedContent {
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  readonly crc32: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** The content that is on its way. */
interface Running {
  readonly offset: number;
  readonly hasDescriptor: boolean;
  readonly sha256: Hash;
  compressedBytes: number;
  uncompressedBytes: number;
  crc: number;
}

// As the go command writes it: signed, with sizes of 32 bits.
const DESCRIPTOR_BYTES = 16;
const STEP_BYTES = 256 * 1024;
// Nothing is known yet of what the directory will declare: work is bounded by what came in.
const MAX_RATIO = 32;
const FREE_OUTPUT_BYTES = 1024 * 1024;

/**
 * Inflates and hashes the contents of an archive while it arrives, so that less is left to do when
 * its end is there.
 *
 * It decides nothing: what it found at a place is the truth about that place, and the check of the
 * whole archive uses it where the directory says that there is just that. It stops, without a word,
 * at whatever is not as the go command writes it.
 */
export class StreamedContents {
  readonly #found = new Map<number, StreamedContent>();
  readonly #inflater = new Inflater();
  readonly #pacer: Pacer;
  /** A header or descriptor as far as it has come. */
  readonly #part = new Uint8Array(HEADER_BYTES);
  readonly #fields = new DataView(this.#part.buffer);
  #partBytes = 0;
  #skipBytes = 0;
  #state: "header" | "content" | "descriptor" | "over" = "header";
  #running: Running | undefined;
  #inputBytes = 0;
  #outputBytes = 0;

  /** @param yieldNow - Gives way to other work; awaited at least once for each MiB of content. */
  constructor(yieldNow?: () => Promise<void>) {
    this.#pacer = makePacer(yieldNow);
  }

  /** The content that starts at an offset of the archive, if it was found to end. */
  find(offset: number): StreamedContent | undefined {
    return this.#found.get(offset);
  }

  /** Take the next bytes of the archive. */
  async take(chunk: Uint8Array): Promise<void> {
    let at = 0;
    while (at < chunk.length && this.#state !== "over") {
      const inflatedBefore = this.#outputBytes;
      const usedBytes = this.#takePart(chunk, at);
      at += usedBytes;
      this.#inputBytes += usedBytes;
      const pause = this.#pacer.spend(usedBytes + this.#outputBytes - inflatedBefore);
      if (pause !== undefined) await pause;
    }
  }

  /** Give the state back; what was found stays. */
  close(): void {
    this.#state = "over";
    this.#inflater.close();
  }

  /** @returns How many bytes were used. */
  #takePart(chunk: Uint8Array, at: number): number {
    const leftBytes = chunk.length - at;
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, leftBytes);
      this.#skipBytes -= skipped;
      return skipped;
    }
    if (this.#state === "content") return this.#inflate(chunk.subarray(at, at + STEP_BYTES));
    const wantBytes = this.#state === "header" ? HEADER_BYTES : DESCRIPTOR_BYTES;
    const takenBytes = Math.min(wantBytes - this.#partBytes, leftBytes);
    this.#part.set(chunk.subarray(at, at + takenBytes), this.#partBytes);
    this.#partBytes += takenBytes;
    if (this.#partBytes === wantBytes) {
      this.#partBytes = 0;
      if (this.#state === "header") this.#begin(this.#inputBytes + takenBytes);
      else
        this.#state = this.#fields.getUint32(0, true) === DESCRIPTOR_SIGNATURE ? "header" : "over";
    }
    return takenBytes;
  }

  /** A local header is there; the name and the extra field follow, then the content. */
  #begin(nameOffset: number): void {
    const flags = this.#fields.getUint16(6, true);
    const method = this.#fields.getUint16(8, true);
    const hasDescriptor = (flags & FLAG_DESCRIPTOR) !== 0;
    const restBytes = this.#fields.getUint16(26, true) + this.#fields.getUint16(28, true);
    this.#skipBytes = restBytes;
    if (this.#fields.getUint32(0, true) !== HEADER_SIGNATURE) this.#state = "over";
    else if (method === METHOD_DEFLATE) {
      this.#state = "content";
      this.#inflater.reset();
      this.#running = {
        offset: nameOffset + restBytes,
        hasDescriptor,
        sha256: createHash("sha256"),
        compressedBytes: 0,
        uncompressedBytes: 0,
        crc: 0,
      };
    } else if (method === METHOD_STORE && !hasDescriptor)
      this.#skipBytes += this.#fields.getUint32(18, true);
    else this.#state = "over";
  }

  #inflate(input: Uint8Array): number {
    const running = this.#running;
    const step = this.#inflater.step(input, false);
    if (step === undefined || running === undefined) {
      this.#state = "over";
      return input.length;
    }
    const { output, consumedBytes } = step;
    running.compressedBytes += consumedBytes;
    running.uncompressedBytes += output.length;
    running.crc = crc32(output, running.crc);
    running.sha256.update(output);
    this.#outputBytes += output.length;
    const maxBytes = MAX_RATIO * (this.#inputBytes + consumedBytes) + FREE_OUTPUT_BYTES;
    if (this.#outputBytes > maxBytes) this.#state = "over";
    // Input that is left over while there was room for more output: the stream has ended.
    else if (consumedBytes < input.length && output.length < STEP_OUTPUT_BYTES) this.#end(running);
    return consumedBytes;
  }

  #end({ offset, hasDescriptor, sha256, crc, ...sizes }: Running): void {
    const { compressedBytes, uncompressedBytes } = sizes;
    const content = {
      compressedBytes,
      uncompressedBytes,
      crc32: crc,
      sha256: sha256.digest("hex"),
    };
    this.#found.set(offset, content);
    this.#state = hasDescriptor ? "descriptor" : "header";
  }
}
