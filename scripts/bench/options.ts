import { join } from "node:path";
import { parseArgs } from "node:util";
import { TOOLS } from "./tools.ts";

/** What the benchmark was told. */
export interface BenchOptions {
  readonly isQuick: boolean;
  readonly steps: readonly StepName[];
  readonly rounds: number;
  readonly secondsPerPoint: number;
  readonly out: string;
  /** Add to what an earlier run wrote there, step by step. */
  readonly isMerging: boolean;
}

export const STEP_NAMES = ["hits", "front", "cold", "crowd", "faults", "memory", "growth"] as const;
export type StepName = (typeof STEP_NAMES)[number];

export const USAGE = `usage: npm run bench -- [--quick] [--only ${STEP_NAMES.join(",")}]
  [--rounds N] [--seconds N] [--out FOLDER] [--merge]

  --quick    one short round, less of everything: under three minutes
  --only     some of the steps
  --rounds   how often every point is measured, all servers in turn (3)
  --seconds  how long one point of hits is loaded (3)
  --out      where bench.json and bench.svg go (.tools/bench)
  --merge    keep the other steps of the bench.json that is there`;

/** @throws Error with what is wrong. */
export function readBenchOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      out: { type: "string", default: join(TOOLS, "bench") },
      merge: { type: "boolean", default: false },
    },
  });
  return {
    isQuick: values.quick,
    steps: readSteps(values.only),
    rounds: readCount("--rounds", values.rounds, values.quick ? 1 : 3),
    secondsPerPoint: readCount("--seconds", values.seconds, values.quick ? 1 : 3),
    out: values.out,
    isMerging: values.merge,
  };
}

function readSteps(text: string | undefined): readonly StepName[] {
  const wanted = text?.split(",") ?? STEP_NAMES;
  for (const name of wanted) {
    if (!STEP_NAMES.some((one) => one === name)) throw new Error(`--only: no step ${name}`);
  }
  return STEP_NAMES.filter((name) => wanted.includes(name));
}

function readCount(flag: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 60) {
    throw new Error(`${flag}: must be between 1 and 60`);
  }
  return count;
}
