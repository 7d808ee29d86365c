import { HASH_SIZE } from "../../../src/sumdb/constants.ts";
import { encodeUtf8 } from "../../../src/sumdb/encoding.ts";
import { fullWidth, type Tile } from "../../../src/sumdb/tile.ts";
import {
  type Hash,
  type HashReader,
  nodeHash,
  recordHash,
  storedHashIndex,
  treeHash,
  type TreeHead,
} from "../../../src/sumdb/tlog.ts";

/**
 * A log as one list of stored hashes, in the order of the format.
 *
 * Built without tiles, so that tests of tiles do not check our tile code against itself.
 */
export class MemoryTree {
  readonly records: string[] = [];
  readonly hashes: Hash[] = [];

  constructor(records: readonly string[] = []) {
    for (const record of records) this.append(record);
  }

  get size(): number {
    return this.records.length;
  }

  append(record: string): number {
    const id = this.records.length;
    let hash = recordHash(encodeUtf8(record));
    this.records.push(record);
    this.hashes.push(hash);
    // Each trailing one bit of the number completes a subtree with the one at its left.
    for (let level = 0, n = id; n % 2 === 1; level++, n = (n - 1) / 2) {
      hash = nodeHash(this.hashAt(storedHashIndex(level, n - 1)), hash);
      this.hashes.push(hash);
    }
    return id;
  }

  readonly read: HashReader = async (indexes) => indexes.map((index) => this.hashAt(index));

  async head(size: number = this.size): Promise<TreeHead> {
    return { size, root: await treeHash(size, this.read) };
  }

  tileBytes(tile: Tile): Uint8Array {
    const bytes = new Uint8Array(tile.width * HASH_SIZE);
    const first = tile.index * fullWidth(tile.height);
    for (let at = 0; at < tile.width; at++) {
      const hash = this.hashAt(storedHashIndex(tile.height * tile.level, first + at));
      bytes.set(hash, at * HASH_SIZE);
    }
    return bytes;
  }

  private hashAt(index: number): Hash {
    const hash = this.hashes[index];
    if (hash === undefined) throw new RangeError(`no stored hash ${index}`);
    return hash;
  }
}
