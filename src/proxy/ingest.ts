import { createHash } from "node:crypto";
import { ProxyError } from "../errors/proxy-error.ts";
import { goModHash } from "../module/dirhash.ts";
import { parseGoMod, syntheticGoMod } from "../module/go-mod.ts";
import { type FileRequest, toFileRequest } from "../module/request.ts";
import { bytesSource } from "../module/byte-window.ts";
import { type ModuleZip, verifyModuleZip } from "../module/zip-check.ts";
import { checkInfo } from "./check-info.ts";
import { sha256Hex } from "../module/sha256.ts";
import { StreamedContents } from "../module/zip-stream.ts";
import type { LiveStream } from "./live-stream.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type {
  Clock,
  FileRecord,
  FileStore,
  PendingProof,
  Proof,
  Scope,
  StagedFile,
  Verifier,
} from "./ports.ts";
import { concat, readAll, readChunks } from "./read-body.ts";
import type { SourceChain } from "./source-chain.ts";

/** A source's answer that says "here it is". */
export type FoundAnswer = Extract<Awaited<ReturnType<SourceChain["ask"]>>, { found: true }>;

/** What an ingest works with. */
export interface IngestPorts {
  readonly files: FileStore;
  readonly verifier: Verifier;
  readonly budget: MemoryBudget;
  readonly clock: Clock;
  /** A random name, for staged and quarantined files. */
  newName(): string;
}

/** One file and the part of storage that it belongs to. */
export interface ScopedFile {
  readonly scope: Scope;
  readonly request: FileRequest;
}

/** A file that is committed. */
export interface Ingested {
  readonly record: FileRecord;
  /** The whole file, where it is small enough to be handed on. */
  readonly body?: Uint8Array;
}

/** How the check of an answer goes with what was begun before the answer came. */
export interface CheckOptions {
  /** Gets the bytes of a zip as they come. */
  readonly live?: LiveStream | undefined;
  /** The proof of the file; begun here when absent. */
  readonly prove?: PendingProof | undefined;
}

/** Bytes that passed every check and wait for their commit. */
export interface CheckedFile {
  readonly record: FileRecord;
  readonly content: Uint8Array | StagedFile;
}

const MAX_INFO_BYTES = 64 * 1024;
/** @source golang.org/x/mod/zip, MaxGoMod */
const MAX_GO_MOD_BYTES = 16 * 1024 * 1024;
/** @source golang.org/x/mod/zip, MaxZipFile */
const MAX_ZIP_BYTES = 500 * 1024 * 1024;
const MAX_ZIP_BYTES_IN_MEMORY = 16 * 1024 * 1024;
// A part on its way to staging, one window of the check and one inflated file.
const STAGED_PEAK_BYTES = 24 * 1024 * 1024;
// What is committed goes to the caller as it is, up to this size; the rest is read from storage.
const MAX_HANDED_ON_BYTES = 1024 * 1024;
const ASK_MOD_DEADLINE_MS = 8000;

/**
 * Read, check and prove a source's answer to a request for a file; store nothing yet.
 *
 * @throws ProxyError `upstream_invalid`, `checksum_mismatch` and the errors of reading and proof.
 */
export async function checkFile(
  ports: IngestPorts,
  file: ScopedFile,
  answer: FoundAnswer,
  options: CheckOptions = {},
): Promise<CheckedFile> {
  switch (file.request.kind) {
    case "info":
      // The go command asks for the go.mod next: by then its proof is at hand.
      ports.verifier.begin(file.scope, sibling(file.request, "mod"));
      return await checkInfoFile(ports, file.request, answer);
    case "mod":
      return await checkModFile(ports, file, answer, options.prove);
    case "zip":
      return await checkZipFile(ports, file, answer, options);
  }
}

/** Commit checked bytes; the first writer wins. */
export async function commitFile(
  files: FileStore,
  { scope, request }: ScopedFile,
  { record, content }: CheckedFile,
): Promise<Ingested> {
  if (!(content instanceof Uint8Array)) {
    return { record: await files.createStaged(scope, request.path, content, record) };
  }
  const stored = await files.create(scope, request.path, content, record);
  const isHandedOn = content.length <= MAX_HANDED_ON_BYTES && stored.sha256 === record.sha256;
  return isHandedOn ? { record: stored, body: content } : { record: stored };
}

async function checkInfoFile(
  ports: IngestPorts,
  request: FileRequest,
  answer: FoundAnswer,
): Promise<CheckedFile> {
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_INFO_BYTES };
  const content = await readAll(answer.body, limits, ports.clock);
  const { commit } = checkInfo(content, request);
  const record = toRecord(ports.clock, answer, content.length, sha256Hex(content));
  return {
    record: { ...record, verified: "none", ...(commit === undefined ? {} : { commit }) },
    content,
  };
}

async function checkModFile(
  ports: IngestPorts,
  { scope, request }: ScopedFile,
  answer: FoundAnswer,
  prove = ports.verifier.begin(scope, request),
): Promise<CheckedFile> {
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_GO_MOD_BYTES };
  const content = await readAll(answer.body, limits, ports.clock);
  const goMod = parseGoMod(
    new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(content),
  );
  if ("problem" in goMod) throw invalid(`go.mod: ${goMod.problem}`);
  const h1 = goModHash(content);
  const proof = await prove(h1);
  if (proof.verified !== "sumdb") {
    const zip = await ports.files.readRecord(scope, sibling(request, "zip").path);
    if (zip?.modH1 !== undefined && zip.modH1 !== h1 && zip.modH1 !== toLfHash(content)) {
      throw invalid("go.mod is not the one in the module's zip");
    }
  }
  const record = toRecord(ports.clock, answer, content.length, sha256Hex(content));
  return { record: { ...record, h1, ...proof }, content };
}

async function checkZipFile(
  ports: IngestPorts,
  { scope, request }: ScopedFile,
  answer: FoundAnswer,
  { live, prove = ports.verifier.begin(scope, request) }: CheckOptions,
): Promise<CheckedFile> {
  if ((answer.sizeBytes ?? 0) > MAX_ZIP_BYTES) {
    await answer.body.cancel();
    throw invalid(`zip: longer than ${MAX_ZIP_BYTES} bytes`);
  }
  const isLarge = (answer.sizeBytes ?? 0) > MAX_ZIP_BYTES_IN_MEMORY;
  // Once for the archive and once for what is inflated at a time.
  const peakBytes = isLarge ? STAGED_PEAK_BYTES : 2 * (answer.sizeBytes ?? MAX_ZIP_BYTES_IN_MEMORY);
  const release = await ports.budget.acquire(peakBytes);
  let staged: StagedFile | undefined;
  const streamed = new StreamedContents(() => ports.clock.wait(0));
  try {
    const taken = await takeZip(ports, answer, isLarge, { live, streamed });
    if (!(taken.content instanceof Uint8Array)) staged = taken.content;
    const zip = await inspectZip(ports, request, taken.content, streamed);
    const proof = await prove(zip.h1);
    const modH1 = toModH1(request, zip);
    const record = {
      ...toRecord(ports.clock, answer, taken.sizeBytes, taken.sha256),
      h1: zip.h1,
      modH1,
      ...proof,
    };
    return { record, content: taken.content };
  } catch (error) {
    await staged?.discard();
    throw error;
  } finally {
    streamed.close();
    release();
  }
}

interface TakenZip {
  readonly content: Uint8Array | StagedFile;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Read a zip into memory, or into staging as soon as it is too large for that. */
async function takeZip(
  ports: IngestPorts,
  answer: FoundAnswer,
  isLarge: boolean,
  {
    live,
    streamed,
  }: { readonly live: LiveStream | undefined; readonly streamed: StreamedContents },
): Promise<TakenZip> {
  const limits = { sizeBytes: answer.sizeBytes, maxBytes: MAX_ZIP_BYTES };
  const reader = readChunks(answer.body, limits, ports.clock);
  const hash = createHash("sha256");
  let staging = isLarge ? ports.files.stage(ports.newName()) : undefined;
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for (;;) {
      const chunk = await reader.next();
      if (chunk === undefined) break;
      sizeBytes += chunk.length;
      live?.offer(chunk);
      if (staging === undefined && sizeBytes > MAX_ZIP_BYTES_IN_MEMORY) {
        staging = ports.files.stage(ports.newName());
        for (const early of chunks) await staging.write(early);
        chunks = [];
      }
      if (staging === undefined) {
        hash.update(chunk);
        chunks.push(chunk);
      } else {
        await staging.write(chunk);
      }
      // Most of the check is done by the time that the last bytes are there.
      await streamed.take(chunk);
    }
    if (staging === undefined) {
      return { content: concat(chunks), sizeBytes, sha256: hash.digest("hex") };
    }
    const content = await staging.finish();
    return { content, sizeBytes, sha256: content.sha256 };
  } catch (error) {
    await Promise.all([reader.cancel(), staging?.abort()]);
    throw error;
  }
}

async function inspectZip(
  ports: IngestPorts,
  request: FileRequest,
  content: Uint8Array | StagedFile,
  streamed: StreamedContents,
): Promise<ModuleZip> {
  const source = content instanceof Uint8Array ? bytesSource(content) : content;
  const zip = await verifyModuleZip(source, request.modulePath, request.version, {
    yieldNow: () => ports.clock.wait(0),
    streamed,
  });
  if ("problem" in zip) throw invalid(`zip: ${zip.problem}`);
  return zip;
}

/**
 * While nothing verifies, a zip and its go.mod vouch for each other.
 *
 * A stored go.mod that disagrees is fetched again, and replaced if the source now agrees with the
 * zip.
 *
 * @throws ProxyError `upstream_invalid` when the source does not agree with itself.
 */
export async function reconcileMod(
  ports: IngestPorts,
  { scope, request }: ScopedFile,
  zip: FileRecord,
  chain: SourceChain,
): Promise<void> {
  if (request.kind !== "zip" || zip.verified === "sumdb" || zip.modH1 === undefined) return;
  const modRequest = sibling(request, "mod");
  const stored = await ports.files.open(scope, modRequest.path);
  if (stored === undefined) return;
  if (stored.record.h1 === zip.modH1 || stored.record.verified === "sumdb") {
    await stored.body.cancel();
    return;
  }
  const limits = { sizeBytes: stored.record.sizeBytes, maxBytes: MAX_GO_MOD_BYTES };
  if (toLfHash(await readAll(stored.body, limits, ports.clock)) === zip.modH1) return;
  if (zip.verified === "ledger") {
    const detail = "the go.mod seen first is not the one in the zip that the source sends now";
    throw new ProxyError("checksum_mismatch", detail);
  }
  const answer = await chain.ask(modRequest, { deadlineMs: ASK_MOD_DEADLINE_MS });
  if (!answer.found) throw invalid("zip: its go.mod is not the one stored before");
  const checked = await checkModFile(ports, { scope, request: modRequest }, answer);
  const { content } = checked;
  if (!(content instanceof Uint8Array)) return;
  if (checked.record.h1 !== zip.modH1 && toLfHash(content) !== zip.modH1) {
    throw invalid("zip: its go.mod is not the one that the source serves");
  }
  await ports.files.replace(scope, modRequest.path, content, checked.record);
}

/** The request for another file of the same version. */
export function sibling(request: FileRequest, kind: FileRequest["kind"]): FileRequest {
  const escapedVersion = request.path.slice(
    request.escapedPath.length + "/@v/".length,
    -(request.kind.length + 1),
  );
  return toFileRequest(request, kind, request.version, escapedVersion);
}

function toModH1(request: FileRequest, zip: ModuleZip): string {
  if (zip.goMod !== undefined) return toLfHash(zip.goMod);
  return goModHash(new TextEncoder().encode(syntheticGoMod(request.modulePath)));
}

/** A repository's attributes may give the go.mod in the zip CRLF where the `.mod` has LF. */
export function toLfHash(goMod: Uint8Array): string {
  if (!goMod.includes(13)) return goModHash(goMod);
  const text = Buffer.from(goMod).toString("latin1").replaceAll("\r\n", "\n");
  return goModHash(Buffer.from(text, "latin1"));
}

function toRecord(
  clock: Clock,
  answer: FoundAnswer,
  sizeBytes: number,
  sha256: string,
): Omit<FileRecord, keyof Proof> {
  return {
    sizeBytes,
    sha256,
    source: answer.source,
    fetchedAt: new Date(clock.now()).toISOString(),
  };
}

function invalid(detail: string): ProxyError {
  return new ProxyError("upstream_invalid", detail);
}
