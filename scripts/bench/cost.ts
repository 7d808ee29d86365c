/**
 * What goproxy-edge costs on Cloudflare, from counted operations; writes docs/cost.md.
 *
 * `node scripts/bench/cost.ts`
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  BASE_DOLLARS,
  countSubrequests,
  PRICES,
  R2_GIGABYTE_MONTH,
  toDollarsPerMillion,
  VM_DOLLARS,
} from "./cost/prices.ts";
import { type Measured, measureKinds } from "./cost/measure.ts";
import { COMPANY, type Outcome, PLATFORM, simulate, toDevelopersInRush } from "./cost/simulate.ts";
import { traceDownload } from "./cost/trace.ts";
import { readReport } from "./report.ts";
import { type Metric, toSpread } from "./samples.ts";
import { toFigure, toTable } from "./table.ts";
import { findTools, ROOT, TOOLS } from "./tools.ts";
import { Upstream } from "./upstream.ts";

const REGIONS = [1, 5, 10, 25, 50] as const;
// Used where docs/bench has no figure yet: milliseconds of processor time.
const CPU_MS = { memory: 0.08, storage: 0.4, source: 1.2, ingestOf10Megabytes: 250 } as const;
// Mean of the 96 zips of the traced download.
const ZIP_MEGABYTES = 2.25;
/** What one Durable Object can be relied on to answer. */
const COORDINATOR_CALLS_PER_SECOND = 500;
const REQUESTS_OF_A_SMALL_TEAM = 1_000_000;

const tools = await findTools((line) => process.stderr.write(`${line}\n`));
const upstream = await Upstream.start(tools, TOOLS);
try {
  const paths = await traceDownload(tools.go, upstream.urlFor("trace"));
  const measured = await measureKinds(upstream.urlFor("cost"));
  writeFileSync(join(ROOT, "docs/cost.md"), toDocument(measured, paths));
} finally {
  await upstream.stop();
}

function toDocument(measured: readonly Measured[], paths: readonly string[]): string {
  const edgeKinds = ["info", "mod", "zip"].filter((kind) => isFromEdge(measured, kind));
  const outcomes = REGIONS.map((regions) => ({
    regions,
    outcome: simulate(paths, COMPANY, { ...PLATFORM, regions, edgeKinds }),
  }));
  return `# What it costs

Written by \`node scripts/bench/cost.ts\`; do not edit. The script runs the bundle in workerd with the bindings of the cloud (R2, KV, Durable
Objects, Cache API), decorates them, asks each kind of question once and counts. Prices are Cloudflare's list of November 2026,
beyond what the paid plan (${BASE_DOLLARS} dollars a month) includes; egress costs nothing. The checksum database is on.

## One request

${toKindTable(measured)}

"sub" is everything that leaves the isolate; what goes on behind the answer is in it. CPU is that of the benchmark on one machine, HTTP
included, so it is too high rather than too low. A million log lines are ${PRICES.logLine} dollars of each sum.

## Beside a machine of one's own

An Athens on the smallest machine with a disk is about ${VM_DOLLARS} dollars a month, whatever it does, and somebody's time. A team of
${REQUESTS_OF_A_SMALL_TEAM.toLocaleString("en")} requests a month stays within the included amounts of the paid plan: ${BASE_DOLLARS} dollars, and ${R2_GIGABYTE_MONTH} dollars for each gigabyte stored.
${toBreakEven(measured)}

## ${COMPANY.developers.toLocaleString("en")} developers

The model, all of it in \`scripts/bench/cost/simulate.ts\`: each developer (with his share of CI) downloads a project ${COMPANY.downloadsPerDay} times a working day with an
empty module cache and asks for ${COMPANY.listsPerDay} lists. A download is the real trace of \`go mod download\` for \`scripts/bench/graph/go.mod\`: ${paths.length} requests.
${COMPANY.projects} projects have these modules in versions of their own, their popularity falling as 1/rank; ${COMPANY.monthlyUpdates * 100} % of the versions are new each month. A region has
${PLATFORM.isolatesPerRegion} isolates that live ${PLATFORM.isolateSeconds / 3600} hours; every tier keeps a key for its time, so that of λ requests a second the share λT/(1+λT) is found in it.

${toRegionTable(outcomes, measured)}

"Hottest" is the coordinator of the module most asked for, in the busiest hour; the bound is ${COORDINATOR_CALLS_PER_SECOND} calls a second. "Rush" is everybody's CI within ten
minutes of a release, for one version that nobody has.

**The first bottleneck** is the coordinator of one module in a rush: all who want the new version need the one who fetches it. It lasts as long as
the first fetch, for a committed file is read from storage without its coordinator. An isolate asks once for all who wait in it, so isolates count
before people do: ${COORDINATOR_CALLS_PER_SECOND} calls a second are reached ${toRushLimits()}. What moves it further: an object
of the region's own between its isolates and the coordinator, so that regions count instead of isolates.
${toEdgeNote(edgeKinds)}Lists load a coordinator by isolates, never by people, so they come later: see "hottest".
`;
}

/** With how many developers a rush takes a coordinator to its bound, by the number of regions. */
function toRushLimits(): string {
  return [1, 25, 50]
    .map((regions) => {
      const { isolatesPerRegion } = PLATFORM;
      const platform = { regions, isolatesPerRegion };
      const count = toDevelopersInRush(COORDINATOR_CALLS_PER_SECOND, COMPANY, platform);
      const where = regions === 1 ? "one region" : `${regions} regions`;
      if (count === undefined) return `in ${where} by no number of people`;
      return `in ${where} by ${(Math.round(count / 1000) * 1000).toLocaleString("en")} developers`;
    })
    .join(", ");
}

function toEdgeNote(edgeKinds: readonly string[]): string {
  if (edgeKinds.length === 3) return "";
  return `The edge cache keeps ${edgeKinds.join(" and ")} only: what no database can prove comes from storage. `;
}

/** Whether the edge cache had what was asked for: then storage was left alone. */
function isFromEdge(measured: readonly Measured[], kind: string): boolean {
  const found = measured.find((one) => one.kind === `${kind}: edge cache`);
  return found !== undefined && (found.counters["r2B"] ?? 0) === 0;
}

function toKindTable(measured: readonly Measured[]): string {
  const head = ["request", "sub", "R2 A", "R2 B", "KV read", "KV write", "DO", "rows written"];
  const rows = measured.map(({ kind, counters }) => [
    kind,
    String(countSubrequests(counters)),
    ...["r2A", "r2B", "kvRead", "kvWrite"].map((name) => String(counters[name] ?? 0)),
    String((counters["dorequest"] ?? 0) + (counters["doalarm"] ?? 0)),
    String(counters["rowsWritten"] ?? 0),
    toFigure(cpuMsOf(kind)),
    toFigure(dollarsOf(measured, kind)),
  ]);
  return toTable([...head, "CPU ms", "$ per million"], rows);
}

function toBreakEven(measured: readonly Measured[]): string {
  const dollars = dollarsOf(measured, "info: edge cache");
  const millions = (VM_DOLLARS - BASE_DOLLARS) / dollars + 10;
  return `At the price of a file from the edge cache the ${VM_DOLLARS} dollars are reached at about ${toFigure(millions)} million requests a month (10 million are included).`;
}

function toRegionTable(
  outcomes: readonly { readonly regions: number; readonly outcome: Outcome }[],
  measured: readonly Measured[],
): string {
  const head = ["regions", "requests/month", "memory", "edge", "storage", "source", "list copies"];
  const rows = outcomes.map(({ regions, outcome }) => {
    const share = (count: number): string => `${toFigure((count / outcome.requests) * 100)} %`;
    return [
      String(regions),
      `${toFigure(outcome.requests / 1e6)} M`,
      share(outcome.memory),
      share(outcome.edge),
      share(outcome.storage),
      share(outcome.source),
      share(outcome.listCopies),
      toFigure(outcome.hottestPerSecond),
      toFigure(outcome.rushPerSecond),
      toFigure(toMonthlyDollars(outcome, measured)),
    ];
  });
  return toTable([...head, "hottest/s", "rush/s", "$ a month"], rows);
}

function toMonthlyDollars(outcome: Outcome, measured: readonly Measured[]): number {
  const parts: readonly (readonly [number, string])[] = [
    [outcome.memory, "info: memory"],
    [outcome.edge, "zip: edge cache"],
    [outcome.storage, "zip: storage"],
    [outcome.source, "zip: not stored yet"],
    [outcome.listCopies, "list: index copy"],
  ];
  const millions = parts.map(([count, kind]) => (count / 1e6) * dollarsOf(measured, kind));
  return BASE_DOLLARS + millions.reduce((sum, one) => sum + one, 0);
}

function dollarsOf(measured: readonly Measured[], kind: string): number {
  const found = measured.find((one) => one.kind === kind);
  return found === undefined ? Number.NaN : toDollarsPerMillion(found.counters, cpuMsOf(kind));
}

/** Milliseconds, from the last benchmark where it measured such a request. */
function cpuMsOf(kind: string): number {
  if (kind === "zip: not stored yet") {
    const seconds = fromBench("cold", "ingest per 10 MB", "cpuSeconds");
    const ms = seconds === undefined ? CPU_MS.ingestOf10Megabytes : seconds * 1000;
    return (ms * ZIP_MEGABYTES) / 10;
  }
  if (kind.endsWith("not stored yet") || kind === "absent: first asked") {
    return toMs(fromBench("growth", "miss, 1000 versions")) ?? CPU_MS.source;
  }
  if (kind.endsWith("memory")) return toMs(fromBench("hits", "info")) ?? CPU_MS.memory;
  if (kind.startsWith("zip")) return toMs(fromBench("hits", "zip 120 KB")) ?? CPU_MS.storage;
  return toMs(fromBench("growth", "stored read, 1000 versions")) ?? CPU_MS.storage;
}

function toMs(micros: number | undefined): number | undefined {
  return micros === undefined ? undefined : micros / 1000;
}

function fromBench(
  step: string,
  point: string,
  metric: Metric = "cpuMicrosPerRequest",
): number | undefined {
  const series = readReport(join(ROOT, "docs/bench")).find(
    (one) =>
      one.step === step && one.point === point && one.target === "edge" && one.metric === metric,
  );
  return toSpread(series?.values ?? [])?.median;
}
