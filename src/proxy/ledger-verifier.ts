import { ProxyError } from "../errors/proxy-error.ts";
import { type AnswerIndex, type EventSink, PUBLIC_SCOPE, type Verifier } from "./ports.ts";

/**
 * Proves private modules by the ledger of what was seen first.
 *
 * The hash of a private file is fixed when it is fetched for the first time; whatever the source
 * serves later under the same version is refused, and somebody is told.
 *
 * @param publicVerifier Proves what is not private.
 */
export function createLedgerVerifier(
  publicVerifier: Verifier,
  index: AnswerIndex,
  events: EventSink,
): Verifier {
  return {
    requiresProof: (scope, request) => publicVerifier.requiresProof(scope, request),
    begin(scope, request) {
      if (scope === PUBLIC_SCOPE) return publicVerifier.begin(scope, request);
      return (h1) => {
        // Fixed with the commit: bytes that fail a later check were never seen.
        const first = index.readPin(scope, request.path) ?? h1;
        if (first === h1) return Promise.resolve({ verified: "ledger" });
        const reason = `first seen with ${first}, the source now sends ${h1}`;
        events.report({ action: "tag-moved", scope, path: request.path, reason });
        const detail = `${request.modulePath}@${request.version} ${request.kind}: ${reason}`;
        return Promise.reject(new ProxyError("checksum_mismatch", detail));
      };
    },
  };
}
