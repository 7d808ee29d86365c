import { describe, it } from "vitest";
import { TileStore } from "../../../src/sumdb/tile-store.ts";
import { MemoryPorts } from "../../support/sumdb/memory-ports.ts";
import { flipBit, TestDatabase } from "../../support/sumdb/test-database.ts";

async function start(maxCached: number) {
  const database = await TestDatabase.create(400);
  const ports = new MemoryPorts(database.fetch);
  const store = new TileStore(ports, maxCached);
  return { database, ports, store };
}

describe("TileStore.prove()", () => {
  it.for([0, 100])(
    "never leaves a tile narrower than it was, with %i tiles in memory",
    async (maxCached, { expect }) => {
      const { database, ports, store } = await start(maxCached);
      const narrow = await store.prove(await database.tree.head(300), []);
      const wide = await store.prove(await database.tree.head(400), []);
      await wide.keep();
      await narrow.keep();
      expect(ports.tiles.get("0/1")).toHaveLength(144 * 32);
      const fetched = ports.fetched.length;
      await store.prove(await database.tree.head(400), []);
      expect(ports.fetched).toHaveLength(fetched);
    },
  );

  it("stores nothing before it is told to keep", async ({ expect }) => {
    const { database, ports, store } = await start(100);
    await store.prove(await database.tree.head(300), [0]);
    expect(ports.tiles.size).toBe(0);
    expect(store.readCached({ height: 8, level: 0, index: 0, width: 256 })).toBeUndefined();
  });

  it("puts what a damaged tile was into storage again", async ({ expect }) => {
    const { database, ports, store } = await start(0);
    const head = await database.tree.head(400);
    await (await store.prove(head, [0])).keep();
    const whole = structuredClone(ports.tiles);
    for (const [key, bytes] of [...ports.tiles]) {
      ports.tiles.set(key, flipBit(bytes, 1));
      await (await store.prove(head, [0])).keep();
      expect(ports.tiles).toEqual(whole);
    }
  });

  // The edge of a tree is not checked again while its tiles stay; that must vouch for nothing else.
  it("refuses another root over the tiles that it has just checked", async ({ expect }) => {
    const { database, store } = await start(100);
    const head = await database.tree.head(400);
    await (await store.prove(head, [0])).keep();
    await expect(store.prove(head, [0])).resolves.toBeDefined();
    const forged = { ...head, root: flipBit(head.root, 1) };
    await expect(store.prove(forged, [0])).rejects.toMatchObject({ code: "sumdb_invalid" });
    await expect(store.prove(head, [0])).resolves.toBeDefined();
  });

  it("asks nobody when only our own tiles will do", async ({ expect }) => {
    const { database, ports, store } = await start(100);
    const proof = store.prove(await database.tree.head(300), [0], "own");
    await expect(proof).rejects.toMatchObject({ code: "sumdb_unavailable" });
    expect(ports.fetched).toEqual([]);
  });
});
