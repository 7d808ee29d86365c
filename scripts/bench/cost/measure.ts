import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Log, LogLevel, Miniflare } from "miniflare";
import { buildBundle } from "../../serve/bundle.ts";
import { COMPATIBILITY_DATE, DURABLE_OBJECTS } from "../../serve/workerd.ts";
import { MIDDLE, SMALL } from "../modules.ts";
import { COUNTING_WORKER } from "./counting-worker.ts";

/** Operations of the platform that one request caused. */
export type Counters = Readonly<Record<string, number>>;

/** A kind of request and what it took. */
export interface Measured {
  readonly kind: string;
  readonly status: number;
  readonly counters: Counters;
}

// What goes on behind an answer: writes to the edge cache, index and tree.
const SETTLE_MS = 2500;
const NEVER = "/github.com/spf13/viper/@v/v1.99.8.info";

/** Ask every kind of question once, on the bindings of the cloud, and count. */
export async function measureKinds(upstreamUrl: string): Promise<readonly Measured[]> {
  const folder = mkdtempSync(join(tmpdir(), "goproxy-edge-cost-"));
  const bundle = readFileSync(await buildBundle(), "utf8");
  const measured: Measured[] = [];
  try {
    let isolate = await Isolate.start(bundle, folder, upstreamUrl);
    // The tree of the database is the same for all modules: its tiles are there already.
    await isolate.measure("", MIDDLE.mod);
    for (const kind of ["list", "info", "mod", "zip"] as const) {
      measured.push(await isolate.measure(`${kind}: not stored yet`, SMALL[kind]));
    }
    measured.push(await isolate.measure("absent: first asked", NEVER));
    for (const kind of ["list", "info", "mod", "zip"] as const) {
      const from = kind === "zip" ? "same isolate" : "memory";
      // What was just fetched is read once more before it is near.
      await isolate.measure("", SMALL[kind]);
      measured.push(await isolate.measure(`${kind}: ${from}`, SMALL[kind]));
    }
    measured.push(await isolate.measure("absent: memory", NEVER));
    await isolate.stop();
    isolate = await Isolate.start(bundle, folder, upstreamUrl);
    for (const kind of ["info", "mod"] as const) await isolate.measure("", SMALL[kind]);
    await isolate.stop();
    isolate = await Isolate.start(bundle, folder, upstreamUrl);
    for (const kind of ["list", "info", "mod", "zip"] as const) {
      const from = kind === "list" ? "index copy" : "edge cache";
      measured.push(await isolate.measure(`${kind}: ${from}`, SMALL[kind]));
    }
    await isolate.stop();
    isolate = await Isolate.start(bundle, folder, upstreamUrl);
    await isolate.take("off");
    for (const kind of ["info", "mod", "zip"] as const) {
      measured.push(await isolate.measure(`${kind}: storage`, SMALL[kind], "off"));
    }
    await isolate.stop();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return measured;
}

/** The Worker in an isolate with empty memory. */
class Isolate {
  readonly #miniflare: Miniflare;
  readonly #url: URL;

  private constructor(miniflare: Miniflare, url: URL) {
    this.#miniflare = miniflare;
    this.#url = url;
  }

  static async start(bundle: string, folder: string, upstreamUrl: string): Promise<Isolate> {
    const document = { upstreams: [{ name: "main", url: upstreamUrl }], sumdb: "sum.golang.org" };
    const objects = DURABLE_OBJECTS.map(
      ({ binding, className }) =>
        [binding, { type: "durable-object", exportName: className, worker: "cost" }] as const,
    );
    const miniflare = new Miniflare({
      workers: [
        {
          config: {
            name: "cost",
            compatibilityDate: COMPATIBILITY_DATE,
            manifest: {
              mainModule: "counting.js",
              modules: {
                "counting.js": { type: "esm", contents: COUNTING_WORKER },
                "worker.js": { type: "esm", contents: bundle },
              },
            },
            env: {
              FILES: { type: "r2", name: "files" },
              INDEX: { type: "kv", id: "index" },
              CONFIG: { type: "text", value: JSON.stringify(document) },
              ...Object.fromEntries(objects),
            },
            exports: Object.fromEntries(
              DURABLE_OBJECTS.map(({ className }) => [
                className,
                { type: "durable-object", storage: "sqlite" } as const,
              ]),
            ),
          },
          dev: { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
        },
      ],
      host: "127.0.0.1",
      port: 0,
      cf: false,
      logRequests: false,
      enableDevRegistry: false,
      resourcePersistencePath: folder,
      log: new Log(LogLevel.ERROR),
    });
    await miniflare.ready;
    return new Isolate(miniflare, await miniflare.unsafeGetDirectURL());
  }

  async measure(kind: string, path: string, edge: "on" | "off" = "on"): Promise<Measured> {
    await this.take(edge);
    const response = await fetch(new URL(path, this.#url));
    await response.arrayBuffer();
    await wait(SETTLE_MS);
    return { kind, status: response.status, counters: await this.take(edge) };
  }

  async take(edge: "on" | "off"): Promise<Counters> {
    const response = await fetch(new URL(`/_counts?edge=${edge}`, this.#url));
    return (await response.json()) as Counters;
  }

  async stop(): Promise<void> {
    await this.#miniflare.dispose();
  }
}
