/** Deploy one environment together with its configuration document. */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { deployedAddress } from "./deployed-address.ts";
import { checkDocumentSize, firstDocument } from "./first-document.ts";
import { defaultUpstreams } from "./upstreams.ts";
import { UsageError } from "./usage-error.ts";

const ROOT = resolve(import.meta.dirname, "..");
const CONFIG_FILE = "goproxy-edge.yaml";
const USAGE = "usage: npm run deploy -- --env staging|production [--config FILE|none] [--dry-run]";

interface Options {
  readonly environment: string;
  /** The document, or `undefined` when the one that is there stays. */
  readonly document: string | undefined;
  readonly dryRun: boolean;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      env: { type: "string" },
      config: { type: "string" },
      "dry-run": { type: "boolean", default: false },
    },
  });
  if (values.env !== "staging" && values.env !== "production") throw new UsageError(USAGE);
  const document = documentFor(values.config);
  if (document !== undefined) checkDocumentSize(document);
  return { environment: values.env, document, dryRun: values["dry-run"] };
}

function documentFor(config: string | undefined): string | undefined {
  if (config === "none") return undefined;
  const kept = resolve(ROOT, CONFIG_FILE);
  const file = config ?? (existsSync(kept) ? kept : undefined);
  if (file !== undefined) {
    if (!existsSync(file)) throw new UsageError(`no file ${file}`);
    console.log(`configuration: ${file}`);
    return readFileSync(file, "utf8");
  }
  const upstreams = defaultUpstreams(process.env["UPSTREAM"]);
  console.log(`configuration: public modules for everybody, from ${upstreams.join(", ")}`);
  return firstDocument(upstreams);
}

function runWrangler(options: Options, outputFile: string): number {
  const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  const args = [wrangler, "deploy", "--env", options.environment];
  if (options.document !== undefined) args.push("--var", `CONFIG:${options.document}`);
  if (options.dryRun) args.push("--dry-run");
  const run = spawnSync(process.execPath, args, {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, WRANGLER_OUTPUT_FILE_PATH: outputFile },
  });
  return run.status ?? 1;
}

function deploy(options: Options): number {
  const folder = mkdtempSync(join(tmpdir(), "deploy-"));
  try {
    const outputFile = join(folder, "output.ndjson");
    const status = runWrangler(options, outputFile);
    if (status !== 0 || options.dryRun) return status;
    const address = existsSync(outputFile)
      ? deployedAddress(readFileSync(outputFile, "utf8"))
      : undefined;
    if (address === undefined) return 0;
    console.log(`deployed to ${address}\n\n  go env -w GOPROXY=${address}\n`);
    const stepOutput = process.env["GITHUB_OUTPUT"];
    if (stepOutput !== undefined) appendFileSync(stepOutput, `address=${address}\n`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

try {
  process.exitCode = deploy(readOptions(process.argv.slice(2)));
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE"));
  if (!isUsage) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
