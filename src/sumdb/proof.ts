import { ProxyError } from "../errors/proxy-error.ts";
import { equalBytes } from "./encoding.ts";
import {
  foldTreeHash,
  type Hash,
  type HashReader,
  nodeHash,
  rangeIndexes,
  readAll,
  type TreeHead,
} from "./tlog.ts";

/** Records `low` to `high`, exclusive, whose common hash is one step of a proof. */
type Range = readonly [low: number, high: number];

/**
 * Prove that a tree of `size` records holds record number `n`.
 *
 * @param read - reader over a tree of at least `size` records; called once.
 * @returns the hashes beside the way from the record to the root, lowest first.
 * @throws {RangeError} no such record in the tree.
 * @source tlog.ProveRecord, RFC 6962 section 2.1.1
 */
export function proveRecord(size: number, n: number, read: HashReader): Promise<Hash[]> {
  checkOrder(0, n, size - 1);
  return readRanges(recordProofRanges(0, size, n), read);
}

/**
 * Check that `proof` shows `tree` to hold a record with the given hash as number `n`.
 *
 * @throws {ProxyError} sumdb_invalid - it does not.
 * @throws {RangeError} no such record in the tree.
 * @source tlog.CheckRecord
 */
export function checkRecord(
  proof: readonly Hash[],
  tree: TreeHead,
  record: { readonly id: number; readonly hash: Hash },
): void {
  checkOrder(0, record.id, tree.size - 1);
  const root = runRecordProof(proof, [0, tree.size], record);
  if (!equalBytes(root, tree.root)) throw proofFailed();
}

/**
 * Prove that the tree of `size` records begins with the tree of `olderSize` records.
 *
 * @param read - reader over a tree of at least `size` records; called once.
 * @throws {RangeError} the sizes are not 1 ≤ olderSize ≤ size.
 * @source tlog.ProveTree, RFC 6962 section 2.1.2
 */
export function proveTree(size: number, olderSize: number, read: HashReader): Promise<Hash[]> {
  checkOrder(1, olderSize, size);
  return readRanges(treeProofRanges(0, size, olderSize), read);
}

/**
 * Check that `proof` shows `newer` to begin with the records of `older`.
 *
 * @throws {ProxyError} sumdb_invalid - it does not.
 * @throws {RangeError} the sizes are not 1 ≤ older ≤ newer.
 * @source tlog.CheckTree
 */
export function checkTree(proof: readonly Hash[], newer: TreeHead, older: TreeHead): void {
  checkOrder(1, older.size, newer.size);
  const roots = runTreeProof(proof, [0, newer.size], older);
  if (!equalBytes(roots.older, older.root) || !equalBytes(roots.newer, newer.root)) {
    throw proofFailed();
  }
}

function recordProofRanges(low: number, high: number, n: number): Range[] {
  if (high - low === 1) return [];
  const middle = splitPoint(low, high);
  return n < middle
    ? [...recordProofRanges(low, middle, n), [middle, high]]
    : [...recordProofRanges(middle, high, n), [low, middle]];
}

function treeProofRanges(low: number, high: number, size: number): Range[] {
  // A left border that is a whole older tree needs no hash: the verifier has it.
  if (size === high) return low === 0 ? [] : [[low, high]];
  const middle = splitPoint(low, high);
  return size <= middle
    ? [...treeProofRanges(low, middle, size), [middle, high]]
    : [...treeProofRanges(middle, high, size), [low, middle]];
}

function runRecordProof(
  proof: readonly Hash[],
  [low, high]: Range,
  record: { readonly id: number; readonly hash: Hash },
): Hash {
  const beside = proof.at(-1);
  if (high - low === 1) {
    if (beside !== undefined) throw proofFailed();
    return record.hash;
  }
  if (beside === undefined) throw proofFailed();
  const middle = splitPoint(low, high);
  const below = proof.slice(0, -1);
  return record.id < middle
    ? nodeHash(runRecordProof(below, [low, middle], record), beside)
    : nodeHash(beside, runRecordProof(below, [middle, high], record));
}

function runTreeProof(
  proof: readonly Hash[],
  [low, high]: Range,
  older: TreeHead,
): { older: Hash; newer: Hash } {
  const beside = proof.at(-1);
  if (older.size === high) {
    const common = low === 0 ? older.root : beside;
    if (common === undefined || proof.length !== (low === 0 ? 0 : 1)) throw proofFailed();
    return { older: common, newer: common };
  }
  if (beside === undefined) throw proofFailed();
  const middle = splitPoint(low, high);
  const below = proof.slice(0, -1);
  if (older.size <= middle) {
    const left = runTreeProof(below, [low, middle], older);
    return { older: left.older, newer: nodeHash(left.newer, beside) };
  }
  const right = runTreeProof(below, [middle, high], older);
  return { older: nodeHash(beside, right.older), newer: nodeHash(beside, right.newer) };
}

/** One read for all ranges, since a reader may have to fetch. */
async function readRanges(ranges: readonly Range[], read: HashReader): Promise<Hash[]> {
  const wanted = ranges.map(([low, high]) => rangeIndexes(low, high));
  const hashes = await readAll(read, wanted.flat());
  let offset = 0;
  return wanted.map(({ length }) => foldTreeHash(hashes.slice(offset, (offset += length))));
}

/** Where a tree over more than one record divides: after the largest power of two below its size. */
function splitPoint(low: number, high: number): number {
  let width = 1;
  while (width * 2 < high - low) width *= 2;
  return low + width;
}

function checkOrder(least: number, value: number, most: number): void {
  if (!(Number.isSafeInteger(value) && least <= value && value <= most)) {
    throw new RangeError(`${value} is not between ${least} and ${most}`);
  }
}

function proofFailed(): ProxyError {
  return new ProxyError("sumdb_invalid", "invalid transparency proof");
}
