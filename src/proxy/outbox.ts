import { tryEscapeVersion } from "../module/path.ts";
import type { FileKind } from "../module/request.ts";
import type { BegunZip, DueItem, FileStore, MutableAnswer, OutboxItem, Scope } from "./ports.ts";
import { formatVersionList } from "./version-list.ts";

/** What a coordinator's index knows of what is still to be written. */
export interface Outbox {
  /** Each item is to be given to `finish` once written. */
  listDue(): DueItem[];
  /** Returns whether what was written is what it is now. */
  finish(item: DueItem): boolean;
  postpone(item: OutboxItem, delayMs: number): void;
  noteCopied(item: OutboxItem): void;
  /** Set the alarm for what still waits. */
  rearm(): Promise<void>;
  read(scope: Scope, path: string): MutableAnswer | undefined;
  versionsToCheck(scope: Scope, escapedPath: string): string[];
  completeVersions(scope: Scope, escapedPath: string): string[];
  markParts(scope: Scope, escapedPath: string, version: string, kinds: readonly FileKind[]): void;
  addStored(
    scope: Scope,
    escapedPath: string,
    versions: readonly { readonly version: string; readonly kinds: readonly FileKind[] }[],
  ): void;
  listAbandoned(): BegunZip[];
  endBegun(zip: BegunZip): void;
}

/** What the outbox is emptied into. */
export interface OutboxPorts {
  readonly files: FileStore;
  /** Present where changing answers are copied to where every isolate can read them. */
  readonly copies:
    | { write(scope: Scope, path: string, answer: MutableAnswer): Promise<void> }
    | undefined;
}

const RETRY_MS = 5000;

/** Write all that is due by now, and set the alarm for the rest. */
export async function emptyOutbox(outbox: Outbox, ports: OutboxPorts): Promise<void> {
  for (const zip of outbox.listAbandoned()) await findAbandoned(outbox, ports.files, zip);
  for (const item of outbox.listDue()) {
    try {
      await writeOut(outbox, ports, item);
      if (outbox.finish(item) && item.what !== "tree") outbox.noteCopied(item);
    } catch {
      outbox.postpone(item, RETRY_MS);
    }
  }
  await outbox.rearm();
}

/** A zip that was committed and not noted, because of a kill in between, is noted now. */
async function findAbandoned(outbox: Outbox, files: FileStore, zip: BegunZip): Promise<void> {
  const { scope, escapedPath, version } = zip;
  const isStored = await hasFile(files, scope, toPath(escapedPath, version, "zip")).catch(
    () => undefined,
  );
  // Storage that does not answer: later.
  if (isStored === undefined) return;
  if (isStored) outbox.addStored(scope, escapedPath, [{ version, kinds: ["zip"] }]);
  outbox.endBegun(zip);
}

async function writeOut(
  outbox: Outbox,
  { files, copies }: OutboxPorts,
  item: OutboxItem,
): Promise<void> {
  const { scope, escapedPath, what } = item;
  if (what === "tree") {
    await findParts(outbox, files, item);
    const versions = outbox.completeVersions(scope, escapedPath);
    await files.writeTreeFile(scope, `${escapedPath}/@v/list`, formatVersionList(versions));
    return;
  }
  const answer = outbox.read(scope, what);
  if (answer !== undefined) await copies?.write(scope, what, answer);
}

/** Look for the other files of versions whose zip is stored. */
async function findParts(
  outbox: Outbox,
  files: FileStore,
  { scope, escapedPath }: OutboxItem,
): Promise<void> {
  for (const version of outbox.versionsToCheck(scope, escapedPath)) {
    const kinds: FileKind[] = [];
    for (const kind of ["info", "mod"] as const) {
      if (await hasFile(files, scope, toPath(escapedPath, version, kind))) kinds.push(kind);
    }
    if (kinds.length > 0) outbox.markParts(scope, escapedPath, version, kinds);
  }
}

/** Whether a file is committed and has its bytes: one whose bytes were lost has its record still. */
async function hasFile(files: FileStore, scope: Scope, path: string): Promise<boolean> {
  const isCommitted = (await files.readRecord(scope, path)) !== undefined;
  return isCommitted && (await files.readState(scope, path)) !== undefined;
}

function toPath(escapedPath: string, version: string, kind: FileKind): string {
  return `${escapedPath}/@v/${tryEscapeVersion(version) ?? ""}.${kind}`;
}
