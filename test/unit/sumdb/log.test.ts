import { describe, it } from "vitest";
import { SumdbClient } from "../../../src/sumdb/client.ts";
import { toBase64 } from "../../../src/sumdb/encoding.ts";
import { type LogEntry, SumdbLog } from "../../../src/sumdb/log.ts";
import { openNote, type Signer } from "../../../src/sumdb/note.ts";
import { checkTree, proveTree } from "../../../src/sumdb/proof.ts";
import { parseDataTile, parseLookupAnswer, parseTreeHead } from "../../../src/sumdb/record.ts";
import type { TreeHead } from "../../../src/sumdb/tlog.ts";
import { MemoryLogPorts } from "../../support/sumdb/memory-log-ports.ts";
import { MemoryPorts } from "../../support/sumdb/memory-ports.ts";
import { MemoryTree } from "../../support/sumdb/memory-tree.ts";
import {
  fetchPath,
  flipBit,
  testHash,
  testModule,
  testRecord,
  testSigner,
} from "../../support/sumdb/test-database.ts";

/** The entry whose record is {@link testRecord} of the same number. */
function entry(id: number, timeline = ""): LogEntry {
  const hashes = { zip: testHash(`zip ${id} ${timeline}`), mod: testHash(`mod ${id}`) };
  return { modulePath: testModule(id), version: "v1.0.0", hashes };
}

const entries = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => entry(first + at));

async function start(signer?: Signer) {
  const ports = new MemoryLogPorts();
  const key = signer ?? (await testSigner());
  const newLog = () => new SumdbLog({ signer: key, ports });
  return { ports, signer: key, newLog, log: newLog() };
}

async function headOf(log: SumdbLog, signer: Signer): Promise<TreeHead> {
  const note = new TextDecoder().decode(await log.serveLatest());
  return parseTreeHead((await openNote(note, [signer.verifier])).text);
}

function clientOf(log: SumdbLog): { client: SumdbClient; ports: MemoryPorts } {
  const ports = new MemoryPorts((path) => {
    if (path.startsWith("/lookup/")) return log.serveLookup(path.slice("/lookup/".length));
    return path === "/latest" ? log.serveLatest() : log.serveTile(path.slice(1));
  });
  return { client: new SumdbClient({ verifierKey: log.verifierKey, ports }), ports };
}

describe("SumdbLog.append()", () => {
  it("builds the tree of the format, whatever the appends are cut into", async ({ expect }) => {
    const { signer, log, newLog, ports } = await start();
    const tree = new MemoryTree();
    let current = log;
    for (const count of [1, 1, 2, 250, 1, 1, 1, 254, 600, 3]) {
      const first = tree.size;
      for (let id = first; id < first + count; id++) tree.append(testRecord(id));
      const ids = await current.append(entries(first, count));
      expect(ids).toEqual(Array.from({ length: count }, (_, at) => first + at));

      const [head, expected] = [await headOf(current, signer), await tree.head()];
      expect([head.size, toBase64(head.root)]).toEqual([expected.size, toBase64(expected.root)]);
      // A restart between any two appends changes nothing.
      current = newLog();
    }
    for (const [key, bytes] of ports.tiles) {
      const [level = 0, index = 0] = key.split("/").map(Number);
      const tile = { height: 8, level, index, width: bytes.length / 32 };
      expect(toBase64(bytes)).toBe(toBase64(tree.tileBytes(tile)));
    }
  });

  it("lets one client follow through every size, without a fork", async ({ expect }) => {
    const { log } = await start();
    const { client, ports } = clientOf(log);
    for (let id = 0; id < 520; id++) {
      await log.append([entry(id)]);
      if (id < 5 || id % 50 === 0 || (id > 250 && id < 262) || id > 508) {
        expect((await client.lookup(testModule(id), "v1.0.0")).treeSize).toBe(id + 1);
      }
    }
    expect(ports.forks).toEqual([]);
  });

  it("signs heads of which each is the beginning of the next", async ({ expect }) => {
    const { log, signer } = await start();
    const tree = new MemoryTree();
    const heads: TreeHead[] = [];
    for (const count of [3, 253, 1, 300]) {
      const first = tree.size;
      for (let id = first; id < first + count; id++) tree.append(testRecord(id));
      await log.append(entries(first, count));
      heads.push(await headOf(log, signer));
    }
    for (const newer of heads) {
      for (const older of heads.filter(({ size }) => size <= newer.size)) {
        const proof = await proveTree(newer.size, older.size, tree.read);
        expect(() => checkTree(proof, newer, older)).not.toThrow();
      }
    }
  });

  it("gives each of many concurrent appends its own numbers", async ({ expect }) => {
    const { log, signer } = await start();
    const ids = await Promise.all(
      Array.from({ length: 40 }, (_, at) => log.append(entries(at * 7, 7))),
    );
    expect(ids.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 280 }, (_, n) => n));
    const head = await headOf(log, signer);
    expect(head.size).toBe(280);
    const { client } = clientOf(log);
    for (const id of [0, 255, 256, 279]) {
      expect((await client.lookup(testModule(id), "v1.0.0")).treeSize).toBe(280);
    }
  });

  it("is not led back by a reader that was slow to see the head", async ({ expect }) => {
    const { log, newLog, ports } = await start();
    await log.append([entry(0)]);
    const restarted = newLog();
    const old = ports.head;
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const readHead = ports.readHead.bind(ports);
    ports.readHead = () => gate.then(() => old);
    const slow = restarted.serveLatest();
    ports.readHead = readHead;
    await restarted.append([entry(1)]);
    release();
    await slow;
    expect(await restarted.append([entry(2)])).toEqual([2]);
  });

  it("records a version once, however often it is repeated", async ({ expect }) => {
    const { log, newLog, signer } = await start();
    expect(await log.append([entry(0), entry(1), entry(0)])).toEqual([0, 1, 0]);
    expect(await newLog().append([entry(1), entry(2)])).toEqual([1, 2]);
    expect((await headOf(log, signer)).size).toBe(2);
    expect((await headOf(newLog(), signer)).size).toBe(3);
  });

  it("never records other hashes for a version, nor anything beside them", async ({ expect }) => {
    const { log, ports, signer } = await start();
    await log.append([entry(0)]);
    for (const batch of [
      [entry(1), entry(0, "other")],
      [entry(1), entry(2), entry(1, "other")],
    ]) {
      await expect(log.append(batch)).rejects.toMatchObject({ code: "version_conflict" });
    }
    expect((await headOf(log, signer)).size).toBe(1);
    expect(ports.texts.size).toBe(1);
  });

  it("refuses what would smuggle a line into the log", async ({ expect }) => {
    const { log, ports } = await start();
    const bad: LogEntry[] = [
      { ...entry(0), modulePath: "example.com/m\nevil.com/m v1.0.0 h1:x" },
      { ...entry(0), version: "v1.0.0 h1:x" },
      { ...entry(0), hashes: { zip: `${testHash("a")}\n`, mod: testHash("b") } },
      { ...entry(0), hashes: { zip: "", mod: testHash("b") } },
    ];
    for (const item of bad) await expect(log.append([item])).rejects.toThrow(Error);
    expect(ports.texts.size).toBe(0);
  });
});

describe("a log that is killed while it appends", () => {
  it("is consistent after a kill at any write, and the append can be repeated", async ({
    expect,
  }) => {
    for (const [before, count] of [
      [0, 1],
      [254, 1],
      [255, 2],
      [3, 255],
    ] as const) {
      const signer = await testSigner();
      for (let writes = 0; ; writes += count > 10 ? 37 : 1) {
        const { ports, newLog, log } = await start(signer);
        await log.append(entries(0, before));
        const { client } = clientOf(newLog());
        if (before > 0) await client.lookup(testModule(0), "v1.0.0");

        ports.writesLeft = writes;
        const outcome = await log.append(entries(1000, count)).catch(() => "killed");
        ports.writesLeft = undefined;
        // What was begun is not there for readers, neither of the old instance nor of a new one.
        const size = outcome === "killed" ? before : before + count;
        expect((await headOf(log, signer)).size).toBe(size);
        expect((await headOf(newLog(), signer)).size).toBe(size);

        // Another append takes the numbers, then the first one is repeated.
        const restarted = newLog();
        expect(await restarted.append([entry(5000)])).toEqual([size]);
        await restarted.append(entries(1000, count));
        await restarted.append(entries(1000, count));
        const follower = clientOf(restarted);
        for (const id of [5000, 1000, 1000 + count - 1, ...(before > 0 ? [0] : [])]) {
          const record = await follower.client.lookup(testModule(id), "v1.0.0");
          expect(record.treeSize).toBe(before + 1 + count);
        }
        if (outcome !== "killed") break;
      }
    }
  });

  it("does not sign on over tiles that are missing or damaged", async ({ expect }) => {
    const { log, newLog, ports, signer } = await start();
    await log.append(entries(0, 300));
    for (const [key, bytes] of [...ports.tiles]) {
      if (bytes.length === 8192) continue;
      for (const damaged of [flipBit(bytes, 3), bytes.slice(0, -32), undefined]) {
        if (damaged === undefined) ports.tiles.delete(key);
        else ports.tiles.set(key, damaged);
        const refusal = expect(newLog().append([entry(900)])).rejects;
        await refusal.toMatchObject({ code: "storage_unavailable" });
      }
      ports.tiles.set(key, bytes);
    }
    expect((await headOf(log, signer)).size).toBe(300);
    expect(await newLog().append([entry(900)])).toEqual([300]);
  });
});

describe("what a log serves", () => {
  it("is a signed head of size 0 at first, and no record", async ({ expect }) => {
    const { log, signer } = await start();
    expect(log.name).toBe("localhost.localdev/sumdb");
    const head = await headOf(log, signer);
    expect([head.size, toBase64(head.root)]).toEqual([
      0,
      "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ]);
    const lookup = log.serveLookup("example.com/m0@v1.0.0");
    await expect(lookup).rejects.toMatchObject({ code: "sumdb_not_found" });
    const tile = log.serveTile("tile/8/0/000.p/1");
    await expect(tile).rejects.toMatchObject({ code: "sumdb_not_found" });
  });

  it("is found under the escaped path only", async ({ expect }) => {
    const { log } = await start();
    await log.append([{ ...entry(0), modulePath: "github.com/BurntSushi/toml" }]);
    const answer = parseLookupAnswer(await log.serveLookup("github.com/!burnt!sushi/toml@v1.0.0"));
    expect(answer.text).toContain("github.com/BurntSushi/toml v1.0.0/go.mod h1:");
    const missing = log.serveLookup("github.com/burntsushi/toml@v1.0.0");
    await expect(missing).rejects.toMatchObject({ code: "sumdb_not_found" });
    const malformed = log.serveLookup("github.com/BurntSushi/toml@v1.0.0");
    await expect(malformed).rejects.toMatchObject({ code: "malformed_path" });
  });

  it("is every tile of its tree at every width, and none beyond", async ({ expect }) => {
    const { log } = await start();
    await log.append(entries(0, 300));
    expect(await log.serveTile("tile/8/0/001.p/44")).toHaveLength(44 * 32);
    expect(await log.serveTile("tile/8/0/001.p/43")).toHaveLength(43 * 32);
    expect(await log.serveTile("tile/8/1/000.p/1")).toHaveLength(32);
    const texts = parseDataTile(await log.serveTile("tile/8/data/001.p/3"));
    expect(texts).toEqual([testRecord(256), testRecord(257), testRecord(258)]);
    for (const path of ["tile/8/0/001", "tile/8/0/001.p/45", "tile/8/data/001", "tile/8/7/000"]) {
      await expect(log.serveTile(path)).rejects.toMatchObject({ code: "sumdb_not_found" });
    }
    for (const path of ["tile/4/0/000", "tile/8/0/0", "", fetchPath(0, 0)]) {
      await expect(log.serveTile(path)).rejects.toMatchObject({ code: "malformed_path" });
    }
  });

  it("says that storage is at fault when a part is missing", async ({ expect }) => {
    const { log, ports } = await start();
    await log.append(entries(0, 3));
    ports.tiles.clear();
    ports.texts.clear();
    for (const path of ["tile/8/0/000.p/3", "tile/8/data/000.p/3"]) {
      await expect(log.serveTile(path)).rejects.toMatchObject({ code: "storage_unavailable" });
    }
    const lookup = log.serveLookup("example.com/m0@v1.0.0");
    await expect(lookup).rejects.toMatchObject({ code: "storage_unavailable" });
  });

  it("does not leave the head of another key in place", async ({ expect }) => {
    const { log, ports } = await start();
    await log.append([entry(0)]);
    const rekeyed = new SumdbLog({ signer: await testSigner(), ports });
    await expect(rekeyed.append([entry(1)])).rejects.toMatchObject({ code: "sumdb_invalid" });
  });
});
