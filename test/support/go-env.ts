import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { makeTempFolder } from "./temp-folder.ts";

/** What a run of the go command gave. */
export interface GoRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The go command in an environment of its own. */
export interface GoEnv {
  /** Folder that commands run in. */
  readonly folder: string;
  readonly modCache: string;
  readonly env: Readonly<Record<string, string>>;
  /** Run the go command; a failure is a value. */
  go(args: readonly string[], extra?: Readonly<Record<string, string>>): Promise<GoRun>;
  /** Run the go command and fail loudly unless it succeeds. */
  mustGo(args: readonly string[], extra?: Readonly<Record<string, string>>): Promise<string>;
}

/** How an environment differs from the usual one. */
export interface GoOptions {
  /** Another go command than the one on the path. */
  readonly program?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Kept over the runs, for what is large and never changes. */
  readonly modCache?: string;
}

const RUN_MS = 110_000;

/** Where builds and toolchains are kept from one test run to the next. */
export const GO_CACHE_FOLDER = join(tmpdir(), "goproxy-edge-test-cache");

/** Why the go command cannot be used here; undefined when it can. */
export function findGoObstacle(): string | undefined {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "go is not installed";
  }
}

/** The public Go module proxy of this machine; undefined when its go names none. */
export function readPublicProxy(): string | undefined {
  const list = execFileSync("go", ["env", "GOPROXY"], { encoding: "utf8" });
  return list
    .trim()
    .split(/[,|]/)
    .find((entry) => entry.startsWith("http"))
    ?.replace(/\/+$/, "");
}

/** The checksum database that this machine's go asks. */
export function readPublicSumdb(): string {
  return execFileSync("go", ["env", "GOSUMDB"], { encoding: "utf8" }).trim();
}

/**
 * Make an environment that shares nothing with the user's but the build cache of earlier test runs.
 *
 * @param proxy Value of GOPROXY.
 */
export function makeGoEnv(proxy: string, options: GoOptions = {}): GoEnv {
  const home = makeTempFolder("go");
  const folder = join(home, "work");
  const modCache = options.modCache ?? join(home, "mod");
  const buildCache = join(GO_CACHE_FOLDER, "build");
  for (const path of [folder, modCache, buildCache]) mkdirSync(path, { recursive: true });
  const env: Record<string, string> = {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    GOENV: "off",
    GOPATH: join(home, "gopath"),
    GOMODCACHE: modCache,
    GOCACHE: buildCache,
    GOFLAGS: "-modcacherw",
    GOPROXY: proxy,
    GOSUMDB: "off",
    GOTOOLCHAIN: "local",
    GOWORK: "off",
    CGO_ENABLED: "0",
    GOTELEMETRY: "off",
    ...pick("SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"),
    ...options.env,
  };
  const program = options.program ?? "go";
  if (options.program !== undefined) {
    env["PATH"] = `${dirname(options.program)}${delimiter}${env["PATH"] ?? ""}`;
  }
  const go: GoEnv["go"] = async (args, extra = {}) =>
    await run(program, args, folder, { ...env, ...extra });
  return {
    folder,
    modCache,
    env,
    go,
    async mustGo(args, extra) {
      const result = await go(args, extra);
      if (result.code === 0) return result.stdout;
      throw new Error(`go ${args.join(" ")} ended with ${result.code}\n${result.stderr}`);
    },
  };
}

function pick(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<GoRun> {
  const child = spawn(program, args, {
    cwd,
    env: env as NodeJS.ProcessEnv,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_MS,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  return { code: await promise, stdout, stderr };
}
