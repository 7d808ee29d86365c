/**
 * Download a few modules with the real go command through one address, from an empty cache.
 *
 * Usage: npm run smoke -- URL [module@version …]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Small modules; one has a capital in its path, one needs another, one has a major suffix. */
const DEFAULT_MODULES = [
  "rsc.io/quote@v1.5.2",
  "rsc.io/quote/v3@v3.1.0",
  "github.com/BurntSushi/toml@v1.3.2",
  "golang.org/x/mod@v0.17.0",
];

/** A new workers.dev address takes some seconds to appear in DNS and at every location. */
const READY_DEADLINE_MS = 90_000;
const READY_PAUSE_MS = 2_000;

interface DownloadReport {
  readonly Sum?: string;
  readonly Error?: string;
}

async function waitUntilReady(address: string): Promise<boolean> {
  const deadline = Date.now() + READY_DEADLINE_MS;
  while (Date.now() < deadline) {
    try {
      const answer = await fetch(`${address}/-/healthz`);
      await answer.body?.cancel();
      if (answer.ok) return true;
    } catch {
      // Not there yet: DNS, TLS or the connection.
    }
    await delay(READY_PAUSE_MS);
  }
  return false;
}

/** The go command's own files are kept apart; HOME stays, for that is where netrc is. */
function goEnvironment(address: string, folder: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    GOENV: "off",
    GOPATH: join(folder, "gopath"),
    GOMODCACHE: join(folder, "modcache"),
    GOCACHE: join(folder, "cache"),
    GOFLAGS: "-modcacherw",
    GOTOOLCHAIN: "local",
    GOWORK: "off",
    GOPROXY: address,
    GOPRIVATE: "",
    GONOPROXY: "",
    GONOSUMDB: "",
  };
}

/** @returns The dirhash of the module, as the go command verified it. */
function download(module: string, folder: string, env: NodeJS.ProcessEnv): string {
  const args = ["mod", "download", "-json", module];
  const run = spawnSync("go", args, { cwd: folder, env, encoding: "utf8" });
  if (run.error !== undefined) throw run.error;
  if (!run.stdout.startsWith("{")) throw new Error(run.stderr.trim());
  const report = JSON.parse(run.stdout) as DownloadReport;
  if (report.Error !== undefined) throw new Error(report.Error);
  if (report.Sum === undefined) throw new Error("the go command reports no sum");
  return report.Sum;
}

function downloadAll(address: string, modules: readonly string[]): number {
  const folder = mkdtempSync(join(tmpdir(), "smoke-"));
  let failed = 0;
  try {
    writeFileSync(join(folder, "go.mod"), "module smoke.invalid/smoke\n\ngo 1.21\n");
    const env = goEnvironment(address, folder);
    for (const module of modules) {
      const started = performance.now();
      try {
        const sum = download(module, folder, env);
        console.log(`ok      ${module}  ${Math.round(performance.now() - started)} ms  ${sum}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${module}\n${String(error)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return failed;
}

async function main(args: readonly string[]): Promise<number> {
  const [base, ...named] = args;
  if (base === undefined || !/^https?:\/\//.test(base)) {
    console.error("usage: npm run smoke -- URL [module@version …]");
    return 2;
  }
  const address = base.replace(/\/+$/, "");
  if (!(await waitUntilReady(new URL(address).origin))) {
    console.error(`${address} gave no healthy answer within ${READY_DEADLINE_MS / 1000} s`);
    return 1;
  }
  const modules = named.length > 0 ? named : DEFAULT_MODULES;
  const failed = downloadAll(address, modules);
  console.log(`${modules.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
