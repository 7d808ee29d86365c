import { fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest, MutableRequest } from "../module/request.ts";
import { ChangingAnswers } from "./changing-answers.ts";
import {
  Absences,
  CALLER_WAIT_MS,
  type Flight,
  FLIGHT_DEADLINE_MS,
  isOutage,
  settlesInTime,
  toFailure,
  tooSlow,
} from "./flights.ts";
import {
  checkFile,
  type CheckOptions,
  commitFile,
  type FoundAnswer,
  type Ingested,
  type IngestPorts,
  reconcileMod,
} from "./ingest.ts";
import { LiveStream } from "./live-stream.ts";
import {
  type AnswerIndex,
  type Coordinators,
  type EventSink,
  type FileOptions,
  type FileOutcome,
  type FileRecord,
  type MutableOptions,
  type MutableOutcome,
  type Scope,
  PUBLIC_SCOPE,
} from "./ports.ts";
import { Rechecker } from "./recheck.ts";
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

const MIN_STREAMED_BYTES = 1024 * 1024;

interface FileFlight extends Flight<FileOutcome> {
  /** The body for the first caller, once it is worth streaming; undefined if it never was. */
  readonly live: Promise<LiveBody | undefined>;
}

interface LiveBody {
  readonly stream: LiveStream;
  readonly sizeBytes: number | undefined;
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
  readonly #absences: Absences;
  readonly #changing: ChangingAnswers;
  readonly #rechecker: Rechecker;

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports;
    this.#rechecker = new Rechecker(ports);
    this.#absences = new Absences(ports.clock, ports.times.negativeSeconds);
    this.#changing = new ChangingAnswers({
      ...ports,
      chainFor: (scope, modulePath) => ports.chainFor(scope, modulePath),
      absences: this.#absences,
      readInfo: (scope, request) => this.#readInfo(scope, request),
    });
  }

  async file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome> {
    const key = `${scope}/${request.path}`;
    const absence = this.#absences.find(key);
    if (absence !== undefined) return { kind: "absent", ...absence };
    const endMs = this.#ports.clock.now() + CALLER_WAIT_MS - (options.waitedMs ?? 0);
    const joined = this.#files.get(key);
    if (joined === undefined) {
      return await this.#ride(key, request, this.#startFile(key, scope, request, options), {
        endMs,
        takesLive: options.stream,
      });
    }
    const outcome = await this.#ride(key, request, joined, { endMs, takesLive: false });
    if (outcome.kind !== "failed" || !isOutage(outcome.error.code)) return outcome;
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
    if (!(await settlesInTime(clock, flight.answered, endMs - clock.now()))) {
      // Who comes next tries anew, in case the source is back by then.
      if (this.#files.get(key) === flight) this.#files.delete(key);
      return tooSlow();
    }
    const live = takesLive ? await flight.live : undefined;
    if (live !== undefined) {
      return { kind: "stream", sizeBytes: live.sizeBytes, body: live.stream.readable };
    }
    // A zip takes the time that it takes, as long as its bytes keep coming.
    const isDone =
      request.kind === "zip" || (await settlesInTime(clock, flight.done, endMs - clock.now()));
    if (!isDone) return tooSlow();
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
    return await this.#changing.find(scope, request, options);
  }

  async recheck(scope: Scope, request: FileRequest): Promise<void> {
    const chain = this.#ports.chainFor(scope, request.modulePath);
    await this.#rechecker.recheck({ scope, request }, chain);
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
        const wasBegun = stream?.hasStarted;
        return toFailure(this.#ports.events, { scope, path: request.path, wasBegun }, error);
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
    const { files, index, verifier } = this.#ports;
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
    // A proof takes two questions, one after the other: a go.mod would wait for them longer than
    // for its source.
    const prove = request.kind === "info" ? undefined : verifier.begin(scope, request);
    const answer = await chain.ask(request, { deadlineMs: FLIGHT_DEADLINE_MS });
    if (!answer.found) return this.#absences.note(`${scope}/${request.path}`, answer.reason);
    const live = onAnswer(answer);
    index.noteBegun(scope, request);
    const ingested = await this.#ingest(scope, request, answer, { live, prove }).catch(
      (error: unknown) => {
        index.noteFailed(scope, request);
        throw error;
      },
    );
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
    options: CheckOptions,
  ): Promise<Ingested> {
    const file = { scope, request };
    this.#checkOrigin(scope, request, answer);
    const checked = await checkFile(this.#ports, file, answer, options);
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

  async #readInfo(scope: Scope, request: FileRequest): Promise<Uint8Array | undefined> {
    const outcome = await this.file(scope, request, { stream: false });
    if (outcome.kind === "bytes") return outcome.body;
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
    if (outcome.kind !== "stored") return undefined;
    const file = await this.#ports.files.open(scope, request.path);
    if (file === undefined) throw new ProxyError("storage_unavailable", "the stored info is lost");
    return new Uint8Array(await new Response(file.body).arrayBuffer());
  }
}

/** Where the ledger keeps the source of a version. */
function originPath({ escapedPath, version }: FileRequest): string {
  return `${escapedPath}/@v/${version} origin`;
}
