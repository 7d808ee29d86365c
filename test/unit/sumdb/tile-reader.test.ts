import { describe, it } from "vitest";
import { encodeUtf8, equalBytes, toBase64 } from "../../../src/sumdb/encoding.ts";
import { subtreeHash, type Tile, tilePath } from "../../../src/sumdb/tile.ts";
import { readTreeHashes, tileKey, type TileLoader } from "../../../src/sumdb/tile-reader.ts";
import { type Hash, recordHash, storedHashIndex, type TreeHead } from "../../../src/sumdb/tlog.ts";
import { MemoryTree } from "../../support/sumdb/memory-tree.ts";
import { flipBit } from "../../support/sumdb/test-database.ts";

const LARGEST = 65_539;
const tree = new MemoryTree(Array.from({ length: LARGEST }, (_, id) => `rec ${id}\n`));

/** Loads true tiles, with one in the place of which it can be given another. */
class ForgingLoader implements TileLoader {
  forged: { key: string; bytes: Uint8Array } | undefined;
  loaded: readonly Tile[] = [];
  readonly #bytes = new Map<string, Uint8Array>();
  readonly #roots = new WeakMap<Uint8Array, Hash>();

  async load(tiles: readonly Tile[]): Promise<readonly Uint8Array[]> {
    this.loaded = tiles;
    return tiles.map((tile) =>
      this.forged?.key === tileKey(tile) ? this.forged.bytes : this.truth(tile),
    );
  }

  rootOf(bytes: Uint8Array): Hash {
    const root = this.#roots.get(bytes) ?? subtreeHash(bytes);
    this.#roots.set(bytes, root);
    return root;
  }

  truth(tile: Tile): Uint8Array {
    const path = tilePath(tile);
    const bytes = this.#bytes.get(path) ?? tree.tileBytes(tile);
    this.#bytes.set(path, bytes);
    return bytes;
  }
}

const loader = new ForgingLoader();

async function readRecords(head: TreeHead, ids: readonly number[]): Promise<readonly Hash[]> {
  const indexes = ids.map((id) => storedHashIndex(0, id));
  return (await readTreeHashes(head, indexes, loader)).hashes;
}

/** Whether a read with one hash of one tile forged is refused. */
async function isRefused(head: TreeHead, id: number, tile: Tile, at: number): Promise<boolean> {
  loader.forged = { key: tileKey(tile), bytes: flipBit(loader.truth(tile), at * 32 + (at % 32)) };
  try {
    await readRecords(head, [id]);
    return false;
  } catch (error) {
    return /sumdb_invalid: inconsistent tile/.test(String(error));
  } finally {
    loader.forged = undefined;
  }
}

describe("readTreeHashes()", () => {
  // Guarantee: no hash of a tile counts before the tile was checked (CVE-2026-56865).
  it.for([255, 256, 257, 258, 259, 511, 512, 513, 514, 515, 768, 771, 1027])(
    "refuses a forged hash at any place of any tile of a tree of %i records",
    async (size, { expect }) => {
      const head = await tree.head(size);
      const missed: string[] = [];
      for (let tileStart = 0; tileStart < size; tileStart += 256) {
        await readRecords(head, [tileStart]);
        for (const tile of loader.loaded) {
          // The tiles above belong to every record: once is enough.
          if (tile.index * 256 !== tileStart && (tile.level === 0 || tileStart > 0)) continue;
          for (let at = 0; at < tile.width; at++) {
            // Full tiles in the middle are like the first one: a part of their places is enough.
            const isMiddle = tile.width === 256 && tileStart > 0;
            if (isMiddle && at % 8 !== 0) continue;
            if (!(await isRefused(head, tileStart, tile, at)))
              missed.push(`${tilePath(tile)} ${at}`);
          }
        }
      }
      expect(missed).toEqual([]);
    },
  );

  it.for([65_535, 65_536, 65_537, 65_538, 65_539])(
    "refuses a forged hash in any tile read for a record of a tree of %i records",
    async (size, { expect }) => {
      const head = await tree.head(size);
      const missed: string[] = [];
      for (const id of [0, 255, 256, 32_768, 65_279, 65_280, 65_534, size - 1]) {
        await readRecords(head, [id]);
        for (const tile of loader.loaded) {
          for (const at of new Set([0, 1, id % tile.width, tile.width >> 1, tile.width - 1])) {
            if (at < tile.width && !(await isRefused(head, id, tile, at))) {
              missed.push(`${tilePath(tile)} ${at} for ${id}`);
            }
          }
        }
      }
      expect(missed).toEqual([]);
    },
  );

  it.for([515, 771, 1027])(
    "refuses the tile that old clients took in a tree of %i records (vector 171)",
    async (size, { expect }) => {
      const tile = { height: 8, level: 0, index: 0, width: 256 };
      const bytes = loader.truth(tile).slice().fill(0xff, 0, 32);
      loader.forged = { key: tileKey(tile), bytes };
      const refusal = expect(readRecords(await tree.head(size), [0])).rejects;
      await refusal.toThrow("inconsistent tile tile/8/0/000");
      loader.forged = undefined;
    },
  );

  it("reads every record of a tree, many at once too", async ({ expect }) => {
    for (const size of [1, 2, 255, 256, 257, 600, LARGEST]) {
      const head = await tree.head(size);
      const ids = [0, size >> 1, size - 1, Math.min(255, size - 1), Math.min(256, size - 1)];
      const hashes = await readRecords(head, ids);
      const expected = ids.map((id) => toBase64(recordHash(encodeUtf8(`rec ${id}\n`))));
      expect(hashes.map(toBase64)).toEqual(expected);
    }
  });

  it.for([-32, -1, 1, 32])("refuses a tile that is %i bytes off", async (off, { expect }) => {
    const head = await tree.head(700);
    await readRecords(head, [3]);
    for (const tile of loader.loaded) {
      const bytes = new Uint8Array(tile.width * 32 + off);
      bytes.set(loader.truth(tile).subarray(0, bytes.length));
      loader.forged = { key: tileKey(tile), bytes };
      await expect(readRecords(head, [3])).rejects.toThrow(`inconsistent tile ${tilePath(tile)}`);
    }
    loader.forged = undefined;
  });

  it("refuses a loader that leaves a tile out", async ({ expect }) => {
    const lazy: TileLoader = { load: async () => [] };
    await expect(readTreeHashes(await tree.head(3), [], lazy)).rejects.toThrow(/inconsistent/);
  });

  it("refuses tiles of another tree of the same size", async ({ expect }) => {
    const head = await tree.head(300);
    const forked = { ...head, root: flipBit(head.root, 5) };
    await expect(readRecords(forked, [0])).rejects.toThrow(/tree of 300 records/);
  });

  it("hands out only tiles that it has checked, each once", async ({ expect }) => {
    const head = await tree.head(LARGEST);
    const { tiles } = await readTreeHashes(head, [0, 1, storedHashIndex(8, 0)], loader);
    const keys = tiles.map(({ tile }) => tileKey(tile));
    expect(new Set(keys).size).toBe(keys.length);
    for (const { tile, bytes } of tiles) expect(equalBytes(bytes, loader.truth(tile))).toBe(true);
  });

  it("is not asked for hashes beyond the tree", async ({ expect }) => {
    await expect(readRecords(await tree.head(10), [10])).rejects.toThrow(RangeError);
  });
});
