/** The benchmark: goproxy-edge beside Athens, goproxy/goproxy, nginx and a bare runtime. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BenchOptions, readBenchOptions, type StepName, USAGE } from "./bench/options.ts";
import { readReport, writeReport } from "./bench/report.ts";
import type { Bench } from "./bench/run.ts";
import { Samples } from "./bench/samples.ts";
import { measureCold } from "./bench/step-cold.ts";
import { measureCrowd } from "./bench/step-crowd.ts";
import { measureFaults } from "./bench/step-faults.ts";
import { measureFront } from "./bench/step-front.ts";
import { measureGrowth } from "./bench/step-growth.ts";
import { measureHits } from "./bench/step-hits.ts";
import { measureMemory } from "./bench/step-memory.ts";
import { Targets } from "./bench/targets.ts";
import { findTools, type Tools, TOOLS } from "./bench/tools.ts";
import { Upstream } from "./bench/upstream.ts";

const SOURCE_DELAY_MS = 50;

const STEPS: Readonly<Record<StepName, (bench: Bench) => Promise<void>>> = {
  hits: measureHits,
  front: measureFront,
  cold: measureCold,
  crowd: measureCrowd,
  faults: measureFaults,
  memory: measureMemory,
  growth: measureGrowth,
};

try {
  await runAll(readBenchOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(
    `bench: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`,
  );
  process.exitCode = 2;
}

async function runAll(options: BenchOptions): Promise<void> {
  const tools = await findTools(say);
  for (const line of tools.missing) say(line);
  const work = join(TOOLS, "bench-work");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const upstream = await Upstream.start(tools, work);
  const bench = toBench(options, tools, upstream, work);
  if (options.isMerging) {
    for (const { values, ...place } of readReport(options.out)) {
      if (options.steps.some((step) => step === place.step)) continue;
      for (const value of values) bench.samples.add(place, { [place.metric]: value });
    }
  }
  // Ctrl-C ends the servers too: they are killed when this process exits.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => process.exit(130));
  try {
    for (const step of options.steps) {
      say(`step ${step}`);
      await STEPS[step](bench);
      process.stdout.write(`${writeReport(bench.samples, tools, options)}\n`);
    }
  } finally {
    await upstream.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

function toBench(
  { isQuick, rounds, secondsPerPoint }: BenchOptions,
  tools: Tools,
  upstream: Upstream,
  work: string,
): Bench {
  const samples = new Samples();
  const firsts = new Map<string, string>();
  return {
    tools,
    upstream,
    samples,
    isQuick,
    rounds,
    secondsPerPoint,
    work,
    say,
    targets: new Targets(tools, upstream, work),
    delayMs: SOURCE_DELAY_MS,
    note(place, measured) {
      samples.add(place, measured);
      say(`${place.step} | ${place.point} | ${place.target} ${JSON.stringify(measured)}`);
    },
    checkSame(what, value) {
      const first = firsts.get(what);
      if (first === undefined) firsts.set(what, value);
      else if (first !== value) throw new Error(`${what} is not the same as at first`);
    },
    inTurn: (items, round) => {
      const from = round % items.length;
      return [...items.slice(from), ...items.slice(0, from)];
    },
  };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
