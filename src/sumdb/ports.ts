import type { LogRecord } from "./record.ts";
import type { TileData } from "./tile.ts";

/** Two signed heads of one database, neither of which continues the other. */
export interface ForkedHeads {
  /** The newest head accepted before, as a signed note. */
  readonly ours: string;
  /** The refused head, as a signed note with a good signature. */
  readonly theirs: string;
  /**
   * Hashes in base64 that show the tree of the larger head to begin with `computedRoot` instead of
   * the smaller head's root; empty when both have one size, or when tiles alone tell the fork.
   */
  readonly proof: readonly string[];
  /** Root in base64 that the larger tree has at the size of the smaller one, if it could be read. */
  readonly computedRoot: string | undefined;
}

/** What a {@link SumdbClient} needs from the outside; one instance per database. */
export interface SumdbPorts {
  /**
   * GET below the database's base address.
   *
   * @param path - begins with a slash: `/lookup/…`, `/tile/8/0/000.p/3`, `/latest`.
   * @throws {ProxyError} sumdb_not_found on 404 and 410, sumdb_unavailable on any other failure,
   *   not_fetched from one that asks nobody.
   */
  fetch(path: string): Promise<Uint8Array>;

  /**
   * The widest stored content of a tile.
   *
   * A tile only ever grows, so one object per level and number is enough, and narrower tiles are
   * cut from it.
   *
   * @param level - 0 to 6, or -1 for the records themselves.
   */
  readTile(level: number, index: number): Promise<Uint8Array | undefined>;

  /**
   * Store tiles durably, in the place of what is stored for the same level and number.
   *
   * Only authentic tiles arrive here, and calls come one after the other. All have to be durable
   * when the promise is fulfilled, since the head that follows relies on them. A full tile (width
   * 256) is put once; the few partial ones at the right edge come again, wider, at every head move.
   */
  putTiles(tiles: readonly TileData[]): Promise<void>;

  /** The newest accepted head as a signed note. */
  readHead(): Promise<string | undefined>;

  /**
   * Replace the newest accepted head durably.
   *
   * @returns false when the stored one is not `previous`.
   */
  casHead(previous: string | undefined, next: string): Promise<boolean>;

  /** A record stored earlier. @param key - `escaped path@escaped version`. */
  readRecord(key: string): Promise<LogRecord | undefined>;

  /** Store a proven record. @param key - `escaped path@escaped version`. */
  putRecord(key: string, record: LogRecord): Promise<void>;

  /** A security event: keep both heads and raise the alarm. */
  onFork(heads: ForkedHeads): void | Promise<void>;
}
