import { ProxyError } from "../errors/proxy-error.ts";
import type { ByteSource } from "../module/byte-window.ts";
import { goModHash } from "../module/dirhash.ts";
import { type FileRequest, isFileRequest, parseModuleRequest } from "../module/request.ts";
import { verifyModuleZip } from "../module/zip-check.ts";
import type { Clock, Coordinators, EventSink, FileRecord, FileStore, Scope } from "./ports.ts";
import { readAll, tryDigest } from "./read-body.ts";

/** What re-verifying works with. */
export interface VerifyPorts {
  readonly files: FileStore;
  readonly coordinators: Coordinators;
  readonly events: EventSink;
  readonly clock: Clock;
  /**
   * Ask the checksum database again; undefined to trust the records in that.
   *
   * @throws ProxyError `checksum_mismatch` when it contradicts.
   */
  readonly proveAgain:
    | ((scope: Scope, request: FileRequest, h1: string) => Promise<void>)
    | undefined;
}

/** One damaged file and what became of it. */
export interface Damage {
  /** `{scope}/{path}` of the file. */
  readonly file: string;
  readonly problem: string;
  /**
   * `lost`: the bytes were gone before; like `quarantined` ones they are missed until a source has
   * the same again. `kept`: the database cannot prove it today, or the storage lets it not be moved.
   */
  readonly action: "restored" | "quarantined" | "lost" | "kept";
}

interface Finding {
  readonly problem: string;
  /** Whether the record itself is unreadable, or says what cannot be. */
  readonly isRecordWrong: boolean;
}

/**
 * Check one stored file against its record: size, sha256 and h1, and, where asked for, the
 * database.
 *
 * Its coordinator restores a damaged file from its source if that has the same; otherwise the bytes
 * move to quarantine. Their record stays, so that nothing else takes their place, unless it is the
 * record that is wrong: then whoever asks for the file next fetches it anew.
 *
 * @returns What was wrong, or undefined.
 */
export async function verifyFile(
  ports: VerifyPorts,
  scope: Scope,
  path: string,
): Promise<Damage | undefined> {
  const request = parseModuleRequest(path);
  if ("problem" in request || !isFileRequest(request)) return undefined;
  const found = await findDamage(ports, scope, request);
  if (found === undefined) return await findDoubt(ports, scope, request);
  const { problem } = found;
  ports.events.report({ action: "file-damaged", scope, path, reason: problem });
  const wasThere = (await ports.files.readState(scope, path)) !== undefined;
  const damaged = found.isRecordWrong ? "disproven" : "bytes";
  await ports.coordinators.file(scope, request, { stream: false, damaged });
  const isRestored = (await findDamage(ports, scope, request)) === undefined;
  const isThere = (await ports.files.readState(scope, path)) !== undefined;
  const unmended = isThere ? "kept" : wasThere ? "quarantined" : "lost";
  return { file: `${scope}/${path}`, problem, action: isRestored ? "restored" : unmended };
}

async function findDamage(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
): Promise<Finding | undefined> {
  const record = await ports.files.readRecord(scope, request.path);
  if (record === undefined) return { problem: "the record is unreadable", isRecordWrong: true };
  const problem = await findWrongBytes(ports, scope, request, record);
  if (problem !== undefined) return { problem, isRecordWrong: false };
  if (request.kind === "info") return undefined;
  const h1 = await computeH1(ports, scope, request, record);
  if (h1 !== record.h1) {
    return { problem: `h1 is ${h1}, recorded is ${record.h1 ?? "none"}`, isRecordWrong: true };
  }
  const proof = await tryProveAgain(ports, scope, request, h1);
  if (proof?.code !== "checksum_mismatch") return undefined;
  return { problem: proof.publicDetail, isRecordWrong: true };
}

async function findWrongBytes(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
  record: FileRecord,
): Promise<string | undefined> {
  const stored = await ports.files.reopen(scope, request.path).catch(() => undefined);
  if (stored === undefined) return "the file is missing";
  const sha256 = await tryDigest(stored.body, record.sizeBytes, ports.clock);
  if (sha256 === undefined) return "the file cannot be read, or is longer than recorded";
  return sha256 === record.sha256 ? undefined : `sha256 is ${sha256}, recorded is ${record.sha256}`;
}

/** What the database could not prove today: no damage, but somebody should know. */
async function findDoubt(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
): Promise<Damage | undefined> {
  if (request.kind === "info" || ports.proveAgain === undefined) return undefined;
  const record = await ports.files.readRecord(scope, request.path);
  const proof = await tryProveAgain(ports, scope, request, record?.h1 ?? "");
  if (proof === undefined) return undefined;
  return { file: `${scope}/${request.path}`, problem: proof.publicDetail, action: "kept" };
}

async function tryProveAgain(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
  h1: string,
): Promise<ProxyError | undefined> {
  try {
    await ports.proveAgain?.(scope, request, h1);
    return undefined;
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
}

async function computeH1(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
  record: FileRecord,
): Promise<string> {
  const source = toByteSource(ports, scope, request, record);
  if (request.kind === "mod") return goModHash(await source.read(0, record.sizeBytes));
  const zip = await verifyModuleZip(source, request.modulePath, request.version, {
    yieldNow: () => ports.clock.wait(0),
  });
  return "problem" in zip ? `none (${zip.problem})` : zip.h1;
}

function toByteSource(
  ports: VerifyPorts,
  scope: Scope,
  request: FileRequest,
  { sizeBytes }: FileRecord,
): ByteSource {
  return {
    sizeBytes,
    async read(offsetBytes, lengthBytes) {
      if (lengthBytes === 0) return new Uint8Array();
      const range = { offsetBytes, lengthBytes };
      const file = await ports.files.reopen(scope, request.path, range);
      if (file === undefined) throw new ProxyError("storage_unavailable", "file is gone");
      const limits = { sizeBytes: lengthBytes, maxBytes: lengthBytes };
      return await readAll(file.body, limits, ports.clock);
    },
  };
}
