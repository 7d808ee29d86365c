import { fromErrorValue } from "../errors/proxy-error.ts";
import { tryEscapeVersion } from "../module/path.ts";
import { type FileRequest, type MutableRequest, toFileRequest } from "../module/request.ts";
import { sha256Hex } from "../module/sha256.ts";
import { fetchMutable, type FetchedMutable, toList } from "./fetch-mutable.ts";
import {
  type Absences,
  CALLER_WAIT_MS,
  type Flight,
  FLIGHT_DEADLINE_MS,
  settlesInTime,
  toFailure,
  tooSlow,
} from "./flights.ts";
import type {
  AnswerIndex,
  Clock,
  EventSink,
  FileStore,
  MutableAnswer,
  MutableOptions,
  MutableOutcome,
  Scope,
} from "./ports.ts";
import type { SourceChain } from "./source-chain.ts";
import { listByPreference } from "./version-list.ts";

/** What changing answers are made with. */
export interface ChangingPorts {
  readonly clock: Clock;
  readonly files: FileStore;
  readonly index: AnswerIndex;
  readonly events: EventSink;
  readonly absences: Absences;
  /** The sources that a module of a scope may come from. */
  chainFor(scope: Scope, modulePath: string): SourceChain;
  /** The `.info` of an exact version, fetched if need be; undefined when there is none. */
  readInfo(scope: Scope, request: FileRequest): Promise<Uint8Array | undefined>;
  readonly times: { readonly listSeconds: number };
}

// An answer this much older than fresh is still good enough at once.
const STALE_MS = 600_000;
const REFRESH_WAIT_MS = 3000;
// How many versions of a list are tried for one whose `.info` is stored.
const MAX_STORED_INFOS_TRIED = 16;

/** Lists, latest versions and the answers to queries: one fetch at a time for each. */
export class ChangingAnswers {
  readonly #ports: ChangingPorts;
  readonly #flights = new Map<string, Flight<MutableOutcome>>();

  constructor(ports: ChangingPorts) {
    this.#ports = ports;
  }

  async find(
    scope: Scope,
    request: MutableRequest,
    options: MutableOptions,
  ): Promise<MutableOutcome> {
    const { clock, times, absences } = this.#ports;
    const stored = await this.#readStored(scope, request);
    if (options.cachedOnly) return stored === undefined ? notStored() : toOutcome(stored);
    const key = `${scope}/${request.path}`;
    if (stored === undefined) {
      const absence = absences.find(key);
      if (absence !== undefined) return { kind: "absent", ...absence };
      return await this.#awaitFlight(key, scope, request);
    }
    const staleMs = clock.now() - stored.fetchedAtMs - times.listSeconds * 1000;
    if (staleMs < 0) return toOutcome(stored);
    if (this.#ports.chainFor(scope, request.modulePath).isDown()) return toOutcome(stored);
    const flight = this.#flights.get(key) ?? this.#start(key, scope, request);
    if (staleMs < STALE_MS && options.refresh !== true) return toOutcome(stored);
    const waitMs = options.refresh === true ? CALLER_WAIT_MS : REFRESH_WAIT_MS;
    return await this.#preferFresh(key, request, { flight, stored, waitMs });
  }

  async #readStored(scope: Scope, request: MutableRequest): Promise<MutableAnswer | undefined> {
    const stored = this.#ports.index.read(scope, request.path);
    if (stored !== undefined || request.kind !== "latest") return stored;
    return await this.#deriveLatest(scope, request);
  }

  /**
   * The latest version by what is stored alone: of a rebuilt index nobody has asked for it yet.
   *
   * It counts as never fetched, like a rebuilt list: a source's own word is preferred.
   */
  async #deriveLatest(scope: Scope, request: MutableRequest): Promise<MutableAnswer | undefined> {
    const list = this.#ports.index.read(scope, toList(request).path);
    if (list === undefined) return undefined;
    for (const version of listByPreference(list).slice(0, MAX_STORED_INFOS_TRIED)) {
      const escaped = tryEscapeVersion(version);
      if (escaped === undefined) continue;
      const { path } = toFileRequest(request, "info", version, escaped);
      const info = await this.#ports.files.open(scope, path);
      if (info === undefined) continue;
      const bytes = new Uint8Array(await new Response(info.body).arrayBuffer());
      if (sha256Hex(bytes) !== info.record.sha256) continue;
      return { body: new TextDecoder().decode(bytes), fetchedAtMs: 0, revision: 0 };
    }
    return undefined;
  }

  /** The outcome of a refresh, or what is stored if that comes too late or brings nothing. */
  async #preferFresh(
    key: string,
    request: MutableRequest,
    wait: { flight: Flight<MutableOutcome>; stored: MutableAnswer; waitMs: number },
  ): Promise<MutableOutcome> {
    const { flight, stored, waitMs } = wait;
    if (!(await settlesInTime(this.#ports.clock, flight.done, waitMs))) {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
      return toOutcome(stored);
    }
    const outcome = await flight.done;
    // What was listed once stays listed: its files are stored and go on being served.
    const keepsStored =
      outcome.kind === "failed" || (outcome.kind === "absent" && request.kind !== "query");
    return keepsStored ? toOutcome(stored) : outcome;
  }

  async #awaitFlight(key: string, scope: Scope, request: MutableRequest): Promise<MutableOutcome> {
    const flight = this.#flights.get(key) ?? this.#start(key, scope, request);
    if (await settlesInTime(this.#ports.clock, flight.done, CALLER_WAIT_MS))
      return await flight.done;
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
    return tooSlow();
  }

  #start(key: string, scope: Scope, request: MutableRequest): Flight<MutableOutcome> {
    const done = this.#run(key, scope, request)
      .catch((error: unknown): MutableOutcome =>
        toFailure(this.#ports.events, { scope, path: request.path }, error),
      )
      .finally(() => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
      });
    const flight: Flight<MutableOutcome> = { answered: done.then(() => undefined), done };
    this.#flights.set(key, flight);
    return flight;
  }

  async #run(key: string, scope: Scope, request: MutableRequest): Promise<MutableOutcome> {
    const { index, clock, absences } = this.#ports;
    const fetched = await fetchMutable(
      {
        clock,
        chain: this.#ports.chainFor(scope, request.modulePath),
        deadlineMs: FLIGHT_DEADLINE_MS,
        readMutable: (other) => this.#readForDerivation(scope, other),
        keep: (other, kept) => void index.write(scope, other, toStored(kept, clock.now())),
        readInfo: (other) => this.#ports.readInfo(scope, other),
      },
      request,
    );
    if ("absent" in fetched) return absences.note(key, fetched.absent);
    return toOutcome(index.write(scope, request, toStored(fetched, clock.now())));
  }

  /** Another changing answer of the same module, fresh, for deriving one from it. */
  async #readForDerivation(
    scope: Scope,
    request: MutableRequest,
  ): Promise<MutableAnswer | undefined> {
    const outcome = await this.find(scope, request, { cachedOnly: false });
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
    return outcome.kind === "answer" ? outcome.answer : undefined;
  }
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
