/** Lower or higher is better; or a fact that is neither. */
export type Metric =
  | "requestsPerSecond"
  | "cpuMicrosPerRequest"
  | "requestsPerCpuSecond"
  | "p50Ms"
  | "p99Ms"
  | "rssMegabytes"
  | "firstByteSeconds"
  | "totalSeconds"
  | "cpuSeconds"
  | "upstreamRequests"
  | "status"
  | "errors";

/** What was measured of one target at one point, once for each round. */
export interface Series {
  readonly step: string;
  readonly point: string;
  readonly target: string;
  readonly metric: Metric;
  readonly values: number[];
}

/** The least, the middle and the greatest of some values. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Everything that one run has measured. */
export class Samples {
  readonly #series = new Map<string, Series>();

  add(
    {
      step,
      point,
      target,
    }: { readonly step: string; readonly point: string; readonly target: string },
    measured: Readonly<Partial<Record<Metric, number>>>,
  ): void {
    for (const [name, value] of Object.entries(measured)) {
      const metric = name as Metric;
      const key = toKey(step, point, target, metric);
      const series = this.#series.get(key) ?? { step, point, target, metric, values: [] };
      series.values.push(value);
      this.#series.set(key, series);
    }
  }

  all(): Series[] {
    return [...this.#series.values()];
  }

  /** Values in the order of the rounds; none when nothing was measured. */
  values(
    {
      step,
      point,
      target,
    }: { readonly step: string; readonly point: string; readonly target: string },
    metric: Metric,
  ): readonly number[] {
    return this.#series.get(toKey(step, point, target, metric))?.values ?? [];
  }
}

export function toSpread(values: readonly number[]): Spread | undefined {
  const sorted = values.filter((value) => Number.isFinite(value)).toSorted((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return undefined;
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)] ?? min;
  const high = sorted[Math.ceil(middle)] ?? max;
  return { min, median: (low + high) / 2, max };
}

/** One value over the other, round by round: a slow moment of the machine hits both. */
export function toRatios(over: readonly number[], under: readonly number[]): number[] {
  return over.slice(0, under.length).map((value, index) => value / (under[index] ?? Number.NaN));
}

function toKey(step: string, point: string, target: string, metric: Metric): string {
  return [step, point, target, metric].join("\n");
}
