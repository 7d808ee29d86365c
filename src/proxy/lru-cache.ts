interface Entry<V> {
  readonly value: V;
  readonly sizeBytes: number;
  /** Used since the last time that something had to go. */
  isUsed: boolean;
}

/**
 * A bounded map that forgets what was not used for long.
 *
 * A read only marks its entry: the order changes when something has to go, where an entry that was
 * used gets a second chance. So reads, of which there are thousands a second, move nothing.
 */
export class LruCache<V> {
  readonly #entries = new Map<string, Entry<V>>();
  readonly #maxBytes: number;
  #sizeBytes = 0;

  /** @param maxBytes Upper bound of the sum of the sizes that `set` was given. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.isUsed = true;
    return entry.value;
  }

  /** Keep a value; one larger than an eighth of the whole is not kept. */
  set(key: string, value: V, sizeBytes: number): void {
    this.delete(key);
    if (sizeBytes > this.#maxBytes / 8) return;
    this.#entries.set(key, { value, sizeBytes, isUsed: false });
    this.#sizeBytes += sizeBytes;
    if (this.#sizeBytes > this.#maxBytes) this.#makeRoom();
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#sizeBytes -= entry.sizeBytes;
  }

  #makeRoom(): void {
    // Map iterates in the order of insertion, and visits what is inserted on the way again.
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes) return;
      this.#entries.delete(key);
      if (entry.isUsed) {
        entry.isUsed = false;
        this.#entries.set(key, entry);
      } else {
        this.#sizeBytes -= entry.sizeBytes;
      }
    }
  }
}
