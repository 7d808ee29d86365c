/** Shares the memory that ingests may hold among those that run at once. */
export class MemoryBudget {
  #freeBytes: number;
  readonly #totalBytes: number;
  readonly #waiting: { readonly sizeBytes: number; readonly start: () => void }[] = [];

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
    this.#freeBytes = totalBytes;
  }

  /**
   * Wait for room, in the order of asking.
   *
   * @param sizeBytes Peak need; more than the whole budget counts as the whole.
   * @returns Gives the room back; to be called exactly once.
   */
  async acquire(sizeBytes: number): Promise<() => void> {
    const needBytes = Math.min(sizeBytes, this.#totalBytes);
    if (this.#waiting.length > 0 || needBytes > this.#freeBytes) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push({ sizeBytes: needBytes, start: resolve });
      await promise;
    } else {
      this.#freeBytes -= needBytes;
    }
    return this.#toRelease(needBytes);
  }

  /**
   * Take room if there is any and nobody waits for it.
   *
   * @returns As `acquire`, or undefined.
   */
  tryAcquire(sizeBytes: number): (() => void) | undefined {
    if (this.#waiting.length > 0 || sizeBytes > this.#freeBytes) return undefined;
    this.#freeBytes -= sizeBytes;
    return this.#toRelease(sizeBytes);
  }

  #toRelease(sizeBytes: number): () => void {
    return () => {
      this.#freeBytes += sizeBytes;
      this.#startWaiting();
    };
  }

  #startWaiting(): void {
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || next.sizeBytes > this.#freeBytes) return;
      this.#waiting.shift();
      this.#freeBytes -= next.sizeBytes;
      next.start();
    }
  }
}
