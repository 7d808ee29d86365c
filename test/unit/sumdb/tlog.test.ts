import * as fc from "fast-check";
import { describe, it } from "vitest";
import { encodeUtf8, toBase64 } from "../../../src/sumdb/encoding.ts";
import { checkRecord, checkTree, proveRecord, proveTree } from "../../../src/sumdb/proof.ts";
import {
  emptyTreeHash,
  type Hash,
  nodeHash,
  readAll,
  recordHash,
  splitStoredHashIndex,
  storedHashCount,
  storedHashIndex,
  treeHash,
} from "../../../src/sumdb/tlog.ts";
import { MemoryTree } from "../../support/sumdb/memory-tree.ts";
import { flipBit } from "../../support/sumdb/test-database.ts";

const SIZE = 300;
const tree = new MemoryTree(Array.from({ length: SIZE }, (_, id) => `rec ${id}\n`));

const hashOf = (text: string) => recordHash(encodeUtf8(text));

/** Root by the words of RFC 6962, without any of the code under test but the two hashes. */
function rootByDefinition(leaves: readonly Hash[]): Hash {
  const [leaf] = leaves;
  if (leaf === undefined) return emptyTreeHash();
  if (leaves.length === 1) return leaf;
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  return nodeHash(rootByDefinition(leaves.slice(0, half)), rootByDefinition(leaves.slice(half)));
}

describe("hashes of records and nodes", () => {
  const first = hashOf("x\n");
  const second = hashOf("example.com/m v1.0.0 h1:aaa=\nexample.com/m v1.0.0/go.mod h1:bbb=\n");

  it("have the values of the reference implementation (vectors 156-159)", ({ expect }) => {
    expect(toBase64(first)).toBe("D4YemjKTUvCV+eYT0KfRcWjs+TMTgfztjhEBoztfEeY=");
    expect(toBase64(second)).toBe("6z20wi/ICGQ7lAFEEiEJbBl60AxtIkdUGSjv9RyU9GY=");
    expect(toBase64(nodeHash(first, second))).toBe("fyB/6UrwT4scZrn0DA7b+0VmVTRjacrhqgYo0y9Mfy0=");
    expect(toBase64(emptyTreeHash())).toBe("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  });
});

describe("storedHashIndex()", () => {
  it.for([
    [0, 0],
    [1, 1],
    [2, 3],
    [3, 4],
    [4, 7],
    [255, 502],
    [256, 511],
    [511, 1013],
    [1_000_000, 1_999_993],
  ] as const)("puts record %i at %i (vector 160)", ([record, index], { expect }) => {
    expect(storedHashIndex(0, record)).toBe(index);
  });

  it("is undone by splitStoredHashIndex(), up to trees of 2^50 records", ({ expect }) => {
    const level = fc.integer({ min: 0, max: 40 });
    const property = fc.property(level, fc.maxSafeNat(), (treeLevel, random) => {
      const n = random % 2 ** (50 - treeLevel);
      const split = splitStoredHashIndex(storedHashIndex(treeLevel, n));
      expect(split).toEqual({ level: treeLevel, n });
    });
    fc.assert(property, { numRuns: 1000 });
  });

  it("leaves no gap: every index below the count belongs to one node", ({ expect }) => {
    for (let size = 0; size <= SIZE; size++) {
      const count = new MemoryTree(tree.records.slice(0, size)).hashes.length;
      expect(storedHashCount(size)).toBe(count);
    }
    for (let index = 0; index < tree.hashes.length; index++) {
      const { level, n } = splitStoredHashIndex(index);
      expect(storedHashIndex(level, n)).toBe(index);
    }
  });
});

describe("treeHash()", () => {
  it("is the root by the definition of RFC 6962 at every size", async ({ expect }) => {
    const leaves = tree.records.map(hashOf);
    for (let size = 0; size <= SIZE; size++) {
      const root = await treeHash(size, tree.read);
      expect(toBase64(root)).toBe(toBase64(rootByDefinition(leaves.slice(0, size))));
    }
  });

  it.for([
    [515, "6O1SYkcpLVE5Q17L758CGXYtJN+cZNPX2TlAXLEUZdU="],
    [771, "WF8S7dmL/l3Ji+erI7TrHqnz9jPOoQgU1eMPf42mPD8="],
    [1027, "zBT3eoo0hH8lXDvBiABFwrV1t1VjmSTNd0qLWJDsvDw="],
  ] as const)("of %i records is %s (vector 171)", async ([size, root], { expect }) => {
    const log = new MemoryTree(Array.from({ length: size }, (_, id) => `rec ${id}\n`));
    expect(toBase64((await log.head()).root)).toBe(root);
  });

  it("takes no reader that answers with another number of hashes", async ({ expect }) => {
    await expect(readAll(async () => [], [0])).rejects.toThrow(TypeError);
  });
});

describe("proofs", () => {
  const sizes = fc.integer({ min: 1, max: SIZE });

  it("show every record to be in every tree that holds it, and nothing else", async ({
    expect,
  }) => {
    const property = fc.asyncProperty(sizes, fc.nat(), async (size, random) => {
      const id = random % size;
      const head = await tree.head(size);
      const proof = await proveRecord(size, id, tree.read);
      checkRecord(proof, head, { id, hash: hashOf(`rec ${id}\n`) });

      const other = { id, hash: hashOf(`rec ${id + 1}\n`) };
      expect(() => checkRecord(proof, head, other)).toThrow(/invalid transparency proof/);
      for (let at = 0; at < proof.length; at++) {
        const forged = proof.with(at, flipBit(proof[at] ?? new Uint8Array(), 31));
        const claim = { id, hash: hashOf(`rec ${id}\n`) };
        expect(() => checkRecord(forged, head, claim)).toThrow(/invalid transparency proof/);
        expect(() => checkRecord(proof.toSpliced(at, 1), head, claim)).toThrow(/invalid/);
      }
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it("show every older tree to be the beginning of the newer one, and no other", async ({
    expect,
  }) => {
    const property = fc.asyncProperty(sizes, fc.nat(), async (size, random) => {
      const older = await tree.head(1 + (random % size));
      const newer = await tree.head(size);
      const proof = await proveTree(size, older.size, tree.read);
      checkTree(proof, newer, older);

      const forked = { ...older, root: flipBit(older.root, 0) };
      expect(() => checkTree(proof, newer, forked)).toThrow(/invalid transparency proof/);
      expect(() => checkTree([...proof, newer.root], newer, older)).toThrow(/invalid/);
      for (let at = 0; at < proof.length; at++) {
        const forged = proof.with(at, flipBit(proof[at] ?? new Uint8Array(), 0));
        expect(() => checkTree(forged, newer, older)).toThrow(/invalid transparency proof/);
      }
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it("are not asked for beyond the tree", async ({ expect }) => {
    const head = await tree.head(5);
    expect(() => proveRecord(5, 5, tree.read)).toThrow(RangeError);
    expect(() => proveTree(5, 6, tree.read)).toThrow(RangeError);
    expect(() => checkTree([], head, { ...head, size: 0 })).toThrow(RangeError);
    expect(() => checkRecord([], head, { id: -1, hash: head.root })).toThrow(RangeError);
  });
});
