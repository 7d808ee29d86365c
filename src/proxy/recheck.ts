import { goModHash } from "../module/dirhash.ts";
import { sha256Hex } from "../module/sha256.ts";
import type { FileRequest } from "../module/request.ts";
import { sibling, type ScopedFile } from "./ingest.ts";
import type { Clock, EventSink, FileStore } from "./ports.ts";
import { readAll } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";

const DEADLINE_MS = 8000;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Compare what a source says of a private version today with what was stored at first sight.
 *
 * Nothing changes for clients: they go on with the first content. A difference means that the tag
 * was moved, and is reported.
 */
export async function recheckVersion(
  ports: { readonly files: FileStore; readonly clock: Clock; readonly events: EventSink },
  { scope, request }: ScopedFile,
  chain: SourceChain,
): Promise<void> {
  for (const kind of ["info", "mod"] as const) {
    const file = sibling(request, kind);
    const record = await ports.files.readRecord(scope, file.path);
    if (record === undefined) continue;
    const bytes = await fetchNow(ports.clock, file, chain);
    if (bytes === undefined) continue;
    const isSame =
      kind === "info" ? sha256Hex(bytes) === record.sha256 : goModHash(bytes) === record.h1;
    if (isSame) continue;
    const reason = `the source now sends another ${kind} than at first sight`;
    ports.events.report({ action: "tag-moved", scope, path: file.path, reason });
    return;
  }
}

/** Undefined when the source cannot or will not say: no news is no difference. */
async function fetchNow(
  clock: Clock,
  request: FileRequest,
  chain: SourceChain,
): Promise<Uint8Array | undefined> {
  try {
    const answer = await chain.ask(request, { deadlineMs: DEADLINE_MS });
    if (!answer.found) return undefined;
    const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_BYTES };
    return await readAll(answer.body, limits, clock);
  } catch {
    return undefined;
  }
}
