import { ProxyError } from "../errors/proxy-error.ts";
import type { Clock } from "../proxy/ports.ts";
import type { HttpClient, HttpOrigin } from "./http-client.ts";

const DEADLINE_MS = 6000;
const MAX_BYTES = 2_000_000;
const NOT_FOUND = [404, 410];
// How long it is remembered whether a proxy relays the database.
const SUPPORTED_MS = 600_000;

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
 * @returns GET of a path below the database's base. Throws `sumdb_not_found` when the database
 *   says so and `sumdb_unavailable` on anything else.
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
  const supported = new Map<string, { readonly isSupported: boolean; readonly untilMs: number }>();

  async function relaysDatabase(relay: HttpOrigin, deadlineMs: number): Promise<boolean> {
    const known = supported.get(relay.name);
    if (known !== undefined && known.untilMs > clock.now()) return known.isSupported;
    const limits = { deadlineMs, maxBytes: MAX_BYTES };
    const isSupported = (await http.getBytes(relay, "/supported", limits)) !== undefined;
    supported.set(relay.name, { isSupported, untilMs: clock.now() + SUPPORTED_MS });
    return isSupported;
  }

  async function ask(origin: HttpOrigin, path: string, deadlineMs: number): Promise<Uint8Array> {
    const limits = { deadlineMs, maxBytes: MAX_BYTES };
    const bytes = await http.getBytes(origin, path, limits);
    if (bytes !== undefined) return bytes;
    throw new ProxyError("sumdb_not_found", `${name} does not have it`);
  }

  return async (path) => {
    let outage: unknown;
    const endMs = clock.now() + DEADLINE_MS;
    // One that hangs leaves some time for the next.
    const shareMs = (): number => Math.max(1000, (endMs - clock.now()) / 2);
    for (const relay of url === undefined ? relays : []) {
      try {
        if (await relaysDatabase(relay, shareMs())) {
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
      const cause = outage ?? error;
      const reason = cause instanceof ProxyError ? cause.publicDetail : "it cannot be reached";
      throw new ProxyError("sumdb_unavailable", `${name}: ${reason}`, { cause });
    }
  };
}
