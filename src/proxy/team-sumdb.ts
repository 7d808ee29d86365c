import { fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import { type FileKind, type FileRequest, toFileRequest } from "../module/request.ts";
import type { Home } from "./access.ts";
import { toLfHash } from "./ingest.ts";
import {
  type Coordinators,
  type FileRecord,
  type FileStore,
  PUBLIC_SCOPE,
  type Scope,
  type Sumdb,
} from "./ports.ts";
import { type Lookup, parseLookup } from "./sumdb-lookup.ts";

/** The append-only log behind a team's database. */
export interface TeamLog {
  append(entry: {
    readonly modulePath: string;
    readonly version: string;
    readonly hashes: { readonly zip: string; readonly mod: string };
  }): Promise<void>;
  /** As {@link Sumdb.serve}; `sumdb_not_found` for what is not recorded. */
  serve(path: string): Promise<Uint8Array>;
}

/** What a team's database works with. */
export interface TeamSumdbPorts {
  readonly name: string;
  readonly log: TeamLog;
  readonly coordinators: Coordinators;
  readonly files: Pick<FileStore, "open">;
  /** Drop what memory has of a file that may have been replaced in storage. */
  forget(scope: Scope, request: FileRequest): void;
  /** The public database; undefined when it is switched off. */
  readonly sumdb: Sumdb | undefined;
  /** Whether a public module is not to be named to the public database. */
  isExempt(modulePath: string): boolean;
  /** Where a module lives for the team. */
  homeOf(modulePath: string): Home;
}

const LOOKUP = "lookup/";

/**
 * A team's own checksum database.
 *
 * A client can name only one database, so this one answers for every module that the team may
 * use: its private ones with the hashes of first sight, public ones after the public database has
 * proven them.
 */
export function createTeamSumdb(ports: TeamSumdbPorts): Sumdb {
  return {
    name: ports.name,
    prove: () => Promise.reject(new TypeError("a team's database proves nothing to the proxy")),
    async serve(path, { cachedOnly }) {
      try {
        return await ports.log.serve(path);
      } catch (error) {
        if (!isNotRecorded(error) || !path.startsWith(LOOKUP) || cachedOnly) throw error;
      }
      const wanted = parseLookup(path.slice(LOOKUP.length));
      const { modulePath, version } = wanted;
      await ports.log.append({ modulePath, version, hashes: await findHashes(ports, wanted) });
      return await ports.log.serve(path);
    },
  };
}

function isNotRecorded(error: unknown): boolean {
  return error instanceof ProxyError && error.code === "sumdb_not_found";
}

async function findHashes(
  ports: TeamSumdbPorts,
  wanted: Lookup,
): Promise<{ zip: string; mod: string }> {
  const home = ports.homeOf(wanted.modulePath);
  if ("hidden" in home) throw notFound(wanted);
  const isPublic = home.scope === PUBLIC_SCOPE && !ports.isExempt(wanted.modulePath);
  if (isPublic && ports.sumdb !== undefined) {
    const { zip, mod } = await ports.sumdb.prove(wanted.modulePath, wanted.version);
    return { zip, mod };
  }
  return await findOwnHashes(ports, home.scope, wanted);
}

/**
 * The hashes of first sight, which this may be.
 *
 * The zip comes first: while nothing verifies, its arrival may replace a go.mod that was seen
 * before. What the log has once it has for ever, so the two must agree.
 */
async function findOwnHashes(
  ports: TeamSumdbPorts,
  scope: Scope,
  wanted: Lookup,
): Promise<{ zip: string; mod: string }> {
  const zip = await findFile(ports, scope, wanted, "zip");
  ports.forget(scope, toRequest(wanted, "mod"));
  const mod = await findFile(ports, scope, wanted, "mod");
  if (zip.modH1 !== undefined && mod.h1 !== zip.modH1) {
    if (toLfHash(await readMod(ports, scope, wanted)) !== zip.modH1) {
      const { modulePath, version } = wanted;
      const detail = `${modulePath}@${version}: the stored go.mod is not the one in the stored zip`;
      throw new ProxyError("checksum_mismatch", detail);
    }
  }
  return { zip: zip.h1, mod: mod.h1 };
}

async function readMod(ports: TeamSumdbPorts, scope: Scope, wanted: Lookup): Promise<Uint8Array> {
  const file = await ports.files.open(scope, toRequest(wanted, "mod").path);
  if (file === undefined) throw new ProxyError("storage_unavailable", "a stored file is gone");
  return new Uint8Array(await new Response(file.body).arrayBuffer());
}

/** The record of a stored file; one that is not stored yet is fetched. */
async function findFile(
  ports: TeamSumdbPorts,
  scope: Scope,
  wanted: Lookup,
  kind: FileKind,
): Promise<FileRecord & { readonly h1: string }> {
  const request = toRequest(wanted, kind);
  const outcome = await ports.coordinators.file(scope, request, { stream: false });
  switch (outcome.kind) {
    case "bytes":
    case "stored": {
      const { h1 } = outcome.record;
      if (h1 !== undefined) return { ...outcome.record, h1 };
      throw new ProxyError("storage_unavailable", "a stored file has no hash in its record");
    }
    case "absent":
      throw notFound(wanted);
    case "failed":
      throw fromErrorValue(outcome.error);
    case "stream":
      throw new TypeError("a body was not asked for");
  }
}

function toRequest(wanted: Lookup, kind: FileKind): FileRequest {
  return toFileRequest(wanted, kind, wanted.version, wanted.escapedVersion);
}

function notFound({ modulePath, version }: Lookup): ProxyError {
  return new ProxyError("sumdb_not_found", `${modulePath}@${version} does not exist`);
}
