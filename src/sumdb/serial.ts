import { ProxyError } from "../errors/proxy-error.ts";

/**
 * Runs tasks one after the other, in the order of the calls; a failed task does not stop the next.
 */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** @returns what the task returns; rejects as it does. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Lets callers that ask for the same thing at the same time share one task. */
export class SharedFlights<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /**
   * The result of the task under way for `key`, or of a new one.
   *
   * One under way that ends in an outage met it before this caller came. It may be over by now, so
   * this caller tries once anew.
   */
  async run(key: string, task: () => Promise<T>): Promise<T> {
    const joined = this.#flights.get(key);
    if (joined === undefined) return this.#start(key, task);
    try {
      return await joined;
    } catch (error) {
      if (!(error instanceof ProxyError) || error.code !== "sumdb_unavailable") throw error;
      return this.#flights.get(key) ?? this.#start(key, task);
    }
  }

  #start(key: string, task: () => Promise<T>): Promise<T> {
    const flight = task().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
