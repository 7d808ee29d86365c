import { ProxyError } from "../errors/proxy-error.ts";
import { checkFile, type IngestPorts, type ScopedFile } from "./ingest.ts";
import type { EventSink, FileRecord, Scope } from "./ports.ts";
import { tryDigest } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";

// What the checks say of bytes that cannot be those that were stored.
const NOT_THE_SAME: ReadonlySet<string> = new Set(["upstream_invalid", "checksum_mismatch"]);
const RESTORE_DEADLINE_MS = 8000;

/**
 * Put a damaged or missing committed file back from its source, if that still has the same.
 *
 * The same is: equal bytes, or, for a zip, an equal `h1:` (two makers of one zip compress it
 * differently). The damaged bytes move to quarantine.
 *
 * @throws ProxyError `storage_unavailable` when the source has something else or nothing; the
 *   event is reported.
 */
export async function restoreFile(
  ports: IngestPorts & { readonly events: EventSink },
  file: ScopedFile,
  record: FileRecord,
  chain: SourceChain,
): Promise<FileRecord> {
  const { scope, request } = file;
  const { path } = request;
  if (await isIntact(ports, file, record)) return record;
  ports.events.report({
    action: "file-damaged",
    scope,
    path,
    reason: "stored bytes are not those recorded",
  });
  const answer = await chain.ask(request, { deadlineMs: RESTORE_DEADLINE_MS }).catch(() => {
    throw lost(ports, scope, path, "the source cannot be reached");
  });
  if (!answer.found) throw lost(ports, scope, path, "the source no longer has it");
  const checked = await checkFile(ports, file, answer).catch((error: unknown) => {
    if (error instanceof ProxyError && NOT_THE_SAME.has(error.code)) {
      throw lost(ports, scope, path, "the source now has something else");
    }
    throw lost(
      ports,
      scope,
      path,
      error instanceof ProxyError ? error.publicDetail : "not restored",
    );
  });
  const isSame =
    checked.record.sha256 === record.sha256 ||
    (record.h1 !== undefined && checked.record.h1 === record.h1);
  if (!isSame) {
    if (!(checked.content instanceof Uint8Array)) await checked.content.discard();
    throw lost(ports, scope, path, "the source now has something else");
  }
  const restored = { ...record, ...checked.record, fetchedAt: record.fetchedAt };
  // Bytes that cannot even be read have nothing to keep: what replaces them is at hand.
  await ports.files
    .quarantine(scope, path, ports.newName())
    .catch(() => ports.files.remove(scope, path));
  if (checked.content instanceof Uint8Array) {
    return await ports.files.create(scope, path, checked.content, restored);
  }
  return await ports.files.createStaged(scope, path, checked.content, restored);
}

/** Whether another caller has restored the file already, or the reader was mistaken. */
async function isIntact(
  ports: IngestPorts,
  { scope, request }: ScopedFile,
  record: FileRecord,
): Promise<boolean> {
  const file = await ports.files.open(scope, request.path).catch(() => undefined);
  if (file === undefined) return false;
  return (await tryDigest(file.body, record.sizeBytes, ports.clock)) === record.sha256;
}

function lost(
  ports: { readonly events: EventSink },
  scope: Scope,
  path: string,
  reason: string,
): ProxyError {
  ports.events.report({ action: "file-lost", scope, path, reason });
  return new ProxyError("storage_unavailable", `the stored file is damaged and ${reason}`);
}
