import type { ForkedHeads, SumdbPorts } from "../../../src/sumdb/ports.ts";
import type { LogRecord } from "../../../src/sumdb/record.ts";
import type { TileData } from "../../../src/sumdb/tile.ts";

/** What a client has to keep, in memory; counts what was asked of the database. */
export class MemoryPorts implements SumdbPorts {
  readonly tiles = new Map<string, Uint8Array>();
  readonly records = new Map<string, LogRecord>();
  readonly forks: ForkedHeads[] = [];
  readonly fetched: string[] = [];
  head: string | undefined;
  /** Throws at the given port, to play a kill or a full disk. */
  failAt: "putTiles" | "casHead" | "putRecord" | undefined;
  readonly #fetch: (path: string) => Promise<Uint8Array>;

  constructor(fetch: (path: string) => Promise<Uint8Array>) {
    this.#fetch = fetch;
  }

  async fetch(path: string): Promise<Uint8Array> {
    this.fetched.push(path);
    return this.#fetch(path);
  }

  async readTile(level: number, index: number): Promise<Uint8Array | undefined> {
    return this.tiles.get(`${level}/${index}`);
  }

  async putTiles(tiles: readonly TileData[]): Promise<void> {
    this.#failIf("putTiles");
    for (const { tile, bytes } of tiles) this.tiles.set(`${tile.level}/${tile.index}`, bytes);
  }

  async readHead(): Promise<string | undefined> {
    return this.head;
  }

  async casHead(previous: string | undefined, next: string): Promise<boolean> {
    this.#failIf("casHead");
    if (this.head !== previous) return false;
    this.head = next;
    return true;
  }

  async readRecord(key: string): Promise<LogRecord | undefined> {
    return this.records.get(key);
  }

  async putRecord(key: string, record: LogRecord): Promise<void> {
    this.#failIf("putRecord");
    this.records.set(key, record);
  }

  onFork(heads: ForkedHeads): void {
    this.forks.push(heads);
  }

  #failIf(port: typeof this.failAt): void {
    if (this.failAt === port) throw new Error(`${port} fails`);
  }
}
