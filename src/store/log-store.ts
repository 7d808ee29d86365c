import type { FileStore } from "../proxy/ports.ts";
import { SumdbStore } from "./sumdb-store.ts";

interface StoredKeyedRecord {
  readonly id: number;
  readonly key: string;
  readonly text: string;
}

/** Where a database of our own lives: records and head in its Durable Object, tiles as files. */
export class LogStore {
  readonly #sql: SqlStorage;
  readonly #heads: SumdbStore;

  constructor(files: FileStore, sql: SqlStorage, folder: string) {
    this.#sql = sql;
    this.#heads = new SumdbStore(files, sql, folder);
    sql.exec(`
      CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, key TEXT, text TEXT);
      CREATE INDEX IF NOT EXISTS records_by_key ON records (key)`);
  }

  async readHead(): Promise<string | undefined> {
    return await this.#heads.readHead();
  }

  putHead(note: string): Promise<void> {
    this.#heads.putHeadNow(note);
    return Promise.resolve();
  }

  /** A value, since the log hands it on without its object. */
  readonly readTile = async (level: number, index: number): Promise<Uint8Array | undefined> =>
    await this.#heads.readTile(level, index);

  async putTiles(tiles: Parameters<SumdbStore["putTiles"]>[0]): Promise<void> {
    await this.#heads.putTiles(tiles);
  }

  readRecordId(key: string): Promise<number | undefined> {
    const [row] = this.#sql
      .exec<{ id: number }>("SELECT id FROM records WHERE key = ? ORDER BY id DESC LIMIT 1", key)
      .toArray();
    return Promise.resolve(row?.id);
  }

  readRecords(first: number, count: number): Promise<string[]> {
    const rows = this.#sql
      .exec<{ text: string }>(
        "SELECT text FROM records WHERE id >= ? AND id < ? ORDER BY id",
        first,
        first + count,
      )
      .toArray();
    return Promise.resolve(rows.map(({ text }) => text));
  }

  putRecords(records: readonly StoredKeyedRecord[]): Promise<void> {
    for (const { id, key, text } of records) {
      this.#sql.exec(
        "INSERT OR REPLACE INTO records (id, key, text) VALUES (?, ?, ?)",
        id,
        key,
        text,
      );
    }
    return Promise.resolve();
  }
}
