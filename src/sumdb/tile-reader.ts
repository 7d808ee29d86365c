import { ProxyError } from "../errors/proxy-error.ts";
import { HASH_SIZE, TILE_HEIGHT, TILE_WIDTH } from "./constants.ts";
import { equalBytes } from "./encoding.ts";
import {
  hashFromTile,
  subtreeHash,
  type Tile,
  type TileData,
  tileForIndex,
  tileInTree,
  tilePath,
} from "./tile.ts";
import {
  foldTreeHash,
  type Hash,
  storedHashCount,
  storedHashIndex,
  type TreeHead,
  treeHashIndexes,
} from "./tlog.ts";

/** Where tiles come from, trusted or not, and a memory for the roots of full ones. */
export interface TileLoader {
  /** Bytes of each tile, in the same order. */
  load(tiles: readonly Tile[]): Promise<readonly Uint8Array[]>;
  /** Root of a full tile; may be remembered for as long as the bytes are the same object. */
  rootOf?(bytes: Uint8Array): Hash;
  /**
   * Check the edge of a tree; may be spared when these very bytes passed for the same tree before.
   *
   * @param check - throws when the edge does not add up to the tree.
   */
  checkEdge?(tree: TreeHead, edge: readonly Uint8Array[], check: () => void): void;
}

/** Hashes that are proven to be in a tree, and every tile that was read to prove it. */
export interface ProvenHashes {
  /** One per index asked for, in the same order. */
  readonly hashes: readonly Hash[];
  /** All authentic for the tree: these may be stored. */
  readonly tiles: readonly TileData[];
}

/** Tiles to read. */
interface TilePlan {
  /** The different tiles whose hashes make up the root: the tree's right edge. */
  readonly edge: readonly Tile[];
  /** All others, each after its parent. */
  readonly others: readonly Tile[];
}

/**
 * Read hashes of a tree from tiles that nobody vouches for.
 *
 * The root is computed from the tiles of the right edge, and every other tile is compared with its
 * parent before one hash of it is used. One tile of the edge may hold several of the hashes that
 * make up the root, so both kinds are told apart by tile, never by counting hashes: that mistake
 * leaves tiles unchecked (CVE-2026-56865).
 *
 * @param tree - a head whose signature was checked.
 * @param indexes - stored indexes of hashes in the tree.
 * @throws {ProxyError} sumdb_invalid - the tiles do not belong to this tree; none may be kept.
 * @throws {RangeError} an index is not in the tree.
 * @source tlog.TileHashReader, as of x/mod v0.40.0
 */
export async function readTreeHashes(
  tree: TreeHead,
  indexes: readonly number[],
  loader: TileLoader,
): Promise<ProvenHashes> {
  const { edge, others } = planTiles(tree.size, indexes);
  const wanted = [...edge, ...others];
  const loaded = await loader.load(wanted);
  const tiles = wanted.map((tile, at) => checkLength(tile, loaded[at]));
  const byKey = new Map(tiles.map((data) => [tileKey(data.tile), data]));

  const check = (): void => checkRoot(tree, byKey);
  if (loader.checkEdge === undefined) check();
  else loader.checkEdge(tree, loaded.slice(0, edge.length), check);
  const rootOf = (bytes: Uint8Array) => loader.rootOf?.(bytes) ?? subtreeHash(bytes);
  for (const child of tiles.slice(edge.length)) {
    const claimed = parentHash(tree.size, child.tile, byKey);
    if (!equalBytes(claimed, rootOf(child.bytes))) throw inconsistentTile(child.tile);
  }
  const hashes = indexes.map((index) => hashFromTile(holderOf(index, tree.size, byKey), index));
  return { hashes, tiles };
}

/** Where a tile stands, whatever its width: one tree has one width for it. */
export function tileKey({ level, index }: Tile): string {
  return `${level}/${index}`;
}

function planTiles(size: number, indexes: readonly number[]): TilePlan {
  const edge = new Map<string, Tile>();
  for (const index of treeHashIndexes(size)) {
    const tile = tileOfIndex(index, size);
    edge.set(tileKey(tile), tile);
  }

  const others = new Map<string, Tile>();
  const isPlanned = (tile: Tile) => edge.has(tileKey(tile)) || others.has(tileKey(tile));
  for (const index of indexes) {
    const missing: Tile[] = [];
    let tile = tileOfIndex(index, size);
    while (!isPlanned(tile)) {
      missing.unshift(tile);
      tile = parentOf(tile, size);
    }
    for (const planned of missing) others.set(tileKey(planned), planned);
  }
  return { edge: [...edge.values()], others: [...others.values()] };
}

/** Fold the hashes of the right edge into the root, and compare it with the signed one. */
function checkRoot(tree: TreeHead, byKey: ReadonlyMap<string, TileData>): void {
  const hashes = treeHashIndexes(tree.size).map((index) =>
    hashFromTile(holderOf(index, tree.size, byKey), index),
  );
  if (!equalBytes(foldTreeHash(hashes), tree.root)) {
    throw new ProxyError(
      "sumdb_invalid",
      `inconsistent tile: those at the edge do not add up to the tree of ${tree.size} records`,
    );
  }
}

/** What the parent says that the hash of a full tile is. */
function parentHash(size: number, child: Tile, byKey: ReadonlyMap<string, TileData>): Hash {
  const parent = byKey.get(tileKey(parentOf(child, size)));
  if (parent === undefined || child.width !== TILE_WIDTH) {
    throw new TypeError(`${tilePath(child)} was planned without its parent`);
  }
  return hashFromTile(parent, storedHashIndex(TILE_HEIGHT * parent.tile.level, child.index));
}

function holderOf(index: number, size: number, byKey: ReadonlyMap<string, TileData>): TileData {
  const holder = byKey.get(tileKey(tileOfIndex(index, size)));
  if (holder === undefined) throw new TypeError(`no tile was planned for stored hash ${index}`);
  return holder;
}

function tileOfIndex(index: number, size: number): Tile {
  const tile = tileInTree(tileForIndex(TILE_HEIGHT, index), 0, size);
  if (tile === undefined || index >= storedHashCount(size)) {
    throw new RangeError(`stored hash ${index} is not in a tree of ${size} records`);
  }
  return tile;
}

function parentOf(tile: Tile, size: number): Tile {
  const parent = tileInTree(tile, 1, size);
  if (parent === undefined) throw new TypeError(`${tilePath(tile)} has no parent in its tree`);
  return parent;
}

function checkLength(tile: Tile, bytes: Uint8Array | undefined): TileData {
  if (bytes?.length !== tile.width * HASH_SIZE) throw inconsistentTile(tile);
  return { tile, bytes };
}

function inconsistentTile(tile: Tile): ProxyError {
  return new ProxyError("sumdb_invalid", `inconsistent tile ${tilePath(tile)}`);
}
