/**
 * Deploy one environment with its first configuration document.
 *
 * The document is read by the Worker only while none was ever applied, so it is safe to send it
 * every time: `npm run cli -- apply` is how a running deployment is changed.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { deployedAddress } from "./deployed-address.ts";
import { checkDocumentSize, firstDocument, UsageError } from "./first-document.ts";
import { defaultUpstreams } from "./upstreams.ts";

const ROOT = resolve(import.meta.dirname, "..");
const CONFIG_FILE = "goproxy-edge.yaml";
const USAGE =
  "usage: npm run deploy -- --env staging|production [--config FILE|none] [--access open|token] [--dry-run]";

interface Options {
  readonly environment: string;
  /** The first document, or `undefined` when none is to be sent. */
  readonly document: string | undefined;
  readonly dryRun: boolean;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      env: { type: "string" },
      config: { type: "string" },
      access: { type: "string" },
      "dry-run": { type: "boolean", default: false },
    },
  });
  if (values.env !== "staging" && values.env !== "production") throw new UsageError(USAGE);
  const document = documentFor(values.config, values.access);
  if (document !== undefined) checkDocumentSize(document);
  return { environment: values.env, document, dryRun: values["dry-run"] };
}

function documentFor(config: string | undefined, access: string | undefined): string | undefined {
  if (config === "none") return undefined;
  const kept = resolve(ROOT, CONFIG_FILE);
  const file = config ?? (existsSync(kept) ? kept : undefined);
  if (file !== undefined) {
    if (access !== undefined) throw new UsageError(`${file} says who has access, not --access`);
    if (!existsSync(file)) throw new UsageError(`no file ${file}`);
    console.log(`first configuration: ${file}`);
    return readFileSync(file, "utf8");
  }
  if (access !== undefined && access !== "open" && access !== "token") throw new UsageError(USAGE);
  const upstreams = defaultUpstreams(process.env["UPSTREAM"]);
  const document = firstDocument(upstreams, access ?? "open");
  console.log(`first configuration: access ${access ?? "open"}, from ${upstreams.join(", ")}`);
  if (access !== "token") console.log("anybody who knows the address can use it; see --access");
  return document;
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
