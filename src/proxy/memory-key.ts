import type { ModuleRequest } from "../module/request.ts";
import { PUBLIC_SCOPE, type Scope } from "./ports.ts";

/**
 * The key of a request in the caches of one isolate.
 *
 * For public modules it is the path itself, whose hash the engine keeps: putting a text together
 * would cost more than the look-up. No path begins like a team's scope, for want of a dot.
 */
export function toKey(scope: Scope, request: ModuleRequest): string {
  return scope === PUBLIC_SCOPE ? request.path : `${scope}/${request.path}`;
}
