import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitForAnswer } from "./client.ts";
import { toMemoryFolder } from "./memory-folder.ts";
import { BenchProcess, findFreePort, plainEnv, type SpawnPlan } from "./process.ts";
import { ROOT, type Tools } from "./tools.ts";
import { RECORDING, type Upstream } from "./upstream.ts";

/** What is measured side by side. */
export type TargetName = "edge" | "athens" | "goproxy" | "nginx" | "floor";

/**
 * - `proxy`: fetches what it has not.
 * - `static`: has all files from the start.
 * - `floor`: answers two bytes to everything.
 */
export type TargetKind = "proxy" | "static" | "floor";

/** A server while it runs. */
export interface RunningTarget {
  readonly name: TargetName;
  readonly kind: TargetKind;
  readonly url: string;
  readonly process: BenchProcess;
  /** Folder of everything that it stores. */
  readonly work: string;
  stop(): Promise<void>;
}

interface Layout {
  readonly tools: Tools;
  readonly upstreamUrl: string;
  readonly port: number;
  readonly work: string;
  /** Whether goproxy-edge proves what it fetches; the peers are not told. */
  readonly proves: boolean;
}

interface Target {
  readonly name: TargetName;
  readonly kind: TargetKind;
  /** Undefined when its program is missing. */
  plan(layout: Layout): Omit<SpawnPlan, "cwd" | "logFile"> | undefined;
}

const START_MS = 60_000;
const SUMDB = "sum.golang.org";
/** Of the servers that the benchmark starts; they live on loopback for minutes. */
export const ADMIN_TOKEN = randomUUID();
const COMPATIBILITY_DATE = "2026-10-01";

const EDGE: Target = {
  name: "edge",
  kind: "proxy",
  plan: ({ tools, upstreamUrl, port, work, proves }) => ({
    command: [
      tools.node,
      join(ROOT, "scripts/serve.ts"),
      "--port",
      String(port),
      "--data",
      join(work, "store"),
      "--upstream",
      upstreamUrl,
      "--sumdb",
      proves ? SUMDB : "off",
    ],
    env: { ADMIN_TOKEN },
  }),
};

const ATHENS: Target = {
  name: "athens",
  kind: "proxy",
  plan: ({ tools, upstreamUrl, port, work }) =>
    tools.athens === undefined
      ? undefined
      : {
          command: [tools.athens],
          env: {
            ATHENS_PORT: `127.0.0.1:${port}`,
            ATHENS_STORAGE_TYPE: "disk",
            ATHENS_DISK_STORAGE_ROOT: join(work, "store"),
            ATHENS_GO_BINARY_ENV_VARS: `GOPROXY=${upstreamUrl};GOSUMDB=${SUMDB}`,
            ATHENS_SUM_DBS: "",
            // Its default, debug, writes several lines for each request.
            ATHENS_LOG_LEVEL: "error",
            GO_ENV: "production",
          },
        },
};

const GOPROXY: Target = {
  name: "goproxy",
  kind: "proxy",
  plan: ({ tools, upstreamUrl, port, work }) =>
    tools.goproxy === undefined
      ? undefined
      : {
          command: [
            tools.goproxy,
            "server",
            "--address",
            `127.0.0.1:${port}`,
            "--cacher-dir",
            join(work, "store"),
            "--temp-dir",
            join(work, "tmp"),
            "--proxied-sumdbs",
            `${SUMDB} ${upstreamUrl}/sumdb/${SUMDB}`,
          ],
          env: { GOPROXY: upstreamUrl, GOSUMDB: SUMDB },
        },
};

const NGINX: Target = {
  name: "nginx",
  kind: "static",
  plan: ({ tools, port, work }) => {
    if (tools.nginx === undefined) return undefined;
    const file = join(work, "nginx.conf");
    writeFileSync(file, toNginxConfig(port));
    return { command: [tools.nginx, "-p", work, "-c", file], env: {} };
  },
};

const FLOOR: Target = {
  name: "floor",
  kind: "floor",
  plan: ({ tools, port, work }) => {
    const file = join(work, "floor.capnp");
    writeFileSync(file, toFloorConfig(port));
    return { command: [tools.workerd, "serve", file], env: {} };
  },
};

const TARGETS: readonly Target[] = [EDGE, ATHENS, GOPROXY, NGINX, FLOOR];

/**
 * Starts servers, each in a folder of its own.
 *
 * Folders stay until the end of the run, and temporary files are in memory: see
 * {@link toMemoryFolder}. Athens makes and deletes a module cache for every version.
 */
export class Targets {
  readonly #tools: Tools;
  readonly #upstream: Upstream;
  readonly #folder: string;
  /** Of each server, how many folders it had. */
  readonly #counts = new Map<TargetName, number>();

  constructor(tools: Tools, upstream: Upstream, folder: string) {
    this.#tools = tools;
    this.#upstream = upstream;
    this.#folder = folder;
  }

  /** Those that can be started here, of the kinds that are wanted. */
  names(...kinds: readonly TargetKind[]): TargetName[] {
    const { athens, goproxy, nginx } = this.#tools;
    const isMissing: Partial<Record<TargetName, boolean>> = {
      athens: athens === undefined,
      goproxy: goproxy === undefined,
      nginx: nginx === undefined,
    };
    return TARGETS.filter(({ name, kind }) => kinds.includes(kind) && isMissing[name] !== true).map(
      ({ name }) => name,
    );
  }

  /** Start a server; `keep` leaves what it stored before. */
  async start(name: TargetName, { keep = false, proves = true } = {}): Promise<RunningTarget> {
    const target = TARGETS.find((one) => one.name === name);
    if (target === undefined) throw new TypeError(`no target ${name}`);
    const count = (this.#counts.get(name) ?? 0) + (keep ? 0 : 1);
    this.#counts.set(name, count);
    const work = join(this.#folder, `${name}-${count}`);
    for (const folder of ["store", "tmp", "home", "logs"]) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    const temporary = mkdtempSync(join(toMemoryFolder(join(work, "tmp")), `bench-${name}-`));
    const port = await findFreePort();
    const upstreamUrl = this.#upstream.urlFor(name);
    const plan = target.plan({ tools: this.#tools, upstreamUrl, port, work, proves });
    if (plan === undefined) throw new Error(`${name} is missing`);
    const home = join(work, "home");
    const logFile = join(work, "logs/server.log");
    const started = new BenchProcess({
      ...plan,
      cwd: work,
      env: {
        ...plainEnv(),
        HOME: home,
        GOPATH: join(home, "go"),
        GOCACHE: join(home, "build"),
        GOTOOLCHAIN: "local",
        GOFLAGS: "-modcacherw",
        TMPDIR: temporary,
        ...plan.env,
      },
      logFile,
    });
    const stop = async (): Promise<void> => {
      await started.stop();
      rmSync(temporary, { recursive: true, force: true });
    };
    const url = `http://127.0.0.1:${port}`;
    const isUp = await waitForAnswer(name === "edge" ? `${url}/-/healthz` : `${url}/`, {
      timeoutMs: START_MS,
      isOver: () => started.hasEnded,
    });
    if (!isUp) {
      await stop();
      throw new Error(`${name} does not start; see ${logFile}`);
    }
    return { name, kind: target.kind, url, process: started, work, stop };
  }
}

function toNginxConfig(port: number): string {
  // As root, the workers would become a user who may not read the recording.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off; ${user} worker_processes 2; pid nginx.pid; error_log stderr crit;
events {}
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  types { application/zip zip; application/json info; } default_type text/plain;
  server { listen 127.0.0.1:${port} reuseport; root ${RECORDING}; }
}
`;
}

function toFloorConfig(port: number): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = "export default { fetch() { return new Response('ok') } }")],
  compatibilityDate = "${COMPATIBILITY_DATE}");
`;
}
