import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import {
  type Config,
  findConfigLine,
  parseConfig,
  requiredSecrets,
} from "../../src/config/config.ts";
import { ProxyError } from "../../src/errors/proxy-error.ts";
import { parseSignerKey, parseVerifierKey } from "../../src/sumdb/note.ts";
import { defaultUpstreams, goEnvProxy, parseUpstreamList } from "../upstreams.ts";
import { UsageError } from "../usage-error.ts";
import { parseSecrets } from "./secrets-file.ts";

/** What `npm start` was told, checked. */
export interface ServeOptions {
  readonly port: number;
  readonly host: string;
  /** Absolute path of the folder that holds everything. */
  readonly data: string;
  readonly storage: "disk" | "r2";
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** The configuration document as the Worker gets it; names secrets, holds none. */
  readonly document: string;
  readonly config: Config;
  /** Worker secrets by name. */
  readonly secrets: Readonly<Record<string, string>>;
}

const DEFAULT_SECRETS_FILE = ".dev.vars";
// Secrets of our own that may also come from the environment.
const OWN_SECRETS = ["ADMIN_TOKEN", "METRICS_TOKEN"];

// Names that mean something else to the Worker.
const BINDING_NAMES = [
  "CONFIG",
  "COORDINATORS",
  "DIRECTORY",
  "DISK",
  "LEFTOVERS",
  "FILES",
  "INDEX",
  "SCHEME",
  "SUMDBS",
];

const FLAGS = {
  port: { type: "string", default: "8787" },
  host: { type: "string", default: "127.0.0.1" },
  data: { type: "string", default: ".data" },
  upstream: { type: "string" },
  config: { type: "string" },
  secrets: { type: "string" },
  sumdb: { type: "string" },
  storage: { type: "string", default: "disk" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
} as const;

/**
 * Read the flags and every file they name.
 *
 * @throws UsageError naming the flag, file or line.
 */
export function readOptions(argv: readonly string[], env: NodeJS.ProcessEnv): ServeOptions {
  const flags = parseFlags(argv);
  const port = parsePort(flags.port);
  const document = readDocument(flags, env, { host: flags.host, port });
  const config = parseChecked(JSON.stringify(document), "configuration");
  return {
    port,
    host: parseHost(flags.host),
    data: parseData(flags.data),
    storage: parseStorage(flags.storage),
    tls: readTls(flags["tls-cert"], flags["tls-key"]),
    document: JSON.stringify(document),
    config,
    secrets: readSecrets(flags.secrets, config, env),
  };
}

function parseFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false })
      .values;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(message.split("\n", 1)[0]?.split(". ", 1)[0] ?? message);
  }
}

/** The configuration file with the flags put over it. */
function readDocument(
  flags: { config?: string; upstream?: string; sumdb?: string },
  env: NodeJS.ProcessEnv,
  own: { readonly host: string; readonly port: number },
): Record<string, unknown> {
  const document: Record<string, unknown> = {};
  if (flags.config !== undefined) {
    const text = readText(flags.config, "--config");
    parseChecked(text, flags.config);
    Object.assign(document, parse(text) as object | null);
  }
  if (flags.upstream !== undefined) {
    const urls = parseUpstreamList(flags.upstream, "--upstream");
    if (urls.length === 0) throw new UsageError("--upstream: names no upstream");
    document["upstreams"] = urls.map((url) => ({ url }));
  }
  // The machine's own go command may use this proxy already: that is no upstream of it.
  const isOwn = (url: string): boolean => isOwnAddress(url, own);
  const urls = (): readonly string[] => defaultUpstreams(env["UPSTREAM"], goEnvProxy, isOwn);
  document["upstreams"] ??= urls().map((url) => ({ url }));
  if (flags.sumdb !== undefined) {
    document["sumdb"] = parseSumdb(flags.sumdb);
    parseChecked(JSON.stringify({ sumdb: document["sumdb"] }), "--sumdb");
  }
  return document;
}

function isOwnAddress(
  text: string,
  own: { readonly host: string; readonly port: number },
): boolean {
  const url = URL.parse(text);
  const hosts = [own.host, "localhost", "127.0.0.1", "[::1]", hostname()];
  return url !== null && url.port === String(own.port) && hosts.includes(url.hostname);
}

function parseSumdb(text: string): unknown {
  const [name, key, url, ...more] = text.trim().split(/\s+/);
  if (name === "off" && key === undefined) return "off";
  if (name === "sum.golang.org" && key === undefined) return name;
  if (key === undefined || url === undefined || more.length > 0) {
    throw new UsageError('--sumdb: must be "name key url" or off');
  }
  return { name, key, url };
}

/** Why the key is none, or not of the database that it is configured for. */
function findSumdbKeyProblem({ sumdb }: Config): string | undefined {
  if (sumdb?.key === undefined) return undefined;
  try {
    const { name } = parseVerifierKey(sumdb.key);
    return name === sumdb.name ? undefined : `is of ${name}, not of ${sumdb.name}`;
  } catch (error) {
    if (error instanceof ProxyError) return error.publicDetail;
    throw error;
  }
}

/**
 * Check the signer keys of the teams' own databases.
 *
 * @throws UsageError naming the secret, never showing it.
 */
export async function checkSignerKeys({ config, secrets }: ServeOptions): Promise<void> {
  for (const { sumdb } of config.teams) {
    if (sumdb === undefined) continue;
    try {
      const { verifier } = await parseSignerKey(secrets[sumdb.key] ?? "");
      if (verifier.name === sumdb.name) continue;
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
    }
    throw new UsageError(`the secret ${sumdb.key} is no signer key of ${sumdb.name}`);
  }
}

function parseChecked(text: string, fileName: string): Config {
  try {
    const config = parseConfig(text, fileName);
    const problem = findSumdbKeyProblem(config);
    if (problem === undefined) return config;
    const line = findConfigLine(text, ["sumdb", "key"]);
    throw new UsageError(`${fileName}:${line}: sumdb.key: ${problem}`);
  } catch (error) {
    if (error instanceof ProxyError) throw new UsageError(error.publicDetail, { cause: error });
    throw error;
  }
}

function parsePort(text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new UsageError(`--port: ${text} is not a port`);
  return port;
}

function parseData(text: string): string {
  if (text === "") throw new UsageError("--data: must name a folder");
  return resolve(text);
}

function parseHost(text: string): string {
  if (!/^[A-Za-z0-9.:_-]+$/.test(text)) throw new UsageError(`--host: ${text} is not a host`);
  return text;
}

function parseStorage(text: string): "disk" | "r2" {
  if (text === "disk" || text === "r2") return text;
  throw new UsageError(`--storage: must be disk or r2, not ${text}`);
}

function readTls(certFile: string | undefined, keyFile: string | undefined): ServeOptions["tls"] {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined) throw new UsageError("--tls-key: needs --tls-cert");
  if (keyFile === undefined) throw new UsageError("--tls-cert: needs --tls-key");
  if (!readText(certFile, "--tls-cert").includes("-----BEGIN CERTIFICATE-----")) {
    throw new UsageError(`--tls-cert: ${certFile} holds no PEM certificate`);
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(readText(keyFile, "--tls-key"))) {
    throw new UsageError(`--tls-key: ${keyFile} holds no PEM private key`);
  }
  try {
    createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
  } catch (error) {
    const reason = error instanceof Error ? error.message : "unusable";
    throw new UsageError(`--tls-cert, --tls-key: ${reason}`, { cause: error });
  }
  return { certFile: resolve(certFile), keyFile: resolve(keyFile) };
}

/** Secrets from the file and, for those that are asked for by name, from the environment. */
function readSecrets(
  file: string | undefined,
  config: Config,
  env: NodeJS.ProcessEnv,
): Record<string, string> {
  const secrets: Record<string, string> = {};
  const path = file ?? DEFAULT_SECRETS_FILE;
  if (file !== undefined || existsSync(path)) {
    Object.assign(secrets, parseSecrets(readText(path, "--secrets"), path));
  }
  for (const name of BINDING_NAMES) {
    if (name in secrets) throw new UsageError(`${path}: ${name} is no name for a secret`);
  }
  const named = requiredSecrets(config);
  for (const name of [...OWN_SECRETS, ...named]) {
    const value = env[name];
    if (value !== undefined) secrets[name] ??= value;
  }
  checkTokens(config, secrets);
  for (const name of named) {
    if ((secrets[name] ?? "").trim() === "") {
      throw new UsageError(
        `the secret ${name}, which the configuration names, is missing or empty`,
      );
    }
  }
  return secrets;
}

/** Two tokens of one value could not be told apart. */
function checkTokens({ teams }: Config, secrets: Readonly<Record<string, string>>): void {
  const seen = new Map<string, string>();
  for (const { secret } of teams.flatMap(({ tokens }) => tokens)) {
    const value = secrets[secret] ?? "";
    const other = seen.get(value);
    if (value !== "" && other !== undefined) {
      throw new UsageError(`the secrets ${other} and ${secret} hold one token`);
    }
    seen.set(value, secret);
  }
}

function readText(path: string, flag: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw new UsageError(`${flag}: cannot read ${path} (${code})`, { cause: error });
  }
}
