import * as v from "valibot";
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

/** The whole configuration, parsed once. */
export interface Config {
  readonly upstreams: readonly UpstreamConfig[];
  /** Undefined when switched off. */
  readonly sumdb: SumdbConfig | undefined;
  readonly noSum: readonly string[];
  readonly cache: CacheConfig;
}

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
  return toConfig(parseConfigDocument(text, fileName));
}

/**
 * Parse a configuration document without filling in what depends on the machine.
 *
 * @throws ProxyError `invalid_config`, naming file, line and key.
 */
export function parseConfigDocument(text: string, fileName: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const line = lines.linePos(syntax.pos[0]).line;
    throw new ProxyError("invalid_config", `${fileName}:${line}: ${firstLine(syntax.message)}`);
  }
  const parsed = v.safeParse(CONFIG_SCHEMA, document.toJS() ?? {});
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const path = (issue.path ?? []).map((item) => item.key);
  const line = findLine(document, lines, path);
  const what = issue.expected === "never" ? "unknown key" : issue.message;
  throw new ProxyError("invalid_config", `${fileName}:${line}: ${toKeyText(path)}: ${what}`);
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
  };
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

function toKeyText(path: readonly unknown[]): string {
  let text = "";
  for (const key of path) text += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  return text === "" ? "document" : text.replace(/^\./, "");
}

/** The line of the deepest part of `path` that the document holds. */
function findLine(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  path: readonly unknown[],
): number {
  for (let length = path.length; length > 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
