import { createHash } from "node:crypto";
import { parseCredential } from "../auth/credential.ts";
import { mayRead, type Role } from "../auth/role.ts";
import type { Config, PrivateConfig, TeamConfig } from "../config/config.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import { compilePrefixPatterns } from "../module/pattern.ts";
import { PUBLIC_SCOPE, type Scope } from "./ports.ts";

/** Who asks, once his rights are checked. */
export interface Caller {
  /** Undefined on the open part. */
  readonly team: TeamConfig | undefined;
  readonly role: Role | undefined;
}

/** Where a module lives for one caller. */
export type Home =
  | { readonly scope: Scope }
  /** Another team's, or a prefix of a private pattern: as if it did not exist. */
  | { readonly hidden: true };

interface PrivatePattern {
  readonly team: TeamConfig;
  readonly entry: PrivateConfig;
  readonly matches: (modulePath: string) => boolean;
}

const WILDCARD = /[*?[\\]/;

/** The rights of one configuration: who may enter where, and which module is whose. */
export class Access {
  readonly #teams: ReadonlyMap<string, TeamConfig>;
  readonly #hosts: ReadonlyMap<string, TeamConfig>;
  readonly #tokens: ReadonlyMap<string, { readonly team: TeamConfig; readonly role: Role }>;
  readonly #patterns: readonly PrivatePattern[];
  readonly #prefixes: ReadonlySet<string>;
  readonly #hashToken: (token: string) => string;

  /**
   * @param readSecret The value of a Worker secret.
   * @throws ProxyError `unavailable` for a secret that is missing, `invalid_config` for two equal
   *   tokens.
   */
  constructor(config: Config, readSecret: (name: string) => string) {
    this.#hashToken = (token) => createHash("sha256").update(token).digest("base64");
    this.#teams = new Map(config.teams.map((team) => [team.name, team]));
    this.#hosts = new Map(
      config.teams.flatMap((team) => team.hosts.map((host) => [host, team] as const)),
    );
    this.#tokens = this.#hashTokens(config.teams, readSecret);
    this.#patterns = config.teams.flatMap((team) =>
      team.private.map((entry) => ({
        team,
        entry,
        matches: compilePrefixPatterns([entry.pattern]),
      })),
    );
    this.#prefixes = new Set(this.#patterns.flatMap(({ entry }) => toPrefixes(entry.pattern)));
  }

  /**
   * The team that an address belongs to.
   *
   * @param label From the path, if it names one.
   * @param url Of the request, whose host is the one that the platform parsed.
   * @returns Undefined for the open part; `unknown` for an address that is nobody's.
   */
  teamAt(label: string | undefined, url: string): TeamConfig | "unknown" | undefined {
    const ofHost = this.#hosts.size === 0 ? undefined : this.#hosts.get(toHostName(url));
    if (label === undefined) return ofHost;
    const ofPath = this.#teams.get(label);
    return ofPath === undefined || (ofHost !== undefined && ofHost !== ofPath) ? "unknown" : ofPath;
  }

  /**
   * Let a caller into a team's address, or not.
   *
   * @throws ProxyError one and the same `credentials_missing` or `credentials_invalid` whether the
   *   team exists or not; `role_missing` for one who is known but may not read.
   */
  enter(team: TeamConfig | "unknown", authorization: string | null): Caller {
    if (team !== "unknown" && team.access === "open") return { team, role: "reader" };
    const credential = parseCredential(authorization);
    const detail = "this address needs a token of its team";
    if (credential.kind === "none") throw new ProxyError("credentials_missing", detail);
    if (credential.kind === "malformed") throw new ProxyError("credentials_invalid", detail);
    const known = this.#tokens.get(this.#hashToken(credential.token));
    if (known === undefined || known.team !== team) {
      throw new ProxyError("credentials_invalid", detail);
    }
    if (!mayRead(known.role)) {
      throw new ProxyError("role_missing", `the role ${known.role} does not read modules`);
    }
    return known;
  }

  /** Where a module lives for a caller, who never sees the private modules of others. */
  homeOf(caller: Caller, modulePath: string): Home {
    if (this.#patterns.length === 0) return { scope: PUBLIC_SCOPE };
    const owners = this.#patterns.filter(({ matches }) => matches(modulePath));
    // Patterns of two teams may overlap: each has its own copy, from its own source.
    const own = owners.find(({ team }) => team === caller.team);
    if (own !== undefined) return { scope: toScope(own.team) };
    if (owners.length > 0) return { hidden: true };
    return this.#prefixes.has(modulePath) ? { hidden: true } : { scope: PUBLIC_SCOPE };
  }

  /** Whether a module must never be named outside, by whomever. */
  isPrivate(modulePath: string): boolean {
    return (
      this.#prefixes.has(modulePath) || this.#patterns.some(({ matches }) => matches(modulePath))
    );
  }

  /** The one source of a private module; undefined for a public one. */
  sourceOf(scope: Scope, modulePath: string): PrivateConfig | undefined {
    if (scope === PUBLIC_SCOPE) return undefined;
    return this.#patterns.find(
      ({ team, matches }) => toScope(team) === scope && matches(modulePath),
    )?.entry;
  }

  #hashTokens(
    teams: readonly TeamConfig[],
    readSecret: (name: string) => string,
  ): Map<string, { team: TeamConfig; role: Role }> {
    const tokens = new Map<string, { team: TeamConfig; role: Role; name: string }>();
    for (const team of teams) {
      for (const { name, role, secret } of team.tokens) {
        const hash = this.#hashToken(readSecret(secret));
        const other = tokens.get(hash);
        if (other !== undefined) {
          const detail = `the tokens ${other.name} and ${name} have one value`;
          throw new ProxyError("invalid_config", detail);
        }
        tokens.set(hash, { team, role, name });
      }
    }
    return tokens;
  }
}

/** The part of storage that a team's modules live in. */
export function toScope(team: TeamConfig): Scope {
  return `team/${team.name}` as Scope;
}

/**
 * The host of a URL in lower case, without a port and a dot at the end.
 *
 * A port may be empty. What is no host, such as one with letters for a port, stays as it is and is
 * nobody's.
 *
 * @source RFC 3986, section 3.2.3
 */
function toHostName(url: string): string {
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  return url
    .slice(start, end < 0 ? undefined : end)
    .toLowerCase()
    .replace(/:\d*$/, "")
    .replace(/\.$/, "");
}

/**
 * Proper prefixes of a pattern, which the go command probes for modules.
 *
 * Only whole elements before the first wildcard are known.
 */
function toPrefixes(pattern: string): string[] {
  return pattern.split(",").flatMap((glob) => {
    const elements = glob.replace(/\/$/, "").split("/");
    const fixed = elements.findIndex((element) => WILDCARD.test(element));
    const count = fixed < 0 ? elements.length - 1 : fixed;
    return elements.slice(0, count).map((_, index) => elements.slice(0, index + 1).join("/"));
  });
}
