/** A running server, whichever bindings it has. */
export interface Server {
  /** Let open answers end, then the server; the promise settles when it is gone. */
  drain(): Promise<void>;
  /** End the server now. */
  kill(): void;
}
