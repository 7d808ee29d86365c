import { ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest, ModuleRequest, MutableRequest } from "../module/request.ts";
import { sha256Hex } from "../module/sha256.ts";
import { CONTENT_TYPES, type WholeAnswer } from "./answer.ts";
import { LruCache } from "./lru-cache.ts";
import { toKey } from "./memory-key.ts";
import type { Clock, FileRecord, MutableAnswer, Scope } from "./ports.ts";

/** What was learned to be absent; the error is made once. */
export interface AbsentAnswer {
  readonly kind: "absent";
  readonly error: ProxyError;
}

/** An answer that memory has, and for how long it is good. */
export interface Remembered {
  readonly answer: WholeAnswer | AbsentAnswer;
  freshUntilMs: number;
  readonly staleUntilMs: number;
}

/** What the memory works with. */
export interface MemoryPorts {
  readonly clock: Clock;
  readonly times: {
    readonly memorySeconds: number;
    readonly listSeconds: number;
  };
  /** Upper bound of what is kept in memory. */
  readonly memoryBytes: number;
}

/** An answer this much older than fresh is still served at once, with one refresh behind it. */
export const STALE_MS = 600_000;
const ENTRY_OVERHEAD_BYTES = 400;

/** Small answers in the memory of one isolate, made ready to be sent. */
export class AnswerMemory {
  readonly #ports: MemoryPorts;
  readonly #answers: LruCache<Remembered>;

  constructor(ports: MemoryPorts) {
    this.#ports = ports;
    this.#answers = new LruCache(ports.memoryBytes);
  }

  /** @param key From {@link toKey}. */
  get(key: string): Remembered | undefined {
    return this.#answers.get(key);
  }

  delete(key: string): void {
    this.#answers.delete(key);
  }

  /** Keep a list, a latest version or the answer to a query. */
  keepMutable(scope: Scope, request: MutableRequest, answer: MutableAnswer): WholeAnswer {
    const key = toKey(scope, request);
    const freshUntilMs = answer.fetchedAtMs + this.#ports.times.listSeconds * 1000;
    const whole: WholeAnswer = {
      kind: "whole",
      body: answer.body,
      sizeBytes: Buffer.byteLength(answer.body),
      sha256: sha256Hex(answer.body),
      contentType: CONTENT_TYPES[request.kind],
      immutable: false,
    };
    this.#answers.set(
      key,
      { answer: whole, freshUntilMs, staleUntilMs: freshUntilMs + STALE_MS },
      2 * key.length + whole.sizeBytes + ENTRY_OVERHEAD_BYTES,
    );
    return whole;
  }

  /** Keep a small file that was checked against its record. */
  keepFile(
    scope: Scope,
    request: FileRequest,
    body: Uint8Array,
    { sha256, verified }: Pick<FileRecord, "sha256" | "verified">,
  ): WholeAnswer {
    const key = toKey(scope, request);
    const { memorySeconds, listSeconds } = this.#ports.times;
    // While nothing verifies, the zip may yet show a go.mod to be wrong.
    const isFinal = request.kind !== "mod" || verified !== "none";
    const untilMs = this.#ports.clock.now() + (isFinal ? memorySeconds : listSeconds) * 1000;
    const answer = toWhole(request, body, sha256);
    this.#answers.set(
      key,
      { answer, freshUntilMs: untilMs, staleUntilMs: untilMs },
      2 * key.length + answer.sizeBytes + ENTRY_OVERHEAD_BYTES,
    );
    return answer;
  }

  /**
   * Keep that something is absent.
   *
   * @returns The error that says so, to be thrown.
   */
  keepAbsence(scope: Scope, request: ModuleRequest, reason: string, untilMs: number): ProxyError {
    const key = toKey(scope, request);
    const error = new ProxyError("module_not_found", reason);
    this.#answers.set(
      key,
      { answer: { kind: "absent", error }, freshUntilMs: untilMs, staleUntilMs: untilMs },
      2 * (key.length + reason.length) + ENTRY_OVERHEAD_BYTES,
    );
    return error;
  }

  /** How much older than fresh an answer is; negative while it is fresh. */
  ageMs(answer: MutableAnswer): number {
    const freshUntilMs = answer.fetchedAtMs + this.#ports.times.listSeconds * 1000;
    return this.#ports.clock.now() - freshUntilMs;
  }
}

/** A whole file as an answer. */
export function toWhole({ kind }: FileRequest, body: Uint8Array, sha256: string): WholeAnswer {
  const contentType = CONTENT_TYPES[kind];
  return { kind: "whole", body, sizeBytes: body.length, sha256, contentType, immutable: true };
}
