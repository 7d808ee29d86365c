import * as fc from "fast-check";
import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { SumdbClient } from "../../../src/sumdb/client.ts";
import type { SumdbPorts } from "../../../src/sumdb/ports.ts";
import { MemoryPorts } from "../../support/sumdb/memory-ports.ts";
import { TestDatabase, testModule, testRecord } from "../../support/sumdb/test-database.ts";

const LARGEST = 66_500;
const database = await TestDatabase.create(LARGEST);
const { verifierKey } = database;

const lookup = (client: SumdbClient, id: number) => client.lookup(testModule(id), "v1.0.0");

/** One lookup while the log has `size` records and answers carry the head of `lookupSize`. */
interface Step {
  readonly id: number;
  readonly size: number;
  readonly lookupSize: number;
}

/** A client with nothing stored that has only the relay to ask. */
function clientBehind(relay: SumdbClient): SumdbClient {
  const ports = new MemoryPorts((path) => {
    if (path.startsWith("/lookup/")) return relay.serveLookup(path.slice("/lookup/".length));
    return path === "/latest" ? relay.serveLatest() : relay.serveTile(path.slice(1));
  });
  return new SumdbClient({ verifierKey, ports });
}

/** Run steps online against a new store. */
async function verifyOnline(steps: readonly Step[]): Promise<MemoryPorts> {
  database.isDown = false;
  const ports = new MemoryPorts(database.fetch);
  const client = new SumdbClient({ verifierKey, ports });
  for (const { id, size, lookupSize } of steps) {
    database.publishedSize = size;
    database.lookupSize = lookupSize;
    await lookup(client, id);
  }
  return ports;
}

/** Steps of a log that only grows, where answers carry heads of any age. */
const steps = (largest: number) =>
  fc
    .array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { minLength: 1, maxLength: 10 })
    .map((triples) => {
      const sizes = triples.map(([size]) => 1 + (size % largest)).toSorted((a, b) => a - b);
      return triples.map(([, a, b], at): Step => {
        const size = sizes[at] ?? largest;
        const id = a % size;
        return { id, size, lookupSize: id + 1 + (b % (size - id)) };
      });
    });

describe("with the database gone", () => {
  // Guarantee: everything that was verified once verifies again for a client with an empty cache.
  it.for([600, 1200, LARGEST])(
    "all that was verified in a log of up to %i verifies again, in any order",
    async (largest, { expect }) => {
      const order = fc.infiniteStream(fc.nat());
      const property = fc.asyncProperty(steps(largest), order, async (online, random) => {
        const ports = await verifyOnline(online);
        database.isDown = true;
        const fetchedBefore = ports.fetched.length;
        const relay = new SumdbClient({ verifierKey, ports });
        const behind = clientBehind(relay);
        const ids = [...new Set(online.map(({ id }) => id))];
        const weights = new Map(ids.map((id) => [id, random.next().value]));
        for (const id of ids.toSorted((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0))) {
          expect((await lookup(relay, id)).text).toBe(testRecord(id));
          expect((await lookup(behind, id)).text).toBe(testRecord(id));
        }
        const last = ids.at(-1) ?? 0;
        expect((await lookup(clientBehind(relay), last)).text).toBe(testRecord(last));
        expect(ports.fetched.length).toBe(fetchedBefore);
      });
      await fc.assert(property, { numRuns: 25 });
    },
  );

  it("a client that stopped at one of our earlier heads can follow to the newest", async ({
    expect,
  }) => {
    const property = fc.asyncProperty(steps(1200), async (online) => {
      database.isDown = false;
      const ports = new MemoryPorts(database.fetch);
      const relay = new SumdbClient({ verifierKey, ports });
      const followers: SumdbClient[] = [];
      for (const { id, size, lookupSize } of online) {
        Object.assign(database, { publishedSize: size, lookupSize });
        await lookup(relay, id);
        const follower = clientBehind(relay);
        await lookup(follower, id);
        followers.push(follower);
      }
      database.isDown = true;
      for (const follower of followers) {
        for (const { id } of online) expect((await lookup(follower, id)).id).toBe(id);
      }
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it("concurrent lookups leave the same, whatever order the answers come in", async ({
    expect,
  }) => {
    const waits = fc.infiniteStream(fc.nat(20));
    const property = fc.asyncProperty(steps(1200), waits, async (online, wait) => {
      const sizes = new Map(online.map(({ id, lookupSize }) => [id, lookupSize]));
      const settings = { isDown: false, publishedSize: 1200 };
      Object.assign(database, settings, { lookupSize: (id: number) => sizes.get(id) });
      const ports = new MemoryPorts(async (path) => {
        for (let turns = wait.next().value; turns > 0; turns--) await Promise.resolve();
        return database.fetch(path);
      });
      const client = new SumdbClient({ verifierKey, ports });
      await Promise.all(online.map(({ id }) => lookup(client, id)));
      database.isDown = true;
      const behind = clientBehind(new SumdbClient({ verifierKey, ports }));
      for (const { id } of online) expect((await lookup(behind, id)).id).toBe(id);
    });
    await fc.assert(property, { numRuns: 25 });
  });

  it("what was never verified is refused as unavailable, not as missing", async ({ expect }) => {
    const ports = await verifyOnline([{ id: 3, size: 700, lookupSize: 700 }]);
    database.isDown = true;
    const relay = new SumdbClient({ verifierKey, ports });
    await expect(lookup(relay, 4)).rejects.toMatchObject({ code: "sumdb_unavailable" });
    const behind = clientBehind(relay);
    await expect(lookup(behind, 4)).rejects.toMatchObject({ code: "sumdb_unavailable" });
    expect((await lookup(behind, 3)).id).toBe(3);
  });
});

describe("a client that asks nobody, beside one that does", () => {
  // Guarantee: an address that answers from storage alone has all that is stored now, under the
  // newest stored head.
  it("serves each record proven meanwhile, under the newest head", async ({ expect }) => {
    Object.assign(database, { isDown: false, publishedSize: 300, lookupSize: undefined });
    const ports = new MemoryPorts(database.fetch);
    const online = new SumdbClient({ verifierKey, ports });
    const offline = new SumdbClient({ verifierKey, ports: withoutFetch(ports) });
    for (const [id, size] of [
      [3, 300],
      [650, 700],
      [299, 1200],
    ] as const) {
      database.publishedSize = size;
      await lookup(online, id);
      const newest = await database.signedHead(size);
      expect(Buffer.from(await offline.serveLatest()).toString()).toBe(newest);
      const answer = await offline.serveLookup(`${testModule(id)}@v1.0.0`);
      expect(Buffer.from(answer).toString()).toBe(`${id}\n${testRecord(id)}\n${newest}`);
      expect((await lookup(clientBehind(offline), id)).treeSize).toBe(size);
    }
  });

  it("calls a tile of the tree that is not stored not stored, which is no outage", async ({
    expect,
  }) => {
    Object.assign(database, { isDown: false, publishedSize: 1200, lookupSize: undefined });
    const ports = new MemoryPorts(database.fetch);
    await lookup(new SumdbClient({ verifierKey, ports }), 3);
    const offline = new SumdbClient({ verifierKey, ports: withoutFetch(ports) });
    expect(ports.tiles.has("0/1")).toBe(false);
    for (const path of ["tile/8/0/001", "tile/8/data/000", "tile/8/0/009"]) {
      await expect(offline.serveTile(path)).rejects.toMatchObject({ code: "not_fetched" });
    }
  });
});

/** What is stored, with nobody to ask. */
function withoutFetch(ports: MemoryPorts): SumdbPorts {
  return {
    fetch: () => Promise.reject(new ProxyError("not_fetched", "not stored")),
    readTile: (level, index) => ports.readTile(level, index),
    putTiles: (tiles) => ports.putTiles(tiles),
    readHead: () => ports.readHead(),
    casHead: (previous, next) => ports.casHead(previous, next),
    readRecord: (key) => ports.readRecord(key),
    putRecord: (key, record) => ports.putRecord(key, record),
    onFork: (heads) => ports.onFork(heads),
  };
}
