import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { parseUpstreamList } from "../upstreams.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
/** Ignored by git: programs that were built, recorded answers, and the data of a run. */
export const TOOLS = join(ROOT, ".tools");
const BIN = join(TOOLS, "bin");

/** Programs of the benchmark; what is undefined is missing on this machine. */
export interface Tools {
  readonly node: string;
  readonly workerd: string;
  readonly go: string;
  readonly upstream: string;
  readonly athens: string | undefined;
  readonly goproxy: string | undefined;
  readonly nginx: string | undefined;
  readonly wrk: string | undefined;
  /** The proxy whose answers are recorded, as this machine names it. */
  readonly realProxy: string | undefined;
  /** What is missing, in words. */
  readonly missing: readonly string[];
}

interface Peer {
  readonly name: "athens" | "goproxy";
  readonly module: string;
  readonly version: string;
  readonly main: string;
  readonly ldflags?: string;
}

/** The newest releases that can be had as Go modules. */
export const PEERS: readonly Peer[] = [
  {
    name: "athens",
    module: "github.com/gomods/athens",
    version: "v0.18.1",
    main: "./cmd/proxy",
    ldflags: "-X github.com/gomods/athens/pkg/build.version=v0.18.1",
  },
  {
    name: "goproxy",
    module: "github.com/goproxy/goproxy",
    version: "v0.26.1",
    main: "./cmd/goproxy",
  },
];

const run = promisify(execFile);

/**
 * Find every program, building those that come as Go source.
 *
 * @throws Error without the go command: nothing can be measured without it.
 */
export async function findTools(say: (line: string) => void): Promise<Tools> {
  const go = findInPath("go");
  if (go === undefined)
    throw new Error("the go command is missing: it builds the servers measured");
  mkdirSync(BIN, { recursive: true });
  const [athens, goproxy] = [
    await buildPeer("athens", go, say),
    await buildPeer("goproxy", go, say),
  ];
  const [nginx, wrk] = [findInPath("nginx"), findInPath("wrk")];
  const missing = [
    ...(athens === undefined ? ["Athens could not be built: its columns stay empty"] : []),
    ...(goproxy === undefined
      ? ["goproxy/goproxy could not be built: its columns stay empty"]
      : []),
    ...(nginx === undefined ? ["nginx is missing (Debian: nginx-light): no static baseline"] : []),
    ...(wrk === undefined ? ["wrk is missing (Debian: wrk): no hits, memory and growth"] : []),
  ];
  const own = join(ROOT, "node_modules/node/bin/node");
  return {
    node: existsSync(own) ? own : process.execPath,
    workerd: findWorkerd(),
    go,
    upstream: await buildUpstream(go),
    athens,
    goproxy,
    nginx,
    wrk,
    realProxy: findRealProxy(go),
    missing,
  };
}

async function buildPeer(
  name: Peer["name"],
  go: string,
  say: (line: string) => void,
): Promise<string | undefined> {
  const peer = PEERS.find((one) => one.name === name);
  if (peer === undefined) return undefined;
  const file = join(BIN, `${name}-${peer.version}`);
  if (existsSync(file)) return file;
  say(`building ${peer.module} ${peer.version}`);
  try {
    // The exact version: a list of all versions need not be there.
    const download = ["mod", "download", "-json", `${peer.module}@${peer.version}`];
    const { stdout } = await run(go, download, { cwd: TOOLS, env: goEnv() });
    const { Dir: source } = JSON.parse(stdout) as { readonly Dir: string };
    const flags = peer.ldflags === undefined ? [] : ["-ldflags", peer.ldflags];
    const build = ["build", "-trimpath", ...flags, "-o", file, peer.main];
    await run(go, build, { cwd: source, env: goEnv(), maxBuffer: 64 * 1024 * 1024 });
    return file;
  } catch (error) {
    say(`${name}: ${error instanceof Error ? error.message.split("\n", 3).join(" ") : "failed"}`);
    return undefined;
  }
}

async function buildUpstream(go: string): Promise<string> {
  const file = join(BIN, "upstream");
  const source = join(import.meta.dirname, "upstream");
  await run(go, ["build", "-trimpath", "-o", file, "."], { cwd: source, env: goEnv() });
  return file;
}

/** Builds must not depend on a workspace or flags of the person who measures. */
function goEnv(): NodeJS.ProcessEnv {
  return { ...process.env, GOFLAGS: "-buildvcs=false", GOWORK: "off", GOTOOLCHAIN: "local" };
}

function findRealProxy(go: string): string | undefined {
  const { stdout } = spawnSync(go, ["env", "GOPROXY"], { encoding: "utf8" });
  return parseUpstreamList(stdout)[0];
}

function findWorkerd(): string {
  const { default: path } = createRequire(import.meta.url)("workerd") as { default: string };
  return path;
}

function findInPath(program: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}
