import { goModHash } from "../module/dirhash.ts";
import type { FileRequest } from "../module/request.ts";
import { sha256Hex } from "../module/sha256.ts";
import { ProxyError } from "../errors/proxy-error.ts";
import {
  checkFile,
  type FoundAnswer,
  type IngestPorts,
  type ScopedFile,
  sibling,
} from "./ingest.ts";
import { LruCache } from "./lru-cache.ts";
import type { Clock, EventSink, FileRecord, Verifier } from "./ports.ts";
import { readAll, tryDigest } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";

type RecheckPorts = IngestPorts & { readonly events: EventSink };

/** What a source says of a file today; `unknown` when it cannot or will not say. */
type Verdict = "same" | "other" | "unknown";

const DEADLINE_MS = 8000;
const MAX_BYTES = 16 * 1024 * 1024;
// A zip is read from its first to its last byte: not more often than this.
const ZIP_AGAIN_MS = 24 * 3600 * 1000;
const ZIPS_BYTES = 512 * 1024;

// The hash is compared here, with what is stored: there is nothing to prove.
const NO_PROOF: Verifier = {
  requiresProof: () => false,
  begin: () => () => Promise.resolve({ verified: "none" }),
};

/**
 * Compares what a source says of a private version today with what was stored at first sight.
 *
 * Nothing changes for clients: they go on with the first content. A difference means that the tag
 * was moved, and is reported. No news is no difference.
 */
export class Rechecker {
  readonly #ports: RecheckPorts;
  /** When the zip of a version was read last, in milliseconds since the epoch. */
  readonly #zips = new LruCache<number>(ZIPS_BYTES);

  constructor(ports: RecheckPorts) {
    this.#ports = ports;
  }

  /** Compare a version's info and go.mod, and once a day its zip, as far as they are stored. */
  async recheck({ scope, request }: ScopedFile, chain: SourceChain): Promise<void> {
    for (const kind of ["info", "mod", "zip"] as const) {
      const file = { scope, request: sibling(request, kind) };
      const record = await this.#ports.files.readRecord(scope, file.request.path);
      if (record === undefined) continue;
      const verdict =
        kind === "zip"
          ? await this.#compareZipDaily(file, record, chain)
          : await compareSmall(this.#ports.clock, file.request, record, chain);
      if (verdict !== "other") continue;
      const reason = `the source now sends another ${kind} than at first sight`;
      this.#ports.events.report({ action: "tag-moved", scope, path: file.request.path, reason });
      return;
    }
  }

  async #compareZipDaily(
    file: ScopedFile,
    record: FileRecord,
    chain: SourceChain,
  ): Promise<Verdict> {
    const key = `${file.scope}/${file.request.path}`;
    const nowMs = this.#ports.clock.now();
    if (nowMs - (this.#zips.get(key) ?? 0) < ZIP_AGAIN_MS) return "unknown";
    this.#zips.set(key, nowMs, 2 * key.length + 100);
    const answer = await tryAsk(file.request, chain);
    if (answer === undefined) this.#zips.delete(key);
    return answer === undefined ? "unknown" : await this.#compareZip(file, record, answer, chain);
  }

  /** The same bytes are told by their digest as they pass; of others, the `h1:` decides. */
  async #compareZip(
    file: ScopedFile,
    record: FileRecord,
    first: FoundAnswer,
    chain: SourceChain,
  ): Promise<Verdict> {
    const { sizeBytes, sha256 } = record;
    let answer: FoundAnswer | undefined = first;
    if (first.sizeBytes === undefined || first.sizeBytes === sizeBytes) {
      if ((await tryDigest(first.body, sizeBytes, this.#ports.clock)) === sha256) return "same";
      answer = await tryAsk(file.request, chain);
    }
    if (answer === undefined) return "unknown";
    try {
      const { record: theirs, content } = await checkFile(
        { ...this.#ports, verifier: NO_PROOF },
        file,
        answer,
      );
      if (!(content instanceof Uint8Array)) await content.discard();
      return theirs.h1 === record.h1 ? "same" : "other";
    } catch (error) {
      return error instanceof ProxyError && error.code === "upstream_invalid" ? "other" : "unknown";
    }
  }
}

async function compareSmall(
  clock: Clock,
  request: FileRequest,
  record: FileRecord,
  chain: SourceChain,
): Promise<Verdict> {
  const answer = await tryAsk(request, chain);
  if (answer === undefined) return "unknown";
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_BYTES };
  const bytes = await readAll(answer.body, limits, clock).catch(() => undefined);
  if (bytes === undefined) return "unknown";
  const isSame =
    request.kind === "info" ? sha256Hex(bytes) === record.sha256 : goModHash(bytes) === record.h1;
  return isSame ? "same" : "other";
}

async function tryAsk(request: FileRequest, chain: SourceChain): Promise<FoundAnswer | undefined> {
  try {
    const answer = await chain.ask(request, { deadlineMs: DEADLINE_MS });
    return answer.found ? answer : undefined;
  } catch {
    return undefined;
  }
}
