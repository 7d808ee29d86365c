import { readdirSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createServer, type Server as TlsServer } from "node:tls";
import { Log, LogLevel, Miniflare, type MiniflareOptions } from "miniflare";
import { Watchdog } from "./guard.ts";
import type { ServeOptions } from "./options.ts";
import { UsageError } from "../usage-error.ts";
import type { Server } from "./server.ts";
import { COMPATIBILITY_DATE, DURABLE_OBJECTS, RUNTIME_ENV, RUNTIME_SCRIPT } from "./workerd.ts";

const WATCH_CHILDREN_MS = 250;
const DRAIN_POLL_MS = 20;

/**
 * Start the Worker with the bindings that it has in the cloud, in simulators.
 *
 * Clients reach the Worker's own socket: the simulator's entry port hands out objects without
 * asking for rights, so it gets a random port on loopback that nobody is told.
 */
export async function startMiniflare(bundle: string, options: ServeOptions): Promise<Server> {
  const { host, port } = options;
  // The simulator hands its own environment to the runtime.
  Object.assign(process.env, RUNTIME_ENV, { MINIFLARE_WORKERD_PATH: RUNTIME_SCRIPT });
  const inner = options.tls === undefined ? { host, port } : { host: "127.0.0.1", port: 0 };
  const miniflare = new Miniflare({
    workers: [
      {
        config: {
          name: "goproxy-edge",
          compatibilityDate: COMPATIBILITY_DATE,
          manifest: {
            mainModule: "worker.js",
            modules: { "worker.js": { type: "esm", contents: readFileSync(bundle, "utf8") } },
          },
          env: toBindings(options),
          exports: Object.fromEntries(
            DURABLE_OBJECTS.map(({ className }) => [
              className,
              { type: "durable-object", storage: "sqlite" } as const,
            ]),
          ),
        },
        dev: { unsafeDirectSockets: [inner] },
      },
    ],
    host: "127.0.0.1",
    port: 0,
    cf: false,
    logRequests: false,
    enableDevRegistry: false,
    resourcePersistencePath: join(options.data, "r2"),
    log: new Log(LogLevel.ERROR),
  });
  try {
    await miniflare.ready;
  } catch (error) {
    throw toStartError(error, options);
  }
  const url = await miniflare.unsafeGetDirectURL();
  const watchdog = new Watchdog();
  const timer = setInterval(() => watchdog.watch(readChildren()), WATCH_CHILDREN_MS);
  watchdog.watch(readChildren());
  const innerPort = Number(url.port);
  const front = options.tls === undefined ? undefined : await startTls(options, innerPort);
  return {
    port: front === undefined ? innerPort : portOf(front),
    async drain() {
      clearInterval(timer);
      front?.close();
      await drainChildren();
      await miniflare.dispose();
      watchdog.release();
    },
    kill: () => process.exit(0),
  };
}

type BindingMap = NonNullable<MiniflareOptions["workers"][number]["config"]["env"]>;

function toBindings(options: ServeOptions): BindingMap {
  const bindings: BindingMap = {
    FILES: { type: "r2", name: "files" },
    INDEX: { type: "kv", id: "index" },
    CONFIG: { type: "text", value: options.document },
    // The Worker behind it sees plain http.
    SCHEME: { type: "text", value: options.tls === undefined ? "http" : "https" },
  };
  for (const { binding, className } of DURABLE_OBJECTS) {
    bindings[binding] = { type: "durable-object", exportName: className, worker: "goproxy-edge" };
  }
  for (const [name, value] of Object.entries(options.secrets)) {
    bindings[name] = { type: "text", value };
  }
  return bindings;
}

/** The simulator's sockets speak no TLS: end it here. */
async function startTls(options: ServeOptions, port: number): Promise<TlsServer> {
  const { certFile = "", keyFile = "" } = options.tls ?? {};
  const server = createServer(
    { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: "TLSv1.2" },
    (client) => {
      const upstream = connect(port, "127.0.0.1");
      client.pipe(upstream).pipe(client);
      client.once("error", () => upstream.destroy());
      upstream.once("error", () => client.destroy());
    },
  );
  server.listen(options.port, options.host);
  try {
    await once(server, "listening");
  } catch (error) {
    throw toStartError(error, options);
  }
  return server;
}

function portOf(server: TlsServer): number {
  return (server.address() as AddressInfo).port;
}

/** A port that somebody else took in the meantime, in the words of Node or of the simulator. */
function toStartError(error: unknown, { host, port }: ServeOptions): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const isBusy = code === "EADDRINUSE" || code === "ERR_ADDRESS_IN_USE";
  return isBusy ? new UsageError(`port ${port} on ${host} is busy`, { cause: error }) : error;
}

/** The runtime lets open answers end; the simulator alone would kill it. */
async function drainChildren(): Promise<void> {
  const pids = readChildren().filter((pid) => readCommand(pid).includes("workerd"));
  for (const pid of pids) process.kill(pid, "SIGTERM");
  while (pids.some((pid) => readCommand(pid).includes("workerd"))) await wait(DRAIN_POLL_MS);
}

/** Empty for a process that has ended. */
function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Pids of this process's children; the simulator does not tell that of its runtime. */
function readChildren(): number[] {
  try {
    return readdirSync("/proc/self/task").flatMap((task) =>
      readFileSync(`/proc/self/task/${task}/children`, "utf8")
        .split(" ")
        .filter(Boolean)
        .map(Number),
    );
  } catch {
    return [];
  }
}
