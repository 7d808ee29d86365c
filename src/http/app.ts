import { Hono } from "hono";
import { parseCredential } from "../auth/credential.ts";
import { errorRow } from "../errors/codes.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import { HOME_PAGE_CSP, renderHomePage } from "./home-page.ts";
import { hasHost, NO_HOST } from "./route.ts";

/** What the addresses of our own work with. */
export interface AppPorts {
  /** Scheme that clients use, where something in front of the Worker ends TLS. */
  readonly scheme: string | undefined;
  /** Whether the bindings work and the upstreams answer. */
  checkReadiness(): Promise<Readiness>;
  /** Value of the Worker secret; undefined or empty when it is not set. */
  readonly adminToken: string | undefined;
  startJob(request: JobRequest): Promise<string>;
  readJob(id: string): Promise<JobState | undefined>;
  /** Whether two secrets are equal, in a time that tells nothing. */
  equalSecrets(a: string, b: string): boolean;
  /** Whether a token is one of some team, whatever its role. */
  isTeamToken(token: string): boolean;
  /** Tells somebody of a fault of ours, whose text no client sees. */
  reportFault(error: unknown, requestId: string): void;
}

/** What `/-/readyz` says. */
export interface Readiness {
  readonly status: "ready" | "degraded" | "unavailable";
  readonly checks: Readonly<Record<string, unknown>>;
}

/** Long work to be done. */
export type JobRequest =
  | { readonly kind: "reindex" }
  /** `deep`: ask the checksum database again as well. */
  | { readonly kind: "verify"; readonly deep: boolean };

/** What a job says of itself. */
export interface JobState {
  readonly job: string;
  readonly kind: string;
  readonly status: "running" | "done" | "failed";
  readonly files: number;
  readonly modules: number;
  /** Damaged files found, and the first of them. */
  readonly damaged: number;
  readonly damages: readonly object[];
  readonly error?: string;
}

/** What is known of a request for an address of our own. */
export interface OwnContext {
  readonly requestId: string;
  /** Label of the team whose address it is. */
  readonly team: string | undefined;
}

type OwnApp = Hono<{ Bindings: OwnContext & { readonly url: string } }>;

// Addresses of the API and the methods that they take.
const API_METHODS: ReadonlyMap<string, string> = new Map([
  ["/-/api/v1/reindex", "POST"],
  ["/-/api/v1/verify", "POST"],
  ["/-/api/v1/jobs/:job", "GET, HEAD"],
]);

/**
 * Answers `/` and `/-/…`; `path` is the parsed path, not that of the URL.
 *
 * What is thrown is the caller's to answer; only the API answers its own errors, in JSON.
 */
export function createApp(
  ports: AppPorts,
): (request: Request, path: string, context: OwnContext) => Promise<Response> {
  const app: OwnApp = new Hono();

  app.get("/", (context) => {
    const { url, team } = context.env;
    const { protocol, host } = parseHomeUrl(url);
    const origin = `${ports.scheme ?? protocol.replace(":", "")}://${host}`;
    return context.html(renderHomePage(team === undefined ? origin : `${origin}/t/${team}`), 200, {
      "Content-Security-Policy": HOME_PAGE_CSP,
    });
  });
  app.get("/-/healthz", (context) => context.text("ok\n"));
  app.get("/-/readyz", async (context) => {
    const readiness = await ports.checkReadiness();
    return context.json(readiness, readiness.status === "unavailable" ? 503 : 200);
  });
  addApi(app, ports);
  for (const path of ["/", "/-/healthz", "/-/readyz", ...API_METHODS.keys()]) {
    app.all(path, ({ req }) => {
      throw new ProxyError("method_not_allowed", `${req.method} is not allowed here`);
    });
  }
  app.notFound(() => {
    throw new ProxyError("module_not_found", "no such address");
  });
  app.onError((error, { req, env }) => {
    // Whoever called has the one way to make a text of it; the API alone speaks JSON.
    if (!req.path.startsWith("/-/api/")) throw error;
    if (!(error instanceof ProxyError)) ports.reportFault(error, env.requestId);
    return toJsonError(env.requestId, error, API_METHODS.get(req.routePath));
  });

  return async (request, path, ownContext) => {
    // The host may be no host at all, and only the page cares. HEAD is the GET without its body.
    const isHead = request.method === "HEAD";
    const init = isHead ? { method: "GET", headers: request.headers } : request;
    const queryAt = request.url.indexOf("?");
    const query = queryAt < 0 ? "" : request.url.slice(queryAt);
    const own = new Request(`http://own.invalid${path}${query}`, init);
    const response = await app.fetch(own, { ...ownContext, url: request.url });
    const body = await response.arrayBuffer();
    const headers = new Headers(response.headers);
    // Everything of our own is told anew each time, by whatever stands in front.
    headers.set("Cache-Control", ownContext.team === undefined ? "no-store" : "private, no-store");
    headers.set("X-Content-Type-Options", "nosniff");
    headers.set("Content-Length", String(body.byteLength));
    return new Response(isHead ? null : body, { status: response.status, headers });
  };
}

function addApi(app: OwnApp, ports: AppPorts): void {
  app.use("/-/api/v1/*", async (context, next) => {
    checkAdmin(ports, context.req.raw.headers.get("Authorization"));
    await next();
  });
  app.post("/-/api/v1/reindex", async (context) =>
    context.json({ job: await ports.startJob({ kind: "reindex" }) }, 202),
  );
  app.post("/-/api/v1/verify", async (context) => {
    const deep = (await readOptionalBody(context.req.raw))["deep"] === true;
    return context.json({ job: await ports.startJob({ kind: "verify", deep }) }, 202);
  });
  app.get("/-/api/v1/jobs/:job", async (context) => {
    const state = await ports.readJob(context.req.param("job"));
    if (state === undefined) throw new ProxyError("module_not_found", "no such job");
    return context.json(state);
  });
}

/** The JSON object of a body; an empty one counts as {}. */
async function readOptionalBody(request: Request): Promise<Record<string, unknown>> {
  const text = await request.text();
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, like every other body that is no object.
  }
  throw new ProxyError("invalid_request", "the body must be a JSON object");
}

/** The address that a client used; only the text of a real host can stand in the line to copy. */
function parseHomeUrl(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && hasHost(text)) return url;
  throw new ProxyError("invalid_request", NO_HOST);
}

function checkAdmin(ports: AppPorts, authorization: string | null): void {
  const credential = parseCredential(authorization);
  if (credential.kind === "none") {
    throw new ProxyError("credentials_missing", "this address needs ADMIN_TOKEN");
  }
  const { adminToken } = ports;
  if (adminToken === undefined || adminToken === "") {
    throw new ProxyError("unavailable", "the Worker secret ADMIN_TOKEN is not set");
  }
  const token = credential.kind === "token" ? credential.token : "";
  if (ports.equalSecrets(token, adminToken)) return;
  if (ports.isTeamToken(token)) {
    throw new ProxyError("role_missing", "this address needs ADMIN_TOKEN, not a team's token");
  }
  throw new ProxyError("credentials_invalid", "the token is not good here");
}

function toJsonError(requestId: string, thrown: unknown, allow: string | undefined): Response {
  const error =
    thrown instanceof ProxyError
      ? thrown
      : new ProxyError("internal", "unexpected failure", { cause: thrown });
  const { code, publicDetail } = error;
  const { status } = errorRow(code);
  const headers = new Headers();
  if (status === 401) headers.set("WWW-Authenticate", 'Basic realm="goproxy-edge"');
  if (status === 405 && allow !== undefined) headers.set("Allow", allow);
  const body = { error: { code, message: publicDetail, requestId } };
  return Response.json(body, { status, headers });
}
