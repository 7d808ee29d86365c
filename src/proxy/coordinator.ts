import { fromErrorValue, ProxyError, toErrorValue } from "../errors/proxy-error.ts";
import type { FileRequest, MutableRequest } from "../module/request.ts";
import { fetchMutable, type FetchedMutable } from "./fetch-mutable.ts";
import {
  checkFile,
  commitFile,
  type FoundAnswer,
  type Ingested,
  type IngestPorts,
  reconcileMod,
} from "./ingest.ts";
import { LiveStream } from "./live-stream.ts";
import { LruCache } from "./lru-cache.ts";
import {
  type AnswerIndex,
  type Coordinators,
  type EventSink,
  type FileOptions,
  type FileOutcome,
  type FileRecord,
  type MutableAnswer,
  type MutableOptions,
  type MutableOutcome,
  type Scope,
  PUBLIC_SCOPE,
} from "./ports.ts";
import { recheckVersion } from "./recheck.ts";
import { restoreFile } from "./restore.ts";
import type { SourceChain } from "./source-chain.ts";

/** What a coordinator works with. */
export interface CoordinatorPorts extends IngestPorts {
  readonly index: AnswerIndex;
  readonly events: EventSink;
  /** The sources that a module of a scope may come from. */
  chainFor(scope: Scope, modulePath: string): SourceChain;
  readonly times: {
    readonly listSeconds: number;
    readonly negativeSeconds: number;
  };
}

// How long a caller waits for a source's first byte; the fetch itself goes on behind.
const CALLER_WAIT_MS = 9000;
const FLIGHT_DEADLINE_MS = 45_000;
// An answer this much older than fresh is still good enough at once.
const STALE_MS = 600_000;
const REFRESH_WAIT_MS = 3000;
const MIN_STREAMED_BYTES = 1024 * 1024;
const NEGATIVE_CACHE_BYTES = 1024 * 1024;

interface Flight<T> {
  /** Resolves when the source has begun to answer, or the flight is over. */
  readonly answered: Promise<void>;
  readonly done: Promise<T>;
}

interface FileFlight extends Flight<FileOutcome> {
  /** The body for the first caller, once it is worth streaming; undefined if it never was. */
  readonly live: Promise<LiveBody | undefined>;
}

interface LiveBody {
  readonly stream: LiveStream;
  readonly sizeBytes: number | undefined;
}

interface Absence {
  readonly reason: string;
  readonly untilMs: number;
}

/**
 * Owns the upstream fetches of its modules: one at a time for each file and each list.
 *
 * Fetches do not end with the caller who started them. Flights and absences are memory only, so
 * asking for names that do not exist leaves no trace.
 */
export class Coordinator implements Coordinators {
  readonly #ports: CoordinatorPorts;
  readonly #files = new Map<string, FileFlight>();
  readonly #mutables = new Map<string, Flight<MutableOutcome>>();
  readonly #absences = new LruCache<Absence>(NEGATIVE_CACHE_BYTES);

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports;
  }

  async file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome> {
    const key = `${scope}/${request.path}`;
    const absence = this.#findAbsence(key);
    if (absence !== undefined) return { kind: "absent", ...absence };
    const endMs = this.#ports.clock.now() + CALLER_WAIT_MS;
    const joined = this.#files.get(key);
    if (joined === undefined) {
      return await this.#ride(key, request, this.#startFile(key, scope, request, options), {
        endMs,
        takesLive: options.stream,
      });
    }
    const outcome = await this.#ride(key, request, joined, { endMs, takesLive: false });
    if (outcome.kind !== "failed" || !OUTAGE_CODES.has(outcome.error.code)) return outcome;
    // That flight met an outage before this caller came: it may be over by now.
    const flight = this.#files.get(key) ?? this.#startFile(key, scope, request, options);
    return await this.#ride(key, request, flight, { endMs, takesLive: false });
  }

  /** Wait for a flight; the first caller gets the body of a zip as it comes. */
  async #ride(
    key: string,
    request: FileRequest,
    flight: FileFlight,
    { endMs, takesLive }: { readonly endMs: number; readonly takesLive: boolean },
  ): Promise<FileOutcome> {
    const { clock } = this.#ports;
    if (!(await this.#inTime(flight.answered, endMs - clock.now()))) {
      // Who comes next tries anew, in case the source is back by then.
      if (this.#files.get(key) === flight) this.#files.delete(key);
      return { kind: "failed", error: tooSlow() };
    }
    const live = takesLive ? await flight.live : undefined;
    if (live !== undefined) {
      return { kind: "stream", sizeBytes: live.sizeBytes, body: live.stream.readable };
    }
    // A zip takes the time that it takes, as long as its bytes keep coming.
    const isDone = request.kind === "zip" || (await this.#inTime(flight.done, endMs - clock.now()));
    if (!isDone) return { kind: "failed", error: tooSlow() };
    const outcome = await flight.done;
    // A crowd reads a zip from storage: a copy for each would fill the memory.
    if (outcome.kind !== "bytes" || request.kind !== "zip" || takesLive) return outcome;
    return { kind: "stored", record: outcome.record };
  }

  async mutable(
    scope: Scope,
    request: MutableRequest,
    options: MutableOptions,
  ): Promise<MutableOutcome> {
    const { index, clock, times } = this.#ports;
    const stored = index.read(scope, request.path);
    if (options.cachedOnly) return stored === undefined ? notStored() : toOutcome(stored);
    const key = `${scope}/${request.path}`;
    if (stored === undefined) {
      const absence = this.#findAbsence(key);
      if (absence !== undefined) return { kind: "absent", ...absence };
      return await this.#awaitMutable(key, scope, request);
    }
    const staleMs = clock.now() - stored.fetchedAtMs - times.listSeconds * 1000;
    if (staleMs < 0) return toOutcome(stored);
    if (this.#ports.chainFor(scope, request.modulePath).isDown()) return toOutcome(stored);
    const flight = this.#mutables.get(key) ?? this.#startMutable(key, scope, request);
    if (staleMs < STALE_MS && options.refresh !== true) return toOutcome(stored);
    const waitMs = options.refresh === true ? CALLER_WAIT_MS : REFRESH_WAIT_MS;
    return await this.#preferFresh(key, request, { flight, stored, waitMs });
  }

  /** The outcome of a refresh, or what is stored if that comes too late or brings nothing. */
  async #preferFresh(
    key: string,
    request: MutableRequest,
    wait: { flight: Flight<MutableOutcome>; stored: MutableAnswer; waitMs: number },
  ): Promise<MutableOutcome> {
    const { flight, stored, waitMs } = wait;
    if (!(await this.#inTime(flight.done, waitMs))) {
      if (this.#mutables.get(key) === flight) this.#mutables.delete(key);
      return toOutcome(stored);
    }
    const outcome = await flight.done;
    // What was listed once stays listed: its files are stored and go on being served.
    const keepsStored =
      outcome.kind === "failed" || (outcome.kind === "absent" && request.kind !== "query");
    return keepsStored ? toOutcome(stored) : outcome;
  }

  async recheck(scope: Scope, request: FileRequest): Promise<void> {
    const chain = this.#ports.chainFor(scope, request.modulePath);
    await recheckVersion(this.#ports, { scope, request }, chain);
  }

  async #awaitMutable(key: string, scope: Scope, request: MutableRequest): Promise<MutableOutcome> {
    const flight = this.#mutables.get(key) ?? this.#startMutable(key, scope, request);
    if (await this.#inTime(flight.done, CALLER_WAIT_MS)) return await flight.done;
    if (this.#mutables.get(key) === flight) this.#mutables.delete(key);
    return { kind: "failed", error: tooSlow() };
  }

  #startFile(key: string, scope: Scope, request: FileRequest, options: FileOptions): FileFlight {
    const answered = Promise.withResolvers<void>();
    const live = Promise.withResolvers<LiveBody | undefined>();
    let stream: LiveStream | undefined;
    const onAnswer = ({ sizeBytes }: FoundAnswer): LiveStream | undefined => {
      answered.resolve();
      const isSmall = (sizeBytes ?? MIN_STREAMED_BYTES) < MIN_STREAMED_BYTES;
      if (!options.stream || request.kind !== "zip" || isSmall) return undefined;
      const onStart = (): void => {
        if (stream !== undefined) live.resolve({ stream, sizeBytes });
      };
      // Of a body that announces no length, nobody knows yet whether it is worth streaming.
      const afterBytes = sizeBytes === undefined ? MIN_STREAMED_BYTES : 1;
      stream = new LiveStream(sizeBytes, { afterBytes, onStart });
      return stream;
    };
    const done = this.#runFile(scope, request, options, onAnswer)
      .catch((error: unknown): FileOutcome => {
        void stream?.fail(error);
        return { kind: "failed", error: toErrorValue(this.#noteFailure(scope, request, error)) };
      })
      .finally(() => {
        if (this.#files.get(key) === flight) this.#files.delete(key);
        answered.resolve();
        live.resolve(undefined);
      });
    const flight: FileFlight = { answered: answered.promise, live: live.promise, done };
    this.#files.set(key, flight);
    return flight;
  }

  async #runFile(
    scope: Scope,
    request: FileRequest,
    options: FileOptions,
    onAnswer: (answer: FoundAnswer) => LiveStream | undefined,
  ): Promise<FileOutcome> {
    const { files, index } = this.#ports;
    const chain = this.#ports.chainFor(scope, request.modulePath);
    if (options.damaged === "disproven") {
      await this.#dismiss(scope, request, "its record cannot be true");
    }
    const record = await files.readRecord(scope, request.path);
    if (record !== undefined && (await this.#isServable(scope, request, record))) {
      if (options.damaged === undefined) return { kind: "stored", record };
      const restored = await restoreFile(this.#ports, { scope, request }, record, chain);
      return { kind: "stored", record: restored };
    }
    const answer = await chain.ask(request, { deadlineMs: FLIGHT_DEADLINE_MS });
    if (!answer.found) return this.#noteAbsence(`${scope}/${request.path}`, answer.reason);
    const live = onAnswer(answer);
    const ingested = await this.#ingest(scope, request, answer, live);
    index.noteStored(scope, request);
    if (live !== undefined) void this.#completeLive(live, scope, request);
    const { body } = ingested;
    if (body !== undefined) return { kind: "bytes", record: ingested.record, body };
    return { kind: "stored", record: ingested.record };
  }

  /**
   * Whether a stored file may be served: one that was stored unproven is proven first.
   *
   * One that the database contradicts moves to quarantine, to be fetched anew.
   */
  async #isServable(scope: Scope, request: FileRequest, record: FileRecord): Promise<boolean> {
    const { files, verifier } = this.#ports;
    if (record.verified !== "none" || !verifier.requiresProof(scope, request)) return true;
    try {
      const proof = await verifier.begin(scope, request)(record.h1 ?? "");
      await files.updateRecord(scope, request.path, { ...record, ...proof });
      return true;
    } catch (error) {
      if (!(error instanceof ProxyError) || error.code !== "checksum_mismatch") throw error;
      await this.#dismiss(scope, request, error.publicDetail);
      return false;
    }
  }

  /** Move a file to quarantine with all that is known of it: it was never right. */
  async #dismiss(scope: Scope, request: FileRequest, reason: string): Promise<void> {
    const { files, events, index } = this.#ports;
    const { path } = request;
    events.report({ action: "file-quarantined", scope, path, reason });
    await files.quarantine(scope, path, this.#ports.newName());
    index.noteLost(scope, request);
  }

  async #ingest(
    scope: Scope,
    request: FileRequest,
    answer: FoundAnswer,
    live: LiveStream | undefined,
  ): Promise<Ingested> {
    const file = { scope, request };
    this.#checkOrigin(scope, request, answer);
    const checked = await checkFile(this.#ports, file, answer, live);
    const chain = this.#ports.chainFor(scope, request.modulePath);
    try {
      await reconcileMod(this.#ports, file, checked.record, chain);
      const committed = await commitFile(this.#ports.files, file, checked);
      this.#pinFirstSight(scope, request, committed.record);
      return committed;
    } catch (error) {
      if (!(checked.content instanceof Uint8Array)) await checked.content.discard();
      throw error;
    }
  }

  /** All files of a private version come from where its first one came from. */
  #checkOrigin(scope: Scope, request: FileRequest, answer: FoundAnswer): void {
    if (scope === PUBLIC_SCOPE) return;
    const { index, events } = this.#ports;
    const first = index.readPin(scope, originPath(request)) ?? answer.source;
    if (first === answer.source) return;
    void answer.body.cancel().catch(() => undefined);
    const reason = `first seen at ${first}, now offered by ${answer.source}`;
    events.report({ action: "origin-changed", scope, path: request.path, reason });
    throw new ProxyError(
      "checksum_mismatch",
      `${request.modulePath}@${request.version}: ${reason}`,
    );
  }

  /** What is committed of a private version is what it is from now on. */
  #pinFirstSight(scope: Scope, request: FileRequest, record: FileRecord): void {
    if (scope === PUBLIC_SCOPE) return;
    const { index } = this.#ports;
    if (record.h1 !== undefined) index.pin(scope, request.path, record.h1);
    index.pin(scope, originPath(request), record.source);
  }

  async #completeLive(live: LiveStream, scope: Scope, request: FileRequest): Promise<void> {
    await live.complete(async (offsetBytes) => {
      const record = await this.#ports.files.readRecord(scope, request.path);
      const lengthBytes = (record?.sizeBytes ?? 0) - offsetBytes;
      const rest = await this.#ports.files.reopen(scope, request.path, {
        offsetBytes,
        lengthBytes,
      });
      if (rest === undefined) throw new ProxyError("storage_unavailable", "file is gone");
      return rest.body;
    });
  }

  #startMutable(key: string, scope: Scope, request: MutableRequest): Flight<MutableOutcome> {
    const done = this.#runMutable(key, scope, request)
      .catch((error: unknown): MutableOutcome => ({
        kind: "failed",
        error: toErrorValue(this.#noteFailure(scope, request, error)),
      }))
      .finally(() => {
        if (this.#mutables.get(key) === flight) this.#mutables.delete(key);
      });
    const flight: Flight<MutableOutcome> = { answered: done.then(() => undefined), done };
    this.#mutables.set(key, flight);
    return flight;
  }

  async #runMutable(key: string, scope: Scope, request: MutableRequest): Promise<MutableOutcome> {
    const { index, clock } = this.#ports;
    const fetched = await fetchMutable(
      {
        clock,
        chain: this.#ports.chainFor(scope, request.modulePath),
        deadlineMs: FLIGHT_DEADLINE_MS,
        readMutable: (other) => this.#readForDerivation(scope, other),
        keep: (other, kept) => void index.write(scope, other, toStored(kept, clock.now())),
        readInfo: (other) => this.#readInfo(scope, other),
      },
      request,
    );
    if ("absent" in fetched) return this.#noteAbsence(key, fetched.absent);
    return toOutcome(index.write(scope, request, toStored(fetched, clock.now())));
  }

  /** Another changing answer of the same module, fresh, for deriving one from it. */
  async #readForDerivation(
    scope: Scope,
    request: MutableRequest,
  ): Promise<MutableAnswer | undefined> {
    const outcome = await this.mutable(scope, request, { cachedOnly: false });
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
    return outcome.kind === "answer" ? outcome.answer : undefined;
  }

  async #readInfo(scope: Scope, request: FileRequest): Promise<Uint8Array | undefined> {
    const outcome = await this.file(scope, request, { stream: false });
    if (outcome.kind === "bytes") return outcome.body;
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
    if (outcome.kind !== "stored") return undefined;
    const file = await this.#ports.files.open(scope, request.path);
    return file && new Uint8Array(await new Response(file.body).arrayBuffer());
  }

  #findAbsence(key: string): Absence | undefined {
    const absence = this.#absences.get(key);
    if (absence === undefined || absence.untilMs > this.#ports.clock.now()) return absence;
    this.#absences.delete(key);
    return undefined;
  }

  #noteAbsence(key: string, reason: string): { kind: "absent" } & Absence {
    // A private module may be published any moment, and its source is near.
    if (!key.startsWith(`${PUBLIC_SCOPE}/`)) return { kind: "absent", reason, untilMs: 0 };
    const untilMs = this.#ports.clock.now() + this.#ports.times.negativeSeconds * 1000;
    this.#absences.set(key, { reason, untilMs }, key.length + reason.length + 64);
    return { kind: "absent", reason, untilMs };
  }

  /** Report what a person should know of a failure; the error itself goes to the caller. */
  #noteFailure(scope: Scope, request: { readonly path: string }, error: unknown): unknown {
    if (error instanceof ProxyError) {
      if (SECURITY_CODES.has(error.code)) {
        const { path } = request;
        this.#ports.events.report({ action: error.code, scope, path, reason: error.publicDetail });
      }
    } else {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#ports.events.report({ action: "internal", scope, path: request.path, reason });
    }
    return error;
  }

  /** Whether a promise settles within a time. */
  async #inTime(promise: Promise<unknown>, limitMs: number): Promise<boolean> {
    const { promise: timeout, resolve } = Promise.withResolvers<false>();
    const cancel = this.#ports.clock.after(limitMs, () => resolve(false));
    try {
      return await Promise.race([promise.then(() => true as const), timeout]);
    } finally {
      cancel();
    }
  }
}

const OUTAGE_CODES: ReadonlySet<string> = new Set([
  "sumdb_unavailable",
  "upstream_timeout",
  "upstream_unavailable",
]);

const SECURITY_CODES: ReadonlySet<string> = new Set([
  "upstream_invalid",
  "checksum_mismatch",
  "sumdb_invalid",
  "tree_forked",
]);

/** Where the ledger keeps the source of a version. */
function originPath({ escapedPath, version }: FileRequest): string {
  return `${escapedPath}/@v/${version} origin`;
}

function toStored(fetched: FetchedMutable, fetchedAtMs: number): Omit<MutableAnswer, "revision"> {
  const { body, newestPseudo } = fetched;
  return { body, fetchedAtMs, ...(newestPseudo === undefined ? {} : { newestPseudo }) };
}

function toOutcome(answer: MutableAnswer): MutableOutcome {
  return { kind: "answer", answer };
}

function notStored(): MutableOutcome {
  return { kind: "failed", error: { code: "not_fetched", publicDetail: "nothing is stored" } };
}

function tooSlow(): ReturnType<typeof toErrorValue> {
  return {
    code: "upstream_timeout",
    publicDetail: "the source has not begun to answer; the fetch goes on, try again soon",
  };
}
