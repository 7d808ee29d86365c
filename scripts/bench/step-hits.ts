import { fetchOnce } from "./client.ts";
import { BIG, SMALL } from "./modules.ts";
import type { Bench } from "./run.ts";
import type { RunningTarget, TargetName } from "./targets.ts";
import { countModuleRequests } from "./upstream.ts";
import { runWrk } from "./wrk.ts";

/** Addresses that are asked for over and over. */
export const HIT_POINTS = {
  list: SMALL.list,
  info: SMALL.info,
  mod: SMALL.mod,
  "repeated 404": SMALL.absent,
  "zip 120 KB": SMALL.zip,
  "zip 10 MB": BIG.zip,
} as const;

type HitPoint = keyof typeof HIT_POINTS;

const CONNECTIONS = 32;
// Enough for the bandwidth of loopback.
const BIG_CONNECTIONS = 8;
const FETCH_MS = 120_000;

/** Answers that every server has: requests per second and processor time per request. */
export async function measureHits(bench: Bench): Promise<void> {
  const { targets, upstream, tools } = bench;
  if (tools.wrk === undefined) return;
  await upstream.set({ mode: "ok", delayMs: bench.delayMs, bytesPerSecond: 0 });
  const running = new Map<TargetName, RunningTarget>();
  try {
    for (const name of targets.names("proxy", "static", "floor")) {
      const target = await targets.start(name);
      running.set(name, target);
      await warm(target);
    }
    for (const point of Object.keys(HIT_POINTS) as HitPoint[]) {
      for (let round = 0; round < bench.rounds; round++) {
        for (const target of bench.inTurn([...running.values()], round)) {
          await measurePoint(bench, target, point, tools.wrk);
        }
      }
    }
  } finally {
    await Promise.all([...running.values()].map((target) => target.stop()));
  }
}

/** Make a server fetch what it will be asked for. */
async function warm(target: RunningTarget): Promise<void> {
  const paths = [...Object.values(SMALL), ...Object.values(BIG)];
  for (const path of paths) await fetchOnce(target.url + path, FETCH_MS);
}

async function measurePoint(
  bench: Bench,
  target: RunningTarget,
  point: HitPoint,
  wrk: string,
): Promise<void> {
  const url = target.url + HIT_POINTS[point];
  const { status } = await fetchOnce(url, FETCH_MS);
  await bench.upstream.takeCounts(target.name);
  const cpuBefore = target.process.cpuSeconds();
  const connections = point === "zip 10 MB" ? BIG_CONNECTIONS : CONNECTIONS;
  const load = await runWrk(wrk, { url, connections, seconds: bench.secondsPerPoint });
  const cpuSeconds = target.process.cpuSeconds() - cpuBefore;
  bench.note(
    { step: "hits", point, target: target.name },
    {
      status: status ?? 0,
      requestsPerSecond: load.requestsPerSecond,
      cpuMicrosPerRequest: (cpuSeconds / load.requests) * 1e6,
      requestsPerCpuSecond: load.requests / cpuSeconds,
      p50Ms: load.p50Ms,
      p99Ms: load.p99Ms,
      rssMegabytes: target.process.rssBytes() / 1024 ** 2,
      upstreamRequests: countModuleRequests(await bench.upstream.takeCounts(target.name)),
      errors: load.socketErrors,
    },
  );
}
