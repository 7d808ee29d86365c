import type { ErrorValue } from "../errors/proxy-error.ts";
import type { FileKind, FileRequest, ModuleRequest, MutableRequest } from "../module/request.ts";

/** The part of storage that a module lives in: `public`, or `team/{id}`. */
export type Scope = string & { readonly scopeBrand: true };

/** Where every module lives that belongs to no team. */
export const PUBLIC_SCOPE = "public" as Scope;

/** Time, randomness and waiting, so that tests can hold them still. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  wait(delayMs: number): Promise<void>;
  /**
   * Call back once after a delay.
   *
   * @returns Cancels the call; to be called as soon as the callback is no longer wanted.
   */
  after(delayMs: number, callback: () => void): () => void;
}

/** How the hashes of a stored file were proven. */
export type Verified = "sumdb" | "ledger" | "none";

/** What is known of one committed file; it describes the bytes as stored. */
export interface FileRecord {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Directory hash (`h1:…`) of a zip or a go.mod; absent for `.info`. */
  readonly h1?: string;
  /** Name of the source that the bytes came from. */
  readonly source: string;
  /** Commit of the origin, where the source told it. */
  readonly commit?: string;
  /** RFC 3339 time of the first fetch. */
  readonly fetchedAt: string;
  readonly verified: Verified;
  /** Size of the database's tree that the proof was made in. */
  readonly treeSize?: number;
  /** Only for a zip: the `h1:` that its module's go.mod must have, line ends aside. */
  readonly modH1?: string;
}

/** A slice of a file, in bytes. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A committed file, opened. The body belongs to the caller, who must read or cancel it. */
export interface OpenFile {
  readonly record: FileRecord;
  readonly body: ReadableStream<Uint8Array>;
  /** Changes whenever the stored bytes may have changed. */
  readonly validator: string;
}

/** What the storage itself says of a file's bytes. */
export interface StoredState {
  readonly sizeBytes: number;
  /** As in {@link OpenFile}. */
  readonly validator: string;
}

/** Bytes in storage of which nobody knows yet whether they are good. */
export interface StagedFile {
  /** Where the store keeps them; opaque to everybody else. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /** Drop the staged bytes; never fails. */
  discard(): Promise<void>;
}

/** Takes a file of any length chunk by chunk. */
export interface StagingWriter {
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<StagedFile>;
  /** Drop what was written; never fails. */
  abort(): Promise<void>;
}

/** One page of a walk over the committed files of a scope. */
export interface FilePage {
  readonly paths: readonly string[];
  /** Those of them that have a record but no bytes. */
  readonly lost: readonly string[];
  readonly cursor: string | undefined;
}

/**
 * Where files live: R2 in the cloud, a folder on one machine.
 *
 * A file exists when its record does, and its record stays for ever, whatever becomes of its bytes,
 * but for `quarantine`, `replace` and `remove`. Every method throws `storage_unavailable` when the storage
 * fails; absence is `undefined`. Names given to `stage`, `quarantine` and `setAside` are random.
 */
export interface FileStore {
  readRecord(scope: Scope, path: string): Promise<FileRecord | undefined>;
  open(scope: Scope, path: string, range?: ByteRange): Promise<OpenFile | undefined>;
  /** What the storage says of the bytes, without opening them. */
  readState(scope: Scope, path: string): Promise<StoredState | undefined>;
  /** As `open`, by a caller who holds the record already. */
  reopen(
    scope: Scope,
    path: string,
    range?: ByteRange,
  ): Promise<Pick<OpenFile, "body" | "validator"> | undefined>;
  /**
   * Commit a file unless one exists.
   *
   * @returns The record that is stored now: the given one, or that of the file that was first.
   */
  create(scope: Scope, path: string, body: Uint8Array, record: FileRecord): Promise<FileRecord>;
  /** As `create`, from staging; the staged bytes are gone afterwards. */
  createStaged(
    scope: Scope,
    path: string,
    staged: StagedFile,
    record: FileRecord,
  ): Promise<FileRecord>;
  /** Put another record beside a committed file, whose bytes stay. */
  updateRecord(scope: Scope, path: string, record: FileRecord): Promise<void>;
  /** Put other bytes and their record in place of a committed file. */
  replace(scope: Scope, path: string, body: Uint8Array, record: FileRecord): Promise<void>;
  remove(scope: Scope, path: string): Promise<void>;
  /** Move a file and its record out of reach: another may take its place. */
  quarantine(scope: Scope, path: string, name: string): Promise<void>;
  /**
   * Move the damaged bytes of a file out of reach; its record stays and says what it has to be.
   *
   * Such a file is open to nobody, and only {@link FileStore.putBack} gives it bytes again.
   */
  setAside(scope: Scope, path: string, name: string): Promise<void>;
  /**
   * Give a committed file bytes again, whatever is in its place; staged ones are gone afterwards.
   *
   * @param record Describes these bytes.
   */
  putBack(
    scope: Scope,
    path: string,
    content: Uint8Array | StagedFile,
    record: FileRecord,
  ): Promise<void>;
  stage(name: string): StagingWriter;
  /** Write a file of the static tree that has no record, such as `@v/list`. */
  writeTreeFile(scope: Scope, path: string, text: string): Promise<void>;
  /** Small files of our own, below `system/`. */
  readSystem(path: string): Promise<Uint8Array | undefined>;
  writeSystem(path: string, bytes: Uint8Array): Promise<void>;
  /** Names of the files in a folder below `system/`. */
  listSystem(folder: string): Promise<string[]>;
  /** Walk all committed files of a scope, page by page; an absent cursor starts, or ends. */
  walk(scope: Scope, cursor: string | undefined): Promise<FilePage>;
  /** Delete staged leftovers from before the given time; returns how many. */
  sweep(olderThanMs: number): Promise<number>;
}

/** A changing answer as it is kept. */
export interface MutableAnswer {
  readonly body: string;
  /** Milliseconds since the epoch; 0 for one that no source has confirmed yet. */
  readonly fetchedAtMs: number;
  readonly revision: number;
  /** Only for lists: the newest pseudo-version that a source named; it counts for `latest`. */
  readonly newestPseudo?: string;
}

/** The durable index of one coordinator: changing answers and which files are stored. */
export interface AnswerIndex {
  read(scope: Scope, path: string): MutableAnswer | undefined;
  /** Store an answer; its revision becomes one more than that of the answer before. */
  write(
    scope: Scope,
    request: { readonly path: string; readonly escapedPath: string; readonly kind: string },
    answer: Omit<MutableAnswer, "revision">,
  ): MutableAnswer;
  /**
   * Fix a value at first sight.
   *
   * @returns The value that was fixed first for this path: the given one, or an older one.
   */
  pin(scope: Scope, path: string, value: string): string;
  /** The value that was fixed for a path; undefined at first sight. */
  readPin(scope: Scope, path: string): string | undefined;
  /**
   * Note that a file is about to be committed, so that a kill at any moment after its commit
   * leaves it out of nothing. Only zips are worth it.
   */
  noteBegun(scope: Scope, request: FileRequest): void;
  /** Note that a commit that was begun came to nothing. */
  noteFailed(scope: Scope, request: FileRequest): void;
  /** Note that a file of a version is committed, for the list of the static tree. */
  noteStored(scope: Scope, request: FileRequest): void;
  /** Note that a committed file has no bytes any more: the static tree cannot promise it. */
  noteLost(scope: Scope, request: FileRequest): void;
}

/** Something that is written outside of the coordinator, some time after the change. */
export interface OutboxItem {
  readonly scope: Scope;
  readonly escapedPath: string;
  /** `tree`: the static tree's `@v/list`; otherwise the path of an answer whose copy is due. */
  readonly what: string;
}

/** An item that is due, as it was when it was listed. */
export interface DueItem extends OutboxItem {
  readonly changes: number;
}

/** Which files of a version are stored. */
export interface FoundParts {
  readonly version: string;
  readonly kinds: readonly FileKind[];
}

/** What is known of a version, and what has to be looked for: its zip, if at all, before the rest. */
export interface SoughtParts {
  readonly version: string;
  readonly known: readonly FileKind[];
  readonly sought: readonly FileKind[];
}

/** Copies of public lists that can be read without asking their coordinator. */
export interface AnswerCopies {
  read(scope: Scope, path: string): Promise<MutableAnswer | undefined>;
}

/** What a source says to one question. */
export type SourceAnswer =
  | { readonly found: false; readonly reason: string }
  | {
      readonly found: true;
      readonly source: string;
      readonly body: ReadableStream<Uint8Array>;
      /** From Content-Length; undefined when the source did not say. */
      readonly sizeBytes: number | undefined;
      readonly contentType: string;
    };

/** A place that modules come from. */
export interface ModuleSource {
  readonly name: string;
  /**
   * Ask one question.
   *
   * @param options.deadlineMs How long the source may take to the first byte.
   * @returns Absence as a value.
   * @throws ProxyError `upstream_unavailable`, `upstream_timeout`, `upstream_denied`,
   *   `rate_limited`: an outage is never absence.
   */
  ask(request: ModuleRequest, options: { deadlineMs: number }): Promise<SourceAnswer>;
}

/** What a proof of a file's hash says. */
export interface Proof {
  readonly verified: Verified;
  readonly treeSize?: number;
}

/**
 * Proves one hash, for which the search has begun already.
 *
 * @param h1 Directory hash of the zip, or of the go.mod.
 * @throws ProxyError `checksum_mismatch`, `sumdb_unavailable`, …: the file must not be stored.
 */
export type PendingProof = (h1: string) => Promise<Proof>;

/** Proves the hash of a module's zip or go.mod before it is stored. */
export interface Verifier {
  /** Whether a file recorded as `verified: none` must be proven before it is served. */
  requiresProof(scope: Scope, request: FileRequest): boolean;
  /** Begin to look for the proof of a zip or go.mod, while its bytes are on their way. */
  begin(scope: Scope, request: FileRequest): PendingProof;
}

/** The hashes of a module version, proven by a checksum database. */
export interface ProvenHashes {
  readonly zip: string;
  readonly mod: string;
  /** Records in the tree of the proof. */
  readonly treeSize: number;
}

/** A checksum database that is relayed and verified. */
export interface Sumdb {
  /** May hold slashes. */
  readonly name: string;
  /**
   * The proven hashes of a version.
   *
   * @throws ProxyError `sumdb_not_found`, `sumdb_unavailable`, `sumdb_invalid`, `tree_forked`.
   */
  prove(modulePath: string, version: string): Promise<ProvenHashes>;
  /**
   * The answer to a client.
   *
   * @param path `latest`, `lookup/…` or `tile/…`, checked by the one who answers.
   * @throws ProxyError as `prove`, and `malformed_path`.
   */
  serve(path: string, options: { readonly cachedOnly: boolean }): Promise<Uint8Array>;
}

/** What a coordinator says of a file. */
export type FileOutcome =
  | { readonly kind: "bytes"; readonly record: FileRecord; readonly body: Uint8Array }
  | { readonly kind: "stored"; readonly record: FileRecord }
  | {
      readonly kind: "stream";
      readonly sizeBytes: number | undefined;
      readonly body: ReadableStream<Uint8Array>;
    }
  | { readonly kind: "absent"; readonly reason: string; readonly untilMs: number }
  | { readonly kind: "failed"; readonly error: ErrorValue };

/** What a coordinator says of a list, a latest version or a query. */
export type MutableOutcome =
  | { readonly kind: "answer"; readonly answer: MutableAnswer }
  | { readonly kind: "absent"; readonly reason: string; readonly untilMs: number }
  | { readonly kind: "failed"; readonly error: ErrorValue };

/** How to fetch a file. */
export interface FileOptions {
  /** Whether the caller can take the zip while it is still being stored. */
  readonly stream: boolean;
  /** How long the caller has waited for this file already. */
  readonly waitedMs?: number;
  /**
   * The caller has found the committed file missing or damaged: restore it. `disproven`: its record
   * cannot be true either, so what is stored moves to quarantine and the file is fetched anew.
   */
  readonly damaged?: "bytes" | "disproven";
}

/** How to answer a list, a latest version or a query. */
export interface MutableOptions {
  readonly cachedOnly: boolean;
  /** Wait for the source even though a stored answer would do: nobody else waits for this one. */
  readonly refresh?: true;
}

/** The owners of all upstream fetches: one of a fixed number answers for each module. */
export interface Coordinators {
  file(scope: Scope, request: FileRequest, options: FileOptions): Promise<FileOutcome>;
  mutable(scope: Scope, request: MutableRequest, options: MutableOptions): Promise<MutableOutcome>;
  /** Ask the source of a private version whether it still has what was stored. */
  recheck(scope: Scope, request: FileRequest): Promise<void>;
}

/** A file of the edge cache. The body belongs to the caller. */
export interface EdgeFile {
  /** As in the file's record: what was good enough when it was written may not be now. */
  readonly verified: Verified;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly body: ReadableStream<Uint8Array> | Uint8Array;
}

/** Committed public files near the client; absent where the platform has no such cache. */
export interface EdgeCache {
  read(path: string): Promise<EdgeFile | undefined>;
  /** Only what was checked against its record; never fails. */
  write(path: string, file: EdgeFile): Promise<void>;
}

/** Something that a person has to look at. */
export interface SecurityEvent {
  readonly action: string;
  readonly scope?: string;
  readonly path?: string;
  readonly reason: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Where security events go. */
export interface EventSink {
  report(event: SecurityEvent): void;
}
