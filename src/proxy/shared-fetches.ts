import { ProxyError, fromErrorValue } from "../errors/proxy-error.ts";
import type { FileRequest } from "../module/request.ts";
import { isOutage, settlesInTime } from "./flights.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { toKey } from "./memory-key.ts";
import type { Clock, Coordinators, FileOutcome, FileStore, Scope } from "./ports.ts";
import { type RestOfBody, SharedBody } from "./shared-body.ts";

/** What sharing works with. */
export interface SharedFetchPorts {
  readonly files: FileStore;
  readonly coordinators: Coordinators;
  readonly clock: Clock;
  /** Bounds what bodies on their way hold. */
  readonly budget: MemoryBudget;
}

type SharedOutcome =
  | Exclude<FileOutcome, { kind: "stream" }>
  | { readonly kind: "shared"; readonly body: SharedBody }
  /** The first one alone can have it. */
  | Extract<FileOutcome, { kind: "stream" }>;

const MAX_SHARED_BYTES = 16 * 1024 * 1024;
// A caller waits 9 seconds in all: what is left of them is for asking the coordinator himself.
const JOINED_WAIT_MS = 8000;
// Longer than any commit takes after the last bytes came.
const ABANDONED_MS = 60_000;

interface SharedFetch {
  readonly outcome: Promise<SharedOutcome>;
  readonly startMs: number;
  body: SharedBody | undefined;
  /** Gives the memory of the body back. */
  release: () => void;
}

type Defer = (work: Promise<unknown>) => void;

/**
 * The files that one isolate is fetching: who asks for one of them waits with the first who did.
 *
 * So a crowd costs its coordinator one call for each isolate, and one stream. Nothing rests on the
 * first one's request: when it brings nothing, or an outage, the others ask for themselves.
 */
export class SharedFetches {
  readonly #ports: SharedFetchPorts;
  readonly #underWay = new Map<string, SharedFetch>();

  constructor(ports: SharedFetchPorts) {
    this.#ports = ports;
  }

  isUnderWay(scope: Scope, request: FileRequest): boolean {
    const fetch = this.#underWay.get(toKey(scope, request));
    return fetch !== undefined && !this.#isAbandoned(fetch);
  }

  /**
   * Have a file fetched and stored, for a client who takes the whole of it.
   *
   * @param defer Lets work go on behind the answer.
   */
  async fetch(scope: Scope, request: FileRequest, defer: Defer): Promise<FileOutcome> {
    this.#dropAbandoned();
    const first = this.#underWay.get(toKey(scope, request));
    if (first === undefined) return await this.#begin(scope, request, defer);
    return await this.#join(scope, request, first);
  }

  async #begin(scope: Scope, request: FileRequest, defer: Defer): Promise<FileOutcome> {
    const { coordinators, clock } = this.#ports;
    const key = toKey(scope, request);
    const filled = Promise.withResolvers<void>();
    const fetch: SharedFetch = {
      startMs: clock.now(),
      body: undefined,
      release: () => undefined,
      outcome: coordinators
        .file(scope, request, { stream: true })
        .then((outcome) => this.#share(fetch, outcome, filled.resolve)),
    };
    this.#underWay.set(key, fetch);
    const forget = (): void => this.#drop(key, fetch);
    // The client may leave: others may wait for what he asked.
    defer(fetch.outcome.then(() => filled.promise).then(forget, forget));
    return this.#toOutcome(scope, request, await fetch.outcome);
  }

  /** Share a body while it comes, if there is memory for it. */
  #share(fetch: SharedFetch, outcome: FileOutcome, onFilled: () => void): SharedOutcome {
    const { clock, budget } = this.#ports;
    if (outcome.kind !== "stream") {
      onFilled();
      return outcome;
    }
    const { sizeBytes, body } = outcome;
    const isShareable = sizeBytes !== undefined && sizeBytes <= MAX_SHARED_BYTES;
    const release = isShareable ? budget.tryAcquire(sizeBytes) : undefined;
    if (sizeBytes === undefined || release === undefined) {
      onFilled();
      return { ...outcome, body: toSized(body, sizeBytes) };
    }
    fetch.release = release;
    fetch.body = new SharedBody(sizeBytes, clock);
    void fetch.body.fill(body).finally(onFilled);
    return { kind: "shared", body: fetch.body };
  }

  /** A request that is cut off while others wait for it runs no code any more, not even its end. */
  #dropAbandoned(): void {
    for (const [key, fetch] of this.#underWay) {
      if (this.#isAbandoned(fetch)) this.#drop(key, fetch);
    }
  }

  #isAbandoned({ body, startMs }: SharedFetch): boolean {
    return this.#ports.clock.now() - (body?.grownAtMs ?? startMs) > ABANDONED_MS;
  }

  #drop(key: string, fetch: SharedFetch): void {
    if (this.#underWay.get(key) !== fetch) return;
    this.#underWay.delete(key);
    fetch.release();
  }

  async #join(
    scope: Scope,
    request: FileRequest,
    { outcome: first }: SharedFetch,
  ): Promise<FileOutcome> {
    const { clock, coordinators } = this.#ports;
    const startMs = clock.now();
    const settled = first.catch(() => undefined);
    const outcome = (await settlesInTime(clock, settled, JOINED_WAIT_MS))
      ? await settled
      : undefined;
    const isOwn = outcome?.kind === "stream";
    const isOver = outcome?.kind === "failed" && isOutage(outcome.error.code);
    if (outcome === undefined || isOwn || isOver) {
      const waitedMs = clock.now() - startMs;
      return await coordinators.file(scope, request, { stream: false, waitedMs });
    }
    // A crowd reads a small zip from storage: a copy for each would fill the memory.
    if (outcome.kind === "bytes" && request.kind === "zip") {
      return { kind: "stored", record: outcome.record };
    }
    return this.#toOutcome(scope, request, outcome);
  }

  #toOutcome(scope: Scope, request: FileRequest, outcome: SharedOutcome): FileOutcome {
    if (outcome.kind !== "shared") return outcome;
    const { body } = outcome;
    const { sizeBytes } = body;
    return { kind: "stream", sizeBytes, body: body.open(this.#restOf(scope, request, sizeBytes)) };
  }

  #restOf(scope: Scope, request: FileRequest, sizeBytes: number): RestOfBody {
    const { files, coordinators } = this.#ports;
    const openCommitted = async (offsetBytes: number): Promise<ReadableStream<Uint8Array>> => {
      const range = { offsetBytes, lengthBytes: sizeBytes - offsetBytes };
      const rest = await files.reopen(scope, request.path, range);
      if (rest === undefined) throw new ProxyError("storage_unavailable", "the file is gone");
      return rest.body;
    };
    return {
      openCommitted,
      awaitCommit: async () => {
        const outcome = await coordinators.file(scope, request, { stream: false });
        if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
        const file = await files.open(scope, request.path);
        if (file?.record.sizeBytes === sizeBytes) return file.body;
        await file?.body.cancel();
        throw new ProxyError("storage_unavailable", "what was sent is not what was committed");
      },
    };
  }
}

/** A stream that came from another object has forgotten its length. */
function toSized(
  body: ReadableStream<Uint8Array>,
  sizeBytes: number | undefined,
): ReadableStream<Uint8Array> {
  return sizeBytes === undefined ? body : body.pipeThrough(new FixedLengthStream(sizeBytes));
}
