import { ProxyError } from "../errors/proxy-error.ts";
import { HASH_SIZE, TILE_HEIGHT, TILE_WIDTH } from "./constants.ts";
import { encodeUtf8 } from "./encoding.ts";
import { growTree } from "./log-tree.ts";
import { type ModuleKey, parseModuleKey, toModuleKey } from "./module-key.ts";
import { formatVerifierKey, openNote, type Signer, signNote } from "./note.ts";
import {
  formatDataTile,
  formatLookupAnswer,
  formatTreeHead,
  type LogRecord,
  parseTreeHead,
  type RecordHashes,
  recordText,
} from "./record.ts";
import { SerialQueue } from "./serial.ts";
import { DATA_LEVEL, reachesTile, type TileData, tilePath, tryParseTilePath } from "./tile.ts";
import { emptyTreeHash, recordHash, type TreeHead } from "./tlog.ts";

/** A record with the key that lookups find it by. */
export interface KeyedRecord extends LogRecord {
  /** `escaped path@escaped version`. */
  readonly key: string;
}

/**
 * Where a log lives. Every put is durable when its promise is fulfilled, and replaces what is there.
 *
 * A kill between two puts leaves tiles and records beyond the stored head. They are not part of the
 * log: readers stop at the head, and the next append overwrites them.
 */
export interface LogPorts {
  /** The newest head as a signed note. */
  readHead(): Promise<string | undefined>;
  /** The last put of an append: it makes the others count. */
  putHead(note: string): Promise<void>;
  /** Content of a tile as put last, which may be wider than the head needs. */
  readTile(level: number, index: number): Promise<Uint8Array | undefined>;
  putTiles(tiles: readonly TileData[]): Promise<void>;
  /** Number of the record stored last for a key, whether the head covers it or not. */
  readRecordId(key: string): Promise<number | undefined>;
  /** Texts of `count` records from number `first` on; fewer when they are not stored. */
  readRecords(first: number, count: number): Promise<readonly string[]>;
  putRecords(records: readonly KeyedRecord[]): Promise<void>;
}

/** A module version to record. */
export interface LogEntry {
  readonly modulePath: string;
  readonly version: string;
  readonly hashes: RecordHashes;
}

/**
 * A checksum database of our own: an append-only, signed log of module versions.
 *
 * Exactly one instance at a time may append to one storage; calls of one instance may overlap.
 *
 * @source sumdb.Server, sumdb.TestServer
 */
export class SumdbLog {
  readonly #signer: Signer;
  readonly #ports: LogPorts;
  readonly #appends = new SerialQueue();
  #head: (TreeHead & { readonly note: string }) | undefined;
  /** Counts what may have changed the stored head, so that a slow reader does not cache an old one. */
  #generation = 0;

  constructor({ signer, ports }: { readonly signer: Signer; readonly ports: LogPorts }) {
    this.#signer = signer;
    this.#ports = ports;
  }

  /** The database's name, as its key says. */
  get name(): string {
    return this.#signer.verifier.name;
  }

  /** The public key to configure clients with: `name+hash+key`. */
  get verifierKey(): string {
    return formatVerifierKey(this.#signer.verifier);
  }

  /**
   * Append module versions, all or none; one that is recorded already is left as it is.
   *
   * So a caller that does not know whether its append came through can repeat it.
   *
   * @returns the record number of each entry, in the same order.
   * @throws {ProxyError} version_conflict - other hashes are recorded for a version; nothing was
   * written.
   * @throws {ProxyError} storage_unavailable - stored tiles are missing or damaged.
   */
  append(entries: readonly LogEntry[]): Promise<number[]> {
    return this.#appends.run(async () => {
      const head = await this.#current();
      const { ids, added } = await this.#assignIds(head, entries);
      if (added.length > 0) await this.#commit(head, added);
      return ids;
    });
  }

  /**
   * Answer to `/lookup/{escaped}`.
   *
   * @throws {ProxyError} malformed_path - not an escaped module path and full version.
   * @throws {ProxyError} sumdb_not_found - no such record.
   */
  async serveLookup(escaped: string): Promise<Uint8Array> {
    const key = parseModuleKey(escaped);
    const head = await this.#current();
    const record = await this.#find(head, key);
    if (record === undefined) {
      throw new ProxyError("sumdb_not_found", `${key.modulePath}@${key.version} is not recorded`);
    }
    return formatLookupAnswer(record, head.note);
  }

  /** Answer to `/latest`: the newest signed head. */
  async serveLatest(): Promise<Uint8Array> {
    return encodeUtf8((await this.#current()).note);
  }

  /**
   * Answer to `/tile/…`.
   *
   * @param path - `tile/8/…`, without a leading slash.
   * @throws {ProxyError} malformed_path - no tile of height 8.
   * @throws {ProxyError} sumdb_not_found - the tree does not reach it.
   * @throws {ProxyError} storage_unavailable - it is missing in storage.
   */
  async serveTile(path: string): Promise<Uint8Array> {
    const tile = tryParseTilePath(path);
    if (tile?.height !== TILE_HEIGHT) {
      throw new ProxyError("malformed_path", "not the path of a tile of height 8");
    }
    const head = await this.#current();
    if (!reachesTile(head.size, tile)) {
      throw new ProxyError("sumdb_not_found", `the tree does not reach ${tilePath(tile)}`);
    }
    if (tile.level === DATA_LEVEL) {
      const texts = await this.#ports.readRecords(tile.index * TILE_WIDTH, tile.width);
      if (texts.length === tile.width) return formatDataTile(texts);
    } else {
      const bytes = await this.#ports.readTile(tile.level, tile.index);
      const length = tile.width * HASH_SIZE;
      if (bytes !== undefined && bytes.length >= length) return bytes.slice(0, length);
    }
    throw new ProxyError("storage_unavailable", `${tilePath(tile)} of the log is missing`);
  }

  async #assignIds(
    head: TreeHead,
    entries: readonly LogEntry[],
  ): Promise<{ ids: number[]; added: KeyedRecord[] }> {
    const ids: number[] = [];
    const added = new Map<string, KeyedRecord>();
    for (const { modulePath, version, hashes } of entries) {
      const key = toModuleKey(modulePath, version);
      const text = recordText(modulePath, version, hashes);
      const known = added.get(key.escaped) ?? (await this.#find(head, key));
      if (known !== undefined && known.text !== text) {
        const detail = `${modulePath}@${version} is recorded with other hashes`;
        throw new ProxyError("version_conflict", detail);
      }
      const id = known?.id ?? head.size + added.size;
      if (known === undefined) added.set(key.escaped, { id, key: key.escaped, text });
      ids.push(id);
    }
    return { ids, added: [...added.values()] };
  }

  async #commit(head: TreeHead, added: readonly KeyedRecord[]): Promise<void> {
    const hashes = added.map(({ text }) => recordHash(encodeUtf8(text)));
    const grown = await growTree(head, hashes, (level, index) =>
      this.#ports.readTile(level, index),
    );
    const note = await signNote(formatTreeHead(grown.head), this.#signer);
    try {
      await Promise.all([this.#ports.putRecords(added), this.#ports.putTiles(grown.tiles)]);
      await this.#ports.putHead(note);
      this.#setHead({ ...grown.head, note });
    } catch (error) {
      // Whether a put that failed came through is for storage to say.
      this.#setHead(undefined);
      throw error;
    }
  }

  #setHead(head: (TreeHead & { readonly note: string }) | undefined): void {
    this.#generation++;
    this.#head = head;
  }

  /** The record of a module version under a head. */
  async #find(head: TreeHead, key: ModuleKey): Promise<LogRecord | undefined> {
    const id = await this.#ports.readRecordId(key.escaped);
    if (id === undefined || id >= head.size) return undefined;
    const [text] = await this.#ports.readRecords(id, 1);
    if (text === undefined) {
      throw new ProxyError("storage_unavailable", `record ${id} of the log is missing`);
    }
    // An append that never got its head may have left a number that belongs to another by now.
    return text.startsWith(`${key.modulePath} ${key.version} `) ? { id, text } : undefined;
  }

  async #current(): Promise<TreeHead & { readonly note: string }> {
    if (this.#head !== undefined) return this.#head;
    const generation = this.#generation;
    const stored = await this.#ports.readHead();
    if (stored === undefined) {
      const empty = { size: 0, root: emptyTreeHash() };
      return { ...empty, note: await signNote(formatTreeHead(empty), this.#signer) };
    }
    const { text } = await openNote(stored, [this.#signer.verifier]);
    const head = { ...parseTreeHead(text), note: stored };
    if (generation === this.#generation) this.#head = head;
    return head;
  }
}
