import { tryEscapeVersion } from "../module/path.ts";
import type { FileKind } from "../module/request.ts";
import type {
  DueItem,
  FileStore,
  FoundParts,
  MutableAnswer,
  OutboxItem,
  Scope,
  SoughtParts,
} from "./ports.ts";
import { formatVersionList } from "./version-list.ts";

/** What a coordinator's index knows of what is still to be written. */
export interface Outbox {
  /** Each item is to be given to `finish` once written. */
  listDue(): DueItem[];
  /** Returns whether what was written is what it is now. */
  finish(item: DueItem, found?: readonly FoundParts[]): boolean;
  postpone(item: OutboxItem, delayMs: number): void;
  noteCopied(item: OutboxItem): void;
  /** Set the alarm for what still waits. */
  rearm(): Promise<void>;
  read(scope: Scope, path: string): MutableAnswer | undefined;
  /** Versions of which not all files are known to be stored. */
  listSought(scope: Scope, escapedPath: string): SoughtParts[];
  /** Undefined for a module of which nothing is stored at all. */
  listComplete(
    scope: Scope,
    escapedPath: string,
    found: readonly FoundParts[],
  ): string[] | undefined;
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
  for (const item of outbox.listDue()) {
    try {
      if (item.what === "tree") outbox.finish(item, await writeTree(outbox, ports.files, item));
      else await writeCopy(outbox, ports, item);
    } catch {
      outbox.postpone(item, RETRY_MS);
    }
  }
  await outbox.rearm();
}

/** Write the list of a module's complete versions; returns what was found on the way. */
async function writeTree(
  outbox: Outbox,
  files: FileStore,
  { scope, escapedPath }: OutboxItem,
): Promise<FoundParts[]> {
  const found: FoundParts[] = [];
  for (const sought of outbox.listSought(scope, escapedPath)) {
    found.push(await findParts(files, scope, escapedPath, sought));
  }
  const versions = outbox.listComplete(scope, escapedPath, found);
  if (versions !== undefined) {
    await files.writeTreeFile(scope, `${escapedPath}/@v/list`, formatVersionList(versions));
  }
  return found;
}

/** Without its zip, nothing of a version is worth noting; so that is looked for first. */
async function findParts(
  files: FileStore,
  scope: Scope,
  escapedPath: string,
  { version, known, sought }: SoughtParts,
): Promise<FoundParts> {
  const kinds = [...known];
  for (const kind of sought) {
    if (await hasFile(files, scope, toPath(escapedPath, version, kind))) kinds.push(kind);
    else if (kind === "zip") return { version, kinds: [] };
  }
  return { version, kinds };
}

async function writeCopy(outbox: Outbox, { copies }: OutboxPorts, item: DueItem): Promise<void> {
  const answer = outbox.read(item.scope, item.what);
  if (answer !== undefined) await copies?.write(item.scope, item.what, answer);
  if (outbox.finish(item)) outbox.noteCopied(item);
}

/** Whether a file is committed and has its bytes: one whose bytes were lost has its record still. */
async function hasFile(files: FileStore, scope: Scope, path: string): Promise<boolean> {
  const isCommitted = (await files.readRecord(scope, path)) !== undefined;
  return isCommitted && (await files.readState(scope, path)) !== undefined;
}

function toPath(escapedPath: string, version: string, kind: FileKind): string {
  return `${escapedPath}/@v/${tryEscapeVersion(version) ?? ""}.${kind}`;
}
