import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** How a process is started. */
export interface SpawnPlan {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** What it says on stderr is added to this file; what it says on stdout is dropped. */
  readonly logFile: string;
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuTicks: number;
}

// Linux has reported the processor time in hundredths of a second on every platform for decades.
const TICKS_PER_SECOND = 100;
const GRACE_MS = 8000;

const running = new Set<BenchProcess>();

process.once("exit", () => {
  for (const started of running) started.killNow();
});

/** A process that the benchmark started, with everything that it starts itself. */
export class BenchProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #hasEnded = false;

  constructor({ command, cwd, env, logFile }: SpawnPlan) {
    mkdirSync(dirname(logFile), { recursive: true });
    const log = openSync(logFile, "a");
    const [program, ...args] = command;
    this.#child = spawn(program, args, {
      cwd,
      env: env as NodeJS.ProcessEnv,
      stdio: ["ignore", "ignore", log],
      // A group of its own, so that it ends as a whole.
      detached: true,
    });
    closeSync(log);
    running.add(this);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    const finish = (): void => {
      this.#hasEnded = true;
      resolve();
    };
    this.#child.once("exit", finish);
    this.#child.once("error", finish);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Processor time of the whole tree so far, with that of its children which have ended. */
  cpuSeconds(): number {
    return this.#tree().reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) / TICKS_PER_SECOND;
  }

  /** Memory of the whole tree that is in use now. */
  rssBytes(): number {
    return this.#tree().reduce((sum, { pid }) => sum + readRssBytes(pid), 0);
  }

  async stop(): Promise<void> {
    if (!running.has(this)) return;
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    const grace = new AbortController();
    await Promise.race([
      this.#ended,
      wait(GRACE_MS, undefined, { signal: grace.signal }).catch(() => undefined),
    ]);
    grace.abort();
    this.killNow();
    await this.#ended;
    running.delete(this);
  }

  killNow(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // The whole group has ended.
    }
  }

  #tree(): Stat[] {
    const all = readStats();
    const found: Stat[] = [];
    const pids = new Set([this.#child.pid]);
    // Children follow their parents in time, but pids may wrap around: look until nothing is new.
    for (let before = -1; before !== found.length;) {
      before = found.length;
      for (const stat of all) {
        if (found.includes(stat) || !(pids.has(stat.pid) || pids.has(stat.parent))) continue;
        pids.add(stat.pid);
        found.push(stat);
      }
    }
    return found;
  }
}

function readStats(): Stat[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      // After the name, which may hold anything: state, parent, …, and four times at 11 to 14.
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      const times = fields.slice(11, 15).map(Number);
      const cpuTicks = times.reduce((sum, ticks) => sum + ticks, 0);
      return [{ pid: Number(name), parent: Number(fields[1]), cpuTicks }];
    } catch {
      return [];
    }
  });
}

function readRssBytes(pid: number): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** A port of loopback that nobody listens on at present. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    server.close(() => resolve(port));
  });
  return await promise;
}

/** The environment of a measured process: nothing of the person's own Go settings. */
export function plainEnv(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of ["PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "LANG"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}
