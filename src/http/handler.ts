import { LruCache } from "../proxy/lru-cache.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import type { Access, Caller } from "../proxy/access.ts";
import type { Clock, Scope } from "../proxy/ports.ts";
import type { FileAnswer, WholeAnswer } from "../proxy/answer.ts";
import type { ModuleServer, ServeOptions } from "../proxy/serve-module.ts";
import type { ModuleRequest } from "../module/request.ts";
import {
  type CacheRules,
  respond,
  respondAccelerated,
  respondError,
  respondFile,
  respondWhole,
} from "./respond.ts";
import type { OwnContext } from "./app.ts";
import { BAD_HOST, parseRoute, type Route } from "./route.ts";

/** What the HTTP layer works with. */
export interface HandlerPorts {
  readonly modules: ModuleServer;
  /** Where a web server in front serves our files to itself; see {@link respondAccelerated}. */
  readonly accelRedirect: string | undefined;
  /** Answers everything below `/sumdb/`. */
  readonly serveSumdb: (caller: Caller, path: string, cachedOnly: boolean) => Promise<WholeAnswer>;
  readonly access: Access;
  readonly clock: Clock;
  /** Answers `/` and `/-/…`. */
  readonly own: (request: Request, path: string, context: OwnContext) => Promise<Response>;
  /** Writes the one log line of a request. */
  readonly log: (line: LogLine, defer: Defer) => void;
  /** Tells somebody of a fault of ours, whose text no client sees. */
  readonly reportFault: (error: unknown, requestId: string) => void;
  /** Unique for every request. */
  newRequestId(): string;
}

/** What is known of a request when its answer is made. */
export interface LogLine {
  readonly atMs: number;
  readonly durationMs: number;
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly team: string | undefined;
  readonly status: number;
  readonly tier: string;
  readonly bodyBytes: number | undefined;
  readonly userAgent: string | null;
  readonly errorCode: string | undefined;
}

/** Lets work go on after the response. */
export type Defer = (work: Promise<unknown>) => void;

interface Exchange {
  readonly request: Request;
  // Read from the request once: each reading crosses into the runtime.
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly route: Route;
  readonly startMs: number;
  readonly requestId: string;
  readonly defer: Defer;
}

interface Outcome {
  readonly tier: string;
  readonly bodyBytes?: number | undefined;
  readonly errorCode?: string;
}

const API_PREFIX = "/-/api/";
const CACHED_ONLY_HEADER = "Disable-Module-Fetch";
// Values that Go's strconv.ParseBool takes for true.
const TRUE_VALUES: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);
// Parsed addresses that are kept, and what one costs beside its text.
const ROUTES_BYTES = 4 * 1024 * 1024;
const ROUTE_BYTES = 600;
// Below this a hand-over costs more than it saves.
const MIN_ACCELERATED_BYTES = 64 * 1024;
const OPEN_CALLER: Caller = { team: undefined, role: undefined };
const OPEN_RULES: CacheRules = { open: true, cachedOnly: false };

/**
 * Make the function that answers every request.
 *
 * A hit in memory is answered without an await; everything else goes its way through the tiers.
 */
export function createHandler(
  ports: HandlerPorts,
): (request: Request, defer: Defer) => Response | Promise<Response> {
  const routes = new LruCache<Route>(ROUTES_BYTES);
  return (request, defer) => {
    const { method, url, headers } = request;
    const exchange: Exchange = {
      request,
      method,
      url,
      headers,
      route: findRoute(routes, url, headers),
      startMs: ports.clock.now(),
      requestId: ports.newRequestId(),
      defer,
    };
    // The one place where what is thrown becomes an answer, at once or later.
    try {
      const answer = dispatch(ports, exchange);
      if (answer instanceof Response) return answer;
      return answer
        .catch((error: unknown) => tryAgain(ports, exchange, error))
        .catch((error: unknown) => answerError(ports, exchange, error));
    } catch (error) {
      return answerError(ports, exchange, error);
    }
  };
}

/** Once more for a file that was restored while it was opened, and is another than announced. */
function tryAgain(
  ports: HandlerPorts,
  exchange: Exchange,
  error: unknown,
): Response | Promise<Response> {
  if (error instanceof ProxyError && error.code === "file_restored") {
    return dispatch(ports, exchange);
  }
  throw error;
}

function dispatch(ports: HandlerPorts, exchange: Exchange): Response | Promise<Response> {
  const { target } = exchange.route;
  if (target.kind === "own" && target.path.startsWith(API_PREFIX)) {
    // It looks at rights by itself: the deployment's administrator belongs to no team.
    return answerOwn(ports, exchange, target.path, exchange.route.team);
  }
  const caller = enter(ports, exchange);
  if (target.kind === "own") return answerOwn(ports, exchange, target.path, caller.team?.name);
  checkMethod(exchange.method);
  switch (target.kind) {
    case "module":
      return answerModule(ports, exchange, caller, target.request);
    case "sumdb":
      return answerSumdb(ports, exchange, caller, target.path);
    case "malformed":
      throw new ProxyError(`malformed_${target.where}`, target.problem);
  }
}

/** The parsed address; one that was parsed before is not parsed again. */
function findRoute(routes: LruCache<Route>, url: string, headers: Headers): Route {
  // With a slash in the host nobody can tell from the URL where the path begins.
  if (headers.get("Host")?.includes("/") === true) return BAD_HOST;
  const known = routes.get(url);
  if (known !== undefined) return known;
  const route = parseRoute(url);
  if (route.target.kind !== "malformed") routes.set(url, route, 2 * url.length + ROUTE_BYTES);
  return route;
}

/** Check the caller's rights: before anything else is looked at, on hits as on misses. */
function enter({ access }: HandlerPorts, { url, headers, route }: Exchange): Caller {
  const team = access.teamAt(route.team, url);
  return team === undefined ? OPEN_CALLER : access.enter(team, headers.get("Authorization"));
}

function answerModule(
  ports: HandlerPorts,
  exchange: Exchange,
  caller: Caller,
  module: ModuleRequest,
): Response | Promise<Response> {
  const { method, headers, route } = exchange;
  const home = ports.access.homeOf(caller, module.modulePath);
  if ("hidden" in home) throw new ProxyError("module_not_found", "no source has it");
  const { scope } = home;
  const open = caller.team === undefined;
  const cachedOnly = route.cachedOnly || isCachedOnly(headers);
  const isPlain = method === "GET" && isUnconditional(headers);
  const options: ServeOptions = {
    nowMs: exchange.startMs,
    cachedOnly,
    stream: isPlain,
    defer: exchange.defer,
  };
  const rules = open && !cachedOnly ? OPEN_RULES : { open, cachedOnly };
  const answer = ports.modules.tryServeFromMemory(scope, module, options);
  if (answer === undefined) {
    return serveFromTiers(ports, exchange, module, { scope, options, rules });
  }
  if (answer.kind === "absent") return answerError(ports, exchange, answer.error);
  if (isPlain) {
    if (answer.kind === "file") return passFile(ports, exchange, answer, rules);
    const outcome = { tier: "memory", bodyBytes: answer.sizeBytes };
    return logged(ports, exchange, respondWhole(answer, rules), outcome);
  }
  return answerFully(ports, exchange, answer, rules);
}

/** Conditions, ranges and HEAD of what memory knows. */
async function answerFully(
  ports: HandlerPorts,
  exchange: Exchange,
  answer: WholeAnswer | FileAnswer,
  rules: CacheRules,
): Promise<Response> {
  const response = await respond(exchange.request, answer, rules, exchange.requestId);
  return logged(ports, exchange, response, { tier: "memory" });
}

async function passFile(
  ports: HandlerPorts,
  exchange: Exchange,
  answer: FileAnswer,
  rules: CacheRules,
): Promise<Response> {
  const prefix = rules.open ? undefined : ports.accelRedirect;
  const isAccelerated =
    prefix !== undefined &&
    answer.sizeBytes >= MIN_ACCELERATED_BYTES &&
    (await answer.isDigested());
  const response = isAccelerated
    ? respondAccelerated(answer, rules, prefix)
    : await respondFile(answer, rules);
  return logged(ports, exchange, response, { tier: "storage", bodyBytes: answer.sizeBytes });
}

async function serveFromTiers(
  ports: HandlerPorts,
  exchange: Exchange,
  module: ModuleRequest,
  { scope, options, rules }: { scope: Scope; options: ServeOptions; rules: CacheRules },
): Promise<Response> {
  const answer = await ports.modules.serve(scope, module, options);
  const response = await respond(exchange.request, answer, rules, exchange.requestId);
  return logged(ports, exchange, response, {
    tier: answer.kind === "live" ? "source" : "storage",
    bodyBytes: answer.sizeBytes,
  });
}

async function answerSumdb(
  ports: HandlerPorts,
  exchange: Exchange,
  caller: Caller,
  path: string,
): Promise<Response> {
  const { request, headers, route } = exchange;
  const open = caller.team === undefined;
  const cachedOnly = route.cachedOnly || isCachedOnly(headers);
  const answer = await ports.serveSumdb(caller, path, cachedOnly);
  const rules = { open, cachedOnly };
  const response = await respond(request, answer, rules, exchange.requestId);
  return logged(ports, exchange, response, { tier: "sumdb", bodyBytes: answer.sizeBytes });
}

async function answerOwn(
  ports: HandlerPorts,
  exchange: Exchange,
  path: string,
  team: string | undefined,
): Promise<Response> {
  const response = await ports.own(exchange.request, path, {
    requestId: exchange.requestId,
    team,
  });
  return logged(ports, exchange, response, { tier: "own" });
}

function answerError(ports: HandlerPorts, exchange: Exchange, thrown: unknown): Response {
  const error =
    thrown instanceof ProxyError
      ? thrown
      : new ProxyError("internal", "unexpected failure", { cause: thrown });
  if (error !== thrown) ports.reportFault(thrown, exchange.requestId);
  const response = respondError(error, {
    requestId: exchange.requestId,
    method: exchange.method,
    cachedOnly: exchange.route.cachedOnly || isCachedOnly(exchange.headers),
    open: ports.access.teamAt(exchange.route.team, exchange.url) === undefined,
  });
  return logged(ports, exchange, response, { tier: "none", errorCode: error.code });
}

/** Write the request's line, and hand its response on. */
function logged(
  ports: HandlerPorts,
  exchange: Exchange,
  response: Response,
  { tier, bodyBytes, errorCode }: Outcome,
): Response {
  const { method, headers, route, startMs, requestId } = exchange;
  ports.log(
    {
      atMs: startMs,
      durationMs: ports.clock.now() - startMs,
      requestId,
      method,
      path: toLogPath(route),
      team: route.team,
      status: response.status,
      tier,
      bodyBytes,
      userAgent: headers.get("User-Agent"),
      errorCode,
    },
    exchange.defer,
  );
  return response;
}

/** Only what was parsed is logged: the text of a path that was refused may hold anything. */
function toLogPath(route: Route): string {
  switch (route.target.kind) {
    case "module":
      return `/${route.target.request.path}`;
    case "sumdb":
      return `/sumdb/${route.target.path}`;
    case "own":
      return route.target.path;
    case "malformed":
      return "malformed";
  }
}

function checkMethod(method: string): void {
  if (method !== "GET" && method !== "HEAD") {
    throw new ProxyError("method_not_allowed", `${method} is not allowed here`);
  }
}

function isUnconditional(headers: Headers): boolean {
  return !(headers.has("Range") || headers.has("If-None-Match") || headers.has("If-Match"));
}

function isCachedOnly(headers: Headers): boolean {
  const value = headers.get(CACHED_ONLY_HEADER);
  return value !== null && TRUE_VALUES.has(value.trim());
}
