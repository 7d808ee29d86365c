import { ProxyError } from "../errors/proxy-error.ts";
import type { Clock } from "../proxy/ports.ts";
import type { HttpClient, HttpOrigin } from "./http-client.ts";

const DEADLINE_MS = 6000;
const MAX_BYTES = 2_000_000;
const NOT_FOUND = [404, 410];
// What does not speak of the module: it is about who asks, or about the moment.
const NO_REFUSALS = new Set([401, 403, 407, 408, 429]);
// A database may refuse a lookup by 400 or another 4xx: then it has no record to give.
const LOOKUP_REFUSALS = Array.from({ length: 100 }, (_, index) => 400 + index).filter(
  (status) => !NO_REFUSALS.has(status),
);
// How long it is remembered that a proxy relays the database, and that it does not.
const SUPPORTED_MS = 600_000;
const UNSUPPORTED_MS = 5000;

/** A database and the ways to it. */
export interface SumdbAddress {
  readonly name: string;
  /** Where to reach it directly; undefined to go through the proxies that relay it. */
  readonly url: string | undefined;
}

/**
 * Make the way to a checksum database.
 *
 * Without an address of its own it is asked for below `/sumdb/{name}` of those upstream proxies
 * that relay it, in their order, and under its own name last.
 *
 * @returns GET of a path below the database's base. Throws `sumdb_not_found`, with the database's
 *   own words, when it says so or refuses a lookup, and `sumdb_unavailable` on anything else.
 * @source cmd/go's modfetch/sumdb.go, initBase
 */
export function createSumdbFetch(
  http: HttpClient,
  clock: Clock,
  upstreams: readonly HttpOrigin[],
  { name, url }: SumdbAddress,
): (path: string) => Promise<Uint8Array> {
  const relays = upstreams.map((origin) => ({
    ...origin,
    baseUrl: `${origin.baseUrl}/sumdb/${name}`,
    notFound: NOT_FOUND,
  }));
  const direct: HttpOrigin = {
    name,
    baseUrl: url ?? `https://${name}`,
    authorization: undefined,
    notFound: NOT_FOUND,
  };
  const support = createSupportMemory(http, clock);

  async function ask(origin: HttpOrigin, path: string, deadlineMs: number): Promise<Uint8Array> {
    const limits = { deadlineMs, maxBytes: MAX_BYTES };
    const notFound = path.startsWith("/lookup/") ? LOOKUP_REFUSALS : NOT_FOUND;
    const answer = await http.getBytes({ ...origin, notFound }, path, limits);
    if (answer.found) return answer.bytes;
    const reason = answer.reason === "" ? "does not have it" : `says ${answer.reason}`;
    throw new ProxyError("sumdb_not_found", `${name} ${reason}`);
  }

  return async (path) => {
    let outage: unknown;
    const endMs = clock.now() + DEADLINE_MS;
    // One that hangs leaves some time for the next.
    const shareMs = (): number => Math.max(1000, (endMs - clock.now()) / 2);
    for (const relay of url === undefined ? relays : []) {
      try {
        if (await support.has(relay, shareMs())) {
          return await ask(relay, path, Math.max(1000, endMs - clock.now()));
        }
      } catch (error) {
        if (error instanceof ProxyError && error.code === "sumdb_not_found") throw error;
        outage ??= error;
      }
    }
    try {
      return await ask(direct, path, Math.max(1000, endMs - clock.now()));
    } catch (error) {
      if (error instanceof ProxyError && error.code === "sumdb_not_found") throw error;
      support.forgetRefusals();
      throw toUnavailable(name, outage ?? error);
    }
  };
}

function toUnavailable(name: string, cause: unknown): ProxyError {
  const known = cause instanceof ProxyError ? cause : undefined;
  const reason = known?.publicDetail ?? "it cannot be reached";
  const { retryAfterSeconds } = known ?? {};
  return new ProxyError("sumdb_unavailable", `${name}: ${reason}`, { cause, retryAfterSeconds });
}

/** Which proxies relay the database, as they said last. */
interface SupportMemory {
  has(relay: HttpOrigin, deadlineMs: number): Promise<boolean>;
  /** A proxy that said no may be back, and be the only way. */
  forgetRefusals(): void;
}

function createSupportMemory(http: HttpClient, clock: Clock): SupportMemory {
  const said = new Map<string, { readonly isSupported: boolean; readonly untilMs: number }>();
  return {
    async has(relay, deadlineMs) {
      const known = said.get(relay.name);
      if (known !== undefined && known.untilMs > clock.now()) return known.isSupported;
      const limits = { deadlineMs, maxBytes: MAX_BYTES };
      const { found: isSupported } = await http.getBytes(relay, "/supported", limits);
      const ttlMs = isSupported ? SUPPORTED_MS : UNSUPPORTED_MS;
      said.set(relay.name, { isSupported, untilMs: clock.now() + ttlMs });
      return isSupported;
    },
    forgetRefusals() {
      for (const [name, { isSupported }] of said) if (!isSupported) said.delete(name);
    },
  };
}
