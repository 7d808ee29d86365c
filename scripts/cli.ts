import { parseArgs } from "node:util";
import { AdminApi, CliError, type JobReport } from "./cli/api.ts";

const USAGE = `usage: npm run cli -- COMMAND [--url URL]

  reindex          rebuild the lists and their index from the stored files alone
  verify [--deep]  check every stored file against its record, with --deep against the checksum
                   database as well; damaged ones are restored or quarantined (exit code 1)

--url is the address of the deployment (default http://127.0.0.1:8787, or GOPROXY_EDGE_URL).
The environment variable ADMIN_TOKEN must hold the deployment's secret of that name.
`;

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  process.stderr.write(`goproxy-edge: ${error.message}\n`);
  process.exitCode = error.exitCode;
}

async function run(argv: readonly string[]): Promise<number> {
  const { command, url, deep } = parseCommand(argv);
  const api = new AdminApi(url, readToken());
  switch (command) {
    case "reindex": {
      const report = await api.runJob("reindex", {}, showProgress);
      return finish(report);
    }
    case "verify": {
      const report = await api.runJob("verify", { deep }, showProgress);
      return finish(report);
    }
    default:
      throw new CliError(`unknown command ${command}\n\n${USAGE}`, 2);
  }
}

function parseCommand(argv: readonly string[]): { command: string; url: string; deep: boolean } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { url: { type: "string" }, deep: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [command, ...more] = positionals;
    if (command === undefined || more.length > 0) throw new CliError(USAGE, 2);
    const url = values.url ?? process.env["GOPROXY_EDGE_URL"] ?? "http://127.0.0.1:8787";
    return { command, url, deep: values.deep };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${error instanceof Error ? error.message : ""}\n\n${USAGE}`, 2);
  }
}

function readToken(): string {
  const token = process.env["ADMIN_TOKEN"] ?? "";
  if (token === "") throw new CliError("set ADMIN_TOKEN in the environment", 2);
  return token;
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
  if (error !== undefined) process.stderr.write(`goproxy-edge: ${error}\n`);
  return status === "done" && damaged === 0 ? 0 : 1;
}
