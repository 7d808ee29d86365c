import * as v from "valibot";
import type { Role } from "../auth/role.ts";
import { isNode, LineCounter, parseDocument } from "yaml";
import { ProxyError } from "../errors/proxy-error.ts";
import { CONFIG_SCHEMA, type ConfigDocument } from "./schema.ts";

/** One public source. */
export interface UpstreamConfig {
  readonly name: string;
  /** Without a slash at the end. */
  readonly url: string;
  /** Name of a Worker secret. */
  readonly credential: string | undefined;
  /** Statuses that mean "absent here". */
  readonly notFound: readonly number[];
}

/** A checksum database; without a `url` it is reached through the upstreams. */
export interface SumdbConfig {
  readonly name: string;
  /** The whole verifier key, `name+hash+base64`; undefined for a database known by its name. */
  readonly key: string | undefined;
  readonly url: string | undefined;
}

/** How long and how much the tiers keep. */
export interface CacheConfig {
  readonly memorySeconds: number;
  readonly edgeSeconds: number;
  readonly listSeconds: number;
  readonly negativeSeconds: number;
  readonly memoryBytes: number;
}

/** Modules that belong to a team, and the one place that they come from. */
export interface PrivateConfig {
  /** In the syntax of GOPRIVATE. */
  readonly pattern: string;
  /** Name of an upstream. */
  readonly source: string;
  /** Name of a Worker secret; that of the upstream counts where there is none. */
  readonly credential: string | undefined;
}

/** A token that is held in a Worker secret. */
export interface TokenConfig {
  readonly name: string;
  readonly role: Role;
  /** Name of a Worker secret. */
  readonly secret: string;
}

/** A team: its addresses, rights, modules and database. */
export interface TeamConfig {
  /** Label in the path and the subdomain. */
  readonly name: string;
  /** In lower case. */
  readonly hosts: readonly string[];
  readonly access: "open" | "token";
  readonly private: readonly PrivateConfig[];
  readonly tokens: readonly TokenConfig[];
  /** The team's own checksum database; `key` names the Worker secret of its signer key. */
  readonly sumdb: { readonly name: string; readonly key: string } | undefined;
}

/** The whole configuration, parsed once. */
export interface Config {
  readonly upstreams: readonly UpstreamConfig[];
  /** Undefined when switched off. */
  readonly sumdb: SumdbConfig | undefined;
  readonly noSum: readonly string[];
  readonly cache: CacheConfig;
  /** Where a web server in front finds our files, to send a team's zips after our check of rights. */
  readonly accelRedirect: string | undefined;
  readonly teams: readonly TeamConfig[];
}

/** Keys and positions from the top of a document down. */
type KeyPath = readonly unknown[];

/** A document whose YAML parses. */
interface Source {
  readonly fileName: string;
  readonly document: ReturnType<typeof parseDocument>;
  readonly lines: LineCounter;
}

const MAX_ALIASES = 100;
const FALLBACK_UPSTREAMS = ["https://goproxy.cn", "https://goproxy.io"];

/**
 * Parse a configuration document.
 *
 * @param text YAML or JSON.
 * @param fileName Named in errors.
 * @returns The configuration with all defaults filled in.
 * @throws ProxyError `invalid_config`, naming file, line and key.
 */
export function parseConfig(text: string, fileName: string): Config {
  const source = readSource(text, fileName);
  const config = toConfig(parseConfigDocument(source));
  checkNames(config, (path, problem) => invalidAt(source, path, problem));
  return config;
}

/** The line of a key of a document that parses, or of the deepest part of it that is there. */
export function findConfigLine(text: string, path: KeyPath): number {
  return findLine(readSource(text, ""), path);
}

/** Names of the Worker secrets without which this configuration cannot work. */
export function requiredSecrets({ upstreams, teams }: Config): string[] {
  return [
    ...upstreams.flatMap(({ credential }) => credential ?? []),
    ...teams.flatMap((team) => [
      ...team.private.flatMap(({ credential }) => credential ?? []),
      ...team.tokens.map(({ secret }) => secret),
      ...(team.sumdb === undefined ? [] : [team.sumdb.key]),
    ]),
  ];
}

function readSource(text: string, fileName: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const syntax = document.errors[0];
  if (syntax === undefined) return { fileName, document, lines };
  const line = lines.linePos(syntax.pos[0]).line;
  throw new ProxyError("invalid_config", `${fileName}:${line}: ${firstLine(syntax.message)}`);
}

/** Check a document without filling in what depends on the machine. */
function parseConfigDocument(source: Source): ConfigDocument {
  const parsed = v.safeParse(CONFIG_SCHEMA, toPlain(source) ?? {});
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const path = (issue.path ?? []).map((item) => item.key);
  throw invalidAt(source, path, issue.expected === "never" ? "unknown key" : issue.message);
}

/** Aliases are followed only here: an unknown one, or too many within each other, is an error. */
function toPlain({ document, fileName }: Source): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    const detail = error instanceof Error ? firstLine(error.message) : "unreadable";
    throw new ProxyError("invalid_config", `${fileName}:1: ${detail}`, { cause: error });
  }
}

function toConfig(document: ConfigDocument): Config {
  const upstreams = document.upstreams ?? FALLBACK_UPSTREAMS.map(toPlainUpstream);
  const { cache } = document;
  return {
    upstreams: upstreams.map((upstream, index) => ({
      name: upstream.name ?? `upstream-${index + 1}`,
      url: upstream.url,
      credential: upstream.credential,
      notFound: upstream.notFound,
    })),
    sumdb: toSumdb(document.sumdb),
    noSum: document.noSum,
    cache: {
      memorySeconds: cache.memory,
      edgeSeconds: cache.edge,
      listSeconds: cache.list,
      negativeSeconds: cache.negative,
      memoryBytes: cache.memorySize,
    },
    accelRedirect: document.accelRedirect,
    teams: document.teams.map((team) => ({
      name: team.name,
      hosts: team.hosts.map((host) => host.toLowerCase()),
      access: team.access,
      private: team.private.map(({ pattern, source, credential }) => ({
        pattern,
        source,
        credential,
      })),
      tokens: team.tokens,
      sumdb: team.sumdb,
    })),
  };
}

/** What no schema can say: names that must be there, or must not be there twice. */
function checkNames(
  { teams, upstreams, sumdb }: Config,
  invalid: (path: KeyPath, problem: string) => ProxyError,
): void {
  const seen = new Map<string, KeyPath>();
  const claim = (path: KeyPath, name: string): void => {
    const where = seen.get(name);
    if (where !== undefined) throw invalid(path, `${name} is already in ${toKeyText(where)}`);
    seen.set(name, path);
  };
  for (const [index, { name }] of upstreams.entries()) {
    claim(["upstreams", index, "name"], `upstream ${name}`);
  }
  if (sumdb !== undefined) claim(["sumdb", "name"], `database ${sumdb.name}`);
  for (const [index, team] of teams.entries()) {
    const key = ["teams", index];
    claim([...key, "name"], `team ${team.name}`);
    for (const [at, host] of team.hosts.entries()) claim([...key, "hosts", at], `host ${host}`);
    if (team.sumdb !== undefined) claim([...key, "sumdb", "name"], `database ${team.sumdb.name}`);
    for (const [at, { source }] of team.private.entries()) {
      if (!upstreams.some(({ name }) => name === source)) {
        throw invalid([...key, "private", at, "source"], `no upstream is named ${source}`);
      }
    }
  }
}

function invalidAt(source: Source, path: KeyPath, problem: string): ProxyError {
  const where = `${source.fileName}:${findLine(source, path)}`;
  return new ProxyError("invalid_config", `${where}: ${toKeyText(path)}: ${problem}`);
}

function toPlainUpstream(url: string): NonNullable<ConfigDocument["upstreams"]>[number] {
  return { url, notFound: [404, 410] };
}

function toSumdb(sumdb: ConfigDocument["sumdb"]): SumdbConfig | undefined {
  if (sumdb === "off") return undefined;
  if (typeof sumdb === "string") return { name: sumdb, key: undefined, url: undefined };
  return { name: sumdb.name, key: sumdb.key, url: sumdb.url };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}

function toKeyText(path: KeyPath): string {
  let text = "";
  for (const key of path) text += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  return text === "" ? "document" : text.replace(/^\./, "");
}

/** The line of the deepest part of `path` that the document holds. */
function findLine({ document, lines }: Source, path: KeyPath): number {
  for (let length = path.length; length > 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
