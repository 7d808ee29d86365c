import { ProxyError } from "../errors/proxy-error.ts";
import { MAX_HEAD_MOVES, TILE_HEIGHT, TILE_WIDTH } from "./constants.ts";
import { equalBytes, startsWith, toBase64 } from "./encoding.ts";
import { openNote, type Verifier } from "./note.ts";
import type { SumdbPorts } from "./ports.ts";
import { checkTree, proveTree } from "./proof.ts";
import { parseTreeHead } from "./record.ts";
import { SerialQueue } from "./serial.ts";
import { hashFromTile, type TileData, tileForIndex } from "./tile.ts";
import { tileKey } from "./tile-reader.ts";
import type { TileStore } from "./tile-store.ts";
import {
  foldTreeHash,
  type Hash,
  storedHashIndex,
  type TreeHead,
  treeHashIndexes,
} from "./tlog.ts";

/** A tree head with the signed note that vouches for it. */
export interface SignedHead extends TreeHead {
  readonly note: string;
}

/** A record to prove: its number, and the hash of its text. */
export interface RecordClaim {
  readonly id: number;
  readonly hash: Hash;
}

/**
 * Keeps the newest tree head that we accepted, and lets no other timeline in.
 *
 * What holds after every move of the head: the tiles of its right edge are stored, and so are those
 * which prove the head before. A record that was proven under any earlier head is therefore provable
 * under the newest one from stored tiles alone. A full tile on the record's way stays what it was,
 * and a partial one lay on the older right edge, which the move read again.
 */
export class HeadKeeper {
  readonly #verifier: Verifier;
  readonly #ports: SumdbPorts;
  readonly #tiles: TileStore;
  readonly #moves = new SerialQueue();
  /** The stored head as opened last, so that a signature is not checked twice. */
  #opened: SignedHead | undefined;

  constructor(verifier: Verifier, ports: SumdbPorts, tiles: TileStore) {
    this.#verifier = verifier;
    this.#ports = ports;
    this.#tiles = tiles;
  }

  /**
   * The newest accepted head; undefined when there never was one.
   *
   * @throws {ProxyError} sumdb_invalid - the stored one is not signed by the configured key.
   */
  async current(): Promise<SignedHead | undefined> {
    // Always by way of storage: another keeper of the same head may have moved it.
    const note = await this.#ports.readHead();
    if (note === undefined) return undefined;
    if (this.#opened?.note === note) return this.#opened;
    this.#opened = await this.open(note).catch((cause: unknown) => {
      const detail = "the stored tree head is not signed by the configured key; was it changed?";
      throw new ProxyError("sumdb_invalid", detail, { cause });
    });
    return this.#opened;
  }

  /**
   * Check the signature of a tree head.
   *
   * @param note - unverified.
   * @throws {ProxyError} sumdb_invalid - bad signature or malformed.
   */
  async open(note: string): Promise<SignedHead> {
    const { text } = await openNote(note, [this.#verifier]);
    return { ...parseTreeHead(text), note };
  }

  /**
   * Let a signed head in: a newer one becomes ours, an older one must be a prefix of ours.
   *
   * @param theirs - from {@link HeadKeeper.open}.
   * @param record - also proven, or all is refused and nothing kept.
   * @returns the head under which all was proven: the larger of both.
   * @throws {ProxyError} tree_forked - it is neither; both heads went to `onFork`.
   * @throws {ProxyError} sumdb_invalid - tiles or the record do not belong to the tree.
   * @throws {ProxyError} sumdb_unavailable, sumdb_not_found - a tile is nowhere to be had.
   * @source sumdb.Client (mergeLatest, checkTrees, checkRecord)
   */
  async admit(theirs: SignedHead, record?: RecordClaim): Promise<SignedHead> {
    let ours = await this.current();
    if (ours === undefined || theirs.size > ours.size) {
      ours = await this.#moves.run(() => this.#move(theirs, record));
    }
    // Either it was the past at once, or another move made it so while this one was waiting.
    if (ours !== theirs) await this.#admitPast(ours, theirs, record);
    return ours;
  }

  /**
   * Prove a record under a head that is ours already, and keep the tiles.
   *
   * @throws {ProxyError} as {@link HeadKeeper.admit}.
   */
  async proveRecord(head: SignedHead, record: RecordClaim): Promise<void> {
    const proven = await this.#tiles.prove(head, [storedHashIndex(0, record.id)]);
    checkRecordHash(record, proven.hashes[0]);
    await proven.keep();
  }

  /** @returns the newest head afterwards; nothing is proven yet when that is not `theirs`. */
  async #move(theirs: SignedHead, record: RecordClaim | undefined): Promise<SignedHead> {
    for (let attempt = 0; attempt < MAX_HEAD_MOVES; attempt++) {
      const ours = await this.current();
      if (ours !== undefined && theirs.size <= ours.size) return ours;
      // Tiles first, head last: a head without its tiles would break what holds after a move.
      await this.#proveSpan({ newer: theirs, older: ours, ours }, record);
      if (await this.#ports.casHead(ours?.note, theirs.note)) {
        this.#opened = theirs;
        return theirs;
      }
    }
    throw new ProxyError("storage_unavailable", "the tree head is being moved by others");
  }

  async #admitPast(
    ours: SignedHead,
    theirs: SignedHead,
    record: RecordClaim | undefined,
  ): Promise<void> {
    try {
      await this.#proveSpan({ newer: ours, older: theirs, ours }, record);
    } catch (error) {
      const isRefusal = error instanceof ProxyError && error.code !== "tree_forked";
      if (isRefusal && (await this.#contradicts(ours, theirs))) {
        throw await this.#fork(ours, theirs, { proof: [], computedRoot: undefined });
      }
      throw error;
    }
  }

  /** Prove that `newer` begins with `older` and holds the record; keep the tiles that prove it. */
  async #proveSpan(
    span: { newer: SignedHead; older: SignedHead | undefined; ours: SignedHead | undefined },
    record: RecordClaim | undefined,
  ): Promise<void> {
    const { newer, older, ours } = span;
    if (older?.size === newer.size && !equalBytes(older.root, newer.root)) {
      throw await this.#fork(newer, older, { proof: [], computedRoot: undefined });
    }
    const prefixIndexes =
      older === undefined || older.size === newer.size ? [] : treeHashIndexes(older.size);
    const recordIndexes = record === undefined ? [] : [storedHashIndex(0, record.id)];
    const proven = await this.#tiles.prove(newer, [...prefixIndexes, ...recordIndexes]);

    if (older !== undefined && older.size < newer.size) {
      const root = foldTreeHash(proven.hashes.slice(0, prefixIndexes.length));
      if (!equalBytes(root, older.root)) {
        const evidence = await proveFork(newer, { size: older.size, root }, proven.tiles);
        const theirs = older === ours ? newer : older;
        throw await this.#fork(ours ?? newer, theirs, evidence);
      }
    }
    if (record !== undefined) checkRecordHash(record, proven.hashes.at(-1));
    await proven.keep();
  }

  /**
   * Whether a smaller tree's own tiles say something else than ours do.
   *
   * A forked database cannot show tiles for our tree, and that alone would look like an outage or a
   * broken transfer.
   */
  async #contradicts(ours: SignedHead, theirs: SignedHead): Promise<boolean> {
    const { tiles } = await this.#tiles
      .prove(theirs, [], "database")
      .catch((): { tiles: readonly TileData[] } => ({ tiles: [] }));
    let isComparable = false;
    for (const { tile, bytes } of tiles) {
      const first = storedHashIndex(TILE_HEIGHT * tile.level, tile.index * TILE_WIDTH);
      const own = await this.#tiles.prove(ours, [first], "own").catch(() => undefined);
      const same = own?.tiles.find((candidate) => tileKey(candidate.tile) === tileKey(tile));
      if (same === undefined) continue;
      isComparable = true;
      if (!startsWith(same.bytes, bytes)) return true;
    }
    // It can show its own tree and not ours, and we hold nothing that would speak for it.
    return tiles.length > 0 && !isComparable;
  }

  async #fork(
    ours: SignedHead,
    theirs: SignedHead,
    evidence: { proof: readonly string[]; computedRoot: string | undefined },
  ): Promise<ProxyError> {
    const detail = `the tree of ${theirs.size} records and ours of ${ours.size} are not one timeline`;
    try {
      await this.#ports.onFork({ ours: ours.note, theirs: theirs.note, ...evidence });
    } catch (cause) {
      return new ProxyError("tree_forked", detail, { cause });
    }
    return new ProxyError("tree_forked", detail);
  }
}

/** What shows a third party that `newer` does not begin with the older head that was signed. */
async function proveFork(
  newer: TreeHead,
  computed: TreeHead,
  tiles: readonly TileData[],
): Promise<{ proof: readonly string[]; computedRoot: string }> {
  const byKey = new Map(tiles.map((data) => [tileKey(data.tile), data]));
  const read = async (indexes: readonly number[]) =>
    indexes.map((index) => {
      const data = byKey.get(tileKey(tileForIndex(TILE_HEIGHT, index)));
      if (data === undefined) throw new TypeError(`stored hash ${index} was not read`);
      return hashFromTile(data, index);
    });
  const computedRoot = toBase64(computed.root);
  if (computed.size === 0) return { proof: [], computedRoot };
  const proof = await proveTree(newer.size, computed.size, read);
  checkTree(proof, newer, computed);
  return { proof: proof.map(toBase64), computedRoot };
}

function checkRecordHash(record: RecordClaim, proven: Hash | undefined): void {
  if (proven === undefined || !equalBytes(record.hash, proven)) {
    throw new ProxyError("sumdb_invalid", `record ${record.id} is not what the tree says it is`);
  }
}
