/**
 * The benchmark: goproxy-edge beside Athens, goproxy/goproxy, nginx and a bare runtime.
 *
 * `npm run bench -- [--quick] [--only hits,cold,…] [--out FOLDER]`
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Bench } from "./bench/run.ts";
import { Samples } from "./bench/samples.ts";
import { measureHits } from "./bench/step-hits.ts";
import { Targets } from "./bench/targets.ts";
import { findTools, TOOLS } from "./bench/tools.ts";
import { Upstream } from "./bench/upstream.ts";

const STEPS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  hits: measureHits,
};

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    out: { type: "string", default: join(TOOLS, "bench") },
  },
});
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const tools = await findTools(say);
for (const line of tools.missing) say(line);
const work = join(TOOLS, "bench-work");
rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
const upstream = await Upstream.start(tools, work);
const samples = new Samples();
const bench: Bench = {
  tools,
  upstream,
  samples,
  targets: new Targets(tools, upstream, work),
  isQuick: flags.quick,
  rounds: Number(flags.rounds ?? (flags.quick ? 1 : 3)),
  secondsPerPoint: Number(flags.seconds ?? (flags.quick ? 1 : 3)),
  delayMs: 50,
  work,
  note(place, measured) {
    samples.add(place, measured);
    say(JSON.stringify({ ...place, ...measured }));
  },
  inTurn: (items, round) => [...items.slice(round % items.length), ...items.slice(0, round % items.length)],
};
try {
  const wanted = flags.only?.split(",") ?? Object.keys(STEPS);
  for (const name of wanted) await STEPS[name]?.(bench);
} finally {
  await upstream.stop();
}
mkdirSync(flags.out, { recursive: true });
writeFileSync(join(flags.out, "bench.json"), JSON.stringify(samples.all(), null, 1));
