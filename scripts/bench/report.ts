import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem, release } from "node:os";
import { join } from "node:path";
import { BARS, type Bar } from "./bars.ts";
import type { BenchOptions } from "./options.ts";
import type { Samples, Series } from "./samples.ts";
import { toRatios, toSpread, type Spread } from "./samples.ts";
import { toFigure, toHitTables, toSpreadText, toTable } from "./table.ts";
import { toChart } from "./chart.ts";
import { PEERS, type Tools } from "./tools.ts";

/** A bar and what this run says of it. */
interface Judged {
  readonly bar: Bar;
  readonly spread: Spread | undefined;
}

/** Write `bench.json` and `bench.svg`; returns the tables as Markdown. */
export function writeReport(samples: Samples, tools: Tools, options: BenchOptions): string {
  const judged = BARS.map((bar) => ({ bar, spread: measureBar(samples, bar) })).filter(
    ({ spread }) => spread !== undefined,
  );
  mkdirSync(options.out, { recursive: true });
  writeFileSync(
    join(options.out, "bench.json"),
    `${JSON.stringify(
      {
        machine: describeMachine(),
        peers: PEERS.map(({ module, version }) => `${module} ${version}`),
        missing: tools.missing,
        options: { rounds: options.rounds, secondsPerPoint: options.secondsPerPoint },
        bars: judged.map(({ bar, spread }) => ({ name: bar.name, bound: toBound(bar), ...spread })),
        series: samples.all().map(roundSeries),
      },
      null,
      1,
    )}\n`,
  );
  writeFileSync(join(options.out, "bench.svg"), toChart(samples));
  return [toBarTable(judged), toHitTables(samples), toOtherTables(samples)]
    .filter((text) => text !== "")
    .join("\n\n");
}

/** What an earlier run wrote; nothing when there was none. */
export function readReport(folder: string): readonly Series[] {
  try {
    const text = readFileSync(join(folder, "bench.json"), "utf8");
    return (JSON.parse(text) as { readonly series: readonly Series[] }).series;
  } catch {
    return [];
  }
}

function measureBar(samples: Samples, bar: Bar): Spread | undefined {
  const over = samples.values(bar.of, bar.metric);
  if (bar.against === undefined) return toSpread(over);
  // Against the better one of several, round by round.
  const rivals = bar.against
    .map((place) => samples.values(place, bar.againstMetric ?? bar.metric))
    .filter((values) => values.length > 0);
  const better = bar.atLeast === undefined ? Math.min : Math.max;
  const under = over.map((_, round) =>
    better(...rivals.map((values) => values[round] ?? Number.NaN)),
  );
  return rivals.length === 0 ? undefined : toSpread(toRatios(over, under));
}

function toBarTable(judged: readonly Judged[]): string {
  if (judged.length === 0) return "";
  const rows = judged.map(({ bar, spread }) => [
    bar.name,
    toBound(bar),
    toSpreadText(spread),
    isMet(bar, spread) ? "yes" : "**no**",
  ]);
  return toTable(["what", "bar", "measured: median (min–max)", "met"], rows);
}

function toBound({ atLeast, atMost }: Bar): string {
  return atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
}

function isMet({ atLeast, atMost }: Bar, spread: Spread | undefined): boolean {
  const median = spread?.median ?? Number.NaN;
  return atLeast === undefined ? median <= (atMost ?? Number.NaN) : median >= atLeast;
}

/** Every step but the hits: one row for each point and target. */
function toOtherTables(samples: Samples): string {
  const steps = [...new Set(samples.all().map(({ step }) => step))].filter((one) => one !== "hits");
  return steps
    .map((step) => {
      const series = samples.all().filter((one) => one.step === step);
      const metrics = [...new Set(series.map(({ metric }) => metric))];
      const places = new Map(series.map((one) => [`${one.point}\n${one.target}`, one]));
      const rows = [...places.values()].map((place) => [
        place.point,
        place.target,
        ...metrics.map((metric) => toSpreadText(toSpread(samples.values(place, metric)))),
      ]);
      return `${step}\n\n${toTable(["point", "target", ...metrics], rows)}`;
    })
    .join("\n\n");
}

function roundSeries({ values, ...place }: Series): Series {
  return { ...place, values: values.map((value) => Number(value.toPrecision(4))) };
}

function describeMachine(): string {
  const [first] = cpus();
  const gigabytes = toFigure(totalmem() / 1024 ** 3);
  return `${cpus().length} × ${first?.model.trim() ?? "?"}, ${gigabytes} GiB, Linux ${release()}`;
}
