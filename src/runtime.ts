import { createHash, timingSafeEqual } from "node:crypto";
import { type Config, parseConfig, type UpstreamConfig } from "./config/config.ts";
import { ProxyError } from "./errors/proxy-error.ts";
import {
  type AppPorts,
  createApp,
  type JobRequest,
  type JobState,
  type Readiness,
} from "./http/app.ts";
import { createHandler, type Defer, type LogLine } from "./http/handler.ts";
import { compilePrefixPatterns } from "./module/pattern.ts";
import { Access, type Caller, toScope } from "./proxy/access.ts";
import type { WholeAnswer } from "./proxy/answer.ts";
import { MemoryBudget } from "./proxy/memory-budget.ts";
import {
  type Clock,
  type FileStore,
  PUBLIC_SCOPE,
  type Scope,
  type Sumdb,
  type Verifier,
} from "./proxy/ports.ts";
import type { RebuiltModule } from "./proxy/reindex.ts";
import { ModuleServer } from "./proxy/serve-module.ts";
import { SumdbServer } from "./proxy/serve-sumdb.ts";
import { createSourceChain, type SourceChain } from "./proxy/source-chain.ts";
import { createSumdbVerifier } from "./proxy/sumdb-verifier.ts";
import { createTeamSumdb } from "./proxy/team-sumdb.ts";
import { type CoordinatorCalls, CoordinatorClient } from "./store/coordinator-client.ts";
import { DiskFileStore } from "./store/disk-file-store.ts";
import { CacheApiEdge } from "./store/edge-cache.ts";
import { KvAnswerCopies } from "./store/kv-answer-copies.ts";
import { R2FileStore } from "./store/r2-file-store.ts";
import {
  type OwnSumdbCalls,
  type SumdbCalls,
  SumdbObjectClient,
  toTeamLog,
} from "./store/sumdb-object-client.ts";
import { DEFAULT_SUMDB_NAME } from "./sumdb/constants.ts";
import { createLineBuffer, formatRequestLine, reportFault, writeLine } from "./telemetry/log.ts";
import { createGoproxySource } from "./upstream/goproxy-source.ts";
import { createHttpClient, type HttpClient, type HttpOrigin } from "./upstream/http-client.ts";
import { createSumdbFetch } from "./upstream/sumdb-fetch.ts";

/** A namespace of Durable Objects, seen as what they can be asked. */
interface Named<Calls> {
  getByName(name: string): Calls;
}

/** The calls of a coordinator's object. */
export interface CoordinatorObjectCalls extends CoordinatorCalls {
  rebuild(scope: Scope, module: RebuiltModule): Promise<void>;
  ping(): Promise<string>;
}

/** The calls of the one object that knows the deployment's jobs. */
export interface DirectoryCalls {
  startJob(request: JobRequest): Promise<string>;
  readJob(job: string): Promise<JobState | undefined>;
}

/** What the runtime hands over: one of the two sets of bindings, and secrets by their names. */
export interface Bindings {
  /** On one machine: the folder of all files. */
  readonly DISK?: Fetcher;
  /** The same folder with the hidden names in it, which are what killed writes leave. */
  readonly LEFTOVERS?: Fetcher;
  /** In the cloud: bucket of all files. */
  readonly FILES?: R2Bucket;
  /** In the cloud: copies of lists. */
  readonly INDEX?: KVNamespace;
  readonly COORDINATORS: Named<CoordinatorObjectCalls>;
  readonly DIRECTORY: Named<DirectoryCalls>;
  readonly SUMDBS: Named<SumdbCalls & OwnSumdbCalls>;
  /** The configuration document. */
  readonly CONFIG?: string;
  readonly ADMIN_TOKEN?: string;
  /** Scheme that clients use, if another than the Worker sees. */
  readonly SCHEME?: string;
}

/** Everything that does not depend on which object or request it works for. */
export interface Runtime {
  readonly config: Config;
  readonly files: FileStore;
  readonly copies: KvAnswerCopies | undefined;
  readonly coordinators: CoordinatorClient;
  /** Proves public modules. */
  readonly verifier: Verifier;
  /** The sources that a module of a scope may come from. */
  readonly chainFor: (scope: Scope, modulePath: string) => SourceChain;
  readonly sumdbFetch: (path: string) => Promise<Uint8Array>;
  readonly fetch: (request: Request, defer: Defer) => Response | Promise<Response>;
}

const PROBE_DEADLINE_MS = 2000;
const PROBE_AGAIN_MS = 5000;

/** The machine's own time and chance. */
export const clock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  wait: (delayMs) => scheduler.wait(delayMs),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

const INGEST_BUDGET_BYTES = 48 * 1024 * 1024;

/** The one thing that ingests of an isolate share: its memory. */
export const ingestBudget = new MemoryBudget(INGEST_BUDGET_BYTES);

// Keyed by the text of the configuration; holds the newest only.
const runtimes = new Map<string, Runtime>();
let requestCount = 0;
let requestIdPrefix = "";

/**
 * Build everything for an environment, once for each configuration.
 *
 * @throws ProxyError `not_configured`, `invalid_config`, or `unavailable` for a missing secret.
 */
export function toRuntime(env: Bindings): Runtime {
  const text = env.CONFIG ?? "";
  if (text === "") {
    throw new ProxyError("not_configured", "this deployment was never given a configuration");
  }
  const known = runtimes.get(text);
  if (known !== undefined) return known;
  const runtime = buildRuntime(env, parseConfig(text, "CONFIG"));
  runtimes.clear();
  runtimes.set(text, runtime);
  return runtime;
}

function buildRuntime(env: Bindings, config: Config): Runtime {
  const files = toFileStore(env);
  const copies = env.INDEX === undefined ? undefined : new KvAnswerCopies(env.INDEX);
  const http = createHttpClient(clock);
  const access = new Access(config, (name) => readSecret(env, name));
  const origins = config.upstreams.map((upstream) => toOrigin(env, upstream, upstream.credential));
  const sumdb = toSumdb(env, config);
  const isExempt = compilePrefixPatterns(config.noSum);
  const verifier = createSumdbVerifier(sumdb, isExempt);
  const coordinators = new CoordinatorClient((name) => env.COORDINATORS.getByName(name));
  const modules = new ModuleServer({
    files,
    coordinators,
    verifier,
    copies,
    // Both belong to the cloud's set of bindings.
    edge: copies && new CacheApiEdge(caches.default, config.cache.edgeSeconds),
    clock,
    budget: ingestBudget,
    times: config.cache,
    memoryBytes: config.cache.memoryBytes,
  });
  const parts = { access, sumdb, isExempt, coordinators, files, modules };
  const databases = toDatabases(env, config, parts);
  return {
    config,
    files,
    copies,
    coordinators,
    verifier,
    chainFor: toChains(config, access, (upstream, credential) =>
      createGoproxySource(http, toOrigin(env, upstream, credential)),
    ),
    sumdbFetch: createSumdbFetch(http, clock, origins, {
      name: config.sumdb?.name ?? DEFAULT_SUMDB_NAME,
      url: config.sumdb?.url,
    }),
    fetch: createHandler({
      modules,
      access,
      accelRedirect: env.DISK === undefined ? undefined : config.accelRedirect,
      serveSumdb: toSumdbs(config, access, { databases, isExempt }),
      clock,
      own: createApp({
        checkReadiness: createReadiness(env, files, () => probeAll(http, origins)),
        scheme: env.SCHEME,
        adminToken: env.ADMIN_TOKEN?.trim() === "" ? undefined : env.ADMIN_TOKEN,
        startJob: (request) => env.DIRECTORY.getByName("directory").startJob(request),
        readJob: (job) => env.DIRECTORY.getByName("directory").readJob(job),
        equalSecrets,
        isTeamToken: createTokenCheck(env, config),
        reportFault,
      }),
      log: toLog(env),
      reportFault,
      newRequestId,
    }),
  };
}

/** On one machine lines are written many at a time; in the cloud each belongs to its request. */
function toLog(env: Bindings): (line: LogLine, defer: Defer) => void {
  if (env.DISK === undefined) return (line) => writeLine(formatRequestLine(line));
  const buffer = createLineBuffer((delayMs) => clock.wait(delayMs));
  return (line, defer) => buffer.write(formatRequestLine(line), line.atMs + line.durationMs, defer);
}

async function probeAll(
  http: HttpClient,
  origins: readonly HttpOrigin[],
): Promise<{ name: string; reachable: boolean }[]> {
  return await Promise.all(
    origins.map(async (origin) => ({
      name: origin.name,
      reachable: await http.probe(origin, PROBE_DEADLINE_MS),
    })),
  );
}

function toFileStore(env: Bindings): FileStore {
  if (env.FILES !== undefined) return new R2FileStore(env.FILES);
  if (env.DISK !== undefined) return new DiskFileStore(env.DISK, env.LEFTOVERS);
  throw new ProxyError("unavailable", "neither the binding FILES nor DISK is there");
}

/** Private modules have exactly one source; public ones have all upstreams, in order. */
function toChains(
  config: Config,
  access: Access,
  toSource: (
    upstream: UpstreamConfig,
    credential: string | undefined,
  ) => ReturnType<typeof createGoproxySource>,
): Runtime["chainFor"] {
  const publicChain = createSourceChain(
    config.upstreams.map((upstream) => toSource(upstream, upstream.credential)),
    clock,
  );
  const privateChains = new Map<string, SourceChain>();
  return (scope, modulePath) => {
    if (scope === PUBLIC_SCOPE) return publicChain;
    const entry = access.sourceOf(scope, modulePath);
    const upstream = config.upstreams.find(({ name }) => name === entry?.source);
    if (entry === undefined || upstream === undefined) return createSourceChain([], clock);
    const credential = entry.credential ?? upstream.credential;
    const key = `${entry.source} ${credential ?? ""}`;
    const chain =
      privateChains.get(key) ?? createSourceChain([toSource(upstream, credential)], clock);
    privateChains.set(key, chain);
    return chain;
  };
}

function toSumdb(env: Bindings, config: Config): Sumdb | undefined {
  if (config.sumdb === undefined) return undefined;
  const { name } = config.sumdb;
  return new SumdbObjectClient(name, () => env.SUMDBS.getByName(`relay/${name}`));
}

interface Databases {
  readonly open: readonly Sumdb[];
  /** By the team's name: its own database before the public one. */
  readonly ofTeams: ReadonlyMap<string, readonly Sumdb[]>;
}

function toDatabases(
  env: Bindings,
  config: Config,
  parts: {
    readonly access: Access;
    readonly sumdb: Sumdb | undefined;
    readonly isExempt: (modulePath: string) => boolean;
    readonly coordinators: CoordinatorClient;
    readonly files: FileStore;
    readonly modules: ModuleServer;
  },
): Databases {
  const open = parts.sumdb === undefined ? [] : [parts.sumdb];
  const ofTeams = new Map<string, readonly Sumdb[]>();
  for (const team of config.teams) {
    if (team.sumdb === undefined) continue;
    const { name } = team.sumdb;
    const id = `${toScope(team)}/${name}`;
    const own = createTeamSumdb({
      name,
      log: toTeamLog(team.sumdb.key, id, () => env.SUMDBS.getByName(id)),
      coordinators: parts.coordinators,
      files: parts.files,
      forget: (scope, request) => parts.modules.forget(scope, request),
      sumdb: parts.sumdb,
      isExempt: parts.isExempt,
      homeOf: (modulePath) => parts.access.homeOf({ team, role: "reader" }, modulePath),
    });
    ofTeams.set(team.name, [own, ...open]);
  }
  return { open, ofTeams };
}

function toSumdbs(
  config: Config,
  access: Access,
  { databases, isExempt }: { databases: Databases; isExempt: (modulePath: string) => boolean },
): (caller: Caller, path: string, cachedOnly: boolean) => Promise<WholeAnswer> {
  const server = new SumdbServer({ clock, times: config.cache });
  return (caller, path, cachedOnly) =>
    server.serve(path, {
      databases: databases.ofTeams.get(caller.team?.name ?? "") ?? databases.open,
      cachedOnly,
      isHidden: (modulePath, sumdb) =>
        databases.open.includes(sumdb)
          ? access.isPrivate(modulePath) || isExempt(modulePath)
          : "hidden" in access.homeOf(caller, modulePath),
    });
}

/** The HTTP origin of an upstream; "user:password" makes Basic, anything else Bearer. */
function toOrigin(
  env: Bindings,
  { name, url, notFound }: UpstreamConfig,
  credential: string | undefined,
): HttpOrigin {
  if (credential === undefined) {
    return { name, baseUrl: url, authorization: undefined, notFound };
  }
  const secret = readSecret(env, credential);
  const authorization = secret.includes(":")
    ? `Basic ${Buffer.from(secret).toString("base64")}`
    : `Bearer ${secret}`;
  return { name, baseUrl: url, authorization, notFound };
}

/**
 * The value of a Worker secret.
 *
 * @throws ProxyError `unavailable` when it is missing, empty or white space alone: nothing that
 *   needs it may open.
 */
export function readSecret(env: Bindings, name: string): string {
  const value: unknown = Reflect.get(env, name);
  if (typeof value === "string" && value.trim() !== "") return value;
  throw new ProxyError("unavailable", `the Worker secret ${name} is missing or empty`);
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
      works(env.COORDINATORS.getByName("coordinator-0").ping()),
      works(env.DIRECTORY.getByName("directory").readJob("")),
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

/** Digests are compared: the time that it takes tells nothing of the tokens. */
function createTokenCheck(env: Bindings, { teams }: Config): (token: string) => boolean {
  const digest = (text: string): string => createHash("sha256").update(text).digest("base64");
  const secrets = teams.flatMap(({ tokens }) => tokens.map(({ secret }) => secret));
  const known = new Set(secrets.map((name) => digest(readSecret(env, name))));
  return (token) => known.has(digest(token));
}

function equalSecrets(a: string, b: string): boolean {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Unique over isolates and short; the prefix needs randomness, which start-up has not. */
export function newRequestId(): string {
  if (requestIdPrefix === "") requestIdPrefix = crypto.randomUUID().slice(0, 13);
  return `${requestIdPrefix}-${(requestCount++).toString(36)}`;
}
