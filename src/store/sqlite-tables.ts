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
    PRIMARY KEY (scope, escaped_path, what)) WITHOUT ROWID;`;

/**
 * A coordinator's tables; the first change makes them, in one commit with it.
 *
 * Most modules are only asked for files, of which nothing is written here: they cost no commit.
 */
export class SqliteTables {
  readonly #sql: SqlStorage;
  #isMade = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const query = "SELECT 1 FROM sqlite_master WHERE name = 'answers'";
    if (sql.exec(query).toArray().length > 0) this.#make();
  }

  /** For changes. */
  get written(): SqlStorage {
    if (!this.#isMade) this.#make();
    return this.#sql;
  }

  /** For questions; without tables the answer is that there are no rows. */
  select<Row extends Record<string, SqlStorageValue>>(
    query: string,
    ...values: SqlStorageValue[]
  ): Row[] {
    return this.#isMade ? this.#sql.exec<Row>(query, ...values).toArray() : [];
  }

  #make(): void {
    this.#sql.exec(TABLES);
    this.#isMade = true;
  }
}
