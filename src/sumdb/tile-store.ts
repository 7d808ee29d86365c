import { ProxyError } from "../errors/proxy-error.ts";
import { HASH_SIZE, TILE_WIDTH } from "./constants.ts";
import { equalBytes, startsWith } from "./encoding.ts";
import type { SumdbPorts } from "./ports.ts";
import { SerialQueue, SharedFlights } from "./serial.ts";
import { fullTile, subtreeHash, type Tile, type TileData, tilePath } from "./tile.ts";
import { type ProvenHashes, readTreeHashes, type TileLoader, tileKey } from "./tile-reader.ts";
import type { Hash, TreeHead } from "./tlog.ts";

/** Hashes proven to be in a tree, with tiles that are not kept yet. */
export interface KeepableHashes extends ProvenHashes {
  /**
   * Keep the tiles: the new ones in storage, then all in memory.
   *
   * Call it when the tree is known to be on our timeline: a tile may be authentic for a fork.
   */
  keep(): Promise<void>;
}

/**
 * Where a proof takes its tiles from.
 *
 * `any`: memory, then storage, then the database. `database`: past our own tiles, to tell a lie of
 * the database from a damaged tile of ours. `own`: nothing leaves the house.
 */
export type TileSource = "any" | "database" | "own";

/** Loads the tiles of one proof, and knows afterwards where they came from. */
interface TileSession extends TileLoader {
  /** Whether a tile came from memory or storage, so that a failed proof may be their fault. */
  usedOwn: boolean;
  /** Keys of the tiles that came from the database, so that storage may not have them. */
  readonly fetched: Set<string>;
}

/**
 * The tiles of one database: memory before storage before the database itself.
 *
 * Memory and storage hold authentic tiles only, each at the greatest width seen.
 */
export class TileStore {
  readonly #ports: SumdbPorts;
  readonly #maxCached: number;
  /** By {@link tileKey}; the least recently used first. */
  readonly #cached = new Map<string, Uint8Array>();
  readonly #roots = new WeakMap<Uint8Array, Hash>();
  /** The edge that was checked last: most proofs in a row are made in one and the same tree. */
  #checked: { readonly tree: TreeHead; readonly edge: readonly Uint8Array[] } | undefined;
  readonly #writes = new SerialQueue();
  readonly #fetches = new SharedFlights<Uint8Array>();

  /** @param maxCached - tiles held in memory, 8 KiB each. */
  constructor(ports: SumdbPorts, maxCached: number) {
    this.#ports = ports;
    this.#maxCached = maxCached;
  }

  /**
   * Read hashes of a signed tree, authenticated, wherever its tiles are.
   *
   * When the proof fails and tiles of ours took part, it is tried once more with none of them: that
   * heals damaged storage, and lets a fork show itself.
   *
   * @param indexes - stored indexes of hashes in the tree; none to check the tree's edge alone.
   * @throws {ProxyError} sumdb_invalid - the tiles do not belong to the tree.
   * @throws {ProxyError} sumdb_unavailable, sumdb_not_found - a tile is nowhere to be had.
   */
  async prove(
    tree: TreeHead,
    indexes: readonly number[],
    source: TileSource = "any",
  ): Promise<KeepableHashes> {
    const session = this.#openSession(source);
    try {
      const proven = await readTreeHashes(tree, indexes, session);
      return { ...proven, keep: () => this.#keep(proven.tiles, session.fetched) };
    } catch (error) {
      const isLie = error instanceof ProxyError && error.code === "sumdb_invalid";
      if (!isLie || source !== "any" || !session.usedOwn) throw error;
      return this.prove(tree, indexes, "database");
    }
  }

  /** Bytes of a hash tile from memory, which holds authentic ones; undefined when not there. */
  readCached(tile: Tile): Uint8Array | undefined {
    const key = tileKey(tile);
    const cached = this.#cached.get(key);
    const length = tile.width * HASH_SIZE;
    if (cached === undefined || cached.length < length) return undefined;
    this.#cached.delete(key);
    this.#cached.set(key, cached);
    return cached.length === length ? cached : cached.subarray(0, length);
  }

  /** Keep an authentic data tile in storage. */
  keepDataTile(data: TileData): Promise<void> {
    return this.#writes.run(() => this.#write([data]));
  }

  /**
   * Fetch the records of a data tile from the database, unverified.
   *
   * @throws {ProxyError} sumdb_not_found, sumdb_unavailable - as the database answers.
   */
  fetchDataTile(tile: Tile): Promise<Uint8Array> {
    return this.#fetches.run(tilePath(tile), () => this.#fetchOrFull(tile));
  }

  #openSession(source: TileSource): TileSession {
    const session: TileSession = {
      usedOwn: false,
      fetched: new Set(),
      rootOf: (bytes) => this.#rootOf(bytes),
      checkEdge: (tree, edge, check) => this.#checkEdge(tree, edge, check),
      load: (tiles) => Promise.all(tiles.map((tile) => this.#loadTile(tile, source, session))),
    };
    return session;
  }

  async #loadTile(tile: Tile, source: TileSource, session: TileSession): Promise<Uint8Array> {
    const own = source === "database" ? undefined : await this.#readOwn(tile);
    if (own !== undefined) {
      session.usedOwn = true;
      return own;
    }
    if (source === "own") {
      throw new ProxyError("sumdb_unavailable", `${tilePath(tile)} is not stored`);
    }
    session.fetched.add(tileKey(tile));
    return this.#fetches.run(tilePath(tile), () => this.#fetchHashTile(tile));
  }

  async #keep(tiles: readonly TileData[], fetchedKeys: ReadonlySet<string>): Promise<void> {
    const fetched = tiles.filter(({ tile }) => fetchedKeys.has(tileKey(tile)));
    if (fetched.length > 0) {
      await this.#writes.run(async () => {
        await this.#write(fetched);
        for (const { tile, bytes } of fetched) this.#remember(tile, bytes);
      });
    }
    for (const { tile, bytes } of tiles) this.#remember(tile, bytes);
  }

  async #readOwn(tile: Tile): Promise<Uint8Array | undefined> {
    const cached = this.readCached(tile);
    if (cached !== undefined) return cached;
    const stored = await this.#ports.readTile(tile.level, tile.index);
    const length = tile.width * HASH_SIZE;
    return stored && stored.length >= length
      ? new Uint8Array(stored.subarray(0, length))
      : undefined;
  }

  async #fetchHashTile(tile: Tile): Promise<Uint8Array> {
    const length = tile.width * HASH_SIZE;
    const bytes = await this.#fetchOrFull(tile).catch((cause: unknown) => {
      // "Not found" would speak of the module that the proof is for.
      if (!isNotFound(cause)) throw cause;
      const detail = `the database does not show ${tilePath(tile)} of its own tree`;
      throw new ProxyError("sumdb_unavailable", detail, { cause });
    });
    // A full tile is good for a partial one, any other length for nothing.
    if (bytes.length === length || bytes.length === TILE_WIDTH * HASH_SIZE) {
      return new Uint8Array(bytes.subarray(0, length));
    }
    throw new ProxyError(
      "sumdb_invalid",
      `inconsistent tile ${tilePath(tile)}: ${bytes.length} bytes instead of ${length}`,
    );
  }

  /** A database may drop a partial tile as soon as the full one is there. */
  async #fetchOrFull(tile: Tile): Promise<Uint8Array> {
    try {
      return await this.#ports.fetch(`/${tilePath(tile)}`);
    } catch (error) {
      if (!isNotFound(error) || tile.width === TILE_WIDTH) throw error;
      return this.#ports.fetch(`/${tilePath(fullTile(tile.level, tile.index))}`);
    }
  }

  async #write(tiles: readonly TileData[]): Promise<void> {
    const isNew = await Promise.all(
      tiles.map(async ({ tile, bytes }) => {
        // Another proof may have stored this tile, or more of it, since this one missed it.
        const known =
          tile.width === TILE_WIDTH
            ? this.#cached.get(tileKey(tile))
            : await this.#ports.readTile(tile.level, tile.index);
        return known === undefined || !startsWith(known, bytes);
      }),
    );
    const news = tiles.filter((_, at) => isNew[at]);
    if (news.length > 0) await this.#ports.putTiles(news);
  }

  #remember(tile: Tile, bytes: Uint8Array): void {
    const key = tileKey(tile);
    const known = this.#cached.get(key);
    const isKnown = known === bytes || (known !== undefined && startsWith(known, bytes));
    this.#cached.delete(key);
    this.#cached.set(key, isKnown ? known : bytes);
    for (const oldest of this.#cached.keys()) {
      if (this.#cached.size <= this.#maxCached) break;
      this.#cached.delete(oldest);
    }
  }

  #checkEdge(tree: TreeHead, edge: readonly Uint8Array[], check: () => void): void {
    const last = this.#checked;
    const isSame =
      last?.tree.size === tree.size &&
      equalBytes(last.tree.root, tree.root) &&
      edge.length === last.edge.length &&
      edge.every((bytes, at) => bytes === last.edge[at]);
    if (isSame) return;
    check();
    this.#checked = { tree, edge };
  }

  #rootOf(bytes: Uint8Array): Hash {
    const known = this.#roots.get(bytes);
    if (known !== undefined) return known;
    const root = subtreeHash(bytes);
    this.#roots.set(bytes, root);
    return root;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof ProxyError && error.code === "sumdb_not_found";
}
