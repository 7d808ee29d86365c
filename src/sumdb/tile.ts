import { HASH_SIZE, MAX_TREE_SIZE, TILE_HEIGHT } from "./constants.ts";
import { type Hash, nodeHash, splitStoredHashIndex } from "./tlog.ts";

/** Level number of tiles that hold the records themselves, `data` in a path. @source tlog.Tile */
export const DATA_LEVEL = -1;

/**
 * Coordinates of a tile: `width` consecutive hashes of tree level `height × level`, the first of
 * which is number `index × 2^height` of that level.
 *
 * @source tlog.Tile (H, L, N, W)
 */
export interface Tile {
  /** 1 to 30; deployed databases have 8. */
  readonly height: number;
  /** {@link DATA_LEVEL} for records, else 0 to 63. */
  readonly level: number;
  readonly index: number;
  /** 1 to `2^height`; the latter is a full tile. */
  readonly width: number;
}

/** Coordinates with content: `32 × width` bytes, but for a data tile, which holds records. */
export interface TileData {
  readonly tile: Tile;
  readonly bytes: Uint8Array;
}

/** Entries of a full tile. */
export function fullWidth(height: number): number {
  return 2 ** height;
}

/**
 * Path of a tile without a leading slash, `tile/8/0/x001/234.p/5`.
 *
 * @source tlog.Tile.Path
 */
export function tilePath({ height, level, index, width }: Tile): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? [];
  const number = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group));
  const partial = width === fullWidth(height) ? "" : `.p/${width}`;
  return `tile/${height}/${level === DATA_LEVEL ? "data" : level}/${number.join("/")}${partial}`;
}

/**
 * Coordinates in a tile path.
 *
 * A tile has exactly one path: whatever does not encode to itself again is refused.
 *
 * @param path - as a client sent it, without a leading slash.
 * @returns undefined when malformed.
 * @source tlog.ParseTilePath
 */
export function tryParseTilePath(path: string): Tile | undefined {
  const fields = /^tile\/(\d{1,2})\/(data|\d{1,2})\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d+))?$/.exec(
    path,
  );
  if (fields === null) return undefined;
  const [, heightText, levelText, indexText = "", widthText] = fields;
  const height = Number(heightText);
  const level = levelText === "data" ? DATA_LEVEL : Number(levelText);
  const index = Number(indexText.replaceAll(/[x/]/g, ""));
  const width = widthText === undefined ? fullWidth(height) : Number(widthText);

  if (height < 1 || height > 30 || level > 63 || !(index < MAX_TREE_SIZE)) return undefined;
  if (width < 1 || width > fullWidth(height)) return undefined;
  const tile = { height, level, index, width };
  return tilePath(tile) === path ? tile : undefined;
}

/**
 * Tile of least width that holds the hash at a stored index.
 *
 * @source tlog.TileForIndex
 */
export function tileForIndex(height: number, storedIndex: number): Tile {
  return locate(height, storedIndex).tile;
}

/**
 * Hash at a stored index, computed from a tile that covers it.
 *
 * @param data - a hash tile whose length agrees with its width.
 * @throws {RangeError} the tile does not cover the index: a mistake in the caller.
 * @source tlog.HashFromTile
 */
export function hashFromTile({ tile, bytes }: TileData, storedIndex: number): Hash {
  const { tile: least, start } = locate(tile.height, storedIndex);
  const covers =
    least.level === tile.level && least.index === tile.index && least.width <= tile.width;
  if (!covers || bytes.length < tile.width * HASH_SIZE) {
    throw new RangeError(`stored hash ${storedIndex} is not in ${tilePath(tile)}`);
  }
  return subtreeHash(bytes.subarray(start * HASH_SIZE, least.width * HASH_SIZE));
}

/**
 * Hash of the complete subtree whose lowest hashes are given.
 *
 * @param bytes - a power of two of concatenated hashes.
 * @source tlog.tileHash
 */
export function subtreeHash(bytes: Uint8Array): Hash {
  if (bytes.length === HASH_SIZE) return bytes;
  if (bytes.length === 0 || bytes.length % (2 * HASH_SIZE) !== 0) {
    throw new RangeError("a complete subtree has a power of two of hashes");
  }
  const half = bytes.length / 2;
  return nodeHash(subtreeHash(bytes.subarray(0, half)), subtreeHash(bytes.subarray(half)));
}

/**
 * The tile `up` levels above one, at its width in a tree of `size` records.
 *
 * @param up - 0 for the tile itself.
 * @returns undefined when the tree has no such tile.
 * @source tlog.tileParent
 */
export function tileInTree(tile: Tile, up: number, size: number): Tile | undefined {
  const { height } = tile;
  const level = tile.level + up;
  const index = Math.floor(tile.index / 2 ** (height * up));
  const hashesAtLevel = Math.floor(size / 2 ** (height * level));
  const width = Math.min(fullWidth(height), hashesAtLevel - index * fullWidth(height));
  return width > 0 ? { height, level, index, width } : undefined;
}

/**
 * Whether a tree of `size` records has all hashes, or records, of a tile.
 *
 * @source tlog.Tile
 */
export function reachesTile(size: number, tile: Tile): boolean {
  const level = tile.level === DATA_LEVEL ? 0 : tile.level;
  const inTree = tileInTree({ ...tile, level }, 0, size);
  return inTree !== undefined && inTree.width >= tile.width;
}

/** The tiles of height 8 that {@link tilePath} writes for a level and number. */
export function fullTile(level: number, index: number): Tile {
  return { height: TILE_HEIGHT, level, index, width: fullWidth(TILE_HEIGHT) };
}

/** Least tile for a stored index, and the entry in it at which the hash's subtree starts. */
function locate(height: number, storedIndex: number): { tile: Tile; start: number } {
  const { level: treeLevel, n } = splitStoredHashIndex(storedIndex);
  const level = Math.floor(treeLevel / height);
  // One node of the wanted level spans this many entries of the tile.
  const span = 2 ** (treeLevel - level * height);
  const full = fullWidth(height);
  const index = Math.floor((n * span) / full);
  const start = n * span - index * full;
  return { tile: { height, level, index, width: start + span }, start };
}
