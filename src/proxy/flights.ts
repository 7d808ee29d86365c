import { ProxyError, toErrorValue } from "../errors/proxy-error.ts";
import { LruCache } from "./lru-cache.ts";
import { type Clock, type EventSink, PUBLIC_SCOPE, type Scope } from "./ports.ts";

/** How long a caller waits for a source's first byte; the fetch itself goes on behind. */
export const CALLER_WAIT_MS = 9000;
/** How long a source has for its first byte. */
export const FLIGHT_DEADLINE_MS = 45_000;

const NEGATIVE_CACHE_BYTES = 1024 * 1024;
const SECURITY_CODES: ReadonlySet<string> = new Set([
  "upstream_invalid",
  "checksum_mismatch",
  "sumdb_invalid",
  "tree_forked",
]);

const OUTAGE_CODES: ReadonlySet<string> = new Set([
  "sumdb_unavailable",
  "upstream_timeout",
  "upstream_unavailable",
]);

/** Whether an error may be gone when somebody asks again. */
export function isOutage(code: string): boolean {
  return OUTAGE_CODES.has(code);
}

/** A fetch that is under way, for all who wait. */
export interface Flight<T> {
  /** Resolves when the source has begun to answer, or the flight is over. */
  readonly answered: Promise<void>;
  readonly done: Promise<T>;
}

/** That something does not exist, and until when nobody is asked again. */
export interface Absence {
  readonly reason: string;
  readonly untilMs: number;
}

/** What one coordinator has learned to be absent: memory only. */
export class Absences {
  readonly #clock: Clock;
  readonly #negativeSeconds: number;
  readonly #known = new LruCache<Absence>(NEGATIVE_CACHE_BYTES);

  constructor(clock: Clock, negativeSeconds: number) {
    this.#clock = clock;
    this.#negativeSeconds = negativeSeconds;
  }

  find(key: string): Absence | undefined {
    const absence = this.#known.get(key);
    if (absence === undefined || absence.untilMs > this.#clock.now()) return absence;
    this.#known.delete(key);
    return undefined;
  }

  note(key: string, reason: string): { kind: "absent" } & Absence {
    // A private module may be published any moment, and its source is near.
    if (!key.startsWith(`${PUBLIC_SCOPE}/`)) return { kind: "absent", reason, untilMs: 0 };
    const untilMs = this.#clock.now() + this.#negativeSeconds * 1000;
    this.#known.set(key, { reason, untilMs }, key.length + reason.length + 64);
    return { kind: "absent", reason, untilMs };
  }
}

/** Whether a promise settles within a time. */
export async function settlesInTime(
  clock: Clock,
  promise: Promise<unknown>,
  limitMs: number,
): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<false>();
  const cancel = clock.after(limitMs, () => resolve(false));
  try {
    return await Promise.race([promise.then(() => true as const), timeout]);
  } finally {
    cancel();
  }
}

/**
 * What a flight that failed says to its callers.
 *
 * What a person should know of the failure is reported.
 *
 * @param flight `wasBegun` if a caller has begun to get the file: his status line cannot tell him
 *   any more, so the log has to.
 */
export function toFailure(
  events: EventSink,
  {
    scope,
    path,
    wasBegun = false,
  }: { readonly scope: Scope; readonly path: string; readonly wasBegun?: boolean | undefined },
  thrown: unknown,
): { readonly kind: "failed"; readonly error: ReturnType<typeof toErrorValue> } {
  if (!(thrown instanceof ProxyError)) {
    const reason = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    events.report({ action: "internal", scope, path, reason });
  } else if (SECURITY_CODES.has(thrown.code)) {
    events.report({ action: thrown.code, scope, path, reason: thrown.publicDetail });
  } else if (wasBegun) {
    events.report({ action: "zip-cut-off", scope, path, reason: thrown.publicDetail });
  }
  return { kind: "failed", error: toErrorValue(thrown) };
}

/** What a caller is told who has waited long enough. */
export function tooSlow(): {
  readonly kind: "failed";
  readonly error: ReturnType<typeof toErrorValue>;
} {
  const publicDetail = "the source has not begun to answer; the fetch goes on, try again soon";
  return { kind: "failed", error: { code: "upstream_timeout", publicDetail } };
}
