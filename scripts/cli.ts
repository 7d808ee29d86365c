import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { ProxyError } from "../src/errors/proxy-error.ts";
import { generateKey } from "../src/sumdb/note.ts";
import { AdminApi, CliError, type JobReport } from "./cli/api.ts";

const USAGE = `usage: npm run cli -- COMMAND [--url URL]

  reindex          rebuild the lists and their index from the stored files alone
  verify [--deep]  check every stored file against its record, with --deep against the checksum
                   database as well; damaged ones are restored or quarantined (exit code 1)
  sumdb-key NAME   make the keys of a checksum database of your own

--url is the address of the deployment (default http://127.0.0.1:8787, or GOPROXY_EDGE_URL).
The environment variable ADMIN_TOKEN must hold the deployment's secret of that name.
`;

const SEED_BYTES = 32;

interface Command {
  readonly name: string;
  readonly argument: string | undefined;
  readonly url: string;
  readonly deep: boolean;
}

try {
  process.exitCode = await run(parseCommand(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  process.stderr.write(`goproxy-edge: ${error.message}\n`);
  process.exitCode = error.exitCode;
}

async function run({ name, argument, url, deep }: Command): Promise<number> {
  switch (name) {
    case "reindex":
      return finish(await toApi(url).runJob("reindex", {}, showProgress));
    case "verify":
      return finish(await toApi(url).runJob("verify", { deep }, showProgress));
    case "sumdb-key":
      return await makeKeys(argument ?? "");
    default:
      throw new CliError(`unknown command ${name}\n\n${USAGE}`, 2);
  }
}

function parseCommand(argv: readonly string[]): Command {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { url: { type: "string" }, deep: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [name, argument, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new CliError(USAGE, 2);
    const url = values.url ?? process.env["GOPROXY_EDGE_URL"] ?? "http://127.0.0.1:8787";
    return { name, argument, url, deep: values.deep };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${error instanceof Error ? error.message : ""}\n\n${USAGE}`, 2);
  }
}

/** Print both keys: the secret one for the Worker secret, the public one for clients. */
async function makeKeys(name: string): Promise<number> {
  try {
    const { signerKey, verifierKey } = await generateKey(name, randomBytes(SEED_BYTES));
    process.stdout.write(`signer key (a secret): ${signerKey}\nverifier key: ${verifierKey}\n`);
    return 0;
  } catch (error) {
    if (error instanceof ProxyError) throw new CliError(error.publicDetail, 2, { cause: error });
    throw error;
  }
}

function toApi(url: string): AdminApi {
  const token = process.env["ADMIN_TOKEN"] ?? "";
  if (token === "") throw new CliError("set ADMIN_TOKEN in the environment", 2);
  return new AdminApi(url, token);
}

function showProgress({ files, modules }: JobReport): void {
  process.stderr.write(`… ${files} files, ${modules} modules\n`);
}

function finish(report: JobReport): number {
  const { kind, status, files, modules, error, damaged, damages } = report;
  const counts = kind === "verify" ? `${damaged} damaged` : `${modules} modules`;
  process.stdout.write(`${kind} ${status}: ${files} files, ${counts}\n`);
  for (const { file, problem, action } of damages) {
    process.stdout.write(`  ${action}  ${file}: ${problem}\n`);
  }
  const unnamed = damaged - damages.length;
  if (unnamed > 0) process.stdout.write(`  … and ${unnamed} more, all named in the log\n`);
  if (error !== undefined) process.stderr.write(`goproxy-edge: ${error}\n`);
  return status === "done" && damaged === 0 ? 0 : 1;
}
