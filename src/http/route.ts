import { type ModuleRequest, parseModuleRequest } from "../module/request.ts";

/** Where a request goes, after the one parse of its path. */
export interface Route {
  /** Label of the team that the path names; undefined for the open part. */
  readonly team: string | undefined;
  /** Whether the path asks for stored answers only. */
  readonly cachedOnly: boolean;
  readonly target: RouteTarget;
}

/** What is asked for, below the prefixes. */
export type RouteTarget =
  | { readonly kind: "module"; readonly request: ModuleRequest }
  /** `path` is everything after `/sumdb/`; names of databases may hold slashes. */
  | { readonly kind: "sumdb"; readonly path: string }
  /** `/` and `/-/…`: addresses of our own; `path` with its leading slash. */
  | { readonly kind: "own"; readonly path: string }
  | { readonly kind: "malformed"; readonly problem: string; readonly where: "path" | "version" };

const TEAM_PREFIX = "t/";
const TEAM_LABEL = /^[a-z0-9-]{1,63}$/;
const CACHED_ONLY_PREFIX = "cached-only/";
const SUMDB_PREFIX = "sumdb/";

/** Said of a request whose host is none. */
export const NO_HOST = "the Host header names no host";
/** Where a request goes whose Host header no host can have. */
export const BAD_HOST: Route = malformed(undefined, false, NO_HOST);

/**
 * Parse the path of a request, once and strictly, from its URL as text.
 *
 * The path is never given to a URL parser, which would resolve or re-encode parts of it.
 *
 * @param url `request.url`: absolute, with the path as the client wrote it but for dot segments
 *   that the runtime has resolved already. The query string is ignored.
 */
export function parseRoute(url: string): Route {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const query = url.indexOf("?", start);
  const raw = start < 0 ? "" : url.slice(start + 1, query < 0 ? undefined : query);
  const route = parsePath(raw);
  // Of our own addresses, a health check must work whatever its sender calls us.
  return route.target.kind === "own" || hasHost(url) ? route : BAD_HOST;
}

/** Whether the host of a URL is written in characters that a host can have. */
export function hasHost(url: string): boolean {
  for (let index = url.indexOf("://") + 3; index < url.length; index++) {
    const code = url.charCodeAt(index);
    if (code === SLASH) break;
    if (code >= 128 || HOST_CHARACTERS[code] !== 1) return false;
  }
  return true;
}

function parsePath(raw: string): Route {
  const path = decodePath(raw);
  if (path === undefined) {
    return malformed(readTeam(raw), false, "a character that the protocol does not use");
  }
  let rest = path;
  let team: string | undefined;
  if (rest.startsWith(TEAM_PREFIX)) {
    team = readLabel(rest);
    if (!TEAM_LABEL.test(team)) return malformed(undefined, false, "invalid team");
    rest = rest.slice(TEAM_PREFIX.length + team.length + 1);
  }
  const cachedOnly = rest.startsWith(CACHED_ONLY_PREFIX);
  if (cachedOnly) rest = rest.slice(CACHED_ONLY_PREFIX.length);
  if (rest.startsWith(SUMDB_PREFIX)) {
    return {
      team,
      cachedOnly,
      target: { kind: "sumdb", path: rest.slice(SUMDB_PREFIX.length) },
    };
  }
  if (!cachedOnly && (rest === "" || rest === "-" || rest.startsWith("-/"))) {
    return { team, cachedOnly, target: { kind: "own", path: `/${rest}` } };
  }
  const request = parseModuleRequest(rest);
  if ("problem" in request) return malformed(team, cachedOnly, request.problem, request.where);
  return { team, cachedOnly, target: { kind: "module", request } };
}

/** The team that a path begins with, whatever follows: below it nothing is said without a token. */
function readTeam(raw: string): string | undefined {
  if (!raw.startsWith(TEAM_PREFIX)) return undefined;
  const label = readLabel(raw);
  return TEAM_LABEL.test(label) ? label : undefined;
}

/** What stands between `t/` and the next slash, or the end. */
function readLabel(path: string): string {
  const end = path.indexOf("/", TEAM_PREFIX.length);
  return path.slice(TEAM_PREFIX.length, end < 0 ? undefined : end);
}

function malformed(
  team: string | undefined,
  cachedOnly: boolean,
  problem: string,
  where: "path" | "version" = "path",
): Route {
  return { team, cachedOnly, target: { kind: "malformed", problem, where } };
}

const ALPHANUMERICS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PROTOCOL_CHARACTERS = toTable(`${ALPHANUMERICS}-._~!/@+`);
// Of names, addresses and ports.
const HOST_CHARACTERS = toTable(`${ALPHANUMERICS}-._:[]`);
const PERCENT = 0x25;
const SLASH = 0x2f;

function toTable(characters: string): Uint8Array {
  const table = new Uint8Array(128);
  for (const character of characters) table[character.charCodeAt(0)] = 1;
  return table;
}

/**
 * Undo the three percent escapes that clients of the protocol use.
 *
 * @returns The decoded path, or undefined when it holds any other character or escape.
 */
function decodePath(raw: string): string | undefined {
  let decoded = "";
  let start = 0;
  for (let index = 0; index < raw.length; index++) {
    const code = raw.charCodeAt(index);
    if (code < 128 && PROTOCOL_CHARACTERS[code] === 1) continue;
    if (code !== PERCENT) return undefined;
    const character = unescapePercent(raw.slice(index + 1, index + 3));
    if (character === undefined) return undefined;
    decoded += raw.slice(start, index) + character;
    index += 2;
    start = index + 1;
  }
  return start === 0 ? raw : decoded + raw.slice(start);
}

function unescapePercent(digits: string): string | undefined {
  switch (digits) {
    case "21":
      return "!";
    case "2B":
    case "2b":
      return "+";
    case "40":
      return "@";
    default:
      return undefined;
  }
}
