import { createHash, timingSafeEqual } from "node:crypto";
import { DurableObject } from "cloudflare:workers";
import { type Config, parseConfig } from "./config/config.ts";
import { ProxyError } from "./errors/proxy-error.ts";
import { type AppPorts, createApp, type JobState, type Readiness } from "./http/app.ts";
import { createHandler, type Defer } from "./http/handler.ts";
import { respondError } from "./http/respond.ts";
import type { FileRequest, MutableRequest } from "./module/request.ts";
import { Coordinator as CoordinatorService } from "./proxy/coordinator.ts";
import { MemoryBudget } from "./proxy/memory-budget.ts";
import {
  type Clock,
  type FileOptions,
  type FileOutcome,
  type FileStore,
  type MutableOutcome,
  PUBLIC_SCOPE,
  type Scope,
  type Verifier,
} from "./proxy/ports.ts";
import { type RebuiltModule, reindexPage, toListOf } from "./proxy/reindex.ts";
import { ModuleServer } from "./proxy/serve-module.ts";
import { createSourceChain, type SourceChain } from "./proxy/source-chain.ts";
import { formatVersionList } from "./proxy/version-list.ts";
import { CoordinatorClient, coordinatorName } from "./store/coordinator-client.ts";
import { DiskFileStore } from "./store/disk-file-store.ts";
import { KvAnswerCopies } from "./store/kv-answer-copies.ts";
import { R2FileStore } from "./store/r2-file-store.ts";
import { type OutboxItem, SqliteIndex } from "./store/sqlite-index.ts";
import { type Job, SqliteJobs } from "./store/sqlite-jobs.ts";
import { logRequest, securityLog } from "./telemetry/log.ts";
import { createGoproxySource } from "./upstream/goproxy-source.ts";
import { createHttpClient, type HttpOrigin } from "./upstream/http-client.ts";

/** What the runtime hands over: one of the two sets of bindings, and secrets by their names. */
interface Bindings {
  /** On one machine: the folder of all files. */
  readonly DISK?: Fetcher;
  /** In the cloud: bucket of all files. */
  readonly FILES?: R2Bucket;
  /** In the cloud: copies of lists. */
  readonly INDEX?: KVNamespace;
  readonly COORDINATORS: DurableObjectNamespace<Coordinator>;
  readonly DIRECTORY: DurableObjectNamespace<Directory>;
  /** The configuration document. */
  readonly CONFIG?: string;
  readonly ADMIN_TOKEN?: string;
}

/** Everything that does not depend on which object or request it works for. */
interface Runtime {
  readonly config: Config;
  readonly files: FileStore;
  readonly copies: KvAnswerCopies | undefined;
  readonly coordinators: CoordinatorClient;
  readonly publicChain: SourceChain;
  readonly fetch: (request: Request, defer: Defer) => Response | Promise<Response>;
}

const INGEST_BUDGET_BYTES = 48 * 1024 * 1024;
const PROBE_DEADLINE_MS = 2000;
const PROBE_AGAIN_MS = 5000;
const JOB_SLICE_MS = 5000;
const RETRY_OUTBOX_MS = 5000;
const STAGED_LEFTOVER_MS = 24 * 3600 * 1000;

const clock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  wait: (delayMs) => scheduler.wait(delayMs),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

// The one thing that ingests of an isolate share: its memory.
const ingestBudget = new MemoryBudget(INGEST_BUDGET_BYTES);
// Keyed by the text of the configuration; holds the newest only.
const runtimes = new Map<string, Runtime>();
let requestCount = 0;
let requestIdPrefix = "";

export default {
  fetch(request, env, ctx) {
    const defer: Defer = (work) => ctx.waitUntil(work);
    try {
      return toRuntime(env).fetch(request, defer);
    } catch (error) {
      return respondError(
        error instanceof ProxyError ? error : new ProxyError("internal", "unexpected failure"),
        { requestId: newRequestId(), method: request.method, cachedOnly: false },
      );
    }
  },
  async scheduled(_controller, env) {
    await toRuntime(env).files.sweep(clock.now() - STAGED_LEFTOVER_MS);
  },
} satisfies ExportedHandler<Bindings>;

/** Owner of the upstream fetches and of the lists of its share of the modules. */
export class Coordinator extends DurableObject<Bindings> {
  readonly #index: SqliteIndex;
  readonly #runtime: Runtime;
  readonly #service: CoordinatorService;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#runtime = toRuntime(env);
    const { files, config, copies, publicChain } = this.#runtime;
    this.#index = new SqliteIndex(ctx.storage, () => clock.now(), copies !== undefined);
    this.#service = new CoordinatorService({
      files,
      verifier: toVerifier(),
      budget: ingestBudget,
      clock,
      newName: () => crypto.randomUUID(),
      index: this.#index,
      events: securityLog,
      chainFor: () => publicChain,
      times: config.cache,
    });
  }

  async file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome> {
    return await this.#service.file(scope, request, options);
  }

  async mutable(
    scope: Scope,
    request: MutableRequest,
    options: { readonly cachedOnly: boolean },
  ): Promise<MutableOutcome> {
    return await this.#service.mutable(scope, request, options);
  }

  /** Add what a walk over the files knows of a module; a list confirmed by a source stays. */
  rebuild(scope: Scope, { escapedPath, versions }: RebuiltModule): void {
    const stored = this.#index.addStored(scope, escapedPath, versions);
    const request = { path: `${escapedPath}/@v/list`, escapedPath, kind: "list" };
    if ((this.#index.read(scope, request.path)?.fetchedAtMs ?? 0) > 0) return;
    const { body, newestPseudo } = toListOf(stored);
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
    for (const item of this.#index.takeDue()) {
      try {
        await this.#writeOut(item);
      } catch {
        this.#index.postpone(item, RETRY_OUTBOX_MS);
      }
    }
    const nextMs = this.#index.nextDueMs();
    if (nextMs !== undefined) await this.ctx.storage.setAlarm(nextMs);
  }

  async #writeOut(item: OutboxItem): Promise<void> {
    const { files, copies } = this.#runtime;
    if (item.what === "tree") {
      const versions = this.#index.completeVersions(item.scope, item.escapedPath);
      const path = `${item.escapedPath}/@v/list`;
      await files.writeTreeFile(item.scope, path, formatVersionList(versions));
      return;
    }
    const answer = this.#index.read(item.scope, item.what);
    if (answer === undefined) return;
    await copies?.write(item.scope, item.what, answer);
    this.#index.noteCopied(item);
  }
}

/** What the whole deployment knows: at present its jobs. */
export class Directory extends DurableObject<Bindings> {
  readonly #jobs: SqliteJobs;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#jobs = new SqliteJobs(ctx.storage.sql);
  }

  async startJob(kind: "reindex"): Promise<string> {
    const job = crypto.randomUUID();
    this.#jobs.start(job, kind);
    await this.ctx.storage.setAlarm(clock.now());
    return job;
  }

  readJob(job: string): JobState | undefined {
    const state = this.#jobs.read(job);
    if (state === undefined) return undefined;
    const { kind, status, files, modules, error } = state;
    return { job, kind, status, files, modules, ...(error === null ? {} : { error }) };
  }

  override async alarm(): Promise<void> {
    const untilMs = clock.now() + JOB_SLICE_MS;
    for (const job of this.#jobs.running()) await this.#run(job, untilMs);
    if (this.#jobs.running().length > 0) await this.ctx.storage.setAlarm(clock.now());
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
    const { files } = toRuntime(this.env);
    const step = await reindexPage(files, PUBLIC_SCOPE, job.cursor ?? undefined, async (module) => {
      const name = coordinatorName(PUBLIC_SCOPE, module.escapedPath);
      await this.env.COORDINATORS.getByName(name).rebuild(PUBLIC_SCOPE, module);
    });
    return {
      ...job,
      files: job.files + step.files,
      modules: job.modules + step.modules,
      cursor: step.cursor ?? null,
      status: step.cursor === undefined ? "done" : "running",
    };
  }
}

/** Build everything for an environment, once for each configuration. */
function toRuntime(env: Bindings): Runtime {
  if (env.CONFIG === undefined) {
    throw new ProxyError("not_configured", "this deployment was never given a configuration");
  }
  const known = runtimes.get(env.CONFIG);
  if (known !== undefined) return known;
  const runtime = buildRuntime(env, parseConfig(env.CONFIG, "CONFIG"));
  runtimes.clear();
  runtimes.set(env.CONFIG, runtime);
  return runtime;
}

function buildRuntime(env: Bindings, config: Config): Runtime {
  const files = toFileStore(env);
  const copies = env.INDEX === undefined ? undefined : new KvAnswerCopies(env.INDEX);
  const http = createHttpClient(clock);
  const origins = config.upstreams.map((upstream) => toOrigin(env, upstream));
  const sources = origins.map((origin) => createGoproxySource(http, origin));
  const coordinators = new CoordinatorClient((name) => env.COORDINATORS.getByName(name));
  const modules = new ModuleServer({
    files,
    coordinators,
    copies,
    clock,
    times: config.cache,
    memoryBytes: config.cache.memoryBytes,
  });
  const own = createApp({
    checkReadiness: createReadiness(env, files, () =>
      Promise.all(
        origins.map(async (origin) => ({
          name: origin.name,
          reachable: await http.probe(origin, PROBE_DEADLINE_MS),
        })),
      ),
    ),
    adminToken: env.ADMIN_TOKEN,
    startJob: (kind) => env.DIRECTORY.getByName("directory").startJob(kind),
    readJob: (job) => Promise.resolve(env.DIRECTORY.getByName("directory").readJob(job)),
    equalSecrets,
  });
  return {
    config,
    files,
    copies,
    coordinators,
    publicChain: createSourceChain(sources, clock),
    fetch: createHandler({ modules, clock, own, log: logRequest, newRequestId }),
  };
}

function toFileStore(env: Bindings): FileStore {
  if (env.FILES !== undefined) return new R2FileStore(env.FILES);
  if (env.DISK !== undefined) return new DiskFileStore(env.DISK);
  throw new ProxyError("unavailable", "neither the binding FILES nor DISK is there");
}

/** The HTTP origin of an upstream; "user:password" makes Basic, anything else Bearer. */
function toOrigin(env: Bindings, upstream: Config["upstreams"][number]): HttpOrigin {
  const { name, url, credential, notFound } = upstream;
  if (credential === undefined) {
    return { name, baseUrl: url, authorization: undefined, notFound };
  }
  const secret: unknown = Reflect.get(env, credential);
  if (typeof secret !== "string" || secret === "") {
    throw new ProxyError("unavailable", `the Worker secret ${credential} is missing or empty`);
  }
  const authorization = secret.includes(":")
    ? `Basic ${Buffer.from(secret).toString("base64")}`
    : `Bearer ${secret}`;
  return { name, baseUrl: url, authorization, notFound };
}

/** Nothing is proven as long as no database is asked; the record says so. */
function toVerifier(): Verifier {
  return { prove: () => Promise.resolve({ verified: "none" }) };
}

function createReadiness(
  env: Bindings,
  files: FileStore,
  probeUpstreams: () => Promise<{ name: string; reachable: boolean }[]>,
): AppPorts["checkReadiness"] {
  let last: { readonly atMs: number; readonly readiness: Promise<Readiness> } | undefined;
  const works = async (result: Promise<unknown>): Promise<boolean> =>
    await result.then(
      () => true,
      () => false,
    );

  async function checkAll(): Promise<Readiness> {
    const [storage, coordinators, directory, upstreams] = await Promise.all([
      works(files.readSystem("schema-version")),
      works(Promise.resolve(env.COORDINATORS.getByName("coordinator-0").ping())),
      works(Promise.resolve(env.DIRECTORY.getByName("directory").readJob(""))),
      probeUpstreams(),
    ]);
    const isUp = storage && coordinators && directory;
    const anyUpstream = upstreams.some(({ reachable }) => reachable);
    return {
      status: isUp ? (anyUpstream ? "ready" : "degraded") : "unavailable",
      checks: { storage, coordinators, directory, upstreams },
    };
  }

  return async () => {
    const nowMs = clock.now();
    // Anybody may ask; the upstreams must not feel it.
    if (last === undefined || nowMs - last.atMs >= PROBE_AGAIN_MS) {
      last = { atMs: nowMs, readiness: checkAll() };
    }
    return await last.readiness;
  };
}

function equalSecrets(a: string, b: string): boolean {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Unique over isolates and short; the prefix needs randomness, which start-up has not. */
function newRequestId(): string {
  if (requestIdPrefix === "") requestIdPrefix = crypto.randomUUID().slice(0, 13);
  return `${requestIdPrefix}-${(requestCount++).toString(36)}`;
}
