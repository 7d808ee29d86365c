import { DurableObject } from "cloudflare:workers";
import { ProxyError, toErrorValue } from "./errors/proxy-error.ts";
import type { JobRequest, JobState } from "./http/app.ts";
import type { Defer } from "./http/handler.ts";
import { respondError } from "./http/respond.ts";
import { parseRoute } from "./http/route.ts";
import type { FileRequest, MutableRequest } from "./module/request.ts";
import { toScope } from "./proxy/access.ts";
import { Coordinator as CoordinatorService } from "./proxy/coordinator.ts";
import { createLedgerVerifier } from "./proxy/ledger-verifier.ts";
import { emptyOutbox } from "./proxy/outbox.ts";
import {
  type FileOptions,
  type FileOutcome,
  type MutableOptions,
  type MutableOutcome,
  PUBLIC_SCOPE,
  type Scope,
} from "./proxy/ports.ts";
import {
  type RebuiltModule,
  toListOf,
  toModules,
  type WalkedPage,
  walkScopes,
} from "./proxy/reindex.ts";
import { type Damage, verifyFile, type VerifyPorts } from "./proxy/verify-store.ts";
import {
  type Bindings,
  clock,
  ingestBudget,
  newRequestId,
  readSecret,
  type Runtime,
  toRuntime,
} from "./runtime.ts";
import { coordinatorName } from "./store/coordinator-client.ts";
import { LogStore } from "./store/log-store.ts";
import { SqliteIndex } from "./store/sqlite-index.ts";
import { type Job, SqliteJobs } from "./store/sqlite-jobs.ts";
import type { Result, SumdbCalls } from "./store/sumdb-object-client.ts";
import { SumdbStore } from "./store/sumdb-store.ts";
import { SumdbClient } from "./sumdb/client.ts";
import { DEFAULT_VERIFIER_KEY, MAX_TILE_LEVEL, TILE_HEIGHT } from "./sumdb/constants.ts";
import { type LogEntry, SumdbLog as AppendOnlyLog } from "./sumdb/log.ts";
import { parseModuleKey } from "./sumdb/module-key.ts";
import { parseSignerKey } from "./sumdb/note.ts";
import type { SumdbPorts } from "./sumdb/ports.ts";
import { tryParseTilePath } from "./sumdb/tile.ts";
import { reportFault, securityLog } from "./telemetry/log.ts";

const JOB_SLICE_MS = 5000;
// A database that is slow to tell its newest head is asked for records all the same.
const NEWEST_HEAD_MS = 2000;
const MAX_REPORTED_DAMAGES = 100;
const SWEEP_MS = 24 * 3600 * 1000;

export default {
  fetch(request, env, ctx) {
    const defer: Defer = (work) => ctx.waitUntil(work);
    try {
      return toRuntime(env).fetch(request, defer);
    } catch (error) {
      return respondUnbuilt(request, error);
    }
  },
  async scheduled(_controller, env) {
    await toRuntime(env).files.sweep(clock.now() - SWEEP_MS);
  },
} satisfies ExportedHandler<Bindings>;

/** Without a good configuration nothing is open, but one can see that the process lives. */
function respondUnbuilt(request: Request, thrown: unknown): Response {
  const { target } = parseRoute(request.url);
  if (target.kind === "own" && target.path === "/-/healthz") {
    return new Response("ok\n", { headers: { "X-Content-Type-Options": "nosniff" } });
  }
  const requestId = newRequestId();
  const isUnset = thrown instanceof ProxyError && thrown.code === "not_configured";
  if (!isUnset) reportFault(thrown, requestId);
  // What is wrong with it may name teams and secrets: that is for the log.
  const error = isUnset
    ? thrown
    : new ProxyError("unavailable", "this deployment's configuration cannot be used; see its log");
  const options = { requestId, method: request.method, cachedOnly: false, open: false };
  return respondError(error, options);
}

/** Owner of the upstream fetches and of the lists of its share of the modules. */
export class Coordinator extends DurableObject<Bindings> {
  readonly #index: SqliteIndex;
  readonly #runtime: Runtime;
  readonly #service: CoordinatorService;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#runtime = toRuntime(env);
    const { files, config, copies, verifier, chainFor } = this.#runtime;
    this.#index = new SqliteIndex(ctx.storage, () => clock.now(), copies !== undefined);
    this.#service = new CoordinatorService({
      files,
      verifier: createLedgerVerifier(verifier, this.#index, securityLog),
      budget: ingestBudget,
      clock,
      newName: () => crypto.randomUUID(),
      index: this.#index,
      events: securityLog,
      chainFor,
      times: config.cache,
    });
  }

  async file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome> {
    return await this.#service.file(scope, request, options);
  }

  async mutable(
    scope: Scope,
    request: MutableRequest,
    options: MutableOptions,
  ): Promise<MutableOutcome> {
    return await this.#service.mutable(scope, request, options);
  }

  async recheck(scope: Scope, request: FileRequest): Promise<void> {
    await this.#service.recheck(scope, request);
  }

  /** Add what a walk over the files knows of a module; a list confirmed by a source stays. */
  rebuild(scope: Scope, { escapedPath, versions }: RebuiltModule): void {
    this.#index.addStored(scope, escapedPath, versions);
    const request = { path: `${escapedPath}/@v/list`, escapedPath, kind: "list" };
    if ((this.#index.read(scope, request.path)?.fetchedAtMs ?? 0) > 0) return;
    const { body, newestPseudo } = toListOf(this.#index.storedVersions(scope, escapedPath));
    this.#index.write(scope, request, {
      body,
      fetchedAtMs: 0,
      ...(newestPseudo === undefined ? {} : { newestPseudo }),
    });
  }

  ping(): string {
    return "pong";
  }

  override async alarm(): Promise<void> {
    await emptyOutbox(this.#index, this.#runtime);
  }
}

interface SumdbClients {
  readonly online: SumdbClient;
}

/** Keeper of one checksum database: the only one that moves its newest head. */
export class SumdbLog extends DurableObject<Bindings> implements SumdbCalls {
  #clients: Promise<SumdbClients> | undefined;
  #offline: SumdbClient | undefined;
  #log: Promise<AppendOnlyLog> | undefined;

  async prove(
    name: string,
    modulePath: string,
    version: string,
  ): Promise<Result<{ zip: string; mod: string; treeSize: number }>> {
    return await toResult(async () => {
      const { online } = await this.#open(name);
      const { hashes, treeSize } = await online.lookup(modulePath, version);
      return { ...hashes, treeSize };
    });
  }

  async serve(name: string, path: string, cachedOnly: boolean): Promise<Result<Uint8Array>> {
    return await toResult(async () => {
      checkQuestion(path);
      const client = cachedOnly ? this.#openOffline(name) : (await this.#open(name)).online;
      if (path === "latest") return await client.serveLatest();
      if (path.startsWith("lookup/")) return await client.serveLookup(path.slice(7));
      return await client.serveTile(path);
    });
  }

  /** Append to the database that this deployment keeps for a team; its signer key stays here. */
  async append(keyName: string, folder: string, entry: LogEntry): Promise<Result<null>> {
    return await toResult(async () => {
      await (await this.#openLog(keyName, folder)).append([entry]);
      return null;
    });
  }

  /** The answer of a database of our own. */
  async serveOwn(keyName: string, folder: string, path: string): Promise<Result<Uint8Array>> {
    return await toResult(async () => {
      const log = await this.#openLog(keyName, folder);
      if (path === "latest") return await log.serveLatest();
      if (path.startsWith("lookup/")) return await log.serveLookup(path.slice(7));
      return await log.serveTile(path);
    });
  }

  async #openLog(keyName: string, folder: string): Promise<AppendOnlyLog> {
    this.#log ??= (async () => {
      const signer = await parseSignerKey(readSecret(this.env, keyName));
      const { files } = toRuntime(this.env);
      const ports = new LogStore(files, this.ctx.storage.sql, folder);
      return new AppendOnlyLog({ signer, ports });
    })();
    try {
      return await this.#log;
    } catch (error) {
      this.#log = undefined;
      throw error;
    }
  }

  async #open(name: string): Promise<SumdbClients> {
    this.#clients ??= this.#build(name);
    return await this.#clients;
  }

  async #build(name: string): Promise<SumdbClients> {
    const { sumdbFetch } = toRuntime(this.env);
    const { store, client: online } = this.#toClient(name, sumdbFetch);
    // Lookups carry heads of any age. With the newest one at hand they are proven side by side;
    // without, each larger head would be a move that the others wait for.
    if ((await store.readHead()) === undefined) {
      const newest = online.serveLatest().catch(() => undefined);
      await Promise.race([newest, clock.wait(NEWEST_HEAD_MS)]);
    }
    return { online };
  }

  /** A client that knows only what is stored. */
  #openOffline(name: string): SumdbClient {
    this.#offline ??= this.#toClient(name, () =>
      Promise.reject(new ProxyError("not_fetched", "nothing is stored")),
    ).client;
    return this.#offline;
  }

  #toClient(
    name: string,
    fetch: (path: string) => Promise<Uint8Array>,
  ): { store: SumdbStore; client: SumdbClient } {
    const { config, files } = toRuntime(this.env);
    const store = new SumdbStore(files, this.ctx.storage.sql, name);
    const verifierKey = config.sumdb?.key ?? DEFAULT_VERIFIER_KEY;
    return { store, client: new SumdbClient({ verifierKey, ports: toSumdbPorts(store, fetch) }) };
  }
}

/** Refuse what no database can answer before one is asked anything. */
function checkQuestion(path: string): void {
  if (path === "latest") return;
  if (path.startsWith("lookup/")) {
    parseModuleKey(path.slice("lookup/".length));
    return;
  }
  const tile = tryParseTilePath(path);
  if (tile?.height !== TILE_HEIGHT || tile.level > MAX_TILE_LEVEL) {
    throw new ProxyError("malformed_path", "not a question to a checksum database");
  }
}

function toSumdbPorts(store: SumdbStore, fetch: (path: string) => Promise<Uint8Array>): SumdbPorts {
  return {
    fetch,
    readTile: (level, index) => store.readTile(level, index),
    putTiles: (tiles) => store.putTiles(tiles),
    readHead: () => store.readHead(),
    casHead: (previous, next) => store.casHead(previous, next),
    readRecord: (key) => store.readRecord(key),
    putRecord: (key, record) => store.putRecord(key, record),
    onFork({ ours, theirs, proof, computedRoot }) {
      store.keepFork(ours, theirs, clock.now());
      const reason = "two signed heads of one database do not agree";
      const details = { "sumdb.ours": ours, "sumdb.theirs": theirs, "sumdb.proof": proof };
      securityLog.report({
        action: "tree-forked",
        reason,
        details: { ...details, "sumdb.computed_root": computedRoot },
      });
    },
  };
}

async function toResult<T>(work: () => Promise<T>): Promise<Result<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    if (!(error instanceof ProxyError)) {
      securityLog.report({ action: "internal", reason: String(error) });
    }
    return { ok: false, error: toErrorValue(error) };
  }
}

/** What the whole deployment knows: at present its jobs. */
export class Directory extends DurableObject<Bindings> {
  readonly #jobs: SqliteJobs;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#jobs = new SqliteJobs(ctx.storage.sql);
    void ctx.blockConcurrencyWhile(async () => {
      if ((await ctx.storage.getAlarm()) === null)
        await ctx.storage.setAlarm(clock.now() + SWEEP_MS);
    });
  }

  async startJob({ kind, ...options }: JobRequest): Promise<string> {
    const job = crypto.randomUUID();
    this.#jobs.start(job, kind, options);
    await this.ctx.storage.setAlarm(clock.now());
    return job;
  }

  readJob(job: string): JobState | undefined {
    const state = this.#jobs.read(job);
    if (state === undefined) return undefined;
    const { kind, status, files, modules, error, damaged } = state;
    const damages = JSON.parse(state.damages) as Damage[];
    const base = { job, kind, status, files, modules, damaged, damages };
    return error === null ? base : { ...base, error };
  }

  override async alarm(): Promise<void> {
    const untilMs = clock.now() + JOB_SLICE_MS;
    for (const job of this.#jobs.running()) await this.#run(job, untilMs);
    const isBusy = this.#jobs.running().length > 0;
    // Where there is no cron, this alarm takes its place.
    if (!isBusy) await toRuntime(this.env).files.sweep(clock.now() - SWEEP_MS);
    await this.ctx.storage.setAlarm(clock.now() + (isBusy ? 0 : SWEEP_MS));
  }

  async #run(started: Job, untilMs: number): Promise<void> {
    let job = started;
    while (job.status === "running" && clock.now() < untilMs) {
      try {
        job = await this.#step(job);
      } catch (error) {
        const reason = error instanceof ProxyError ? error.message : "unexpected failure";
        job = { ...job, status: "failed", error: reason };
        securityLog.report({ action: "job-failed", reason: `${job.kind}: ${String(error)}` });
      }
      this.#jobs.save(job);
    }
  }

  async #step(job: Job): Promise<Job> {
    const { files, config } = toRuntime(this.env);
    const scopes = [PUBLIC_SCOPE, ...config.teams.map(toScope)];
    const page = await walkScopes(files, scopes, job.cursor ?? undefined);
    if (page === undefined) return { ...job, status: "done" };
    const done =
      job.kind === "verify" ? await this.#verify(job, page) : await this.#reindex(job, page);
    return {
      ...done,
      files: job.files + page.paths.length,
      cursor: page.cursor ?? null,
      status: page.cursor === undefined ? "done" : "running",
    };
  }

  async #reindex(job: Job, { scope, paths, lost }: WalkedPage): Promise<Job> {
    const modules = toModules(paths, lost);
    for (const module of modules) {
      const name = coordinatorName(scope, module.escapedPath);
      await this.env.COORDINATORS.getByName(name).rebuild(scope, module);
    }
    return { ...job, modules: job.modules + modules.length };
  }

  async #verify(job: Job, { scope, paths }: WalkedPage): Promise<Job> {
    const { files, coordinators, verifier } = toRuntime(this.env);
    const { deep } = JSON.parse(job.options) as { deep: boolean };
    const ports: VerifyPorts = {
      files,
      coordinators,
      clock,
      events: securityLog,
      proveAgain: deep
        ? async (at, request, h1) => {
            if (at === PUBLIC_SCOPE) await verifier.begin(at, request)(h1);
          }
        : undefined,
    };
    const damages = JSON.parse(job.damages) as Damage[];
    let { damaged } = job;
    for (const path of paths) {
      const damage = await verifyFile(ports, scope, path);
      if (damage === undefined) continue;
      damaged++;
      if (damages.length < MAX_REPORTED_DAMAGES) damages.push(damage);
    }
    return { ...job, damaged, damages: JSON.stringify(damages) };
  }
}
