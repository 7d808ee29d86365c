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

/** Takes the text of a finished line. */
export type LineSink = (text: string) => void;

/** Each line on its own, at once: the platform's logs belong to the request that is under way. */
export const writeLine: LineSink = (text) => console.log(text);

const MAX_BUFFERED_CHARACTERS = 32 * 1024;
const FLUSH_MS = 100;

/**
 * Gather lines and write many at a time: to a process's output, where a write costs more than all
 * else that a hit does.
 *
 * @param wait Resolves after a delay, and keeps whoever asked alive until then.
 */
export function createLineBuffer(wait: (delayMs: number) => Promise<void>): {
  /**
   * @param nowMs In milliseconds since the epoch.
   * @param defer Lets the writing go on behind the request.
   */
  write(text: string, nowMs: number, defer: (work: Promise<unknown>) => void): void;
} {
  let buffered = "";
  // One request waits for all, since each that waits keeps what it is made of in memory.
  let waitsUntilMs = 0;

  function flush(): void {
    if (buffered === "") return;
    console.log(buffered);
    buffered = "";
  }

  async function flushLater(): Promise<void> {
    await wait(FLUSH_MS);
    waitsUntilMs = 0;
    flush();
  }

  return {
    write(text, nowMs, defer) {
      buffered = buffered === "" ? text : `${buffered}\n${text}`;
      if (buffered.length > MAX_BUFFERED_CHARACTERS) flush();
      // It may be cut off: nobody relies on it for longer than it meant to wait.
      else if (nowMs >= waitsUntilMs) {
        waitsUntilMs = nowMs + FLUSH_MS;
        defer(flushLater());
      }
    },
  };
}

/**
 * The one line of a request, in the field names of the Elastic Common Schema.
 *
 * Built by hand: of its strings only the path and the User-Agent come from outside.
 */
export function formatRequestLine(line: RequestLine): string {
  const outcome = line.status < 400 ? "success" : "failure";
  return (
    `{"@timestamp":"${formatTime(line.atMs)}","log.level":"${toLevel(line.status)}",` +
    `"event.kind":"event","event.category":"web","event.outcome":"${outcome}",` +
    `"event.duration":${Math.round(line.durationMs * 1e6)},"service.name":"goproxy-edge",` +
    `"http.request.id":"${line.requestId}","http.request.method":"${line.method}",` +
    `"http.response.status_code":${line.status},"url.path":${JSON.stringify(line.path)},` +
    `"labels.tier":"${line.tier}"` +
    optional("http.response.body.bytes", line.bodyBytes) +
    optional("error.code", line.errorCode) +
    optional("labels.team", line.team) +
    optional("user_agent.original", line.userAgent ?? undefined) +
    "}"
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

// The same for many lines in a row: as a text it costs more than all the rest of a line.
let lastTime = { atMs: 0, text: "" };

function formatTime(atMs: number): string {
  if (atMs !== lastTime.atMs) lastTime = { atMs, text: new Date(atMs).toISOString() };
  return lastTime.text;
}

function toLevel(status: number): string {
  if (status >= 500) return "error";
  return status >= 400 ? "warn" : "info";
}

function optional(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `,"${name}":${JSON.stringify(value)}`;
}
