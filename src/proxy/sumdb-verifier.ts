import { ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest } from "../module/request.ts";
import { PUBLIC_SCOPE, type ProvenHashes, type Scope, type Sumdb, type Verifier } from "./ports.ts";

// A tag of a moment ago may be unknown until its source has fetched it, too.
const MAY_PASS: ReadonlySet<string> = new Set([
  "sumdb_unavailable",
  "unavailable",
  "checksum_missing",
]);

/**
 * Proves public modules by a checksum database.
 *
 * @param sumdb Undefined when switched off: nothing is proven, and the records say so.
 * @param isExempt Whether a module path matches `noSum`.
 */
export function createSumdbVerifier(
  sumdb: Sumdb | undefined,
  isExempt: (modulePath: string) => boolean,
): Verifier {
  return {
    requiresProof: (scope, request) =>
      sumdb !== undefined && isProvable(scope, request) && !isExempt(request.modulePath),
    begin(scope, request) {
      if (sumdb === undefined || !isProvable(scope, request) || isExempt(request.modulePath)) {
        return () => Promise.resolve({ verified: "none" });
      }
      let hashes = find(sumdb, request);
      let mayPass = false;
      // Waited for only once the bytes are there; until then nobody else sees it fail.
      hashes.catch((error: unknown) => {
        mayPass = error instanceof ProxyError && MAY_PASS.has(error.code);
      });
      return async (h1) => {
        // The source may have taken its time, and the database may be back, or know more.
        if (mayPass) hashes = find(sumdb, request);
        const { zip, mod, treeSize } = await hashes;
        const expected = request.kind === "zip" ? zip : mod;
        if (h1 === expected) return { verified: "sumdb", treeSize };
        throw new ProxyError(
          "checksum_mismatch",
          `${request.modulePath}@${request.version} ${request.kind}: the source sent ${h1}, ` +
            `${sumdb.name} has ${expected}`,
        );
      };
    },
  };
}

function isProvable(scope: Scope, request: FileRequest): boolean {
  return scope === PUBLIC_SCOPE && request.kind !== "info";
}

/** A version that the database does not know cannot be told from a forged one. */
async function find(sumdb: Sumdb, { modulePath, version }: FileRequest): Promise<ProvenHashes> {
  try {
    return await sumdb.prove(modulePath, version);
  } catch (error) {
    if (!(error instanceof ProxyError) || error.code !== "sumdb_not_found") throw error;
    const detail = `${sumdb.name} does not know ${modulePath}@${version}`;
    throw new ProxyError("checksum_missing", detail, { cause: error });
  }
}
