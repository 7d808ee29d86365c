import { Agent, get } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { crc32 } from "node:zlib";

/** What one request brought. */
export interface Fetched {
  /** Undefined when there was no whole answer in time. */
  readonly status: number | undefined;
  readonly firstByteSeconds: number;
  readonly totalSeconds: number;
  readonly bodyBytes: number;
  /** Of the body; cheap, for the client shares the machine with what it measures. */
  readonly checksum: number;
}

const MAX_SOCKETS = 256;

/**
 * Ask once, on a connection of its own.
 *
 * Never fails: what is no whole answer has no status.
 */
export async function fetchOnce(url: string, timeoutMs = 60_000): Promise<Fetched> {
  const agent = new Agent({ maxSockets: MAX_SOCKETS });
  const startedMs = performance.now();
  let checksum = 0;
  let firstByteSeconds = Number.NaN;
  let bodyBytes = 0;
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const request = get(
    url,
    { agent, headers: { "User-Agent": "goproxy-edge-bench" } },
    (response) => {
      response.on("data", (chunk: Buffer) => {
        if (bodyBytes === 0) firstByteSeconds = secondsSince(startedMs);
        bodyBytes += chunk.length;
        checksum = crc32(chunk, checksum);
      });
      response.once("end", () => resolve(response.complete ? response.statusCode : undefined));
      response.once("error", () => resolve(undefined));
    },
  );
  request.once("error", () => resolve(undefined));
  const timer = setTimeout(() => request.destroy(new Error("too slow")), timeoutMs);
  const status = await promise;
  clearTimeout(timer);
  agent.destroy();
  const totalSeconds = secondsSince(startedMs);
  const firstSeconds = Number.isNaN(firstByteSeconds) ? totalSeconds : firstByteSeconds;
  return {
    status,
    firstByteSeconds: firstSeconds,
    totalSeconds,
    bodyBytes,
    checksum,
  };
}

/** Wait until an address answers anything at all. */
export async function waitForAnswer(
  url: string,
  { timeoutMs, isOver }: { readonly timeoutMs: number; readonly isOver: () => boolean },
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (performance.now() < endMs && !isOver()) {
    if ((await fetchOnce(url, 2000)).status !== undefined) return true;
    await wait(25);
  }
  return false;
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1000;
}
