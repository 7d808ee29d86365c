import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { fetchOnce } from "./client.ts";
import { toMemoryFolder } from "./memory-folder.ts";
import { BIG } from "./modules.ts";
import { plainEnv } from "./process.ts";
import type { Bench } from "./run.ts";
import type { RunningTarget, TargetName } from "./targets.ts";
import { countModuleRequests } from "./upstream.ts";

const GRAPH = join(import.meta.dirname, "graph/go.mod");
const SUMDB = "sum.golang.org";
const DOWNLOAD_MS = 300_000;
/** A source at the other end of a good line. */
const SLOW_BYTES_PER_SECOND = 5_000_000;
const INGESTED = ["v0.161.0", "v0.160.0", "v0.158.0"];

// A second or two each: one alone says little.
const WARM_RUNS = 3;

type SumdbUse = "off" | "on";

const run = promisify(execFile);

/** What nobody has yet: one big zip, and all modules of a project. */
export async function measureCold(bench: Bench): Promise<void> {
  await measureFirstByte(bench);
  await measureGraph(bench);
}

/** The first byte and the last one of a zip of 10 MB, beside the source asked directly. */
async function measureFirstByte(bench: Bench): Promise<void> {
  const { upstream, targets } = bench;
  // Recorded before it is timed.
  for (const path of Object.values(BIG)) await fetchOnce(upstream.urlFor("record") + path);
  for (let round = 0; round < bench.rounds; round++) {
    for (const name of bench.inTurn(["direct" as const, ...targets.names("proxy")], round)) {
      await upstream.set({ mode: "ok", delayMs: bench.delayMs, bytesPerSecond: 0 });
      if (name === "direct") {
        await measureBigZip(bench, name, upstream.urlFor(name));
        continue;
      }
      const target = await targets.start(name);
      await measureBigZip(bench, name, target.url, target);
      if (name === "edge") await measureIngest(bench, target);
      await target.stop();
    }
  }
}

async function measureBigZip(
  bench: Bench,
  name: TargetName | "direct",
  url: string,
  target?: RunningTarget,
): Promise<void> {
  await bench.upstream.set({ bytesPerSecond: SLOW_BYTES_PER_SECOND });
  const cpuBefore = target?.process.cpuSeconds();
  const { status, firstByteSeconds, totalSeconds } = await fetchOnce(url + BIG.zip, DOWNLOAD_MS);
  const times = { status: status ?? 0, firstByteSeconds, totalSeconds };
  const place = { step: "cold", point: "zip 10 MB", target: name };
  if (target === undefined || cpuBefore === undefined) bench.note(place, times);
  else bench.note(place, { ...times, cpuSeconds: target.process.cpuSeconds() - cpuBefore });
}

/** Processor time of an ingest without the wait for the source: several zips of 7 MB in a row. */
async function measureIngest(bench: Bench, target: RunningTarget): Promise<void> {
  await bench.upstream.set({ delayMs: 0, bytesPerSecond: 0 });
  const paths = INGESTED.slice(0, bench.isQuick ? 1 : undefined).map((version) =>
    BIG.zip.replace("v0.162.0", version),
  );
  for (const path of paths) await fetchOnce(bench.upstream.urlFor("record") + path);
  const cpuBefore = target.process.cpuSeconds();
  let megabytes = 0;
  for (const path of paths) {
    const { status, bodyBytes } = await fetchOnce(target.url + path, DOWNLOAD_MS);
    // A zip that was refused cost as much, and would count for the others.
    if (status !== 200) return bench.say(`ingest: ${path} is not served`);
    megabytes += bodyBytes / 1e6;
  }
  const cpuSeconds = ((target.process.cpuSeconds() - cpuBefore) / megabytes) * 10;
  bench.note({ step: "cold", point: "ingest per 10 MB", target: target.name }, { cpuSeconds });
}

/** `go mod download` of a project with nearly a hundred modules, store empty and then full. */
async function measureGraph(bench: Bench): Promise<void> {
  const { upstream } = bench;
  await upstream.set({ mode: "ok", delayMs: 0, bytesPerSecond: 0 });
  await download(bench, upstream.urlFor("record"), "on");
  for (let round = 0; round < Math.max(1, bench.rounds - 1); round++) {
    // In a hurry the shorter one of the two will do.
    for (const sumdb of bench.isQuick ? (["off"] as const) : (["off", "on"] as const)) {
      for (const name of bench.inTurn(graphTargets(bench), round)) {
        await upstream.set({ delayMs: bench.delayMs });
        if (name === "direct") await downloadDirect(bench, sumdb);
        else await downloadThrough(bench, name as TargetName, sumdb);
      }
    }
  }
}

/** In a hurry the peers are left out. */
function graphTargets({ isQuick, targets }: Bench): string[] {
  return ["direct", ...(isQuick ? ["edge"] : targets.names("proxy", "static"))];
}

async function downloadDirect(bench: Bench, sumdb: SumdbUse): Promise<void> {
  const { upstream } = bench;
  await upstream.takeCounts("direct");
  const totalSeconds = await download(bench, upstream.urlFor("direct"), sumdb);
  const upstreamRequests = countModuleRequests(await upstream.takeCounts("direct"));
  const place = { step: "cold", point: `go mod download, sumdb ${sumdb}`, target: "direct" };
  bench.note(place, { totalSeconds, upstreamRequests });
}

async function downloadThrough(bench: Bench, name: TargetName, sumdb: SumdbUse): Promise<void> {
  const { upstream, targets } = bench;
  // "off" is without the database on both sides, as it is for the client who asks the source.
  const target = await targets.start(name, { proves: sumdb === "on" });
  try {
    const warm = Array.from({ length: bench.isQuick ? 1 : WARM_RUNS }, () => "warm");
    for (const state of target.kind === "static" ? warm : ["cold", ...warm]) {
      await upstream.takeCounts(name);
      const cpuBefore = target.process.cpuSeconds();
      const totalSeconds = await download(bench, target.url, sumdb, name);
      const cpuSeconds = target.process.cpuSeconds() - cpuBefore;
      const upstreamRequests = countModuleRequests(await upstream.takeCounts(name));
      const what = state === "cold" ? "go mod download" : "go mod download again";
      const place = { step: "cold", point: `${what}, sumdb ${sumdb}`, target: name };
      bench.note(place, { totalSeconds, cpuSeconds, upstreamRequests });
    }
  } finally {
    await target.stop();
  }
}

/** Seconds of one download into an empty cache; NaN when it fails. */
async function download(
  bench: Bench,
  proxyUrl: string,
  sumdb: SumdbUse,
  target?: TargetName,
): Promise<number> {
  const folder = join(toMemoryFolder(bench.work), `bench-client-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyFileSync(GRAPH, join(folder, "go.mod"));
  // Athens relays a database only under its real name and address: its clients go past it.
  const isRelayed = target === "edge" || target === "goproxy" || target === undefined;
  const database = isRelayed ? SUMDB : `${SUMDB} ${bench.upstream.urlFor("client")}/sumdb/${SUMDB}`;
  const env = {
    ...plainEnv(),
    HOME: folder,
    GOPATH: join(folder, "go"),
    GOCACHE: join(folder, "build"),
    GOPROXY: proxyUrl,
    GOSUMDB: sumdb === "off" ? "off" : database,
    GOTOOLCHAIN: "local",
    GOFLAGS: "-mod=mod -modcacherw",
  };
  const startedMs = performance.now();
  try {
    const options = {
      cwd: folder,
      env,
      timeout: DOWNLOAD_MS,
      maxBuffer: 64 * 1024 * 1024,
    };
    await run(bench.tools.go, ["mod", "download"], {
      ...options,
      env: env as unknown as NodeJS.ProcessEnv,
    });
    const seconds = (performance.now() - startedMs) / 1000;
    bench.checkSame("go.sum", sortLines(readFileSync(join(folder, "go.sum"), "utf8")));
    return seconds;
  } catch (error) {
    bench.say(`go mod download: ${error instanceof Error ? error.message.slice(0, 500) : ""}`);
    return Number.NaN;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sortLines(text: string): string {
  return text.split("\n").toSorted().join("\n");
}
