import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { errorRow } from "../../../src/errors/codes.ts";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import type { Received } from "../fake-upstream.ts";
import type { TestDatabase } from "./test-database.ts";

/** An answer of a database over HTTP. */
export interface DatabaseAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Something that answers for a database, by the path behind its address. */
export type DatabaseBackend = (path: string) => Promise<DatabaseAnswer>;

/** An answer in the place of the true one; undefined lets the true one pass. */
export type AnswerLie = (path: string, truth: DatabaseAnswer) => DatabaseAnswer | undefined;

/**
 * The door of a checksum database, on a port of its own on loopback.
 *
 * It writes down what it is asked, can lie, can change what stands behind it, and can be closed.
 */
export class DatabaseFront {
  readonly requests: Received[] = [];
  backend: DatabaseBackend;
  lie: AnswerLie | undefined;
  #server: Server | undefined;
  #port = 0;

  private constructor(backend: DatabaseBackend) {
    this.backend = backend;
  }

  static async start(backend: DatabaseBackend): Promise<DatabaseFront> {
    const front = new DatabaseFront(backend);
    await front.up();
    return front;
  }

  /** Address without a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Everything that was asked for, as it was spelled. */
  get paths(): string[] {
    return this.requests.map(({ path }) => path);
  }

  /** Listen, on the port of before if there was one. */
  async up(): Promise<void> {
    const server = createServer((request, response) => {
      const { url: path = "", method = "", headers } = request;
      this.requests.push({ path, method, headers });
      this.#answer(path).then(
        ({ status, body }) => {
          response.writeHead(status, { "Content-Length": String(body.length) });
          response.end(body);
        },
        () => response.destroy(),
      );
    });
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Refuse connections and break those that are open. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #answer(path: string): Promise<DatabaseAnswer> {
    const truth = await this.backend(path);
    return this.lie?.(path, truth) ?? truth;
  }
}

/** A database that listens somewhere. */
export function backendAt(url: string): DatabaseBackend {
  return async (path) => {
    const response = await fetch(url + path);
    return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
  };
}

/** A database in this process. */
export function backendOf(database: TestDatabase): DatabaseBackend {
  return async (path) => {
    try {
      return { status: 200, body: await database.fetch(path) };
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return { status: errorRow(error.code).status, body: Buffer.from(error.message) };
    }
  };
}
