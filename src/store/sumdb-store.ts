import { sha256Hex } from "../module/sha256.ts";
import type { FileStore } from "../proxy/ports.ts";

/** A tile of a database's tree; level -1 holds the records themselves. */
interface StoredTile {
  readonly tile: { readonly level: number; readonly index: number; readonly width: number };
  readonly bytes: Uint8Array;
}

interface StoredRecord {
  readonly id: number;
  readonly text: string;
}

const TILES_PER_FOLDER = 1000;
const FULL_WIDTH = 256;
// A file name has 255 bytes, some of which the disk service needs while it writes the file.
const MAX_NAME_BYTES = 240;
// An object's key has 1024 bytes; the rest is for the folder, which holds the database's name.
const MAX_KEY_BYTES = 800;

/**
 * What is kept of one checksum database: full tiles and records as files; its newest head, and the
 * tiles at the edge that grow with every head, in the Durable Object that alone moves it. Object
 * storage takes one write a second to a key, which is too slow for those.
 */
export class SumdbStore {
  readonly #files: FileStore;
  readonly #sql: SqlStorage;
  readonly #folder: string;

  constructor(files: FileStore, sql: SqlStorage, name: string) {
    this.#files = files;
    this.#sql = sql;
    this.#folder = `sumdb/${name}`;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS heads (id INTEGER PRIMARY KEY CHECK (id = 1), note TEXT);
      CREATE TABLE IF NOT EXISTS edge_tiles (level INTEGER, number INTEGER, bytes BLOB,
        PRIMARY KEY (level, number)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS forks (ours TEXT, theirs TEXT, seen_at_ms INTEGER,
        PRIMARY KEY (ours, theirs))`);
  }

  async readTile(level: number, index: number): Promise<Uint8Array | undefined> {
    const [edge] = this.#sql
      .exec<{ bytes: ArrayBuffer }>(
        "SELECT bytes FROM edge_tiles WHERE level = ? AND number = ?",
        level,
        index,
      )
      .toArray();
    if (edge !== undefined) return new Uint8Array(edge.bytes);
    return await this.#files.readSystem(this.#tilePath(level, index));
  }

  async putTiles(tiles: readonly StoredTile[]): Promise<void> {
    await Promise.all(tiles.map((tile) => this.#putTile(tile)));
  }

  async #putTile({ tile: { level, index, width }, bytes }: StoredTile): Promise<void> {
    if (width < FULL_WIDTH) {
      this.#sql.exec(
        "INSERT OR REPLACE INTO edge_tiles (level, number, bytes) VALUES (?, ?, ?)",
        level,
        index,
        bytes,
      );
      return;
    }
    await this.#files.writeSystem(this.#tilePath(level, index), bytes);
    this.#sql.exec("DELETE FROM edge_tiles WHERE level = ? AND number = ?", level, index);
  }

  readHead(): Promise<string | undefined> {
    const [row] = this.#sql.exec<{ note: string }>("SELECT note FROM heads").toArray();
    return Promise.resolve(row?.note);
  }

  async casHead(previous: string | undefined, next: string): Promise<boolean> {
    if ((await this.readHead()) !== previous) return false;
    this.putHeadNow(next);
    return true;
  }

  /** Replace the head, whatever it was. */
  putHeadNow(note: string): void {
    this.#sql.exec("INSERT OR REPLACE INTO heads (id, note) VALUES (1, ?)", note);
  }

  async readRecord(key: string): Promise<StoredRecord | undefined> {
    const bytes = await this.#files.readSystem(this.#recordPath(key));
    return bytes && tryParseRecord(new TextDecoder().decode(bytes));
  }

  async putRecord(key: string, { id, text }: StoredRecord): Promise<void> {
    const bytes = new TextEncoder().encode(`${id}\n${text}`);
    await this.#files.writeSystem(this.#recordPath(key), bytes);
  }

  /** Keep both heads of a fork, for the one who has to find out what happened. */
  keepFork(ours: string, theirs: string, seenAtMs: number): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO forks (ours, theirs, seen_at_ms) VALUES (?, ?, ?)",
      ours,
      theirs,
      seenAtMs,
    );
  }

  #tilePath(level: number, index: number): string {
    const folder = Math.floor(index / TILES_PER_FOLDER);
    return `${this.#folder}/tile/8/${level < 0 ? "data" : level}/${folder}/${index}`;
  }

  /** No module path begins with an element without a dot: `long` is nobody's. */
  #recordPath(key: string): string {
    const lastName = key.slice(key.lastIndexOf("/") + 1);
    const isLong = key.length > MAX_KEY_BYTES || lastName.length > MAX_NAME_BYTES;
    return `${this.#folder}/lookup/${isLong ? `long/${sha256Hex(key)}` : key}`;
  }
}

function tryParseRecord(stored: string): StoredRecord | undefined {
  const end = stored.indexOf("\n");
  const number = stored.slice(0, end);
  if (end < 0 || !/^\d{1,15}$/.test(number)) return undefined;
  return { id: Number(number), text: stored.slice(end + 1) };
}
