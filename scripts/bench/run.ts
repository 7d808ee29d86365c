import type { Metric, Samples } from "./samples.ts";
import type { Targets } from "./targets.ts";
import type { Tools } from "./tools.ts";
import type { Upstream } from "./upstream.ts";

/** What every step works with. */
export interface Bench {
  readonly tools: Tools;
  readonly upstream: Upstream;
  readonly targets: Targets;
  readonly samples: Samples;
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly secondsPerPoint: number;
  /** How late the source is with its first byte, where a step does not say otherwise. */
  readonly delayMs: number;
  /** Folder of this run, emptied before it. */
  readonly work: string;
  /** Add to the samples, and say so. */
  note(
    place: { readonly step: string; readonly point: string; readonly target: string },
    measured: Readonly<Partial<Record<Metric, number>>>,
  ): void;
  /** Fail the run when a thing is not what it was the first time. */
  checkSame(what: string, value: string): void;
  say(line: string): void;
  /** Another order in each round, so that nobody is always the first. */
  inTurn<T>(items: readonly T[], round: number): T[];
}
