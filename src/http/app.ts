import { Hono } from "hono";
import { parseCredential } from "../auth/credential.ts";
import { ERROR_ROWS } from "../errors/codes.ts";
import { ProxyError, type ProxyErrorCode } from "../errors/proxy-error.ts";
import { respondError } from "./respond.ts";
import { HOME_PAGE_CSP, renderHomePage } from "./home-page.ts";

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

/** Answers `/` and `/-/…`; `path` is the parsed path, not that of the URL. */
export function createApp(
  ports: AppPorts,
): (request: Request, path: string, context: OwnContext) => Promise<Response> {
  const app = new Hono<{ Bindings: OwnContext }>();

  app.get("/", (context) => {
    const { protocol, host } = new URL(context.req.url);
    const origin = `${ports.scheme ?? protocol.replace(":", "")}://${host}`;
    const prefix = context.env.team === undefined ? "" : `/t/${context.env.team}`;
    return context.html(renderHomePage(origin + prefix), 200, {
      "Content-Security-Policy": HOME_PAGE_CSP,
    });
  });
  app.get("/-/healthz", (context) => context.text("ok\n"));
  app.get("/-/readyz", async (context) => {
    const readiness = await ports.checkReadiness();
    return context.json(readiness, readiness.status === "unavailable" ? 503 : 200);
  });
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
  for (const path of ["/", "/-/healthz", "/-/readyz"]) {
    app.all(path, ({ req, env }) => toTextError(env, req.method, wrongMethod(req.method)));
  }
  app.all("/-/api/*", (context) => toJsonError(context.env.requestId, notFound()));
  app.notFound(({ req, env }) => toTextError(env, req.method, notFound()));
  app.onError((error, context) => toJsonError(context.env.requestId, error));

  return async (request, path, ownContext) => {
    const url = new URL(request.url);
    url.pathname = path;
    const response = await app.fetch(new Request(url, request), ownContext);
    const body = await response.arrayBuffer();
    const headers = new Headers(response.headers);
    // Everything of our own is told anew each time, by whatever stands in front.
    headers.set("Cache-Control", ownContext.team === undefined ? "no-store" : "private, no-store");
    headers.set("X-Content-Type-Options", "nosniff");
    headers.set("Content-Length", String(body.byteLength));
    return new Response(request.method === "HEAD" ? null : body, {
      status: response.status,
      headers,
    });
  };
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

function toTextError(context: OwnContext, method: string, error: ProxyError): Response {
  const { requestId, team } = context;
  return respondError(error, { requestId, method, cachedOnly: false, open: team === undefined });
}

function wrongMethod(method: string): ProxyError {
  return new ProxyError("method_not_allowed", `${method} is not allowed here`);
}

function notFound(): ProxyError {
  return new ProxyError("module_not_found", "no such address");
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
  if (credential.kind === "malformed" || !ports.equalSecrets(credential.token, adminToken)) {
    throw new ProxyError("credentials_invalid", "the token is not good here");
  }
}

function toJsonError(requestId: string, thrown: unknown): Response {
  const error =
    thrown instanceof ProxyError
      ? thrown
      : new ProxyError("internal", "unexpected failure", { cause: thrown });
  const code: ProxyErrorCode = error.code;
  const { status } = ERROR_ROWS[code];
  const headers = new Headers({ "Cache-Control": "no-store" });
  if (status === 401) headers.set("WWW-Authenticate", 'Basic realm="goproxy-edge"');
  const body = { error: { code, message: error.publicDetail, requestId } };
  return Response.json(body, { status, headers });
}
