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

  /** @returns the result of the task under way for `key`, or of a new one. */
  run(key: string, task: () => Promise<T>): Promise<T> {
    const current = this.#flights.get(key);
    if (current !== undefined) return current;
    const flight = task().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
