/** Random access to an archive that lies in memory or in storage. */
export interface ByteSource {
  readonly sizeBytes: number;
  /**
   * Reads a range.
   *
   * @param offsetBytes - 0 to `sizeBytes`.
   * @param lengthBytes - At most 4 MiB, within the source.
   * @returns The bytes; fewer only where the source ends. They must not change afterwards.
   */
  read(offsetBytes: number, lengthBytes: number): Uint8Array | Promise<Uint8Array>;
}

/** The longest range that is read at once. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/**
 * Makes a source of bytes in memory.
 *
 * @param bytes - Used as they are, without a copy.
 * @source Project: the port that zip checks read through.
 */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offsetBytes, lengthBytes) => bytes.subarray(offsetBytes, offsetBytes + lengthBytes),
  };
}

/**
 * A view of one stretch of a source, so that small records cost no read of their own. All offsets
 * are offsets in the source. A range must be loaded before it is looked at.
 *
 * @source Project: bounded memory for archives of any size.
 */
export class ByteWindow {
  readonly sizeBytes: number;
  readonly #source: ByteSource;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(source: ByteSource) {
    this.#source = source;
    this.sizeBytes = source.sizeBytes;
  }

  /** Reports whether a range is loaded; spares the wait of {@link ByteWindow.load}. */
  has(offset: number, length: number): boolean {
    return offset >= this.#start && offset + length <= this.#start + this.#bytes.length;
  }

  /**
   * Loads a range and what fits behind it.
   *
   * @param offset - Start of the range.
   * @param length - At most 4 MiB.
   * @returns False when the range does not lie within the source.
   */
  async load(offset: number, length: number): Promise<boolean> {
    if (this.has(offset, length)) return true;
    if (offset < 0 || offset + length > this.sizeBytes) return false;
    const wanted = Math.min(WINDOW_BYTES, this.sizeBytes - offset);
    this.#bytes = await this.#source.read(offset, wanted);
    this.#start = offset;
    return this.#bytes.length >= length;
  }

  /** The bytes of a loaded range, not copied. */
  slice(offset: number, length: number): Uint8Array {
    const from = offset - this.#start;
    return this.#bytes.subarray(from, from + length);
  }

  /** Little-endian number of 16 bits. */
  uint16(offset: number): number {
    const at = offset - this.#start;
    return (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8);
  }

  /** Little-endian number of 32 bits, never negative. */
  uint32(offset: number): number {
    return this.uint16(offset) + this.uint16(offset + 2) * 0x1_0000;
  }

  /** Little-endian number of 64 bits; inexact, but still far too large, above 2^53. */
  uint64(offset: number): number {
    return this.uint32(offset) + this.uint32(offset + 4) * 0x1_0000_0000;
  }
}
