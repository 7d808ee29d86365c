import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** What the load generator says. */
export interface Load {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that are neither 2xx nor 3xx. */
  readonly failures: number;
  readonly socketErrors: number;
}

/** How hard and how long to ask. */
export interface LoadPlan {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
}

const THREADS = 2;
const run = promisify(execFile);
const UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

/** Ask one address over and over, on connections that stay open. */
export async function runWrk(wrk: string, { url, connections, seconds }: LoadPlan): Promise<Load> {
  const { stdout } = await run(wrk, [
    `-t${THREADS}`,
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    "30s",
    "--latency",
    url,
  ]);
  return parseWrk(stdout);
}

/** Read what wrk prints. */
export function parseWrk(text: string): Load {
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return {
    requests: Number(/(\d+) requests in/.exec(text)?.[1] ?? 0),
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? 0),
    p50Ms: toMs(/50%\s+([\d.]+)(us|ms|s|m)\b/.exec(text)),
    p99Ms: toMs(/99%\s+([\d.]+)(us|ms|s|m)\b/.exec(text)),
    failures: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
    socketErrors: (errors ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0),
  };
}

function toMs(match: RegExpExecArray | null): number {
  if (match === null) return Number.NaN;
  const [, amount, unit = "ms"] = match;
  return Number(amount) * (UNITS_MS[unit] ?? 1);
}
