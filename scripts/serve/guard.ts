import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UsageError } from "../usage-error.ts";

// Kills the last pids that it was told as soon as its input ends, which the end of the launcher
// brings about however it ends.
const WATCHDOG = 'trap "" INT TERM HUP; while read -r line; do pids=$line; done; kill -9 $pids';
const PARENT_POLL_MS = 200;

/**
 * Take the data folder for this process.
 *
 * The lock is one of the operating system's, by way of SQLite: it ends with the process.
 *
 * @throws UsageError when another process holds it or the folder cannot be used.
 */
export function lockDataFolder(data: string): void {
  try {
    makeFolder(data);
    const database = new DatabaseSync(join(data, "lock.sqlite"));
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    // Kept open, and referenced, for as long as the process lives.
    process.once("exit", () => database.close());
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message.includes("locked")) {
      throw new UsageError(`--data: ${data} is in use by another process`, { cause: error });
    }
    throw new UsageError(`--data: cannot use ${data} (${message})`, { cause: error });
  }
}

/** Step by step: on a file system that takes no folder, Node's recursive way never ends. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another start may have been faster.
    if (!existsSync(path)) throw error;
  }
}

/** Sees to it that no child survives the launcher, not even when that is killed. */
export class Watchdog {
  readonly #process = spawn("/bin/sh", ["-c", WATCHDOG], {
    stdio: ["pipe", "ignore", "ignore"],
  });

  constructor() {
    this.#process.stdin.on("error", () => undefined);
    this.#process.unref();
  }

  /** Name the processes to kill; replaces those named before. */
  watch(pids: readonly number[]): void {
    this.#process.stdin.write(`${pids.join(" ")}\n`);
  }

  /** The children have ended by themselves. */
  release(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Call back when the npm that started this process is gone: nobody is left to end it. */
export function onParentGone(callback: () => void): void {
  if (process.env["npm_lifecycle_event"] === undefined) return;
  const parents = readParents();
  const timer = setInterval(() => {
    const now = readParents();
    if (parents.some((pid, index) => now[index] !== pid)) {
      clearInterval(timer);
      callback();
    }
  }, PARENT_POLL_MS);
  timer.unref();
}

/** The parent and, where a shell stands between, its parent. */
function readParents(): number[] {
  const parent = process.ppid;
  try {
    const stat = readFileSync(`/proc/${parent}/stat`, "utf8");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const grandparent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return /^(?:da|ba|z|)sh$/.test(name) ? [parent, grandparent] : [parent];
  } catch {
    return [parent];
  }
}
