import { spawnSync, type SpawnSyncReturns } from "node:child_process";

import type { Question } from "./cases.ts";

const HERE = import.meta.dirname;
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;

/**
 * Says why the oracle cannot run on this machine.
 *
 * @returns A reason to skip, or `undefined` when Go and the module are there.
 */
export function findOracleObstacle(): string | undefined {
  if (go(["version"]).error !== undefined) return "go is not installed";
  const download = go(["mod", "download"]);
  if (download.status === 0) return undefined;
  return `golang.org/x/mod cannot be fetched: ${download.stderr.slice(0, 200)}`;
}

/** Asks golang.org/x/mod; answers come in the order of the questions. */
export function askOracle(questions: readonly Question[]): unknown[] {
  const input = questions.map((question) => JSON.stringify(question)).join("\n");
  const run = go(["run", "."], input);
  if (run.status !== 0) throw new Error(`oracle failed: ${run.stderr}`);
  return run.stdout
    .trimEnd()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
}

function go(args: readonly string[], input = ""): SpawnSyncReturns<string> {
  return spawnSync("go", args, {
    cwd: HERE,
    input,
    encoding: "utf8",
    maxBuffer: MAX_OUTPUT_BYTES,
    env: { ...process.env, GOFLAGS: "-mod=mod", GOWORK: "off" },
  });
}
