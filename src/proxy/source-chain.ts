import { ProxyError } from "../errors/proxy-error.ts";
import type { ModuleRequest } from "../module/request.ts";
import type { Clock, ModuleSource, SourceAnswer } from "./ports.ts";

// How long a source that failed is asked last, and not waited for when a stored answer exists.
const DOWN_MS = 5000;
// A source that has others behind it must answer sooner.
const NOT_LAST_DEADLINE_MS = 4000;

/** Ordered sources that are asked as one. */
export interface SourceChain extends ModuleSource {
  /** Whether every source has failed within the last seconds. */
  isDown(): boolean;
}

/**
 * Ask sources in order, the next one only when one says "not found" or cannot be reached.
 *
 * Absence is believed only when every source has said so: if one of them was out of reach, the
 * outage is what the caller learns.
 */
export function createSourceChain(sources: readonly ModuleSource[], clock: Clock): SourceChain {
  const downUntilMs = new Map<string, number>();
  const isSourceDown = (source: ModuleSource): boolean =>
    (downUntilMs.get(source.name) ?? 0) > clock.now();

  async function ask(request: ModuleRequest, deadlineMs: number): Promise<SourceAnswer> {
    const ordered = sources.toSorted((a, b) => Number(isSourceDown(a)) - Number(isSourceDown(b)));
    let outage: ProxyError | undefined;
    let reason = "no source has it";
    for (const [index, source] of ordered.entries()) {
      const isLast = index === ordered.length - 1;
      try {
        const answer = await source.ask(request, {
          deadlineMs: isLast ? deadlineMs : Math.min(deadlineMs, NOT_LAST_DEADLINE_MS),
        });
        downUntilMs.delete(source.name);
        if (answer.found) return answer;
        if (answer.reason !== "") reason = answer.reason;
      } catch (error) {
        if (!isOutage(error)) throw error;
        downUntilMs.set(source.name, clock.now() + DOWN_MS);
        outage ??= error;
      }
    }
    if (outage !== undefined) throw outage;
    return { found: false, reason };
  }

  return {
    name: "chain",
    ask: (request, { deadlineMs }) => ask(request, deadlineMs),
    isDown: () => sources.every(isSourceDown),
  };
}

function isOutage(error: unknown): error is ProxyError {
  return (
    error instanceof ProxyError &&
    (error.code === "upstream_unavailable" || error.code === "upstream_timeout")
  );
}
