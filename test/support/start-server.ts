import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, relative, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll } from "vitest";
import { type Answer, ask, type Asking } from "./http-client.ts";
import { makeTempFolder } from "./temp-folder.ts";

/** The two sets of bindings. */
export const STORAGES = ["disk", "r2"] as const;

/** Which set of bindings a server has. */
export type Storage = (typeof STORAGES)[number];

/** How a server is started. */
export interface StartOptions {
  readonly storage?: Storage;
  /** A fresh folder by default. */
  readonly data?: string;
  readonly upstream?: string;
  /** A configuration document. */
  readonly config?: unknown;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** How a process has ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const ROOT = resolve(import.meta.dirname, "../..");
const READY = /^goproxy-edge ready on (https?:\/\/\S+)$/m;
const READY_MS = 30_000;

const groups = new Set<number>();

// Registered before every hook of the test file, so it runs after them: nothing may be left running.
afterAll(() => {
  for (const pid of groups) killGroup(pid);
});

/** The Node that `npm ci` brings: the one that the scripts run under. */
export function findNode(): string {
  const own = join(ROOT, "node_modules/node/bin/node");
  return existsSync(own) ? own : process.execPath;
}

/** A server that was started the way users do. */
export class ServerProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = "";
  stderr = "";

  constructor(program: string, args: readonly string[], options: SpawnOptions) {
    this.child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...cleanEnv(), ...options.env } as NodeJS.ProcessEnv,
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that it can be killed as a whole.
      detached: true,
    });
    const { pid } = this.child;
    if (pid !== undefined) groups.add(pid);
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    const { promise, resolve: done } = Promise.withResolvers<Ended>();
    this.ended = promise;
    this.child.once("exit", (code, signal) => {
      // The output may be held open by a child that outlives the launcher.
      const finish = (): void => done({ code, signal, stdout: this.stdout, stderr: this.stderr });
      const timer = setTimeout(finish, 300);
      this.child.once("close", () => {
        clearTimeout(timer);
        finish();
      });
    });
  }

  /** Wait for the ready line. */
  async waitUntilReady(): Promise<string> {
    const endMs = Date.now() + READY_MS;
    while (Date.now() < endMs) {
      const url = READY.exec(this.stdout)?.[1];
      if (url !== undefined) return url;
      if (this.child.exitCode !== null || this.child.signalCode !== null) break;
      await wait(10);
    }
    this.killGroup();
    throw new Error(`the server did not become ready\n${this.stdout}\n${this.stderr}`);
  }

  /** Ask it to end, and wait. */
  async stop(): Promise<Ended> {
    this.child.kill("SIGTERM");
    const ended = await this.ended;
    this.killGroup();
    return ended;
  }

  /** Kill the launcher alone. */
  async killLauncher(): Promise<Ended> {
    this.child.kill("SIGKILL");
    return await this.ended;
  }

  /** Kill the whole process group at once. */
  async kill(): Promise<Ended> {
    this.killGroup();
    return await this.ended;
  }

  killGroup(): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    killGroup(pid);
    groups.delete(pid);
  }
}

interface SpawnOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A server that answers. */
export interface RunningServer {
  /** Without a slash at the end. */
  readonly url: string;
  readonly data: string;
  readonly storage: Storage;
  readonly process: ServerProcess;
  ask(path: string, asking?: Asking): Promise<Answer>;
  /** Keys of all stored files, `{scope}/{path}` and `system/…`, sorted; tree files included. */
  stored(): string[];
  stop(): Promise<Ended>;
  kill(): Promise<Ended>;
}

/** Start the server with flags and do not wait for anything. */
export function spawnServer(
  args: readonly string[],
  options: Partial<SpawnOptions> = {},
): ServerProcess {
  return new ServerProcess(findNode(), [join(ROOT, "scripts/serve.ts"), ...args], {
    cwd: makeTempFolder("cwd"),
    ...options,
  });
}

/** Start a server and wait until it answers. */
export async function startServer(options: StartOptions = {}): Promise<RunningServer> {
  const { storage = "disk", data = makeTempFolder("data") } = options;
  const args = ["--port", "0", "--data", data, "--storage", storage];
  if (options.upstream !== undefined) args.push("--upstream", options.upstream);
  if (options.config === undefined) args.push("--sumdb", "off");
  else args.push("--config", writeConfig(options.config));
  const spawned = spawnServer([...args, ...(options.args ?? [])], {
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  const url = await spawned.waitUntilReady();
  return {
    url,
    data,
    storage,
    process: spawned,
    ask: (path, asking) => ask(url, path, asking),
    stored: () => listStored(data, storage),
    stop: () => spawned.stop(),
    kill: () => spawned.kill(),
  };
}

/** Write a configuration document to a file of its own; JSON is YAML. */
export function writeConfig(document: unknown): string {
  const file = join(makeTempFolder("config"), "goproxy-edge.yaml");
  writeFileSync(file, typeof document === "string" ? document : JSON.stringify(document));
  return file;
}

/** Whether anybody listens on a port of loopback. */
export async function isListening(url: string): Promise<boolean> {
  const { port } = new URL(url);
  const { promise, resolve: done } = Promise.withResolvers<boolean>();
  const socket = connect(Number(port), "127.0.0.1");
  socket.once("connect", () => done(true));
  socket.once("error", () => done(false));
  const result = await promise;
  socket.destroy();
  return result;
}

/** Poll until something is so; for what happens outside of the test's own clock. */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  limitMs: number,
): Promise<boolean> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    if (await isSo()) return true;
    if (Date.now() >= endMs) return false;
    await wait(25);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The whole group has ended.
  }
}

/** What a server needs of the environment, and nothing that could change its ways. */
function cleanEnv(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of ["PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "LANG"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

function listStored(data: string, storage: Storage): string[] {
  return storage === "disk" ? listFolder(join(data, "files")) : listBucket(join(data, "r2"));
}

function listFolder(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => join(root, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .map((path) => relative(root, path))
    .filter((key) => !key.endsWith(".record"))
    .toSorted();
}

/** Keys of the simulated bucket: rows of the one database below its folder that has objects. */
function listBucket(root: string): string[] {
  return findDatabases(join(root, "r2"))
    .flatMap((file) => {
      const database = new DatabaseSync(file, { readOnly: true });
      try {
        return database.prepare("SELECT key FROM _mf_objects").all();
      } catch {
        return [];
      } finally {
        database.close();
      }
    })
    .map((row) => String(row["key"]))
    .toSorted();
}

function findDatabases(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sqlite") && !name.endsWith("metadata.sqlite"))
    .map((name) => join(root, name));
}
