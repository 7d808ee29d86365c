import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchOnce, waitForAnswer } from "./client.ts";
import { SMALL } from "./modules.ts";
import { readNginxConfig } from "./nginx-config.ts";
import { BenchProcess, findFreePort, plainEnv } from "./process.ts";
import type { Bench } from "./run.ts";
import type { RunningTarget } from "./targets.ts";
import { runWrk } from "./wrk.ts";

const POINTS = { info: SMALL.info, mod: SMALL.mod, "zip 120 KB": SMALL.zip, list: SMALL.list };
const QUICK_POINTS: ReadonlySet<string> = new Set(["info", "zip 120 KB"]);
const CONNECTIONS = 32;

/** goproxy-edge behind nginx, by the configuration of the docs, beside nginx on plain files. */
export async function measureFront(bench: Bench): Promise<void> {
  const { targets, upstream, tools } = bench;
  if (tools.nginx === undefined || tools.wrk === undefined) return;
  await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  const running: RunningTarget[] = [];
  try {
    for (const name of targets.names("proxy", "static")) {
      if (name !== "athens") running.push(await targets.start(name));
    }
    const edge = running.find(({ name }) => name === "edge");
    if (edge === undefined) return;
    const front = await startFront(bench, tools.nginx, edge.url);
    const all: Measured[] = [
      { name: "edge behind nginx", url: front.url, processes: [front.process, edge.process] },
      ...running.map(({ name, url, process }) => ({ name, url, processes: [process] })),
    ];
    try {
      for (const { url } of all) {
        for (const path of Object.values(SMALL)) await fetchOnce(url + path);
      }
      await measureAll(bench, all, tools.wrk);
    } finally {
      await front.process.stop();
    }
  } finally {
    await Promise.all(running.map((target) => target.stop()));
  }
}

interface Measured {
  readonly name: string;
  readonly url: string;
  readonly processes: readonly BenchProcess[];
}

async function measureAll(bench: Bench, all: readonly Measured[], wrk: string): Promise<void> {
  const points = Object.entries(POINTS).filter(
    ([point]) => !bench.isQuick || QUICK_POINTS.has(point),
  );
  for (const [point, path] of points) {
    for (let round = 0; round < bench.rounds; round++) {
      for (const { name, url, processes } of bench.inTurn(all, round)) {
        const cpuSeconds = (): number => processes.reduce((sum, one) => sum + one.cpuSeconds(), 0);
        const before = cpuSeconds();
        const plan = { url: url + path, connections: CONNECTIONS, seconds: bench.secondsPerPoint };
        const load = await runWrk(wrk, plan);
        const spent = cpuSeconds() - before;
        bench.note(
          { step: "front", point, target: name },
          {
            requestsPerSecond: load.requestsPerSecond,
            cpuMicrosPerRequest: (spent / load.requests) * 1e6,
            requestsPerCpuSecond: load.requests / spent,
            p50Ms: load.p50Ms,
            p99Ms: load.p99Ms,
            errors: load.failures + load.socketErrors,
          },
        );
      }
    }
  }
}

async function startFront(
  bench: Bench,
  nginx: string,
  edgeUrl: string,
): Promise<{ readonly url: string; readonly process: BenchProcess }> {
  const work = join(bench.work, "front");
  mkdirSync(work, { recursive: true });
  const port = await findFreePort();
  const file = join(work, "nginx.conf");
  writeFileSync(
    file,
    readNginxConfig({
      listen: `127.0.0.1:${port}`,
      edge: new URL(edgeUrl).host,
      folder: work,
      isRoot: process.getuid?.() === 0,
    }),
  );
  const started = new BenchProcess({
    command: [nginx, "-p", work, "-c", file],
    cwd: work,
    env: plainEnv(),
    logFile: join(work, "nginx.log"),
  });
  const url = `http://127.0.0.1:${port}`;
  const isOver = (): boolean => started.hasEnded;
  if (!(await waitForAnswer(`${url}/-/healthz`, { timeoutMs: 10_000, isOver }))) {
    await started.stop();
    throw new Error("nginx does not start on the configuration of docs/nginx.md");
  }
  return { url, process: started };
}
