import { hash } from "node:crypto";
import { HASH_SIZE } from "./constants.ts";
import { concatBytes } from "./encoding.ts";

/** A SHA-256 hash, 32 bytes. Shared between readers: never written to. */
export type Hash = Uint8Array;

/**
 * Read hashes of a tree by their stored index (see {@link storedHashIndex}).
 *
 * @returns one hash per index, in the same order.
 * @source tlog.HashReader
 */
export type HashReader = (indexes: readonly number[]) => Promise<readonly Hash[]>;

/** Size and root hash of a tree. @source tlog.Tree */
export interface TreeHead {
  /** Number of records. */
  readonly size: number;
  readonly root: Hash;
}

/** Hash of the record with the given text. @source tlog.RecordHash, RFC 6962 section 2.1 */
export function recordHash(record: Uint8Array): Hash {
  return sha256(concatBytes(Uint8Array.of(0), record));
}

/** Hash of the node above two nodes. @source tlog.NodeHash, RFC 6962 section 2.1 */
export function nodeHash(left: Hash, right: Hash): Hash {
  const input = new Uint8Array(1 + 2 * HASH_SIZE);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 1 + HASH_SIZE);
  return sha256(input);
}

/** Root of the tree without records: the hash of nothing. @source RFC 6962 section 2.1 */
export function emptyTreeHash(): Hash {
  return sha256(new Uint8Array());
}

/**
 * Place of node `n` of a level in the linear order in which hashes come into being.
 *
 * @param level - 0 for records, 1 for pairs of them, and so on.
 * @param n - number of the node within its level.
 * @source tlog.StoredHashIndex
 */
export function storedHashIndex(level: number, n: number): number {
  // A node is stored right after the last record below it, behind the nodes of lower levels that
  // the same record completes.
  const lastRecord = (n + 1) * 2 ** level - 1;
  let index = level;
  for (let rest = lastRecord; rest > 0; rest = Math.floor(rest / 2)) index += rest;
  return index;
}

/**
 * Level and number of the node at a stored index: the inverse of {@link storedHashIndex}.
 *
 * @source tlog.SplitStoredHashIndex
 */
export function splitStoredHashIndex(index: number): { level: number; n: number } {
  // Fewer than 2n hashes come before record n, so the record that completes this one is at or
  // shortly after index/2.
  let record = Math.floor(index / 2);
  let first = storedHashIndex(0, record);
  for (;;) {
    const next = first + 1 + trailingZeros(record + 1);
    if (next > index) break;
    record++;
    first = next;
  }
  const level = index - first;
  return { level, n: Math.floor(record / 2 ** level) };
}

/** Number of hashes that a tree of `size` records stores. @source tlog.StoredHashCount */
export function storedHashCount(size: number): number {
  return size === 0 ? 0 : storedHashIndex(0, size - 1) + 1 + trailingZeros(size);
}

/** Stored indexes of the complete subtrees that make up a tree. @source tlog.subTreeIndex */
export function treeHashIndexes(size: number): number[] {
  return rangeIndexes(0, size);
}

/**
 * Root of the tree of the first `size` records.
 *
 * @param read - reader over a tree of at least that size; called once.
 * @source tlog.TreeHash
 */
export async function treeHash(size: number, read: HashReader): Promise<Hash> {
  return foldTreeHash(await readAll(read, treeHashIndexes(size)));
}

/**
 * Root of a tree from the hashes at its {@link treeHashIndexes}, in that order.
 *
 * @source tlog.subTreeHash
 */
export function foldTreeHash(hashes: readonly Hash[]): Hash {
  const last = hashes.at(-1);
  if (last === undefined) return emptyTreeHash();
  return hashes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/**
 * Stored indexes of the complete subtrees that make up records `low` to `high`, exclusive.
 *
 * @param low - a multiple of the largest power of two not above `high - low`.
 * @source tlog.subTreeIndex
 */
export function rangeIndexes(low: number, high: number): number[] {
  const indexes: number[] = [];
  for (let start = low; start < high;) {
    let level = 0;
    while (2 ** (level + 1) <= high - start) level++;
    indexes.push(storedHashIndex(level, start / 2 ** level));
    start += 2 ** level;
  }
  return indexes;
}

/**
 * Ask a reader, and hold it to its contract.
 *
 * @throws {TypeError} it answered with another number of hashes.
 */
export async function readAll(
  read: HashReader,
  indexes: readonly number[],
): Promise<readonly Hash[]> {
  if (indexes.length === 0) return [];
  const hashes = await read(indexes);
  if (hashes.length !== indexes.length) {
    throw new TypeError(`hash reader answered ${indexes.length} indexes with ${hashes.length}`);
  }
  return hashes;
}

/** One call instead of three: a tile takes 255 of these. */
function sha256(bytes: Uint8Array): Hash {
  return hash("sha256", bytes, "buffer");
}

function trailingZeros(value: number): number {
  let zeros = 0;
  for (let rest = value; rest % 2 === 0; rest /= 2) zeros++;
  return zeros;
}
