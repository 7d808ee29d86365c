import type { AnswerCopies, MutableAnswer, Scope } from "../proxy/ports.ts";
import { sha256Hex } from "../module/sha256.ts";

// The shortest time that KV may keep a read in its own cache.
const CACHE_TTL_SECONDS = 30;
const MAX_KEY_BYTES = 512;

/**
 * Copies of changing answers in KV: readable everywhere, eventually consistent.
 *
 * A copy is never asked whether an exact version exists. When KV fails, the reader goes on to the
 * coordinator.
 */
export class KvAnswerCopies implements AnswerCopies {
  readonly #kv: KVNamespace;

  constructor(kv: KVNamespace) {
    this.#kv = kv;
  }

  async read(scope: Scope, path: string): Promise<MutableAnswer | undefined> {
    try {
      const value = await this.#kv.get(toKey(scope, path), {
        type: "json",
        cacheTtl: CACHE_TTL_SECONDS,
      });
      return isAnswer(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async write(scope: Scope, path: string, answer: MutableAnswer): Promise<void> {
    await this.#kv.put(toKey(scope, path), JSON.stringify(answer));
  }
}

function toKey(scope: Scope, path: string): string {
  const key = `list/${scope}/${path}`;
  return key.length <= MAX_KEY_BYTES ? key : `list/${scope}/#${sha256Hex(path)}`;
}

function isAnswer(value: unknown): value is MutableAnswer {
  if (typeof value !== "object" || value === null) return false;
  const { body, fetchedAtMs, revision } = value as Record<string, unknown>;
  return (
    typeof body === "string" && typeof fetchedAtMs === "number" && typeof revision === "number"
  );
}
