import type { Clock } from "../../src/proxy/ports.ts";

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** Time that moves when the test says so. */
export class FakeClock implements Clock {
  /** What `random` gives. */
  randomValue = 0.5;
  /** How long every `wait` was, in order. */
  readonly waits: number[] = [];
  #nowMs = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#nowMs;
  }

  random(): number {
    return this.randomValue;
  }

  /** Lets the time pass at once. */
  wait(delayMs: number): Promise<void> {
    this.waits.push(delayMs);
    this.advance(delayMs);
    return Promise.resolve();
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers are set and not cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Let time pass and ring what is due, in order. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs);
    for (const timer of due.toSorted((a, b) => a.atMs - b.atMs)) {
      this.#timers.delete(timer);
      timer.callback();
    }
  }
}
