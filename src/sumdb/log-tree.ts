import { ProxyError } from "../errors/proxy-error.ts";
import { HASH_SIZE, TILE_HEIGHT, TILE_WIDTH } from "./constants.ts";
import { concatBytes } from "./encoding.ts";
import { hashFromTile, subtreeHash, type TileData, tileForIndex, tilePath } from "./tile.ts";
import { readTreeHashes, tileKey } from "./tile-reader.ts";
import { foldTreeHash, type Hash, type TreeHead, treeHashIndexes } from "./tlog.ts";

/** Reads the content of a tile as stored, at least as wide as the tree needs it. */
export type TileBytesReader = (level: number, index: number) => Promise<Uint8Array | undefined>;

/** A tree after records were appended. */
export interface GrownTree {
  readonly head: TreeHead;
  /** Tiles that are new or wider than before: to be stored before the head is. */
  readonly tiles: readonly TileData[];
}

/** The tile at the right end of one level, being filled. */
interface OpenTile {
  readonly index: number;
  readonly hashes: Hash[];
}

/**
 * Append records to a tree, in memory: nothing is written here.
 *
 * The stored right edge is checked against the head first. A log that extends tiles which are not
 * its own would sign a fork of itself.
 *
 * Tiles that an append left behind without its head do no harm: they are cut to what the head
 * covers, and overwritten.
 *
 * @param head - the newest head that this log signed; size 0 for a new log.
 * @param records - hashes of the records to append, in order.
 * @throws {ProxyError} storage_unavailable - a tile of the edge is missing or damaged.
 * @source tlog.StoredHashes, tlog.NewTiles
 */
export async function growTree(
  head: TreeHead,
  records: readonly Hash[],
  readTile: TileBytesReader,
): Promise<GrownTree> {
  const edge = await readEdge(head, readTile);
  const open = new Map<number, OpenTile>();
  for (const { tile, bytes } of edge) {
    open.set(tile.level, { index: tile.index, hashes: splitHashes(bytes) });
  }

  const filled: TileData[] = [];
  const touched = new Set<number>();
  for (const record of records) {
    let hash = record;
    for (let level = 0; ; level++) {
      const tile = open.get(level) ?? {
        index: Math.floor(head.size / TILE_WIDTH ** (level + 1)),
        hashes: [],
      };
      tile.hashes.push(hash);
      open.set(level, tile);
      touched.add(level);
      if (tile.hashes.length < TILE_WIDTH) break;

      const full = toTileData(level, tile);
      filled.push(full);
      open.set(level, { index: tile.index + 1, hashes: [] });
      hash = subtreeHash(full.bytes);
    }
  }

  const partial = [...open].filter(([, tile]) => tile.hashes.length > 0);
  const newEdge = partial.map(([level, tile]) => toTileData(level, tile));
  const size = head.size + records.length;
  return {
    head: { size, root: rootOfEdge(size, newEdge) },
    tiles: [...filled, ...newEdge.filter(({ tile }) => touched.has(tile.level))],
  };
}

async function readEdge(head: TreeHead, readTile: TileBytesReader): Promise<readonly TileData[]> {
  try {
    const { tiles } = await readTreeHashes(head, [], {
      load: (wanted) =>
        Promise.all(
          wanted.map(async ({ level, index, width }) => {
            const bytes = await readTile(level, index);
            return bytes?.subarray(0, width * HASH_SIZE) ?? new Uint8Array();
          }),
        ),
    });
    return tiles;
  } catch (cause) {
    if (!(cause instanceof ProxyError)) throw cause;
    throw new ProxyError("storage_unavailable", "stored tiles of the log are missing or damaged", {
      cause,
    });
  }
}

function rootOfEdge(size: number, edge: readonly TileData[]): Hash {
  const byKey = new Map(edge.map((data) => [tileKey(data.tile), data]));
  const hashes = treeHashIndexes(size).map((index) => {
    const tile = tileForIndex(TILE_HEIGHT, index);
    const data = byKey.get(tileKey(tile));
    if (data === undefined) throw new TypeError(`${tilePath(tile)} is not at the edge`);
    return hashFromTile(data, index);
  });
  return foldTreeHash(hashes);
}

function toTileData(level: number, { index, hashes }: OpenTile): TileData {
  const tile = { height: TILE_HEIGHT, level, index, width: hashes.length };
  return { tile, bytes: concatBytes(...hashes) };
}

function splitHashes(bytes: Uint8Array): Hash[] {
  return Array.from({ length: bytes.length / HASH_SIZE }, (_, at) =>
    bytes.slice(at * HASH_SIZE, (at + 1) * HASH_SIZE),
  );
}
