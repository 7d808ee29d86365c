import { fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import {
  type FileRequest,
  isFileRequest,
  type ModuleRequest,
  type MutableRequest,
} from "../module/request.ts";
import {
  type Answer,
  CONTENT_TYPES,
  type FileAnswer,
  type LiveAnswer,
  type WholeAnswer,
} from "./answer.ts";
import {
  type AbsentAnswer,
  AnswerMemory,
  type MemoryPorts,
  STALE_MS,
  toWhole,
} from "./answer-memory.ts";
import { sibling } from "./ingest.ts";
import { sha256Hex } from "../module/sha256.ts";
import { LruCache } from "./lru-cache.ts";
import {
  type AnswerCopies,
  type Coordinators,
  type EdgeCache,
  type FileOutcome,
  type FileStore,
  type MutableAnswer,
  type OpenFile,
  PUBLIC_SCOPE,
  type Scope,
  type Verified,
  type Verifier,
} from "./ports.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { toKey } from "./memory-key.ts";
import { SharedFetches } from "./shared-fetches.ts";
import { StoredZips, tryReadWhole } from "./stored-zips.ts";

/** What serving modules works with. */
export interface ServePorts extends MemoryPorts {
  readonly files: FileStore;
  readonly coordinators: Coordinators;
  readonly verifier: Verifier;
  /** Present where reading a copy is cheaper than asking the coordinator. */
  readonly copies: AnswerCopies | undefined;
  /** Present where the platform has a cache near the client. */
  readonly edge: EdgeCache | undefined;
  /** The memory that bodies on their way to several clients share with ingests. */
  readonly budget: MemoryBudget;
}

/** How one request is to be answered. */
export interface ServeOptions {
  /** When the request came, in milliseconds since the epoch. */
  readonly nowMs: number;
  /** Whether to answer from storage only. */
  readonly cachedOnly: boolean;
  /** Whether the client takes a whole body now: no HEAD and no range. */
  readonly stream: boolean;
  /** Lets work go on behind the answer. */
  defer(work: Promise<unknown>): void;
}

// How long a refresh that brought nothing new is not repeated.
const REFRESH_PAUSE_MS = 5000;
// How often the source of a private version is asked whether it was changed.
const RECHECK_MS = 600_000;
const RECHECKS_BYTES = 512 * 1024;

/** Answers module requests from the tiers, the nearest first; the coordinator is the last. */
export class ModuleServer {
  readonly #ports: ServePorts;
  readonly #memory: AnswerMemory;
  readonly #zips: StoredZips;
  readonly #fetches: SharedFetches;
  /** When a private version was rechecked last, in milliseconds since the epoch. */
  readonly #rechecks = new LruCache<number>(RECHECKS_BYTES);

  constructor(ports: ServePorts) {
    this.#ports = ports;
    this.#memory = new AnswerMemory(ports);
    this.#zips = new StoredZips(ports);
    this.#fetches = new SharedFetches(ports);
  }

  /**
   * The answer, if memory has it: no await and no throw on the hot path.
   */
  tryServeFromMemory(
    scope: Scope,
    request: ModuleRequest,
    options: ServeOptions,
  ): WholeAnswer | FileAnswer | AbsentAnswer | undefined {
    const key = toKey(scope, request);
    // With an edge cache the nearest copy of a zip is there, not in storage.
    if (request.kind === "zip" && options.stream && this.#ports.edge === undefined) {
      const zip = this.#zips.findDigested(key, options);
      if (zip !== undefined) return this.#served(scope, request as FileRequest, options, zip);
    }
    const remembered = this.#memory.get(key);
    if (remembered === undefined) return undefined;
    const { nowMs } = options;
    if (nowMs >= remembered.staleUntilMs) return undefined;
    if (remembered.answer.kind === "absent") {
      return options.cachedOnly ? undefined : remembered.answer;
    }
    if (nowMs >= remembered.freshUntilMs && !isFileRequest(request) && !options.cachedOnly) {
      remembered.freshUntilMs = nowMs + REFRESH_PAUSE_MS;
      options.defer(this.#refresh(scope, request as MutableRequest));
    }
    if (scope !== PUBLIC_SCOPE && isFileRequest(request)) this.#recheck(scope, request, options);
    return remembered.answer;
  }

  /**
   * The answer from the tiers behind memory.
   *
   * @throws ProxyError absence (`module_not_found`, `not_fetched`) as well as every failure.
   */
  async serve(scope: Scope, request: ModuleRequest, options: ServeOptions): Promise<Answer> {
    if (!isFileRequest(request)) {
      return await this.#serveMutable(scope, request as MutableRequest, options);
    }
    const isShared = options.stream && !options.cachedOnly;
    if (isShared && this.#fetches.isUnderWay(scope, request)) {
      return await this.#fetchFile(scope, request, options);
    }
    const near = scope === PUBLIC_SCOPE ? await this.#readEdge(request, options) : undefined;
    if (near !== undefined) return near;
    const stored =
      request.kind === "zip"
        ? await this.#findZip(scope, request, options)
        : await this.#readSmall(scope, request, options);
    if (stored !== undefined) return this.#served(scope, request, options, stored);
    if (options.cachedOnly) throw await this.#explainMiss(scope, request);
    return await this.#fetchFile(scope, request, options);
  }

  /** Why there is nothing in storage: a file that is lost is not one that never was there. */
  async #explainMiss(scope: Scope, request: FileRequest): Promise<ProxyError> {
    const record = await this.#ports.files.readRecord(scope, request.path);
    return record === undefined || this.#isUnproven(scope, request, record.verified)
      ? new ProxyError("not_fetched", describe(request))
      : new ProxyError("storage_unavailable", "the stored file is missing");
  }

  /** Drop what memory has of a file that may have been replaced in storage. */
  forget(scope: Scope, request: FileRequest): void {
    this.#memory.delete(toKey(scope, request));
  }

  /** A file from the edge cache: a small one is checked, a zip is passed on as it is. */
  async #readEdge(
    request: FileRequest,
    options: ServeOptions,
  ): Promise<WholeAnswer | FileAnswer | undefined> {
    if (request.kind === "zip" && !options.stream) return undefined;
    const file = await this.#ports.edge?.read(request.path);
    if (file === undefined) return undefined;
    const { verified, sha256, sizeBytes } = file;
    if (this.#isUnproven(PUBLIC_SCOPE, request, verified)) return undefined;
    if (request.kind === "zip") {
      const body = file.body instanceof Uint8Array ? new Blob([file.body]).stream() : file.body;
      const contentType = CONTENT_TYPES.zip;
      const open = (): Promise<ReadableStream<Uint8Array>> => Promise.resolve(body);
      return {
        kind: "file",
        verified,
        sha256,
        sizeBytes,
        contentType,
        immutable: true,
        location: toKey(PUBLIC_SCOPE, request),
        isDigested: () => Promise.resolve(true),
        open,
      };
    }
    const body = await tryReadWhole(file.body);
    if (body === undefined || sha256Hex(body) !== sha256) return undefined;
    return this.#memory.keepFile(PUBLIC_SCOPE, request, body, { sha256, verified });
  }

  /** A stored zip; one whose digest this isolate has seen right goes to the edge cache as well. */
  async #findZip(
    scope: Scope,
    request: FileRequest,
    options: ServeOptions,
  ): Promise<FileAnswer | undefined> {
    if (!options.stream) return await this.#zips.findFitting(scope, request, options);
    const answer = await this.#zips.find(scope, request, options);
    const { edge, files } = this.#ports;
    const validator = this.#zips.digestedAs(toKey(scope, request));
    const isWanted = scope === PUBLIC_SCOPE && validator !== undefined;
    if (edge === undefined || answer === undefined || !isWanted) return answer;
    const copy = async (): Promise<void> => {
      const file = await files.reopen(scope, request.path);
      const { verified, sha256, sizeBytes } = answer;
      // Not what was digested: it may have been restored meanwhile, from another maker's bytes.
      if (file?.validator !== validator || file === undefined) return;
      await edge.write(request.path, { verified, sha256, sizeBytes, body: file.body });
    };
    options.defer(copy().catch(() => undefined));
    return answer;
  }

  async #readSmall(
    scope: Scope,
    request: FileRequest,
    options: ServeOptions,
  ): Promise<WholeAnswer | undefined> {
    const file = await this.#openSmall(scope, request, options);
    if (file === undefined) return undefined;
    if (this.#isUnproven(scope, request, file.record.verified)) {
      await file.body.cancel();
      return undefined;
    }
    const body = await tryReadWhole(file.body);
    if (body !== undefined && sha256Hex(body) === file.record.sha256) {
      const { sha256 } = file.record;
      const { edge } = this.#ports;
      const isFinal = request.kind === "info" || file.record.verified !== "none";
      if (edge !== undefined && scope === PUBLIC_SCOPE && isFinal) {
        const { verified } = file.record;
        const copy = { verified, sha256, sizeBytes: body.length, body };
        options.defer(edge.write(request.path, copy));
      }
      return this.#memory.keepFile(scope, request, body, file.record);
    }
    await this.#restore(scope, request, options);
    return await this.#readSmall(scope, request, options);
  }

  #served<T>(scope: Scope, request: FileRequest, options: ServeOptions, answer: T): T {
    if (scope !== PUBLIC_SCOPE) this.#recheck(scope, request, options);
    return answer;
  }

  /** Look behind the answer whether the tag of a private version was moved. */
  #recheck(scope: Scope, request: FileRequest, options: ServeOptions): void {
    if (options.cachedOnly) return;
    const key = `${scope}/${request.modulePath}@${request.version}`;
    const nowMs = this.#ports.clock.now();
    if (nowMs - (this.#rechecks.get(key) ?? 0) < RECHECK_MS) return;
    this.#rechecks.set(key, nowMs, 2 * key.length + 100);
    options.defer(this.#ports.coordinators.recheck(scope, request).catch(() => undefined));
  }

  /**
   * Open a committed file.
   *
   * Storage that knows the file and cannot read it has lost it: the coordinator may restore it.
   */
  async #openSmall(
    scope: Scope,
    request: FileRequest,
    options: ServeOptions,
  ): Promise<OpenFile | undefined> {
    const { files } = this.#ports;
    try {
      return await files.open(scope, request.path);
    } catch (error) {
      if ((await files.readRecord(scope, request.path)) === undefined) throw error;
      await this.#restore(scope, request, options);
      return await files.open(scope, request.path);
    }
  }

  /** A file that must be proven before it is served counts as absent: the coordinator sees to it. */
  #isUnproven(scope: Scope, request: FileRequest, verified: Verified): boolean {
    return verified === "none" && this.#ports.verifier.requiresProof(scope, request);
  }

  async #restore(scope: Scope, request: FileRequest, options: ServeOptions): Promise<void> {
    if (options.cachedOnly) {
      throw new ProxyError("storage_unavailable", "the stored file is damaged");
    }
    const outcome = await this.#ports.coordinators.file(scope, request, {
      stream: false,
      damaged: "bytes",
    });
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
  }

  async #fetchFile(scope: Scope, request: FileRequest, options: ServeOptions): Promise<Answer> {
    const outcome = options.stream
      ? await this.#fetches.fetch(scope, request, (work) => options.defer(work))
      : await this.#ports.coordinators.file(scope, request, { stream: false });
    switch (outcome.kind) {
      case "bytes":
        if (request.kind !== "zip") {
          return this.#memory.keepFile(scope, request, outcome.body, outcome.record);
        }
        // The zip's arrival may have replaced a go.mod that contradicted it.
        this.forget(scope, sibling(request, "mod"));
        return toWhole(request, outcome.body, outcome.record.sha256);
      case "stream":
        return toLive(outcome);
      case "absent":
        throw this.#memory.keepAbsence(scope, request, outcome.reason, outcome.untilMs);
      case "failed":
        throw fromErrorValue(outcome.error);
      case "stored":
        return await this.#readStored(scope, request, options);
    }
  }

  /** A file that the coordinator has just said is there; if it is not, it has to be restored. */
  async #readStored(scope: Scope, request: FileRequest, options: ServeOptions): Promise<Answer> {
    if (request.kind === "zip") {
      // As above: the go.mod may be another one now.
      this.forget(scope, sibling(request, "mod"));
      const zip = await this.#findZip(scope, request, options);
      if (zip !== undefined) return zip;
    } else {
      const small = await this.#readSmall(scope, request, options);
      if (small !== undefined) return small;
      await this.#restore(scope, request, options);
      const restored = await this.#readSmall(scope, request, options);
      if (restored !== undefined) return restored;
    }
    throw new ProxyError("storage_unavailable", "a file is gone as soon as it was stored");
  }

  async #serveMutable(
    scope: Scope,
    request: MutableRequest,
    options: ServeOptions,
  ): Promise<WholeAnswer> {
    const { copies, coordinators } = this.#ports;
    const isCopied = scope === PUBLIC_SCOPE && !options.cachedOnly;
    const copy = isCopied ? await this.#readCopy(copies, scope, request) : undefined;
    if (copy !== undefined) {
      const answer = this.#memory.keepMutable(scope, request, copy);
      if (this.#memory.ageMs(copy) >= 0) options.defer(this.#refresh(scope, request));
      return answer;
    }
    const { cachedOnly } = options;
    const outcome = await coordinators.mutable(scope, request, { cachedOnly });
    switch (outcome.kind) {
      case "answer":
        return this.#memory.keepMutable(scope, request, outcome.answer);
      case "absent":
        throw this.#memory.keepAbsence(scope, request, outcome.reason, outcome.untilMs);
      case "failed":
        throw fromErrorValue(outcome.error);
    }
  }

  /** A copy that is good enough to be served at once. */
  async #readCopy(
    copies: AnswerCopies | undefined,
    scope: Scope,
    request: MutableRequest,
  ): Promise<MutableAnswer | undefined> {
    const copy = await copies?.read(scope, request.path);
    return copy !== undefined && this.#memory.ageMs(copy) < STALE_MS ? copy : undefined;
  }

  async #refresh(scope: Scope, request: MutableRequest): Promise<void> {
    const { coordinators } = this.#ports;
    const options = { cachedOnly: false, refresh: true } as const;
    const outcome = await coordinators.mutable(scope, request, options).catch(() => undefined);
    if (outcome?.kind === "answer") this.#memory.keepMutable(scope, request, outcome.answer);
  }
}

function toLive({ sizeBytes, body }: Extract<FileOutcome, { kind: "stream" }>): LiveAnswer {
  return { kind: "live", contentType: CONTENT_TYPES.zip, sizeBytes, body };
}

function describe(request: ModuleRequest): string {
  return request.version === "" ? request.modulePath : `${request.modulePath}@${request.version}`;
}
