import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { encodeUtf8, toBase64 } from "../../../src/sumdb/encoding.ts";
import {
  formatVerifierKey,
  generateKey,
  parseSignerKey,
  type Signer,
  signNote,
} from "../../../src/sumdb/note.ts";
import {
  formatDataTile,
  formatLookupAnswer,
  formatTreeHead,
  recordText,
} from "../../../src/sumdb/record.ts";
import { DATA_LEVEL, reachesTile, tilePath, tryParseTilePath } from "../../../src/sumdb/tile.ts";
import { recordHash } from "../../../src/sumdb/tlog.ts";
import { MemoryTree } from "./memory-tree.ts";

/** An answer in the place of the true one; undefined lets the true one pass. */
export type Lie = (path: string, truth: Uint8Array) => Uint8Array | undefined;

/**
 * A checksum database in memory that can be made to lie, to grow old and to go away.
 *
 * Record number n is the one of `example.com/m{n}@v1.0.0` unless told otherwise.
 */
export class TestDatabase {
  readonly tree: MemoryTree;
  readonly signer: Signer;
  isDown = false;
  /** Drops partial tiles whose full tile exists, as a database may. */
  dropsPartialTiles = false;
  /** Size of the tree in lookup answers, for all records or by record; the newest if undefined. */
  lookupSize: number | ((id: number) => number | undefined) | undefined;
  /** Size of the tree in `/latest`, and the border of what is served; all when undefined. */
  publishedSize: number | undefined;
  lie: Lie | undefined;
  readonly #ids = new Map<string, number>();

  private constructor(signer: Signer, tree: MemoryTree) {
    this.signer = signer;
    this.tree = tree;
    tree.records.forEach((text, id) => this.#index(text, id));
  }

  static async create(size: number, signer?: Signer, textOf = testRecord): Promise<TestDatabase> {
    const records = Array.from({ length: size }, (_, id) => textOf(id));
    return new TestDatabase(signer ?? (await testSigner()), new MemoryTree(records));
  }

  get verifierKey(): string {
    return formatVerifierKey(this.signer.verifier);
  }

  get size(): number {
    return this.publishedSize ?? this.tree.size;
  }

  append(text: string): number {
    const id = this.tree.append(text);
    this.#index(text, id);
    return id;
  }

  async signedHead(size: number): Promise<string> {
    return signNote(formatTreeHead(await this.tree.head(size)), this.signer);
  }

  readonly fetch = async (path: string): Promise<Uint8Array> => {
    if (this.isDown) throw new ProxyError("sumdb_unavailable", "connection refused");
    const truth = await this.#answer(path);
    return this.lie?.(path, truth) ?? truth;
  };

  async #answer(path: string): Promise<Uint8Array> {
    if (path === "/latest") return encodeUtf8(await this.signedHead(this.size));
    if (path.startsWith("/lookup/")) return this.#lookup(path.slice("/lookup/".length));
    const tile = tryParseTilePath(path.slice(1));
    if (tile === undefined || !reachesTile(this.size, tile)) throw notFound(path);
    const full = { ...tile, width: 256 };
    if (this.dropsPartialTiles && tile.width < 256 && reachesTile(this.size, full)) {
      throw notFound(path);
    }
    if (tile.level !== DATA_LEVEL) return this.tree.tileBytes(tile);
    const first = tile.index * 256;
    return formatDataTile(this.tree.records.slice(first, first + tile.width));
  }

  async #lookup(escaped: string): Promise<Uint8Array> {
    const id = this.#ids.get(escaped);
    if (id === undefined || id >= this.size) throw notFound(escaped);
    const text = this.tree.records[id] ?? "";
    const wanted = typeof this.lookupSize === "function" ? this.lookupSize(id) : this.lookupSize;
    const size = Math.max(wanted ?? this.size, id + 1);
    return formatLookupAnswer({ id, text }, await this.signedHead(size));
  }

  #index(text: string, id: number): void {
    const [path = "", version = ""] = text.split(" ");
    const escape = (plain: string) => plain.replaceAll(/[A-Z]/g, (c) => `!${c.toLowerCase()}`);
    this.#ids.set(`${escape(path)}@${escape(version)}`, id);
  }
}

/** Plain path of the module in record number `id` of a {@link TestDatabase}. */
export function testModule(id: number): string {
  return `example.com/m${id}`;
}

/** An `h1:` hash that stands for a text. */
export function testHash(text: string): string {
  return `h1:${toBase64(recordHash(encodeUtf8(text)))}`;
}

/** Text of record number `id`; another `timeline` makes a fork. */
export function testRecord(id: number, timeline = ""): string {
  const zip = testHash(`zip ${id} ${timeline}`);
  return recordText(testModule(id), "v1.0.0", { zip, mod: testHash(`mod ${id}`) });
}

/** A new signer for a database name. */
export async function testSigner(name = "localhost.localdev/sumdb"): Promise<Signer> {
  return parseSignerKey((await generateKey(name, randomSeed())).signerKey);
}

/** Random bytes to make a key of. */
export function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(32));
}

/** A copy of bytes with one bit turned over. */
export function flipBit(bytes: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** Path of a hash tile as the client asks for it. */
export function fetchPath(level: number, index: number, width = 256): string {
  return `/${tilePath({ height: 8, level, index, width })}`;
}

function notFound(what: string): ProxyError {
  return new ProxyError("sumdb_not_found", `${what}: not found`);
}
