import { fetchOnce } from "./client.ts";
import { SMALL } from "./modules.ts";
import type { Bench } from "./run.ts";
import { runWrk } from "./wrk.ts";

const FIRST_HITS = 50_000;
const MANY_HITS = 1_000_000;
const MANY_HITS_QUICK = 75_000;
const SLICE_SECONDS_QUICK = 1;
const PATIENCE_MS = 60_000;
const SLICE_SECONDS = 2;
const MAX_SLICES = 400;
const MIX = [SMALL.info, SMALL.mod, SMALL.list, SMALL.zip, SMALL.absent] as const;

/** Memory after so many hits, of every kind in turn. */
export async function measureMemory(bench: Bench): Promise<void> {
  const { tools, targets, upstream } = bench;
  if (tools.wrk === undefined) return;
  await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  const many = bench.isQuick ? MANY_HITS_QUICK : MANY_HITS;
  for (const name of bench.isQuick ? (["edge"] as const) : (["edge", "floor"] as const)) {
    const target = await targets.start(name);
    try {
      for (const path of MIX) await fetchOnce(target.url + path, PATIENCE_MS);
      let hits = 0;
      let isFirst = true;
      for (let slice = 0; slice < MAX_SLICES && hits < many; slice++) {
        const url = target.url + (MIX[slice % MIX.length] ?? SMALL.info);
        const load = await runWrk(tools.wrk, {
          url,
          connections: 32,
          seconds: bench.isQuick ? SLICE_SECONDS_QUICK : SLICE_SECONDS,
        });
        hits += load.requests;
        if (!isFirst || hits < FIRST_HITS) continue;
        isFirst = false;
        noteRss(`${FIRST_HITS} hits`);
      }
      noteRss(`${many} hits`);
    } finally {
      await target.stop();
    }

    function noteRss(point: string): void {
      const rssMegabytes = target.process.rssBytes() / 1024 ** 2;
      bench.note({ step: "memory", point, target: name }, { rssMegabytes });
    }
  }
}
