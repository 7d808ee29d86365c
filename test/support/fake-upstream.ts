import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { ModuleFixture } from "./module-fixture.ts";

/** How one path is answered; without anything it is an empty 200. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Time before the head is sent. */
  readonly delayMs?: number;
  /** Sends nothing, ever. */
  readonly hang?: boolean;
  /** Sends only so many bytes of the body. */
  readonly sendBytes?: number;
  /** What happens after `sendBytes`: a clean end, a reset, or nothing at all. */
  readonly ending?: "end" | "reset" | "hang";
  /** Sends the body in this many pieces, `pauseMs` apart. */
  readonly pieces?: number;
  readonly pauseMs?: number;
  /** Another Content-Length than the true one, a chunked body, or one up to the connection's end. */
  readonly contentLength?: number | "none" | "close";
}

/** A request as it came. */
export interface Received {
  /** With its query string, as it was spelled. */
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

type Script = Reply | ((request: Received, count: number) => Reply);

/**
 * An upstream that does what a test tells it, on a port of its own on loopback.
 *
 * What nobody scripted is 404 `not found: unknown`.
 */
export class FakeUpstream {
  readonly requests: Received[] = [];
  readonly #scripts = new Map<string, Script>();
  readonly #versions = new Map<string, Map<string, ModuleFixture>>();
  readonly #sockets = new Set<Socket>();
  #everything: Script | undefined;
  #server: Server | undefined;
  #port = 0;

  /** Start one that knows some modules. */
  static async start(modules: readonly ModuleFixture[] = []): Promise<FakeUpstream> {
    const upstream = new FakeUpstream();
    for (const module of modules) upstream.add(module);
    await upstream.up();
    return upstream;
  }

  /** Address without a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Serve the list, `@latest` and the files of a version. */
  add(module: ModuleFixture): void {
    const versions = this.#versions.get(module.escapedPath) ?? new Map<string, ModuleFixture>();
    versions.set(module.version, module);
    this.#versions.set(module.escapedPath, versions);
    this.on(`/${module.base}.info`, json(module.info));
    this.on(`/${module.base}.mod`, text(module.mod));
    this.on(`/${module.base}.zip`, zip(module.zip));
    this.on(`/${module.escapedPath}/@v/list`, text(`${[...versions.keys()].join("\n")}\n`));
    this.on(`/${module.escapedPath}/@latest`, json(module.info));
  }

  /** Answer a path as told from now on; the path is compared as it is spelled, without its query. */
  on(path: string, script: Script): void {
    this.#scripts.set(path, script);
  }

  /** Answer everything as told, scripts or not; undefined goes back to the scripts. */
  onEverything(script: Script | undefined): void {
    this.#everything = script;
  }

  /** How often a path was asked for. */
  count(path: string): number {
    return this.requests.filter((request) => request.path === path).length;
  }

  /** Refuse connections and break those that are open. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Listen, on the port of before if there was one. */
  async up(): Promise<void> {
    const server = createServer((request, response) => {
      const received = {
        path: request.url ?? "",
        method: request.method ?? "",
        headers: request.headers,
      };
      this.requests.push(received);
      void this.#answer(received, response).catch(() => response.destroy());
    });
    server.keepAliveTimeout = 60_000;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async #answer(request: Received, response: ServerResponse): Promise<void> {
    const path = request.path.split("?", 1)[0] ?? "";
    const script = this.#everything ?? this.#scripts.get(path) ?? NOT_FOUND;
    const reply = typeof script === "function" ? script(request, this.count(request.path)) : script;
    if (reply.hang === true) return;
    if (reply.delayMs !== undefined) await wait(reply.delayMs);
    const whole = Buffer.from(reply.body ?? "");
    const sent = whole.subarray(0, reply.sendBytes ?? whole.length);
    response.writeHead(reply.status ?? 200, toHeaders(reply, whole.length));
    response.flushHeaders();
    const { pieces = 1, pauseMs = 0 } = reply;
    const pieceBytes = Math.max(1, Math.ceil(sent.length / pieces));
    for (let offset = 0; offset < sent.length; offset += pieceBytes) {
      if (offset > 0) await wait(pauseMs);
      if (response.destroyed) return;
      if (!response.write(sent.subarray(offset, offset + pieceBytes))) await drained(response);
    }
    finish(reply, response);
  }
}

const NOT_FOUND: Reply = {
  status: 404,
  headers: { "Content-Type": "text/plain; charset=utf-8" },
  body: "not found: unknown\n",
};

/** A JSON answer. */
export function json(body: string): Reply {
  return { headers: { "Content-Type": "application/json" }, body };
}

/** A plain-text answer. */
export function text(body: string, status = 200): Reply {
  return { status, headers: { "Content-Type": "text/plain; charset=utf-8" }, body };
}

/** A zip. */
export function zip(body: Uint8Array): Reply {
  return { headers: { "Content-Type": "application/zip" }, body };
}

/** Wait until more can be written, or nobody reads any longer. */
async function drained(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const done = (): void => resolve(undefined);
  response.once("drain", done).once("close", done);
  await promise;
  response.off("drain", done).off("close", done);
}

function toHeaders(reply: Reply, sizeBytes: number): Record<string, string> {
  const headers: Record<string, string> = { ...reply.headers };
  if (reply.contentLength === "close") headers["Connection"] = "close";
  else if (reply.contentLength !== "none") {
    headers["Content-Length"] = String(reply.contentLength ?? sizeBytes);
  }
  return headers;
}

function finish(reply: Reply, response: ServerResponse): void {
  if (reply.ending === "hang") return;
  if (reply.ending === "reset") {
    response.socket?.resetAndDestroy();
    return;
  }
  // A body that is shorter than announced can only be ended by closing the connection.
  if (reply.sendBytes !== undefined || typeof reply.contentLength === "number") {
    response.socket?.end();
    return;
  }
  response.end();
}
