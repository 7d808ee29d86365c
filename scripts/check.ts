/**
 * The one gate: every check of the project, two at a time, a line each.
 *
 * `npm run check` runs the unit and worker tests, `npm test` (`--all`) the end-to-end tests too.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { countOutcome, type TestReport } from "./test-summary.ts";

const ROOT = resolve(import.meta.dirname, "..");
const REPORT_FILE = join(ROOT, "dist/test-report.json");
const SUMMARY_FILE = join(ROOT, "dist/summary.txt");
const CONCURRENCY = 2;

interface Step {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Show the output as it comes instead of only on failure. */
  readonly live?: boolean;
  /** A part of the output worth showing on success. */
  readonly detail?: RegExp;
}

interface StepResult {
  readonly step: Step;
  readonly succeeded: boolean;
}

const NPM_TYPES: Step["command"] = ["npm", "run", "--silent", "types", "--", "--check"];

function stepsFor(all: boolean): readonly Step[] {
  const projects = all ? [] : ["--project", "unit", "--project", "worker"];
  return [
    { name: "types", command: NPM_TYPES },
    { name: "tsc", command: ["tsc", "-p", "."] },
    { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
    { name: "format", command: ["oxfmt", "--check"] },
    { name: "knip", command: ["knip"] },
    {
      name: "bundle",
      command: [
        "wrangler",
        "deploy",
        "--dry-run",
        "--env",
        "production",
        "--outdir",
        "dist/dry-run",
      ],
      detail: /Total Upload: .*/,
    },
    {
      name: all ? "tests" : "unit and worker tests",
      command: [
        "vitest",
        "run",
        ...projects,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${REPORT_FILE}`,
      ],
      live: all,
      detail: /^ *Tests .*/m,
    },
  ];
}

function isTestStep(step: Step): boolean {
  return step.command[0] === "vitest";
}

async function runStep(step: Step): Promise<StepResult> {
  const started = performance.now();
  const [program, ...args] = step.command;
  const child = spawn(program, args, {
    cwd: ROOT,
    stdio: step.live === true ? "inherit" : "pipe",
    env: {
      ...process.env,
      PATH: `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}`,
      WRANGLER_SEND_METRICS: "false",
      NO_COLOR: "1",
      FORCE_COLOR: "0",
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const succeeded = await new Promise<boolean>((done) => {
    child.on("error", (error) => {
      output += error.message;
      done(false);
    });
    child.on("close", (code) => done(code === 0));
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const detail = succeeded ? (step.detail?.exec(output)?.[0].trim() ?? "") : "";
  console.log(
    `${succeeded ? "ok     " : "FAILED "} ${step.name}  ${seconds} s  ${detail}`.trimEnd(),
  );
  if (!succeeded && output !== "") console.log(output.trimEnd());
  return { step, succeeded };
}

async function runAll(steps: readonly Step[]): Promise<readonly StepResult[]> {
  const waiting = [...steps];
  const results: StepResult[] = [];
  async function worker(): Promise<void> {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      results.push(await runStep(step));
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}

function readReport(): TestReport | undefined {
  if (!existsSync(REPORT_FILE)) return undefined;
  return JSON.parse(readFileSync(REPORT_FILE, "utf8")) as TestReport;
}

mkdirSync(join(ROOT, "dist"), { recursive: true });
rmSync(REPORT_FILE, { force: true });
rmSync(SUMMARY_FILE, { force: true });
const results = await runAll(stepsFor(process.argv.includes("--all")));
const failures = results.filter(({ succeeded }) => !succeeded).map(({ step }) => step);
const { passed, failed } = countOutcome({
  report: readReport(),
  testsSucceeded: !failures.some(isTestStep),
  failedSteps: failures.filter((step) => !isTestStep(step)).length,
});
const names = failures.map(({ name }) => name).join(", ");
if (names !== "") console.log(`failed: ${names}`);
const summary = `${passed} passed, ${failed} failed`;
writeFileSync(SUMMARY_FILE, `${summary}\n`);
console.log(summary);
process.exitCode = failed === 0 ? 0 : 1;
