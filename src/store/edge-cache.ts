import type { EdgeCache, EdgeFile, Verified } from "../proxy/ports.ts";

const VERIFIED_HEADER = "X-Verified";

/**
 * Committed public files in the data centre of the client, by the platform's Cache API.
 *
 * Every failure counts as a miss: the file is in storage. There is no such cache on workers.dev,
 * where nothing that is written is ever found.
 */
export class CacheApiEdge implements EdgeCache {
  readonly #cache: Cache;
  readonly #maxAgeSeconds: number;

  constructor(cache: Cache, maxAgeSeconds: number) {
    this.#cache = cache;
    this.#maxAgeSeconds = maxAgeSeconds;
  }

  async read(path: string): Promise<EdgeFile | undefined> {
    const response = await this.#cache.match(toKey(path)).catch(() => undefined);
    if (response === undefined) return undefined;
    const sha256 = response.headers.get("ETag")?.replaceAll('"', "") ?? "";
    const verified = response.headers.get(VERIFIED_HEADER);
    const sizeBytes = Number(response.headers.get("Content-Length") ?? Number.NaN);
    const isWhole = response.body !== null && sha256 !== "" && Number.isSafeInteger(sizeBytes);
    if (isWhole && isVerified(verified)) {
      return { verified, sha256, sizeBytes, body: response.body };
    }
    await response.body?.cancel();
    return undefined;
  }

  async write(path: string, { verified, sha256, sizeBytes, body }: EdgeFile): Promise<void> {
    const headers = {
      ETag: `"${sha256}"`,
      [VERIFIED_HEADER]: verified,
      "Content-Length": String(sizeBytes),
      "Cache-Control": `public, max-age=${this.#maxAgeSeconds}`,
    };
    await this.#cache.put(toKey(path), new Response(body, { headers })).catch(() => undefined);
  }
}

function isVerified(text: string | null): text is Verified {
  return text === "sumdb" || text === "ledger" || text === "none";
}

/** The key ignores credentials, so the scope is part of it; nobody outside can ask for this host. */
function toKey(path: string): string {
  return `https://public.cache.invalid/${path}`;
}
