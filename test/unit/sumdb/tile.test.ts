import { describe, it } from "vitest";
import { toBase64 } from "../../../src/sumdb/encoding.ts";
import {
  DATA_LEVEL,
  hashFromTile,
  subtreeHash,
  type Tile,
  tileForIndex,
  tilePath,
  tryParseTilePath,
} from "../../../src/sumdb/tile.ts";
import { splitStoredHashIndex, storedHashIndex } from "../../../src/sumdb/tlog.ts";
import { MemoryTree } from "../../support/sumdb/memory-tree.ts";

describe("tileForIndex()", () => {
  it.for([
    [0, "tile/8/0/000.p/1"],
    [255, "tile/8/0/000"],
    [256, "tile/8/0/001.p/1"],
    [1_000_000, "tile/8/0/x003/906.p/65"],
  ] as const)("finds record %i in %s (vector 161)", ([record, path], { expect }) => {
    expect(tilePath(tileForIndex(8, storedHashIndex(0, record)))).toBe(path);
  });

  it("puts a subtree of 256 records into the level above", ({ expect }) => {
    expect(tilePath(tileForIndex(8, storedHashIndex(8, 3)))).toBe("tile/8/1/000.p/4");
  });
});

describe("tilePath() and tryParseTilePath()", () => {
  const tile = (level: number, index: number, width = 256): Tile => ({
    height: 8,
    level,
    index,
    width,
  });

  it.for([
    ["tile/8/0/x001/x234/067", tile(0, 1_234_067)],
    ["tile/8/1/004.p/17", tile(1, 4, 17)],
    ["tile/8/data/005", tile(DATA_LEVEL, 5)],
    ["tile/8/0/x001/000", tile(0, 1000)],
    ["tile/8/0/999", tile(0, 999)],
    ["tile/3/4/x001/x234/067.p/1", { height: 3, level: 4, index: 1_234_067, width: 1 }],
  ] as const)("agree about %s (vector 162)", ([path, coordinates], { expect }) => {
    expect(tilePath(coordinates)).toBe(path);
    expect(tryParseTilePath(path)).toEqual(coordinates);
  });

  it.for([
    "tile/8/0/5",
    "tile/8/0/000.p/256",
    "tile/8/0/000.p/0",
    "tile/31/0/000",
    "tile/8/0/x000/001",
    "",
    "tile",
    "tile/8/0",
    "tile/0/0/000",
    "tile/08/0/000",
    "tile/8/64/000",
    "tile/8/00/000",
    "tile/8/-1/000",
    "tile/8/0/000/",
    "tile/8/0/000.p/01",
    "tile/8/0/000.p/",
    "tile/8/0/000.p/1/2",
    "tile/8/0/0000",
    "tile/8/0/x001/x002",
    "tile/8/0/001/002",
    "tile/8/0/../000",
    "tile/8/0/000\n",
    "tile/8/0/000?x",
    "tile/8/0/%30%30%30",
    "/tile/8/0/000",
    `tile/8/0/${"x999/".repeat(400)}999`,
    "tile/8/data/000.p/257",
    "tile/8/Data/000",
    "tile/8/0/x001/002.p/\u0661",
  ])("refuse %j (vector 163)", (path, { expect }) => {
    expect(tryParseTilePath(path)).toBeUndefined();
  });
});

describe("hashFromTile()", () => {
  const tree = new MemoryTree(Array.from({ length: 70 }, (_, id) => `rec ${id}\n`));

  it("computes every stored hash from the least tile and from wider ones", ({ expect }) => {
    for (let index = 0; index < tree.hashes.length; index++) {
      for (const height of [1, 2, 3]) {
        const least = tileForIndex(height, index);
        for (let width = least.width; width <= 2 ** height; width++) {
          const wider = { ...least, width };
          const last = wider.index * 2 ** height + width;
          if (last > Math.floor(70 / 2 ** (height * wider.level))) break;
          const bytes = tree.tileBytes(wider);
          const hash = hashFromTile({ tile: wider, bytes }, index);
          expect(toBase64(hash)).toBe(toBase64(tree.hashes[index] ?? new Uint8Array()));
        }
      }
    }
  });

  it("refuses an index that the tile does not hold, and a tile that is cut", ({ expect }) => {
    const tile = { height: 8, level: 0, index: 0, width: 70 };
    const bytes = tree.tileBytes(tile);
    const beyond = storedHashIndex(0, 70);
    expect(splitStoredHashIndex(beyond)).toEqual({ level: 0, n: 70 });
    expect(() => hashFromTile({ tile, bytes }, beyond)).toThrow(RangeError);
    expect(() => hashFromTile({ tile, bytes: bytes.slice(1) }, 0)).toThrow(RangeError);
  });
});

describe("subtreeHash()", () => {
  it.for([0, 1, 33, 96, 160])(
    "refuses %i bytes, which no complete subtree has",
    (length, { expect }) => {
      expect(() => subtreeHash(new Uint8Array(length))).toThrow(RangeError);
    },
  );
});
