import type { FileRequest } from "../module/request.ts";
import {
  type AnswerIndex,
  type DueItem,
  type FoundParts,
  type MutableAnswer,
  type OutboxItem,
  PUBLIC_SCOPE,
  type Scope,
  type SoughtParts,
} from "../proxy/ports.ts";
import { SqliteTables } from "./sqlite-tables.ts";
import { StoredVersions } from "./stored-versions.ts";

const TREE_DELAY_MS = 1000;
// A module that is asked for every branch and hash keeps only the latest answers.
const MAX_QUERIES_PER_MODULE = 200;
// How long a list waits for a zip that is still on its way, if nobody hears of it before.
const UNDER_WAY_MS = 10_000;
const COPY_INTERVAL_MS = 1000;
const COPY_AGAIN_MS = 60_000;
// An unchanged list is copied again only when the copy would grow too old to be served.
const COPY_REFRESH_MS = 540_000;

/** A coordinator's durable rows, and what is still to be written outside because of them. */
export class SqliteIndex implements AnswerIndex {
  readonly #storage: DurableObjectStorage;
  readonly #tables: SqliteTables;
  readonly #stored: StoredVersions;
  readonly #now: () => number;
  readonly #hasCopies: boolean;
  /** When the next alarm comes, as far as this instance knows. */
  #alarmAtMs = Number.POSITIVE_INFINITY;

  /** @param hasCopies Whether changing answers are copied to where every isolate can read them. */
  constructor(storage: DurableObjectStorage, now: () => number, hasCopies: boolean) {
    this.#storage = storage;
    this.#tables = new SqliteTables(storage.sql);
    this.#stored = new StoredVersions(this.#tables);
    this.#now = now;
    this.#hasCopies = hasCopies;
  }

  read(scope: Scope, path: string): MutableAnswer | undefined {
    const [row] = this.#tables.select<AnswerRow>(
      "SELECT body, newest_pseudo, fetched_at_ms, revision, copied_at_ms FROM answers WHERE scope = ? AND path = ?",
      scope,
      path,
    );
    return row && toAnswer(row);
  }

  write(
    scope: Scope,
    request: { readonly path: string; readonly escapedPath: string; readonly kind: string },
    answer: Omit<MutableAnswer, "revision">,
  ): MutableAnswer {
    const { path, escapedPath, kind } = request;
    const [row] = this.#tables.written
      .exec<AnswerRow>(
        `INSERT INTO answers (scope, path, escaped_path, kind, body, newest_pseudo, fetched_at_ms, revision)
         VALUES (?, ?, ?, ?, ?, ?, ?, 1)
         ON CONFLICT (scope, path) DO UPDATE SET
           copied_at_ms = CASE WHEN body = excluded.body THEN copied_at_ms ELSE 0 END,
           body = excluded.body, newest_pseudo = excluded.newest_pseudo,
           fetched_at_ms = excluded.fetched_at_ms, revision = revision + 1
         RETURNING body, newest_pseudo, fetched_at_ms, revision, copied_at_ms`,
        scope,
        path,
        escapedPath,
        kind,
        answer.body,
        answer.newestPseudo ?? null,
        answer.fetchedAtMs,
      )
      .toArray();
    if (kind === "query") this.#forgetOldQueries(scope, escapedPath);
    const isCopyDue = this.#now() - (row?.copied_at_ms ?? 0) >= COPY_REFRESH_MS;
    // A team's lists come from their coordinator alone.
    const isCopied = this.#hasCopies && kind === "list" && scope === PUBLIC_SCOPE;
    if (isCopied && isCopyDue) {
      this.#schedule({ scope, escapedPath, what: path }, COPY_INTERVAL_MS);
    }
    return row === undefined ? { ...answer, revision: 1 } : toAnswer(row);
  }

  readPin(scope: Scope, path: string): string | undefined {
    const [row] = this.#tables.select<{ value: string }>(
      "SELECT value FROM ledger WHERE scope = ? AND path = ?",
      scope,
      path,
    );
    return row?.value;
  }

  pin(scope: Scope, path: string, value: string): string {
    this.#tables.written.exec(
      "INSERT OR IGNORE INTO ledger (scope, path, value) VALUES (?, ?, ?)",
      scope,
      path,
      value,
    );
    return this.readPin(scope, path) ?? value;
  }

  noteBegun(scope: Scope, request: FileRequest): void {
    if (request.kind !== "zip") return;
    this.#stored.begin(scope, request);
    this.#scheduleTree(scope, request.escapedPath);
  }

  noteFailed(scope: Scope, request: FileRequest): void {
    // Its row is dropped by whoever looks for the file.
    if (request.kind === "zip") this.#stored.end(scope, request, false);
  }

  noteStored(scope: Scope, request: FileRequest): void {
    const { escapedPath, version, kind } = request;
    if (kind === "zip" && this.#stored.end(scope, request, true)) {
      // The list is owed since it was begun, unless it was put off because of this very zip.
      const item = { scope, escapedPath, what: "tree" };
      const dueMs = this.#readOutbox(item)?.due_at_ms ?? Number.POSITIVE_INFINITY;
      if (dueMs > this.#now() + TREE_DELAY_MS) this.#scheduleTree(scope, escapedPath);
      return;
    }
    // Most versions are only asked for their go.mod: nothing is written for those.
    if (kind !== "zip" && !this.#stored.isNoted(scope, request)) return;
    this.addStored(scope, escapedPath, [{ version, kinds: [kind] }]);
  }

  noteLost(scope: Scope, request: FileRequest): void {
    if (this.#stored.remove(scope, request)) this.#scheduleTree(scope, request.escapedPath);
  }

  /** Add stored versions of a module, and have the static tree's list written. */
  addStored(scope: Scope, escapedPath: string, versions: readonly FoundParts[]): void {
    for (const version of versions) this.#stored.add(scope, escapedPath, version);
    this.#scheduleTree(scope, escapedPath);
  }

  listSought(scope: Scope, escapedPath: string): SoughtParts[] {
    return this.#stored.listSought(scope, escapedPath);
  }

  listComplete(
    scope: Scope,
    escapedPath: string,
    found: readonly FoundParts[],
  ): string[] | undefined {
    return this.#stored.listComplete(scope, escapedPath, found);
  }

  /** Every version that the index knows to be stored, in whatever parts. */
  storedVersions(scope: Scope, escapedPath: string): string[] {
    return this.#stored.list(scope, escapedPath);
  }

  /** What is due by now; each item is to be given to {@link SqliteIndex.finish} once written. */
  listDue(): DueItem[] {
    this.#alarmAtMs = Number.POSITIVE_INFINITY;
    return this.#tables
      .select<{ scope: string; escaped_path: string; what: string; changes: number }>(
        "SELECT scope, escaped_path, what, changes FROM outbox WHERE due_at_ms <= ?",
        this.#now(),
      )
      .map(({ scope, escaped_path: escapedPath, what, changes }) => ({
        scope: scope as Scope,
        escapedPath,
        what,
        changes,
      }));
  }

  /**
   * An item is written: drop it, unless it has changed in the meantime and is due again.
   *
   * @param found What was found on the way, of files that a list depends on.
   * @returns Whether what was written is what it is now.
   */
  finish({ scope, escapedPath, what, changes }: DueItem, found?: readonly FoundParts[]): boolean {
    const rest = found === undefined ? "all" : this.#stored.settle(scope, escapedPath, found);
    if (rest !== "all") {
      const isUnchanged = this.#readOutbox({ scope, escapedPath, what })?.changes === changes;
      const delayMs = rest === "later" && isUnchanged ? UNDER_WAY_MS : TREE_DELAY_MS;
      this.postpone({ scope, escapedPath, what }, delayMs);
      return false;
    }
    const { rowsWritten } = this.#tables.written.exec(
      "DELETE FROM outbox WHERE scope = ? AND escaped_path = ? AND what = ? AND changes = ?",
      scope,
      escapedPath,
      what,
      changes,
    );
    if (rowsWritten > 0) return true;
    this.postpone({ scope, escapedPath, what }, TREE_DELAY_MS);
    return false;
  }

  /** An item could not be written: try again later. */
  postpone({ scope, escapedPath, what }: OutboxItem, delayMs: number): void {
    this.#tables.written.exec(
      "UPDATE outbox SET due_at_ms = ? WHERE scope = ? AND escaped_path = ? AND what = ?",
      this.#now() + delayMs,
      scope,
      escapedPath,
      what,
    );
  }

  /** The copy of an answer is written; the first one after a change is written once again. */
  noteCopied(item: OutboxItem): void {
    const [row] = this.#tables.select<{ copied_at_ms: number }>(
      "SELECT copied_at_ms FROM answers WHERE scope = ? AND path = ?",
      item.scope,
      item.what,
    );
    this.#tables.written.exec(
      "UPDATE answers SET copied_at_ms = ? WHERE scope = ? AND path = ?",
      this.#now(),
      item.scope,
      item.what,
    );
    // A write that was overtaken by an older one, or lost, is mended by this second one.
    if (row?.copied_at_ms === 0) this.#schedule(item, COPY_AGAIN_MS);
  }

  /** Set the alarm for what still waits. */
  async rearm(): Promise<void> {
    const dueMs = this.#nextDueMs();
    if (dueMs === undefined) return;
    this.#alarmAtMs = dueMs;
    await this.#storage.setAlarm(dueMs);
  }

  #nextDueMs(): number | undefined {
    const [row] = this.#tables.select<{ due: number | null }>(
      "SELECT min(due_at_ms) AS due FROM outbox",
    );
    return row?.due ?? undefined;
  }

  #readOutbox({
    scope,
    escapedPath,
    what,
  }: OutboxItem): { due_at_ms: number; changes: number } | undefined {
    const [row] = this.#tables.select<{ due_at_ms: number; changes: number }>(
      `SELECT due_at_ms, changes FROM outbox
       WHERE scope = ? AND escaped_path = ? AND what = ?`,
      scope,
      escapedPath,
      what,
    );
    return row;
  }

  #scheduleTree(scope: Scope, escapedPath: string): void {
    this.#schedule({ scope, escapedPath, what: "tree" }, TREE_DELAY_MS);
  }

  #schedule(item: OutboxItem, delayMs: number): void {
    const dueMs = this.#now() + delayMs;
    // What waits for its repetition must not keep a change waiting.
    this.#tables.written.exec(
      `INSERT INTO outbox (scope, escaped_path, what, due_at_ms) VALUES (?, ?, ?, ?)
       ON CONFLICT (scope, escaped_path, what) DO UPDATE SET
         changes = changes + 1, due_at_ms = min(due_at_ms, excluded.due_at_ms)`,
      item.scope,
      item.escapedPath,
      item.what,
      dueMs,
    );
    if (dueMs < this.#alarmAtMs) void this.rearm();
  }

  #forgetOldQueries(scope: Scope, escapedPath: string): void {
    this.#tables.written.exec(
      `DELETE FROM answers WHERE scope = ?1 AND path IN (
         SELECT path FROM answers WHERE scope = ?1 AND path > ?2 || '/@v/' AND path < ?2 || '/@v0'
           AND kind = 'query' ORDER BY fetched_at_ms DESC LIMIT -1 OFFSET ?3)`,
      scope,
      escapedPath,
      MAX_QUERIES_PER_MODULE,
    );
  }
}

type AnswerRow = {
  body: string;
  newest_pseudo: string | null;
  fetched_at_ms: number;
  revision: number;
  copied_at_ms: number;
};

function toAnswer(row: AnswerRow): MutableAnswer {
  return {
    body: row.body,
    fetchedAtMs: row.fetched_at_ms,
    revision: row.revision,
    ...(row.newest_pseudo === null ? {} : { newestPseudo: row.newest_pseudo }),
  };
}
