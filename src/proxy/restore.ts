import { ProxyError } from "../errors/proxy-error.ts";
import { checkFile, type CheckedFile, type IngestPorts, type ScopedFile } from "./ingest.ts";
import type { AnswerIndex, EventSink, FileRecord } from "./ports.ts";
import { tryDigest } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";

/** What restoring works with. */
export interface RestorePorts extends IngestPorts {
  readonly index: AnswerIndex;
  readonly events: EventSink;
}

// What the checks say of bytes that cannot be those that were stored.
const NOT_THE_SAME: ReadonlySet<string> = new Set(["upstream_invalid", "checksum_mismatch"]);
const RESTORE_DEADLINE_MS = 8000;

/**
 * Put a damaged or missing committed file back from its source, if that still has the same.
 *
 * The same is: equal bytes, or, for a zip, an equal `h1:` (two makers of one zip compress it
 * differently). Bytes that were read and are wrong move out of reach at once, whatever the source
 * says, so that no slice of them is served; the record stays and goes on saying what the file has
 * to be.
 *
 * @throws ProxyError `storage_unavailable` when the source has something else or nothing; the
 *   event is reported.
 */
export async function restoreFile(
  ports: RestorePorts,
  file: ScopedFile,
  record: FileRecord,
  chain: SourceChain,
): Promise<FileRecord> {
  const { scope, request } = file;
  const { path } = request;
  const condition = await inspect(ports, file, record);
  if (condition === "intact") return record;
  const reason = `the stored file is ${condition}`;
  ports.events.report({ action: "file-damaged", scope, path, reason });
  if (condition === "damaged") await setAside(ports, file);
  const checked = await fetchSame(ports, file, record, chain);
  const restored = { ...record, ...checked.record, fetchedAt: record.fetchedAt };
  await ports.files.putBack(scope, path, checked.content, restored);
  ports.index.noteStored(scope, request);
  return restored;
}

/** `unreadable` may be a passing fault of the storage: such bytes are left where they are. */
async function inspect(
  ports: IngestPorts,
  { scope, request }: ScopedFile,
  record: FileRecord,
): Promise<"intact" | "damaged" | "missing" | "unreadable"> {
  try {
    const file = await ports.files.open(scope, request.path);
    if (file === undefined) return "missing";
    const sha256 = await tryDigest(file.body, record.sizeBytes, ports.clock);
    if (sha256 === record.sha256) return "intact";
    const state = await ports.files.readState(scope, request.path);
    const isWhole = sha256 !== undefined || (state?.sizeBytes ?? 0) > record.sizeBytes;
    return isWhole ? "damaged" : "unreadable";
  } catch {
    return "unreadable";
  }
}

/** Storage that takes no copy keeps the damaged bytes in place: they are never thrown away. */
async function setAside(ports: RestorePorts, { scope, request }: ScopedFile): Promise<void> {
  const { path } = request;
  try {
    await ports.files.setAside(scope, path, ports.newName());
  } catch {
    return;
  }
  ports.index.noteLost(scope, request);
  const reason = "the damaged bytes are set aside; what the file has to be stays known";
  ports.events.report({ action: "file-quarantined", scope, path, reason });
}

/** Fetch a file anew and see that it is what was stored. */
async function fetchSame(
  ports: RestorePorts,
  file: ScopedFile,
  record: FileRecord,
  chain: SourceChain,
): Promise<CheckedFile> {
  const answer = await chain.ask(file.request, { deadlineMs: RESTORE_DEADLINE_MS }).catch(() => {
    throw lost(ports, file, "the source cannot be reached");
  });
  if (!answer.found) throw lost(ports, file, "the source no longer has it");
  const checked = await checkFile(ports, file, answer).catch((error: unknown) => {
    throw lost(ports, file, toReason(error));
  });
  const isSame =
    checked.record.sha256 === record.sha256 ||
    (record.h1 !== undefined && checked.record.h1 === record.h1);
  if (isSame) return checked;
  if (!(checked.content instanceof Uint8Array)) await checked.content.discard();
  throw lost(ports, file, "the source now has something else");
}

function toReason(error: unknown): string {
  if (!(error instanceof ProxyError)) return "not restored";
  return NOT_THE_SAME.has(error.code) ? "the source now has something else" : error.publicDetail;
}

function lost(
  ports: { readonly events: EventSink; readonly index: AnswerIndex },
  { scope, request }: ScopedFile,
  reason: string,
): ProxyError {
  const { path } = request;
  ports.index.noteLost(scope, request);
  ports.events.report({ action: "file-lost", scope, path, reason });
  return new ProxyError("storage_unavailable", `the stored file is damaged and ${reason}`);
}
