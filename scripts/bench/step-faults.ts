import { setTimeout as wait } from "node:timers/promises";
import { fetchOnce } from "./client.ts";
import { OTHER, SMALL } from "./modules.ts";
import type { Bench } from "./run.ts";

const STORED = { list: SMALL.list, info: SMALL.info, mod: SMALL.mod, zip: SMALL.zip } as const;
const PATIENCE_MS = 15_000;
const PATIENCE_QUICK_MS = 10_000;
// A list is fresh for a minute: the source must fail a list that is older.
const LIST_FRESH_MS = 61_000;

/** What a client sees while the source fails, hangs, and is back. */
export async function measureFaults(bench: Bench): Promise<void> {
  const { upstream, targets } = bench;
  for (const path of Object.values(OTHER)) await fetchOnce(upstream.urlFor("record") + path);
  await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  const names = targets.names("proxy");
  const running = await Promise.all(names.map((name) => targets.start(name)));
  try {
    for (const target of running) {
      for (const path of Object.values(STORED)) await fetchOnce(target.url + path, PATIENCE_MS);
    }
    if (!bench.isQuick) await wait(LIST_FRESH_MS);
    for (const mode of ["503", "hang"] as const) {
      await upstream.set({ mode });
      await Promise.all(
        running.flatMap(({ name, url }) => [
          ...Object.entries(STORED).map(([what, path]) =>
            measureOne(bench, { target: name, point: `${mode}, stored ${what}` }, url + path),
          ),
          ...Object.entries(OTHER).map(([what, path]) =>
            measureOne(bench, { target: name, point: `${mode}, unstored ${what}` }, url + path),
          ),
        ]),
      );
    }
    await upstream.set({ mode: "ok" });
    await Promise.all(
      running.flatMap(({ name, url }) =>
        Object.entries(OTHER).map(([what, path]) =>
          measureOne(bench, { target: name, point: `back, ${what}` }, url + path),
        ),
      ),
    );
  } finally {
    await Promise.all(running.map((target) => target.stop()));
  }
}

/** A status of 0 is no answer within 15 s. */
async function measureOne(
  bench: Bench,
  place: { readonly target: string; readonly point: string },
  url: string,
): Promise<void> {
  const { status, totalSeconds } = await fetchOnce(
    url,
    bench.isQuick ? PATIENCE_QUICK_MS : PATIENCE_MS,
  );
  bench.note({ step: "faults", ...place }, { status: status ?? 0, totalSeconds });
}
