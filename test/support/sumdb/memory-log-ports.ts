import type { KeyedRecord, LogPorts } from "../../../src/sumdb/log.ts";
import type { TileData } from "../../../src/sumdb/tile.ts";

/** Storage of a log in memory, that can be killed after any number of writes. */
export class MemoryLogPorts implements LogPorts {
  head: string | undefined;
  readonly tiles = new Map<string, Uint8Array>();
  readonly ids = new Map<string, number>();
  readonly texts = new Map<number, string>();
  /** Single writes, tile by tile and record by record, until all fail; undefined for never. */
  writesLeft: number | undefined;

  async readTile(level: number, index: number): Promise<Uint8Array | undefined> {
    return this.tiles.get(`${level}/${index}`);
  }

  async readHead(): Promise<string | undefined> {
    return this.head;
  }

  async putHead(note: string): Promise<void> {
    this.#write(() => (this.head = note));
  }

  async putTiles(tiles: readonly TileData[]): Promise<void> {
    for (const { tile, bytes } of tiles) {
      this.#write(() => this.tiles.set(`${tile.level}/${tile.index}`, bytes));
    }
  }

  async readRecordId(key: string): Promise<number | undefined> {
    return this.ids.get(key);
  }

  async readRecords(first: number, count: number): Promise<readonly string[]> {
    const texts = Array.from({ length: count }, (_, at) => this.texts.get(first + at));
    return texts.filter((text) => text !== undefined);
  }

  async putRecords(records: readonly KeyedRecord[]): Promise<void> {
    for (const { id, key, text } of records) {
      this.#write(() => this.ids.set(key, id));
      this.#write(() => this.texts.set(id, text));
    }
  }

  #write(effect: () => void): void {
    if (this.writesLeft === 0) throw new Error("killed");
    if (this.writesLeft !== undefined) this.writesLeft--;
    effect();
  }
}
