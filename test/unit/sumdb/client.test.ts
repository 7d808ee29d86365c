import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { SumdbClient } from "../../../src/sumdb/client.ts";
import { encodeUtf8 } from "../../../src/sumdb/encoding.ts";
import { parseLookupAnswer, parseTreeHead } from "../../../src/sumdb/record.ts";
import { MemoryPorts } from "../../support/sumdb/memory-ports.ts";
import {
  fetchPath,
  flipBit,
  TestDatabase,
  testHash,
  testModule,
  testRecord,
} from "../../support/sumdb/test-database.ts";

/** A database of `size` records with a client that has nothing stored. */
async function start(size: number) {
  const database = await TestDatabase.create(size);
  const ports = new MemoryPorts(database.fetch);
  const newClient = () => new SumdbClient({ verifierKey: database.verifierKey, ports });
  return { database, ports, newClient, client: newClient() };
}

const lookup = (client: SumdbClient, id: number) => client.lookup(testModule(id), "v1.0.0");
const headSize = (note: string | undefined) => parseTreeHead(note ?? "").size;

describe("SumdbClient.lookup()", () => {
  it.for([1, 2, 255, 256, 257, 300, 513, 771])(
    "proves first, middle and last record of a log of %i",
    async (size, { expect }) => {
      const { ports, client } = await start(size);
      for (const id of [0, size >> 1, size - 1]) {
        expect(await lookup(client, id)).toEqual({
          id,
          text: testRecord(id),
          hashes: { zip: testHash(`zip ${id} `), mod: testHash(`mod ${id}`) },
          treeSize: size,
        });
      }
      expect(headSize(ports.head)).toBe(size);
    },
  );

  it("asks for a lookup and each tile once, and for nothing when it has all", async ({
    expect,
  }) => {
    const { ports, client, newClient } = await start(600);
    await lookup(client, 5);
    const cold = ["/lookup/example.com/m5@v1.0.0", "/tile/8/1/000.p/2", "/tile/8/0/002.p/88"];
    expect(ports.fetched.toSorted()).toEqual([...cold, "/tile/8/0/000"].toSorted());

    await lookup(client, 6);
    expect(ports.fetched.slice(4)).toEqual(["/lookup/example.com/m6@v1.0.0"]);
    await lookup(newClient(), 6);
    expect(ports.fetched).toHaveLength(5);
  });

  it("shares one flight between equal lookups, and tiles between different ones", async ({
    expect,
  }) => {
    const { ports, client } = await start(600);
    await Promise.all([1, 1, 1, 2, 300, 301].map((id) => lookup(client, id)));
    expect(new Set(ports.fetched).size).toBe(ports.fetched.length);
    expect(ports.fetched.filter((path) => path.startsWith("/lookup/"))).toHaveLength(4);
  });

  // Guarantee: the first request after the database is back works, whoever still waits for it.
  it("tries once anew when the flight that it joined ends in an outage", async ({ expect }) => {
    const database = await TestDatabase.create(300);
    const hangs = new Map<string, () => void>();
    const ports = new MemoryPorts((path) => {
      if (!database.isDown) return database.fetch(path);
      return new Promise((_, reject) => {
        const down = new ProxyError("sumdb_unavailable", "sent nothing in time");
        hangs.set(path, () => reject(down));
      });
    });
    const client = new SumdbClient({ verifierKey: database.verifierKey, ports });
    await lookup(client, 1);
    const size = database.tree.size;
    for (let id = size; id < 600; id++) database.append(testRecord(id));
    const asks = [
      ["/latest", () => client.serveLatest()],
      [`/lookup/${testModule(5)}@v1.0.0`, () => client.serveLookup(`${testModule(5)}@v1.0.0`)],
      ["/tile/8/data/001", () => client.serveTile("tile/8/data/001")],
    ] as const;
    for (const [path, ask] of asks) {
      database.isDown = true;
      const first = ask().then(
        () => "answered",
        (error: unknown) => error instanceof ProxyError && error.code,
      );
      while (!hangs.has(path)) await new Promise(setImmediate);
      database.isDown = false;
      const joined = [ask(), ask()];
      await new Promise(setImmediate);
      const before = ports.fetched.length;
      hangs.get(path)?.();
      for (const answer of joined) expect((await answer).length).toBeGreaterThan(0);
      // Its own head it has without the database; anything else failed for who came first.
      expect(await first).toBe(path === "/latest" ? "answered" : "sumdb_unavailable");
      expect(ports.fetched.slice(before).filter((asked) => asked === path)).toEqual([path]);
    }
  });

  it("reads a full tile when the database has dropped the partial one", async ({ expect }) => {
    const { database, ports, client } = await start(700);
    database.dropsPartialTiles = true;
    database.lookupSize = 300;
    expect((await lookup(client, 10)).treeSize).toBe(300);
    expect(ports.fetched).toContain(fetchPath(0, 1, 44));
    expect(ports.fetched).toContain(fetchPath(0, 1));
  });

  it("uses an older head without letting it replace the newer one", async ({ expect }) => {
    const { database, ports, client } = await start(700);
    await lookup(client, 1);
    for (const size of [699, 512, 300, 257, 4]) {
      database.lookupSize = size;
      expect((await lookup(client, size - 1)).treeSize).toBe(700);
      expect(headSize(ports.head)).toBe(700);
    }
    expect(ports.forks).toEqual([]);
  });

  it("moves to newer heads, one after the other, when they come all at once", async ({
    expect,
  }) => {
    const { database, ports, client } = await start(900);
    const sizes = [900, 300, 512, 700, 256, 800, 1];
    const heads = await Promise.all(sizes.map((size) => database.signedHead(size)));
    database.lie = (path) => {
      const id = /\/m(\d+)@/.exec(path)?.[1];
      if (id === undefined) return undefined;
      return encodeUtf8(`${id}\n${testRecord(Number(id))}\n${heads[Number(id)]}`);
    };
    // Record n comes with head n; only the last head is too small for its record.
    const results = await Promise.allSettled(sizes.map((_, id) => lookup(client, id)));
    expect(results.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 6 }, () => "fulfilled"),
      "rejected",
    ]);
    expect(headSize(ports.head)).toBe(900);
  });

  it("tells a missing record from a database that is away", async ({ expect }) => {
    const { database, ports, client } = await start(3);
    await expect(lookup(client, 3)).rejects.toMatchObject({ code: "sumdb_not_found" });
    database.isDown = true;
    await expect(lookup(client, 1)).rejects.toMatchObject({ code: "sumdb_unavailable" });
    expect([ports.head, ports.records.size, ports.tiles.size]).toEqual([undefined, 0, 0]);
    database.isDown = false;
    expect((await lookup(client, 1)).id).toBe(1);
  });

  it("does not call a module missing when it is a tile that is", async ({ expect }) => {
    const { database, client } = await start(300);
    database.lie = (path) => {
      if (path.startsWith("/tile/")) throw new ProxyError("sumdb_not_found", "no such tile");
      return undefined;
    };
    await expect(lookup(client, 1)).rejects.toMatchObject({ code: "sumdb_unavailable" });
  });

  it("sends nothing for a path or version that cannot be in a database", async ({ expect }) => {
    const { ports, client } = await start(1);
    for (const [path, version] of [
      ["m0", "v1.0.0"],
      ["example.com/../m0", "v1.0.0"],
      ["example.com/m0", "latest"],
      ["example.com/m0?", "v1.0.0"],
    ] as const) {
      await expect(client.lookup(path, version)).rejects.toMatchObject({ code: "malformed_path" });
    }
    expect(ports.fetched).toEqual([]);
  });

  it("treats toolchains like any other module", async ({ expect }) => {
    const { database, client } = await start(2);
    const [path, version] = ["golang.org/toolchain", "v0.0.1-go1.21.0.linux-amd64"];
    database.append(testRecord(2).replaceAll(testModule(2), path).replaceAll("v1.0.0", version));
    expect((await client.lookup(path, version)).id).toBe(2);
    database.lie = (lookupPath, truth) =>
      lookupPath.startsWith("/lookup/")
        ? encodeUtf8(new TextDecoder().decode(truth).replace(/^golang.*h1.*\n/m, ""))
        : undefined;
    const other = "v0.0.1-go1.21.1.linux-amd64";
    database.append(testRecord(3).replaceAll(testModule(3), path).replaceAll("v1.0.0", other));
    await expect(client.lookup(path, other)).rejects.toMatchObject({ code: "sumdb_invalid" });
  });

  it("keeps its tiles and proves again when its memory has room for one tile only", async ({
    expect,
  }) => {
    const { database, ports } = await start(1300);
    const { verifierKey } = database;
    const client = new SumdbClient({ verifierKey, ports, maxCachedTiles: 1 });
    for (const id of [0, 300, 600, 900, 1299, 1]) await lookup(client, id);
    database.isDown = true;
    for (const id of [1, 1299, 0, 900]) expect((await lookup(client, id)).id).toBe(id);
  });
});

describe("what a client stores", () => {
  it("is healed by the database when it is damaged", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(700);
    await lookup(client, 5);
    for (const [key, bytes] of ports.tiles) ports.tiles.set(key, flipBit(bytes, 40));
    ports.records.set("example.com/m5@v1.0.0", { id: 5, text: testRecord(6) });
    expect((await lookup(newClient(), 5)).text).toBe(testRecord(5));

    for (const [key, bytes] of ports.tiles) ports.tiles.set(key, flipBit(bytes, 40));
    expect((await lookup(newClient(), 5)).text).toBe(testRecord(5));

    database.isDown = true;
    expect((await lookup(newClient(), 5)).text).toBe(testRecord(5));
  });

  it("is not believed when it is damaged and the database is away", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(700);
    await lookup(client, 5);
    database.isDown = true;
    ports.records.set("example.com/m5@v1.0.0", { id: 5, text: testRecord(5, "forged") });
    await expect(lookup(newClient(), 5)).rejects.toMatchObject({ code: "sumdb_unavailable" });

    ports.records.set("example.com/m5@v1.0.0", { id: 5, text: testRecord(5) });
    for (const [key, bytes] of ports.tiles) {
      ports.tiles.set(key, flipBit(bytes, bytes.length - 1));
      await expect(lookup(newClient(), 5), key).rejects.toMatchObject({
        code: "sumdb_unavailable",
      });
      ports.tiles.set(key, bytes);
    }
    expect((await lookup(newClient(), 5)).id).toBe(5);
  });

  it("has the tiles before the head, and the head before the record", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(700);
    database.lookupSize = 300;
    await lookup(client, 5);
    database.lookupSize = 700;
    for (const port of ["putTiles", "casHead", "putRecord"] as const) {
      ports.failAt = port;
      await expect(lookup(client, 600)).rejects.toThrow(`${port} fails`);
      expect(headSize(ports.head)).toBe(port === "putRecord" ? 700 : 300);
      expect(ports.records.has("example.com/m600@v1.0.0")).toBe(false);

      // What a killed instance left behind is enough for the next one.
      ports.failAt = undefined;
      database.isDown = true;
      expect((await lookup(newClient(), 5)).id).toBe(5);
      database.isDown = false;
    }
    expect((await lookup(newClient(), 600)).id).toBe(600);
  });

  it("follows a head that another writer has moved", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(700);
    database.lookupSize = 300;
    await lookup(client, 5);
    database.lookupSize = 650;
    await lookup(newClient(), 6);
    database.lookupSize = 700;
    expect((await lookup(client, 7)).treeSize).toBe(700);
    expect(headSize(ports.head)).toBe(700);
  });

  it("is refused as a whole when its head was signed by another key", async ({ expect }) => {
    const { ports, client } = await start(10);
    ports.head = await (await TestDatabase.create(10)).signedHead(10);
    await expect(lookup(client, 5)).rejects.toThrow(/stored tree head .* was it changed/);
  });
});

describe("SumdbClient.serveLookup()", () => {
  it("gives the newest accepted head, not the one that the database sent", async ({ expect }) => {
    const { database, ports, client } = await start(700);
    await lookup(client, 1);
    database.lookupSize = 300;
    const answer = parseLookupAnswer(await client.serveLookup("example.com/m7@v1.0.0"));
    expect(answer).toEqual({ id: 7, text: testRecord(7), note: ports.head });
    expect(headSize(answer.note)).toBe(700);
  });

  it.for(["", "example.com/m1", "example.com/m1@master", "example.com/M1@v1.0.0", "../latest"])(
    "sends nothing out for %j",
    async (escaped, { expect }) => {
      const { ports, client } = await start(3);
      const refusal = expect(client.serveLookup(escaped)).rejects;
      await refusal.toMatchObject({ code: "malformed_path" });
      expect(ports.fetched).toEqual([]);
    },
  );
});

describe("SumdbClient.serveLatest()", () => {
  it("advances to the database's head and never back", async ({ expect }) => {
    const { database, client } = await start(700);
    const latest = async () => headSize(new TextDecoder().decode(await client.serveLatest()));
    database.publishedSize = 300;
    expect(await latest()).toBe(300);
    database.publishedSize = 700;
    expect(await latest()).toBe(700);
    database.publishedSize = 400;
    expect(await latest()).toBe(700);
    database.isDown = true;
    expect(await latest()).toBe(700);
  });

  it("has nothing to give when it never reached the database", async ({ expect }) => {
    const { database, client } = await start(7);
    database.isDown = true;
    await expect(client.serveLatest()).rejects.toMatchObject({ code: "sumdb_unavailable" });
  });

  it("accepts the head of an empty log", async ({ expect }) => {
    const { database, ports, client } = await start(0);
    await client.serveLatest();
    expect(headSize(ports.head)).toBe(0);
    database.append(testRecord(0));
    expect((await lookup(client, 0)).treeSize).toBe(1);
  });
});

describe("SumdbClient.serveTile()", () => {
  it("cuts any width from what it has, and fetches nothing for it", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(700);
    await lookup(client, 5);
    ports.fetched.length = 0;
    for (const relay of [client, newClient()]) {
      for (const width of [1, 44, 187, 188]) {
        const served = await relay.serveTile(fetchPath(0, 2, width).slice(1));
        const tile = { height: 8, level: 0, index: 2, width };
        expect(served).toEqual(database.tree.tileBytes(tile));
      }
    }
    expect(ports.fetched).toEqual([]);
  });

  it("checks and stores a tile that it does not have yet", async ({ expect }) => {
    const { database, ports, client } = await start(900);
    await lookup(client, 5);
    const tile = { height: 8, level: 0, index: 1, width: 200 };
    expect(await client.serveTile("tile/8/0/001.p/200")).toEqual(database.tree.tileBytes(tile));
    expect(ports.tiles.get("0/1")).toHaveLength(8192);
    database.isDown = true;
    expect(await client.serveTile("tile/8/0/001")).toHaveLength(8192);
  });

  it("learns a newer head for a tile beyond its own, and only then says no", async ({ expect }) => {
    const { database, ports, client } = await start(900);
    database.publishedSize = 300;
    await lookup(client, 5);
    database.publishedSize = 900;
    expect(await client.serveTile("tile/8/0/003.p/132")).toHaveLength(132 * 32);
    expect(headSize(ports.head)).toBe(900);
    for (const path of ["tile/8/0/003.p/133", "tile/8/0/003", "tile/8/0/004", "tile/8/2/000.p/1"]) {
      await expect(client.serveTile(path)).rejects.toMatchObject({ code: "sumdb_not_found" });
    }
    database.isDown = true;
    const refusal = expect(client.serveTile("tile/8/0/004")).rejects;
    await refusal.toMatchObject({ code: "sumdb_unavailable" });
  });

  it("gives data tiles only with records that the log has", async ({ expect }) => {
    const { database, ports, client, newClient } = await start(600);
    const records = (first: number, count: number) =>
      database.tree.records.slice(first, first + count).join("\n");
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    expect(decode(await client.serveTile("tile/8/data/002.p/10"))).toBe(`${records(512, 10)}\n`);
    expect(decode(await client.serveTile("tile/8/data/002.p/88"))).toBe(`${records(512, 88)}\n`);

    database.lie = (path, truth) => (path.includes("/data/") ? flipBit(truth, 20) : undefined);
    const refusal = expect(client.serveTile("tile/8/data/001")).rejects;
    await refusal.toMatchObject({ code: "sumdb_invalid" });
    expect(ports.tiles.has("-1/1")).toBe(false);

    database.isDown = true;
    const served = await newClient().serveTile("tile/8/data/002.p/50");
    expect(decode(served)).toBe(`${records(512, 50)}\n`);
  });

  it.for([
    "",
    "latest",
    "tile/8/0/5",
    "tile/8/0/000.p/256",
    "tile/8/0/x000/001",
    "tile/8/0/../0/000",
    "tile/7/0/000",
    "tile/8/7/000",
    "/tile/8/0/000",
  ])("sends nothing out for %j", async (path, { expect }) => {
    const { ports, client } = await start(300);
    await expect(client.serveTile(path)).rejects.toMatchObject({ code: "malformed_path" });
    expect(ports.fetched).toEqual([]);
  });

  it("gives bytes that its caller may change", async ({ expect }) => {
    const { client } = await start(300);
    const first = await client.serveTile("tile/8/0/000");
    first.fill(0);
    expect((await client.serveTile("tile/8/0/000")).some((byte) => byte !== 0)).toBe(true);
    (await client.serveTile("tile/8/0/000")).fill(0);
    expect((await lookup(client, 3)).id).toBe(3);
  });
});

it("a database's name may hold slashes and comes from its key", async ({ expect }) => {
  expect((await start(0)).client.name).toBe("localhost.localdev/sumdb");
});
