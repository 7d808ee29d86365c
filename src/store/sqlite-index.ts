import type { FileKind, FileRequest } from "../module/request.ts";
import { sortVersions } from "../module/version.ts";
import {
  type AnswerIndex,
  type BegunZip,
  type DueItem,
  type MutableAnswer,
  type OutboxItem,
  PUBLIC_SCOPE,
  type Scope,
} from "../proxy/ports.ts";

const KIND_BITS = { info: 1, mod: 2, zip: 4 } as const satisfies Record<FileKind, number>;
const ALL_KINDS = 7;
const TREE_DELAY_MS = 1000;
// A module that is asked for every branch and hash keeps only the latest answers.
const MAX_QUERIES_PER_MODULE = 200;
// How long after its beginning a commit is looked after that nobody has heard of again.
const BEGUN_MS = 60_000;
const COPY_INTERVAL_MS = 1000;
const COPY_AGAIN_MS = 60_000;
// An unchanged list is copied again only when the copy would grow too old to be served.
const COPY_REFRESH_MS = 540_000;

const TABLES = `
  CREATE TABLE IF NOT EXISTS answers (
    scope TEXT, path TEXT, escaped_path TEXT, kind TEXT, body TEXT, newest_pseudo TEXT,
    fetched_at_ms INTEGER, revision INTEGER, copied_at_ms INTEGER DEFAULT 0,
    PRIMARY KEY (scope, path)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS stored (
    scope TEXT, escaped_path TEXT, version TEXT, kinds INTEGER,
    PRIMARY KEY (scope, escaped_path, version)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ledger (
    scope TEXT, path TEXT, value TEXT, PRIMARY KEY (scope, path)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox (
    scope TEXT, escaped_path TEXT, what TEXT, due_at_ms INTEGER, changes INTEGER DEFAULT 1,
    PRIMARY KEY (scope, escaped_path, what)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS begun (
    scope TEXT, escaped_path TEXT, version TEXT, due_at_ms INTEGER,
    PRIMARY KEY (scope, escaped_path, version)) WITHOUT ROWID;`;

/** A coordinator's durable rows, and what is still to be written outside because of them. */
export class SqliteIndex implements AnswerIndex {
  readonly #storage: DurableObjectStorage;
  readonly #now: () => number;
  readonly #hasCopies: boolean;
  /** When the next alarm comes, as far as this instance knows. */
  #alarmAtMs = Number.POSITIVE_INFINITY;
  #isMade = false;
  /** Commits that this instance has begun and not ended. */
  readonly #begun = new Set<string>();

  /** @param hasCopies Whether changing answers are copied to where every isolate can read them. */
  constructor(storage: DurableObjectStorage, now: () => number, hasCopies: boolean) {
    this.#storage = storage;
    this.#now = now;
    this.#hasCopies = hasCopies;
    if (hasTables(storage.sql)) this.#makeTables();
    // What an instance before this one began, it has ended or was killed over.
    if (this.#select("SELECT 1 FROM begun LIMIT 1").length === 0) return;
    this.#written.exec("UPDATE begun SET due_at_ms = ?", now());
    void this.rearm();
  }

  #makeTables(): void {
    this.#storage.sql.exec(TABLES);
    this.#isMade = true;
  }

  /**
   * For changes; the first one makes the tables, in one commit with it.
   *
   * Most modules are only asked for files, of which nothing is written here: they cost no commit.
   */
  get #written(): SqlStorage {
    if (!this.#isMade) this.#makeTables();
    return this.#storage.sql;
  }

  /** For questions; without tables the answer is that there are no rows. */
  #select<Row extends Record<string, SqlStorageValue>>(
    query: string,
    ...values: SqlStorageValue[]
  ): Row[] {
    return this.#isMade ? this.#storage.sql.exec<Row>(query, ...values).toArray() : [];
  }

  read(scope: Scope, path: string): MutableAnswer | undefined {
    const [row] = this.#select<AnswerRow>(
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
    const [row] = this.#written
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
    const [row] = this.#select<{ value: string }>(
      "SELECT value FROM ledger WHERE scope = ? AND path = ?",
      scope,
      path,
    );
    return row?.value;
  }

  pin(scope: Scope, path: string, value: string): string {
    this.#written.exec(
      "INSERT OR IGNORE INTO ledger (scope, path, value) VALUES (?, ?, ?)",
      scope,
      path,
      value,
    );
    return this.readPin(scope, path) ?? value;
  }

  noteBegun(scope: Scope, { kind, escapedPath, version }: FileRequest): void {
    if (kind === "zip") this.#putBegun({ scope, escapedPath, version });
  }

  noteFailed(scope: Scope, { kind, escapedPath, version }: FileRequest): void {
    if (kind === "zip") this.endBegun({ scope, escapedPath, version });
  }

  /** Zips that an instance before this one began to commit, and perhaps did. */
  listAbandoned(): BegunZip[] {
    const rows = this.#select<{ scope: string; escaped_path: string; version: string }>(
      "SELECT scope, escaped_path, version FROM begun WHERE due_at_ms <= ?",
      this.#now(),
    );
    const zips = rows.map(({ scope, escaped_path: escapedPath, version }) => ({
      scope: scope as Scope,
      escapedPath,
      version,
    }));
    // Those of this instance are still on their way.
    for (const zip of zips) if (this.#begun.has(toText(zip))) this.#putBegun(zip);
    return zips.filter((zip) => !this.#begun.has(toText(zip)));
  }

  /** What became of a zip is known. */
  endBegun(zip: BegunZip): void {
    this.#begun.delete(toText(zip));
    const { scope, escapedPath, version } = zip;
    this.#written.exec(
      "DELETE FROM begun WHERE scope = ? AND escaped_path = ? AND version = ?",
      scope,
      escapedPath,
      version,
    );
  }

  #putBegun(zip: BegunZip): void {
    this.#begun.add(toText(zip));
    const { scope, escapedPath, version } = zip;
    const dueMs = this.#now() + BEGUN_MS;
    this.#written.exec(
      "INSERT OR REPLACE INTO begun (scope, escaped_path, version, due_at_ms) VALUES (?, ?, ?, ?)",
      scope,
      escapedPath,
      version,
      dueMs,
    );
    if (dueMs < this.#alarmAtMs) void this.rearm();
  }

  noteStored(scope: Scope, request: FileRequest): void {
    const { escapedPath, version, kind } = request;
    this.noteFailed(scope, request);
    // Most versions are only asked for their go.mod: nothing is written for those.
    if (kind !== "zip" && !this.#isNoted(scope, escapedPath, version)) return;
    this.addStored(scope, escapedPath, [{ version, kinds: [kind] }]);
  }

  noteLost(scope: Scope, { escapedPath, version, kind }: FileRequest): void {
    const { rowsWritten } = this.#written.exec(
      `UPDATE stored SET kinds = kinds & ~?1
       WHERE scope = ?2 AND escaped_path = ?3 AND version = ?4 AND kinds & ?1`,
      KIND_BITS[kind],
      scope,
      escapedPath,
      version,
    );
    if (rowsWritten > 0) this.#schedule({ scope, escapedPath, what: "tree" }, TREE_DELAY_MS);
  }

  #isNoted(scope: Scope, escapedPath: string, version: string): boolean {
    const rows = this.#select(
      "SELECT kinds FROM stored WHERE scope = ? AND escaped_path = ? AND version = ?",
      scope,
      escapedPath,
      version,
    );
    return rows.length > 0;
  }

  /** Versions whose zip is stored and of whose other files the index does not know. */
  versionsToCheck(scope: Scope, escapedPath: string): string[] {
    return this.#select<{ version: string }>(
      "SELECT version FROM stored WHERE scope = ? AND escaped_path = ? AND kinds & 4 AND kinds <> ?",
      scope,
      escapedPath,
      ALL_KINDS,
    ).map(({ version }) => version);
  }

  /** Versions of which all three files are stored: what the static tree can promise. */
  completeVersions(scope: Scope, escapedPath: string): string[] {
    const rows = this.#select<{ version: string }>(
      "SELECT version FROM stored WHERE scope = ? AND escaped_path = ? AND kinds = ?",
      scope,
      escapedPath,
      ALL_KINDS,
    );
    return sortVersions(rows.map(({ version }) => version));
  }

  /** Every version that the index knows to be stored, in whatever parts. */
  storedVersions(scope: Scope, escapedPath: string): string[] {
    return this.#select<{ version: string }>(
      "SELECT version FROM stored WHERE scope = ? AND escaped_path = ?",
      scope,
      escapedPath,
    ).map(({ version }) => version);
  }

  /** Note which files of a version are stored. */
  markParts(scope: Scope, escapedPath: string, version: string, kinds: readonly FileKind[]): void {
    this.#written.exec(
      `INSERT INTO stored (scope, escaped_path, version, kinds) VALUES (?, ?, ?, ?)
       ON CONFLICT (scope, escaped_path, version) DO UPDATE SET kinds = kinds | excluded.kinds`,
      scope,
      escapedPath,
      version,
      kinds.reduce((bits, kind) => bits | KIND_BITS[kind], 0),
    );
  }

  /** Add stored versions of a module, and have the static tree's list written. */
  addStored(
    scope: Scope,
    escapedPath: string,
    versions: readonly { readonly version: string; readonly kinds: readonly FileKind[] }[],
  ): void {
    for (const { version, kinds } of versions) {
      this.markParts(scope, escapedPath, version, kinds);
    }
    this.#schedule({ scope, escapedPath, what: "tree" }, TREE_DELAY_MS);
  }

  /** What is due by now; each item is to be given to {@link SqliteIndex.finish} once written. */
  listDue(): DueItem[] {
    this.#alarmAtMs = Number.POSITIVE_INFINITY;
    return this.#select<{ scope: string; escaped_path: string; what: string; changes: number }>(
      "SELECT scope, escaped_path, what, changes FROM outbox WHERE due_at_ms <= ?",
      this.#now(),
    ).map(({ scope, escaped_path: escapedPath, what, changes }) => ({
      scope: scope as Scope,
      escapedPath,
      what,
      changes,
    }));
  }

  /**
   * An item is written: drop it, unless it has changed in the meantime and is due again.
   *
   * @returns Whether what was written is what it is now.
   */
  finish({ scope, escapedPath, what, changes }: DueItem): boolean {
    const { rowsWritten } = this.#written.exec(
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
    this.#written.exec(
      "UPDATE outbox SET due_at_ms = ? WHERE scope = ? AND escaped_path = ? AND what = ?",
      this.#now() + delayMs,
      scope,
      escapedPath,
      what,
    );
  }

  /** The copy of an answer is written; the first one after a change is written once again. */
  noteCopied(item: OutboxItem): void {
    const [row] = this.#select<{ copied_at_ms: number }>(
      "SELECT copied_at_ms FROM answers WHERE scope = ? AND path = ?",
      item.scope,
      item.what,
    );
    this.#written.exec(
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
    const [row] = this.#select<{ due: number | null }>(`SELECT min(due_at_ms) AS due FROM
           (SELECT due_at_ms FROM outbox UNION ALL SELECT due_at_ms FROM begun)`);
    return row?.due ?? undefined;
  }

  #schedule(item: OutboxItem, delayMs: number): void {
    const dueMs = this.#now() + delayMs;
    // What waits for its repetition must not keep a change waiting.
    this.#written.exec(
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
    this.#written.exec(
      `DELETE FROM answers WHERE scope = ?1 AND path IN (
         SELECT path FROM answers WHERE scope = ?1 AND path > ?2 || '/@v/' AND path < ?2 || '/@v0'
           AND kind = 'query' ORDER BY fetched_at_ms DESC LIMIT -1 OFFSET ?3)`,
      scope,
      escapedPath,
      MAX_QUERIES_PER_MODULE,
    );
  }
}

function hasTables(sql: SqlStorage): boolean {
  const query = "SELECT 1 FROM sqlite_master WHERE name = 'answers'";
  return sql.exec(query).toArray().length > 0;
}

function toText({ scope, escapedPath, version }: BegunZip): string {
  return `${scope}/${escapedPath}@${version}`;
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
