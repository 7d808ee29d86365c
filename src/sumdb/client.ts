import { ProxyError } from "../errors/proxy-error.ts";
import { DEFAULT_CACHED_TILES, MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH } from "./constants.ts";
import { decodeUtf8, encodeUtf8, equalBytes } from "./encoding.ts";
import { HeadKeeper, type SignedHead } from "./head-keeper.ts";
import { type ModuleKey, parseModuleKey, toModuleKey } from "./module-key.ts";
import { parseVerifierKey } from "./note.ts";
import type { SumdbPorts } from "./ports.ts";
import {
  findHashLines,
  formatDataTile,
  formatLookupAnswer,
  type LogRecord,
  parseDataTile,
  parseLookupAnswer,
  type RecordHashes,
} from "./record.ts";
import { SharedFlights } from "./serial.ts";
import { DATA_LEVEL, reachesTile, type Tile, tilePath, tryParseTilePath } from "./tile.ts";
import { tileKey } from "./tile-reader.ts";
import { TileStore } from "./tile-store.ts";
import { type Hash, recordHash, storedHashIndex } from "./tlog.ts";

/** A record that is proven to be in the database's log. */
export interface VerifiedRecord extends LogRecord {
  /** From the record's text alone. */
  readonly hashes: RecordHashes;
  /** Records in the newest accepted tree, which holds this one. */
  readonly treeSize: number;
}

/** How a {@link SumdbClient} is made. */
export interface SumdbClientOptions {
  /** `name+hash+key`, from the operator's configuration. */
  readonly verifierKey: string;
  readonly ports: SumdbPorts;
  /** Tiles held in memory, 8 KiB each; 1024 when absent. */
  readonly maxCachedTiles?: number;
}

/**
 * A client of one checksum database, and its relay to other clients.
 *
 * It believes the verifier key and nothing else. One instance at a time may write to one storage;
 * calls of one instance may overlap.
 *
 * @source sumdb.Client, as of x/mod v0.40.0
 */
export class SumdbClient {
  /** The database's name, as its key says; may hold slashes. */
  readonly name: string;
  readonly #ports: SumdbPorts;
  readonly #tiles: TileStore;
  readonly #heads: HeadKeeper;
  readonly #lookups = new SharedFlights<VerifiedRecord>();
  readonly #refreshes = new SharedFlights<SignedHead>();

  /** @throws {ProxyError} invalid_config - the key is malformed. */
  constructor({ verifierKey, ports, maxCachedTiles = DEFAULT_CACHED_TILES }: SumdbClientOptions) {
    const verifier = parseVerifierKey(verifierKey);
    this.name = verifier.name;
    this.#ports = ports;
    this.#tiles = new TileStore(ports, maxCachedTiles);
    this.#heads = new HeadKeeper(verifier, ports, this.#tiles);
  }

  /**
   * The proven record of a module version.
   *
   * A record proven before is taken from storage and proven again under the newest head, without a
   * question to the database as long as all tiles are there.
   *
   * @param modulePath - plain, checked against the module rules and private patterns by the caller.
   * @param version - full and canonical.
   * @throws {ProxyError} malformed_path - no lookup address can be made; nothing was sent.
   * @throws {ProxyError} sumdb_not_found - the database has no record.
   * @throws {ProxyError} sumdb_unavailable - it cannot be reached, and the record is not stored.
   * @throws {ProxyError} sumdb_invalid, tree_forked - its answer is refused; nothing was stored.
   * @source sumdb.Client.Lookup
   */
  async lookup(modulePath: string, version: string): Promise<VerifiedRecord> {
    return this.#lookupKey(toModuleKey(modulePath, version));
  }

  /**
   * The lookup answer for a client: the proven record under the newest head that we accepted.
   *
   * Never the database's own answer: the head in that one grows old, and its proofs are not ours to
   * give when the database is gone.
   *
   * @param escaped - what stands behind `/lookup/`, as the client sent it.
   * @throws {ProxyError} as {@link SumdbClient.lookup}.
   */
  async serveLookup(escaped: string): Promise<Uint8Array> {
    const record = await this.#lookupKey(parseModuleKey(escaped));
    const head = await this.#heads.current();
    if (head === undefined) throw new TypeError("a record was proven without a head");
    return formatLookupAnswer(record, head.note);
  }

  /**
   * The newest head, after asking the database for it.
   *
   * @returns our newest one when the database cannot be reached.
   * @throws {ProxyError} sumdb_unavailable - and we never accepted one.
   * @throws {ProxyError} sumdb_invalid, tree_forked - the database's head is refused.
   */
  async serveLatest(): Promise<Uint8Array> {
    try {
      return encodeUtf8((await this.#refresh()).note);
    } catch (error) {
      const ours = isAway(error) ? await this.#heads.current() : undefined;
      if (ours === undefined) throw error;
      return encodeUtf8(ours.note);
    }
  }

  /**
   * An authentic tile, cut to the width asked for.
   *
   * @param path - `tile/8/…`, as the client sent it, without a leading slash.
   * @throws {ProxyError} malformed_path - no tile of height 8; nothing was sent.
   * @throws {ProxyError} sumdb_not_found - the newest tree does not reach it.
   * @throws {ProxyError} sumdb_unavailable - it is not stored and the database cannot be reached.
   * @throws {ProxyError} sumdb_invalid, tree_forked - what the database sent is refused.
   */
  async serveTile(path: string): Promise<Uint8Array> {
    const tile = tryParseTilePath(path);
    if (tile?.height !== TILE_HEIGHT || tile.level > MAX_TILE_LEVEL) {
      throw new ProxyError("malformed_path", "not the path of a tile of height 8");
    }
    const cached = tile.level === DATA_LEVEL ? undefined : this.#tiles.readCached(tile);
    if (cached !== undefined) return cached.slice();

    const head = await this.#headWith(tile);
    return tile.level === DATA_LEVEL
      ? this.#serveDataTile(tile, head)
      : this.#serveHashTile(tile, head);
  }

  #lookupKey(key: ModuleKey): Promise<VerifiedRecord> {
    return this.#lookups.run(key.escaped, async () => {
      const stored = await this.#ports.readRecord(key.escaped);
      const proven = stored && (await this.#tryProveStored(key, stored));
      return proven ?? this.#lookupInDatabase(key);
    });
  }

  /** A stored record is believed no more than a fetched one; undefined when it is no good. */
  async #tryProveStored(key: ModuleKey, record: LogRecord): Promise<VerifiedRecord | undefined> {
    const head = await this.#heads.current();
    if (head === undefined || record.id >= head.size) return undefined;
    try {
      const hashes = findHashLines(record.text, key.modulePath, key.version);
      await this.#heads.proveRecord(head, { id: record.id, hash: textHash(record.text) });
      return { ...record, hashes, treeSize: head.size };
    } catch (error) {
      if (error instanceof ProxyError && error.code === "sumdb_invalid") return undefined;
      throw error;
    }
  }

  async #lookupInDatabase(key: ModuleKey): Promise<VerifiedRecord> {
    const body = await this.#ports.fetch(`/lookup/${key.escaped}`);
    const { id, text, note } = parseLookupAnswer(body);
    const hashes = findHashLines(text, key.modulePath, key.version);
    const theirs = await this.#heads.open(note);
    if (id >= theirs.size) {
      throw new ProxyError("sumdb_invalid", `record ${id} is beyond the tree it came with`);
    }
    const head = await this.#heads.admit(theirs, { id, hash: textHash(text) });
    await this.#ports.putRecord(key.escaped, { id, text });
    return { id, text, hashes, treeSize: head.size };
  }

  #refresh(): Promise<SignedHead> {
    return this.#refreshes.run("latest", async () => {
      const note = decodeUtf8(await this.#ports.fetch("/latest"), "tree head");
      return this.#heads.admit(await this.#heads.open(note));
    });
  }

  /** An accepted head whose tree reaches a tile, after asking for a newer one when ours does not. */
  async #headWith(tile: Tile): Promise<SignedHead> {
    const ours = await this.#heads.current();
    if (ours !== undefined && reachesTile(ours.size, tile)) return ours;
    const newest = await this.#refresh();
    if (reachesTile(newest.size, tile)) return newest;
    throw new ProxyError("sumdb_not_found", `the tree does not reach ${tilePath(tile)}`);
  }

  async #serveHashTile(tile: Tile, head: SignedHead): Promise<Uint8Array> {
    const first = storedHashIndex(TILE_HEIGHT * tile.level, tile.index * TILE_WIDTH);
    const proven = await this.#tiles.prove(head, [first]);
    await proven.keep();
    const whole = proven.tiles.find((data) => tileKey(data.tile) === tileKey(tile));
    if (whole === undefined) throw new TypeError(`${tilePath(tile)} was not read`);
    return whole.bytes.slice(0, tile.width * (whole.bytes.length / whole.tile.width));
  }

  async #serveDataTile(tile: Tile, head: SignedHead): Promise<Uint8Array> {
    const ids = Array.from({ length: tile.width }, (_, at) => tile.index * TILE_WIDTH + at);
    const proven = await this.#tiles.prove(
      head,
      ids.map((id) => storedHashIndex(0, id)),
    );
    await proven.keep();

    const stored = await this.#ports.readTile(DATA_LEVEL, tile.index);
    const kept = stored && tryAuthenticate(stored, proven.hashes);
    if (kept !== undefined) return kept;
    const fetched = tryAuthenticate(await this.#tiles.fetchDataTile(tile), proven.hashes);
    if (fetched === undefined) {
      throw new ProxyError("sumdb_invalid", `inconsistent tile ${tilePath(tile)}`);
    }
    await this.#tiles.keepDataTile({ tile, bytes: fetched });
    return fetched;
  }
}

/** The first records of a data tile, as many as there are hashes; undefined when one differs. */
function tryAuthenticate(bytes: Uint8Array, hashes: readonly Hash[]): Uint8Array | undefined {
  try {
    const texts = parseDataTile(bytes).slice(0, hashes.length);
    const isAuthentic = hashes.every((hash, at) => {
      const text = texts[at];
      return text !== undefined && equalBytes(textHash(text), hash);
    });
    return isAuthentic ? formatDataTile(texts) : undefined;
  } catch (error) {
    if (error instanceof ProxyError) return undefined;
    throw error;
  }
}

function textHash(text: string): Hash {
  return recordHash(encodeUtf8(text));
}

/** Whether the database could not answer, as opposed to answering something that is refused. */
function isAway(error: unknown): boolean {
  const codes: readonly string[] = ["sumdb_unavailable", "sumdb_not_found", "not_fetched"];
  return error instanceof ProxyError && codes.includes(error.code);
}
