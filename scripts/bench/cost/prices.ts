import type { Counters } from "./measure.ts";

/** Dollars for a million operations beyond what is included; Cloudflare's list of November 2026. */
export const PRICES = {
  request: 0.3,
  cpuMillisecond: 0.02,
  r2A: 4.5,
  r2B: 0.36,
  kvRead: 0.5,
  kvWrite: 5,
  doRequest: 0.15,
  doGigabyteSecond: 12.5,
  rowRead: 0.001,
  rowWritten: 1,
  logLine: 0.6,
} as const;

/** Dollars a month that are due before the first request. */
export const BASE_DOLLARS = 5;
export const R2_GIGABYTE_MONTH = 0.015;
/** The smallest machine that runs Athens with a disk of 100 GB; a usual price, not a quotation. */
export const VM_DOLLARS = 12;

const DO_MEMORY_GIGABYTES = 0.128;
// A call that only looks at memory and SQLite, and one that waits for a source.
const DO_CALL_SECONDS = 0.01;
const DO_FETCH_SECONDS = 0.3;

/** Dollars for a million requests that take so much each. */
export function toDollarsPerMillion(counters: Counters, cpuMs: number): number {
  const of = (name: string): number => counters[name] ?? 0;
  const doCalls = of("dorequest") + of("doalarm");
  const doSeconds = doCalls * DO_CALL_SECONDS + of("source") * DO_FETCH_SECONDS;
  return (
    PRICES.request +
    PRICES.logLine +
    cpuMs * PRICES.cpuMillisecond +
    of("r2A") * PRICES.r2A +
    of("r2B") * PRICES.r2B +
    of("kvRead") * PRICES.kvRead +
    of("kvWrite") * PRICES.kvWrite +
    doCalls * PRICES.doRequest +
    doSeconds * DO_MEMORY_GIGABYTES * PRICES.doGigabyteSecond +
    of("rowsRead") * PRICES.rowRead +
    of("rowsWritten") * PRICES.rowWritten
  );
}

/** Sub-requests of one request: everything that leaves the isolate. */
export function countSubrequests(counters: Counters): number {
  const names = [
    "cacheRead",
    "cacheWrite",
    "r2A",
    "r2B",
    "kvRead",
    "kvWrite",
    "dorequest",
    "source",
  ];
  return names.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
}
