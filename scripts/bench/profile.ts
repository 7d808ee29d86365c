/**
 * Where the processor time of one kind of hit goes, by the runtime's own profiler.
 *
 * `node scripts/bench/profile.ts [list|info|mod|"repeated 404"|"zip 120 KB"|"zip 10 MB"] [seconds]`
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fetchOnce, waitForAnswer } from "./client.ts";
import { BIG, SMALL } from "./modules.ts";
import { BenchProcess, findFreePort, plainEnv } from "./process.ts";
import { HIT_POINTS } from "./step-hits.ts";
import { toFigure, toTable } from "./table.ts";
import { Targets } from "./targets.ts";
import { findTools, TOOLS } from "./tools.ts";
import { Upstream } from "./upstream.ts";
import { runWrk } from "./wrk.ts";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const SAMPLING_MICROS = 200;
const TOP = 25;

/** The DevTools protocol, as far as a profile needs it. */
class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
      if (id !== undefined) this.#waiting.get(id)?.(result);
    });
  }

  static async open(port: number): Promise<Inspector> {
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${port}/json`);
      const targets = (await response.json()) as { readonly webSocketDebuggerUrl: string }[];
      const url = targets[0]?.webSocketDebuggerUrl;
      if (url === undefined) {
        await wait(50);
        continue;
      }
      const socket = new WebSocket(url);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error("no inspector")), { once: true });
      await promise;
      return new Inspector(socket);
    }
  }

  async call(method: string, params: object = {}): Promise<unknown> {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return await promise;
  }

  close(): void {
    this.#socket.close();
  }
}

async function profile(point: string, path: string, seconds: number): Promise<void> {
  const tools = await findTools((line) => process.stderr.write(`${line}\n`));
  if (tools.wrk === undefined) throw new Error("wrk is missing");
  const work = join(TOOLS, "profile-work");
  const upstream = await Upstream.start(tools, work);
  const first = await new Targets(tools, upstream, work).start("edge");
  for (const one of [...Object.values(SMALL), ...Object.values(BIG)])
    await fetchOnce(first.url + one);
  await first.stop();
  // The same generated configuration, with the inspector open.
  const inspectorPort = await findFreePort();
  const runtime = new BenchProcess({
    command: [
      tools.workerd,
      "serve",
      join(first.work, "store/run/workerd.capnp"),
      `--inspector-addr=127.0.0.1:${inspectorPort}`,
    ],
    cwd: work,
    env: plainEnv(),
    logFile: join(work, "profile.log"),
  });
  try {
    const isOver = (): boolean => runtime.hasEnded;
    await waitForAnswer(`${first.url}/-/healthz`, { timeoutMs: 10_000, isOver });
    const load = { url: first.url + path, connections: 32 };
    await runWrk(tools.wrk, { ...load, seconds: 2 });
    const inspector = await Inspector.open(inspectorPort);
    await inspector.call("Profiler.enable");
    await inspector.call("Profiler.setSamplingInterval", { interval: SAMPLING_MICROS });
    await inspector.call("Profiler.start");
    const { requests } = await runWrk(tools.wrk, { ...load, seconds });
    const { profile: taken } = (await inspector.call("Profiler.stop")) as { profile: Profile };
    inspector.close();
    writeFileSync(join(work, `${point.replaceAll(" ", "-")}.cpuprofile`), JSON.stringify(taken));
    process.stdout.write(`${point}: ${requests} requests\n\n${toTopTable(taken, requests)}\n`);
  } finally {
    await runtime.stop();
    await upstream.stop();
  }
}

function toTopTable({ nodes, samples, timeDeltas }: Profile, requests: number): string {
  const names = new Map(nodes.map((node) => [node.id, nameOf(node)]));
  const micros = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? "?";
    micros.set(name, (micros.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  }
  const total = [...micros.values()].reduce((sum, one) => sum + one, 0);
  const rows = [...micros]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, TOP)
    .map(([name, self]) => [
      name,
      toFigure(self / requests),
      `${toFigure((self / total) * 100)} %`,
    ]);
  return toTable(["function", "µs/request", "of all"], rows);
}

function nameOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName === "" ? "(anonymous)" : functionName;
  return url === "" ? name : `${name} ${url.split("/").at(-1)}:${lineNumber + 1}`;
}

const [point = "info", seconds = "4"] = process.argv.slice(2);
const path = Object.entries(HIT_POINTS).find(([name]) => name === point)?.[1];
if (path === undefined) throw new Error(`no point ${point}`);
await profile(point, path, Number(seconds));
