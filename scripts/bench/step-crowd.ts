import { setTimeout as wait } from "node:timers/promises";
import { fetchOnce } from "./client.ts";
import { BIG, MIDDLE, OTHER, SMALL } from "./modules.ts";
import type { Bench } from "./run.ts";
import { toSpread } from "./samples.ts";
import type { RunningTarget } from "./targets.ts";
import { runWrk } from "./wrk.ts";

const CLIENTS = 50;
const WAITING = 200;
const SOURCE = { mode: "ok", delayMs: 200, bytesPerSecond: 20_000_000 } as const;
const PATIENCE_MS = 60_000;
const POINTS = { "zip 450 KB": MIDDLE.zip, "zip 10 MB": BIG.zip } as const;

/** Many at once: for one zip that nobody has, and for answers that do not come. */
export async function measureCrowd(bench: Bench): Promise<void> {
  for (const path of Object.values(POINTS)) await fetchOnce(bench.upstream.urlFor("record") + path);
  for (let round = 0; round < bench.rounds; round++) {
    for (const [point, path] of Object.entries(POINTS).slice(bench.isQuick ? 1 : 0)) {
      for (const name of bench.inTurn(crowdTargets(bench), round)) {
        await measureOne(bench, name, `one client, ${point}`, { path, clients: 1 });
        await measureOne(bench, name, `${CLIENTS} clients, ${point}`, { path, clients: CLIENTS });
      }
    }
  }
  await measureHangingSource(bench);
}

/** In a hurry the peers are left out. */
function crowdTargets({ isQuick, targets }: Bench): readonly RunningTarget["name"][] {
  return isQuick ? ["edge"] : targets.names("proxy");
}

async function measureOne(
  bench: Bench,
  name: RunningTarget["name"],
  point: string,
  { path, clients }: { readonly path: string; readonly clients: number },
): Promise<void> {
  const { upstream } = bench;
  await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  const target = await bench.targets.start(name);
  try {
    await upstream.set(SOURCE);
    await upstream.takeCounts(name);
    const cpuBefore = target.process.cpuSeconds();
    const all = await Promise.all(
      Array.from({ length: clients }, () => fetchOnce(target.url + path, PATIENCE_MS)),
    );
    const counts = await upstream.takeCounts(name);
    const place = { step: "crowd", point, target: name };
    bench.note(place, {
      errors: all.filter(({ status, checksum }) => status !== 200 || checksum !== all[0]?.checksum)
        .length,
      firstByteSeconds: toSpread(all.map((one) => one.firstByteSeconds))?.median ?? Number.NaN,
      totalSeconds: Math.max(...all.map((one) => one.totalSeconds)),
      cpuSeconds: target.process.cpuSeconds() - cpuBefore,
      upstreamRequests: counts["zip"] ?? 0,
    });
  } finally {
    await target.stop();
  }
}

/** Hits of a server on which many wait for a source that does not answer, and after it is back. */
async function measureHangingSource(bench: Bench): Promise<void> {
  const { upstream, tools } = bench;
  if (tools.wrk === undefined) return;
  for (const name of crowdTargets(bench)) {
    await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
    const target = await bench.targets.start(name);
    try {
      for (const path of Object.values(SMALL)) await fetchOnce(target.url + path, PATIENCE_MS);
      const plan = { url: target.url + SMALL.info, connections: 8, seconds: 2 };
      await runWrk(tools.wrk, plan);
      const calm = await runWrk(tools.wrk, plan);
      await upstream.set({ mode: "hang" });
      const waiting = Array.from({ length: WAITING }, (_, index) =>
        fetchOnce(`${target.url}/github.com/gorilla/mux/@v/v1.7.${index}.zip`, 30_000),
      );
      await wait(300);
      const busy = await runWrk(tools.wrk, plan);
      bench.note({ step: "crowd", point: "hits before", target: name }, { p99Ms: calm.p99Ms });
      bench.note(
        { step: "crowd", point: `hits while ${WAITING} wait`, target: name },
        { p99Ms: busy.p99Ms, errors: busy.socketErrors },
      );
      await upstream.set({ mode: "ok" });
      const back = await fetchOnce(target.url + OTHER.info, 15_000);
      bench.note(
        { step: "crowd", point: "first request after it is back", target: name },
        { status: back.status ?? 0, totalSeconds: back.totalSeconds },
      );
      // Those who wait are answered or cut by their own time; nothing of them may outlive the server.
      await target.stop();
      await Promise.all(waiting);
    } finally {
      await target.stop();
    }
  }
}
