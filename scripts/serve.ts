import { createServer } from "node:net";
import { buildBundle } from "./serve/bundle.ts";
import { lockDataFolder, onParentGone, Watchdog } from "./serve/guard.ts";
import type { Server } from "./serve/server.ts";
import { checkSignerKeys, readOptions, type ServeOptions } from "./serve/options.ts";
import { waitUntilReady } from "./serve/ready.ts";
import { readPort, startWorkerd } from "./serve/workerd.ts";
import { UsageError } from "./usage-error.ts";

// Open answers are cut after this time.
const DRAIN_MS = 4000;
const EXIT_USAGE = 2;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

try {
  await serve(readOptions(process.argv.slice(2), process.env));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`goproxy-edge: ${error.message}\n`);
  process.exit(EXIT_USAGE);
}

async function serve(wanted: ServeOptions): Promise<void> {
  await checkSignerKeys(wanted);
  lockDataFolder(wanted.data);
  const [, bundle] = await Promise.all([checkPort(wanted), buildBundle()]);
  const server =
    wanted.storage === "disk"
      ? await runWorkerd(bundle, wanted)
      : await runMiniflare(bundle, wanted);
  const options = { ...wanted, port: server.port };
  // The simulator's own handlers would end the process before open answers are through.
  for (const signal of SIGNALS) process.removeAllListeners(signal);
  const stop = once(() => void end(server));
  for (const signal of SIGNALS) process.on(signal, stop);
  onParentGone(stop);
  if (!(await waitUntilReady(options))) {
    process.stderr.write("goproxy-edge: the runtime does not answer\n");
    server.kill();
    process.exit(1);
  }
  printReady(options);
}

async function end(server: Server): Promise<void> {
  const timer = setTimeout(() => server.kill(), DRAIN_MS);
  await server.drain();
  clearTimeout(timer);
  process.exit(0);
}

/** The simulators are large: they stay out of a process that has no use for them. */
async function runMiniflare(bundle: string, options: ServeOptions): Promise<Server> {
  const { startMiniflare } = await import("./serve/miniflare.ts");
  return await startMiniflare(bundle, options);
}

async function runWorkerd(bundle: string, options: ServeOptions): Promise<Server> {
  const child = startWorkerd(bundle, options);
  const watchdog = new Watchdog();
  if (child.pid !== undefined) watchdog.watch([child.pid]);
  let isStopping = false;
  let lastWords = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000);
    process.stderr.write(chunk);
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      watchdog.release();
      resolve();
      if (isStopping) return;
      const isBusy = /address already in use/i.test(lastWords);
      const reason = isBusy ? `port ${options.port} is busy` : `ended (${signal ?? code})`;
      process.stderr.write(`goproxy-edge: the runtime ${reason}\n`);
      process.exit(isBusy ? EXIT_USAGE : 1);
    });
  });
  return {
    port: await readPort(child),
    async drain() {
      isStopping = true;
      child.kill("SIGTERM");
      await ended;
    },
    kill: () => child.kill("SIGKILL"),
  };
}

/** Refuse a host or port that cannot be had, before anything is built for it. */
async function checkPort({ host, port }: ServeOptions): Promise<void> {
  const probe = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  probe.once("error", (error: NodeJS.ErrnoException) => {
    const reason = error.code === "EADDRINUSE" ? "is busy" : `cannot be used (${error.code})`;
    reject(new UsageError(`port ${port} on ${host} ${reason}`, { cause: error }));
  });
  probe.listen({ host, port, exclusive: true }, () => {
    probe.close(() => resolve());
  });
  await promise;
}

function printReady(options: ServeOptions): void {
  const scheme = options.tls === undefined ? "http" : "https";
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  const url = `${scheme}://${host}:${options.port}`;
  process.stdout.write(
    `goproxy-edge ready on ${url}\n\n  go env -w GOPROXY=${url}\n\n` +
      `or for one command:\n\n  GOPROXY=${url} go build ./...\n\n`,
  );
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}
