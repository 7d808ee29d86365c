import type { EventSink, SecurityEvent } from "../proxy/ports.ts";

/** What one request line says. */
export interface RequestLine {
  readonly atMs: number;
  readonly method: string;
  /** The parsed path, without the query string. */
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  readonly requestId: string;
  /** Where the answer came from. */
  readonly tier: string;
  readonly bodyBytes: number | undefined;
  readonly userAgent: string | null;
  readonly errorCode: string | undefined;
  readonly team: string | undefined;
}

/**
 * Write the one line of a request, in the field names of the Elastic Common Schema.
 *
 * Built by hand: of its strings only the path and the User-Agent come from outside.
 */
export function logRequest(line: RequestLine): void {
  const outcome = line.status < 400 ? "success" : "failure";
  console.log(
    `{"@timestamp":"${new Date(line.atMs).toISOString()}","log.level":"${toLevel(line.status)}",` +
      `"event.kind":"event","event.category":"web","event.outcome":"${outcome}",` +
      `"event.duration":${Math.round(line.durationMs * 1e6)},"service.name":"goproxy-edge",` +
      `"http.request.id":"${line.requestId}","http.request.method":"${line.method}",` +
      `"http.response.status_code":${line.status},"url.path":${JSON.stringify(line.path)},` +
      `"labels.tier":"${line.tier}"` +
      optional("http.response.body.bytes", line.bodyBytes) +
      optional("error.code", line.errorCode) +
      optional("labels.team", line.team) +
      optional("user_agent.original", line.userAgent ?? undefined) +
      "}",
  );
}

/** Events that a person has to look at, as lines of the log. */
export const securityLog: EventSink = {
  report({ action, reason, scope, path, details }: SecurityEvent): void {
    console.log(
      JSON.stringify({
        "@timestamp": new Date().toISOString(),
        "log.level": "error",
        "event.kind": "alert",
        "event.action": action,
        "service.name": "goproxy-edge",
        message: reason,
        "labels.scope": scope,
        "url.path": path,
        ...details,
      }),
    );
  },
};

/** A fault of ours, with all that is known of it: the client sees only the request id. */
export function reportFault(error: unknown, requestId: string): void {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  securityLog.report({ action: "internal", reason, details: { "http.request.id": requestId } });
}

function toLevel(status: number): string {
  if (status >= 500) return "error";
  return status >= 400 ? "warn" : "info";
}

function optional(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `,"${name}":${JSON.stringify(value)}`;
}
