/** A running server, whichever bindings it has. */
export interface Server {
  /** Where it listens: the one asked for, or the one that the system chose for 0. */
  readonly port: number;
  /** Let open answers end, then the server; the promise settles when it is gone. */
  drain(): Promise<void>;
  /** End the server now. */
  kill(): void;
}
