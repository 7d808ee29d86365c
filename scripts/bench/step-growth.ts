import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent, get, request as httpRequest } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fetchOnce } from "./client.ts";
import { MADE_MODULES, ManyFiles } from "./many-files.ts";
import type { Bench } from "./run.ts";
import { toSpread } from "./samples.ts";
import { ADMIN_TOKEN, type RunningTarget } from "./targets.ts";
import { RECORDING } from "./upstream.ts";
import { runWrk } from "./wrk.ts";

const COUNTS = [1000, 10_000, 100_000, 1_000_000] as const;
const COUNTS_QUICK = [1000, 10_000] as const;
const MANY_VERSIONS = 10_000;
const READS = 2000;
const MISSES = 500;
// Of the same modules at every size: else it would be their coordinators' start that grows.
const MISSED_MODULES = 10;
const QUICK_SHARE = 4;
const CLIENTS = 4;
const JOB_MS = 1_800_000;
const HOT = `${MADE_MODULES}/m0`;
const MANY = `${MADE_MODULES}/many`;

/** The same questions to a store that grows a thousandfold. */
export async function measureGrowth(bench: Bench): Promise<void> {
  await bench.upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  recordList(HOT, 100);
  recordList(MANY, MANY_VERSIONS);
  // The data folder is filled while no server runs, from one size to the next.
  const first = await bench.targets.start("edge");
  await first.stop();
  const many = new ManyFiles(join(first.work, "store/files"));
  many.addModule(MANY, MANY_VERSIONS);
  for (const count of bench.isQuick ? COUNTS_QUICK : COUNTS) {
    const startedMs = performance.now();
    many.growTo(count + MANY_VERSIONS);
    // What is still on its way to the disk would slow the server's own writes.
    execFileSync("sync");
    bench.say(`${count} versions made in ${toSeconds(startedMs).toFixed(1)} s`);
    const startMs = performance.now();
    const target = await bench.targets.start("edge", { keep: true });
    try {
      const point = `${count} versions`;
      const place = { step: "growth", target: "edge" };
      bench.note({ ...place, point: `start, ${point}` }, { totalSeconds: toSeconds(startMs) });
      await measureSize(bench, target, many, point);
      await measureReindex(bench, target, point);
    } finally {
      await target.stop();
    }
  }
}

async function measureSize(
  bench: Bench,
  target: RunningTarget,
  many: ManyFiles,
  point: string,
): Promise<void> {
  const made = many.versionCount - MANY_VERSIONS;
  const reads = Array.from(
    { length: Math.min(READS / (bench.isQuick ? QUICK_SHARE : 1), made) },
    (_, index) => {
      // Spread over the whole store, by a step that meets every module.
      const { module, version } = many.pick((index * 7919) % made);
      return `${target.url}/${module}/@v/${version}.info`;
    },
  );
  const misses = Array.from(
    { length: MISSES / (bench.isQuick ? QUICK_SHARE : 1) },
    (_, index) => `${target.url}/${many.pick(index % MISSED_MODULES).module}/@v/v1.1.${index}.info`,
  );
  await measureMany(bench, target, `stored read, ${point}`, reads);
  await measureMany(bench, target, `miss, ${point}`, misses);
  await measureHits(bench, target, `hit, ${point}`, `${target.url}/${HOT}/@v/v1.0.1.info`);
  await measureHits(bench, target, `list, ${point}`, `${target.url}/${HOT}/@v/list`);
  const manyList = `${target.url}/${MANY}/@v/list`;
  const first = await fetchOnce(manyList);
  bench.note(
    { step: "growth", point: `first list of ${MANY_VERSIONS}, ${point}`, target: "edge" },
    { totalSeconds: first.totalSeconds, status: first.status ?? 0 },
  );
  await measureHits(bench, target, `list of ${MANY_VERSIONS}, ${point}`, manyList);
}

/** Each address once, a few at a time: nothing of it is in memory. */
async function measureMany(
  bench: Bench,
  target: RunningTarget,
  point: string,
  urls: readonly string[],
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const waits: number[] = [];
  const queue = urls.values();
  const cpuBefore = target.process.cpuSeconds();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (const url of queue) waits.push(await timeOne(agent, url));
    }),
  );
  const cpuSeconds = target.process.cpuSeconds() - cpuBefore;
  agent.destroy();
  bench.note(
    { step: "growth", point, target: "edge" },
    {
      p50Ms: toSpread(waits)?.median ?? Number.NaN,
      cpuMicrosPerRequest: (cpuSeconds / urls.length) * 1e6,
      rssMegabytes: target.process.rssBytes() / 1024 ** 2,
    },
  );
}

async function timeOne(agent: Agent, url: string): Promise<number> {
  const startedMs = performance.now();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = get(url, { agent }, (response) => {
    response.resume();
    response.once("end", resolve);
  });
  request.once("error", reject);
  await promise;
  return performance.now() - startedMs;
}

async function measureHits(
  bench: Bench,
  target: RunningTarget,
  point: string,
  url: string,
): Promise<void> {
  const { wrk } = bench.tools;
  if (wrk === undefined) return;
  await fetchOnce(url);
  const cpuBefore = target.process.cpuSeconds();
  const load = await runWrk(wrk, { url, connections: 16, seconds: bench.secondsPerPoint });
  const cpuSeconds = target.process.cpuSeconds() - cpuBefore;
  bench.note(
    { step: "growth", point, target: "edge" },
    {
      requestsPerSecond: load.requestsPerSecond,
      cpuMicrosPerRequest: (cpuSeconds / load.requests) * 1e6,
      p50Ms: load.p50Ms,
      errors: load.failures,
    },
  );
}

/** Rebuild the index from the files, and the memory that it takes. */
async function measureReindex(bench: Bench, target: RunningTarget, point: string): Promise<void> {
  const startedMs = performance.now();
  const cpuBefore = target.process.cpuSeconds();
  const { job } = (await callAdmin("POST", `${target.url}/-/api/v1/reindex`)) as { job: string };
  let state: { readonly status?: string } = {};
  while (performance.now() - startedMs < JOB_MS && !/^(done|failed)$/.test(state.status ?? "")) {
    await wait(100);
    state = (await callAdmin("GET", `${target.url}/-/api/v1/jobs/${job}`)) as typeof state;
  }
  bench.note(
    { step: "growth", point: `reindex, ${point}`, target: "edge" },
    {
      totalSeconds: toSeconds(startedMs),
      cpuSeconds: target.process.cpuSeconds() - cpuBefore,
      rssMegabytes: target.process.rssBytes() / 1024 ** 2,
      errors: state.status === "done" ? 0 : 1,
    },
  );
}

async function callAdmin(method: "GET" | "POST", url: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  const request = httpRequest(url, { method, headers }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    response.once("end", () => resolve(JSON.parse(text)));
  });
  request.once("error", reject);
  request.end();
  return await promise;
}

/** What the source says of a made module: it never had its files. */
function recordList(module: string, versionCount: number): void {
  const file = join(RECORDING, module, "@v/list");
  mkdirSync(dirname(file), { recursive: true });
  const versions = Array.from({ length: versionCount }, (_, patch) => `v1.0.${patch}\n`);
  writeFileSync(file, versions.join(""));
}

function toSeconds(sinceMs: number): number {
  return (performance.now() - sinceMs) / 1000;
}
