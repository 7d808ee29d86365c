import * as fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { SumdbClient } from "../../src/sumdb/client.ts";
import { toBase64 } from "../../src/sumdb/encoding.ts";
import { type LogEntry, SumdbLog } from "../../src/sumdb/log.ts";
import {
  formatVerifierKey,
  generateKey,
  openNote,
  parseSignerKey,
  parseVerifierKey,
  signNote,
} from "../../src/sumdb/note.ts";
import { proveRecord, proveTree } from "../../src/sumdb/proof.ts";
import { tileForIndex, tilePath, tryParseTilePath } from "../../src/sumdb/tile.ts";
import { storedHashCount, storedHashIndex } from "../../src/sumdb/tlog.ts";
import { serveSumdb } from "../support/sumdb/http-server.ts";
import { MemoryLogPorts } from "../support/sumdb/memory-log-ports.ts";
import { MemoryPorts } from "../support/sumdb/memory-ports.ts";
import { MemoryTree } from "../support/sumdb/memory-tree.ts";
import { hasGo, Oracle } from "../support/sumdb/oracle.ts";
import {
  flipBit,
  randomSeed,
  TestDatabase,
  testHash,
  testModule,
  testRecord,
  testSigner,
} from "../support/sumdb/test-database.ts";

// In CI the go command has to be there: then nothing is skipped, and its absence fails the tests.
const isSkipped = process.env["CI"] !== "true" && !hasGo();
const reason = isSkipped ? " (skipped: the go command is not installed)" : "";

const SIZE = 70_000;

describe.skipIf(isSkipped)(`golang.org/x/mod/sumdb${reason}`, () => {
  let oracle: Oracle;
  const cleanups: (() => Promise<void>)[] = [];
  beforeAll(() => {
    oracle = new Oracle();
  });
  afterAll(async () => {
    oracle.close();
    for (const cleanup of cleanups) await cleanup();
  });

  const serve = async (current: Parameters<typeof serveSumdb>[0]) => {
    const server = await serveSumdb(current);
    cleanups.push(server.close);
    return server.url;
  };
  const modules = (ids: readonly number[]) =>
    ids.map((id) => ({ path: testModule(id), version: "v1.0.0" }));
  const zipLines = (ids: readonly number[]) => ids.map((id) => [testRecord(id).split("\n")[0]]);
  const shuffled = (ids: readonly number[], seed: number) => {
    const orders = fc.shuffledSubarray([...ids], { minLength: ids.length });
    return fc.sample(orders, { numRuns: 1, seed })[0] ?? [];
  };

  describe("agrees with our tlog", () => {
    const tree = new MemoryTree(Array.from({ length: SIZE }, (_, id) => `rec ${id}\n`));
    const someSize = fc.oneof(
      fc.integer({ min: 1, max: 1100 }),
      fc.integer({ min: 1, max: SIZE }),
      fc.integer({ min: 65_530, max: 65_800 }),
    );
    const check = (property: fc.IAsyncProperty<unknown>, numRuns = 150) =>
      fc.assert(property as fc.IAsyncProperty<[unknown]>, { numRuns });

    it("about roots and counts of stored hashes", async ({ expect }) => {
      const property = fc.asyncProperty(someSize, async (size) => {
        const theirs = await oracle.ask({ op: "tree", size });
        const ours = await tree.head(size);
        expect(theirs.hashes).toEqual([toBase64(ours.root)]);
        expect(theirs.number).toBe(storedHashCount(size));
      });
      await check(property);
    });

    it("about proofs of records and of older trees", async ({ expect }) => {
      const property = fc.asyncProperty(someSize, fc.nat(), async (size, random) => {
        const id = random % size;
        const record = await oracle.ask({ op: "proveRecord", size, id });
        const ours = await proveRecord(size, id, tree.read);
        expect(record.hashes ?? []).toEqual(ours.map(toBase64));

        const older = 1 + (random % size);
        const consistency = await oracle.ask({ op: "proveTree", size, older });
        const proof = await proveTree(size, older, tree.read);
        expect(consistency.hashes ?? []).toEqual(proof.map(toBase64));
      });
      await check(property);
    });

    it("about stored indexes, least tiles and their content", async ({ expect }) => {
      const heights = fc.integer({ min: 1, max: 10 });
      const property = fc.asyncProperty(
        heights,
        fc.integer({ min: 0, max: 24 }),
        fc.nat(),
        async (height, level, random) => {
          const index = random % (2 ** 50 / 2 ** level);
          const theirs = await oracle.ask({ op: "storedIndex", height, level, index });
          expect(storedHashIndex(level, index)).toBe(theirs.number);
          expect(tilePath(tileForIndex(height, theirs.number))).toBe(theirs.text);
        },
      );
      await check(property, 300);

      const content = fc.asyncProperty(fc.nat(SIZE - 1), fc.nat(2), async (record, level) => {
        const tile = tileForIndex(8, storedHashIndex(8 * level, Math.floor(record / 256 ** level)));
        const inTree = (tile.index * 256 + tile.width) * 256 ** level <= SIZE;
        if (!inTree) return;
        const theirs = await oracle.ask({ op: "tileData", size: SIZE, ...tile });
        expect(theirs.text).toBe(tilePath(tile));
        expect(theirs.bytes).toBe(toBase64(tree.tileBytes(tile)));
      });
      await check(content);
    });

    it("about which tile paths are well-formed", async ({ expect }) => {
      const part = fc.constantFrom(
        ...[
          "tile",
          "data",
          "8",
          "0",
          "1",
          "07",
          "000",
          "005",
          "x001",
          "x000",
          "256",
          "999",
          "1000",
        ],
        ...["000.p", "001.p", "1", "255", "-1", "+1", "31", "63", "64", "", "x01", ".p", "0x1"],
      );
      const tail = fc.array(part, { maxLength: 4 }).map((parts) => parts.join("/"));
      const path = fc.oneof(
        tail,
        tail.map((rest) => `tile/8/${rest}`),
        tail.map((rest) => `tile/8/0/${rest}`),
      );
      const property = fc.asyncProperty(path, async (text) => {
        const theirs = await oracle.ask({ op: "parseTilePath", path: text });
        // A level that no tree can have passes there, and is refused only when its hashes are read.
        if (/^tile\/\d+\/(6[4-9]|[7-9]\d|\d{3,})\//.test(text)) return;
        const tile = tryParseTilePath(text);
        const ours = tile && [tile.height, tile.level, tile.index, tile.width].join(" ");
        expect(ours, text).toBe(theirs.text);
      });
      await check(property, 1500);
    });
  });

  describe("agrees with our notes", () => {
    it("by opening what we sign, and we open what it signs", async ({ expect }) => {
      const name = "localhost.localdev/sumdb";
      const { signerKey, verifierKey } = await generateKey(name, randomSeed());
      const signer = await parseSignerKey(signerKey);
      for (const text of ["a\n", "a\n\nb\n", "go.sum database tree\n1\nx\n", "\u00e4\u2014\n"]) {
        const ours = await signNote(text, signer);
        expect((await oracle.ask({ op: "sign", key: signerKey, text })).text).toBe(ours);
        expect((await oracle.ask({ op: "open", key: verifierKey, text: ours })).text).toBe(text);
        const changed = ours.replace("\n", "!\n");
        const refused = await oracle.ask({ op: "open", key: verifierKey, text: changed });
        expect(refused.error).toMatch(/invalid signature/);
      }
    });

    it("by making keys that we can use", async ({ expect }) => {
      const { lines } = await oracle.ask({ op: "generateKey", text: "example.com/db" });
      const [signerKey = "", verifierKey = ""] = lines?.[0] ?? [];
      const signer = await parseSignerKey(signerKey);
      expect(formatVerifierKey(signer.verifier)).toBe(verifierKey);
      const note = await signNote("text\n", signer);
      const opened = await openNote(note, [parseVerifierKey(verifierKey)]);
      expect(opened.text).toBe("text\n");
    });
  });

  describe("with its own client", () => {
    const entry = (id: number): LogEntry => ({
      modulePath: testModule(id),
      version: "v1.0.0",
      hashes: { zip: testHash(`zip ${id} `), mod: testHash(`mod ${id}`) },
    });

    it("follows our log through every append, restart and concurrent appends", async ({
      expect,
    }) => {
      const signer = await testSigner();
      const ports = new MemoryLogPorts();
      let log = new SumdbLog({ signer, ports });
      const url = await serve(() => log);
      let config: Readonly<Record<string, string>> = {};
      let size = 0;
      for (const batches of [[1], [1], [253], [1], [1], [3, 1, 200], [300], [1, 1, 1]]) {
        const first = size;
        await Promise.all(
          batches.map((count) => {
            const batch = Array.from({ length: count }, (_, at) => entry(size + at));
            size += count;
            return log.append(batch);
          }),
        );
        const ids = shuffled([0, first, size - 1, Math.floor(size / 2)], size);
        const request = { op: "client", url, key: log.verifierKey, modules: modules(ids) };
        // With the head of the last round: each append has to continue it.
        const followed = await oracle.ask({ ...request, config });
        expect(followed).toMatchObject({ lines: zipLines(ids), errors: ids.map(() => "") });
        const fresh = await oracle.ask(request);
        expect(fresh.lines).toEqual(zipLines(ids));
        expect(followed.text ?? "").toBe("");
        config = followed.config ?? {};
        expect(config["localhost.localdev/sumdb/latest"]).toContain(`\n${size}\n`);
        log = new SumdbLog({ signer, ports });
      }
    });

    it("verifies from our relay all that was verified once, with the database gone", async ({
      expect,
    }) => {
      const database = await TestDatabase.create(SIZE);
      const { verifierKey: key } = database;
      const ports = new MemoryPorts(database.fetch);
      const newRelay = () => new SumdbClient({ verifierKey: key, ports });
      let relay = newRelay();
      const url = await serve(() => relay);

      const verified: number[] = [];
      const heads: Readonly<Record<string, string>>[] = [];
      for (const size of [3, 256, 257, 700, 1027, 30_000, 65_536, 65_537, SIZE]) {
        database.publishedSize = size;
        // Stored lookups of a real database carry heads of any age.
        database.lookupSize = (id) => id + 1 + (((id + 7) * 7919) % (size - id));
        const ids = fc.sample(fc.nat(size - 1), { numRuns: 3, seed: size });
        const online = await oracle.ask({ op: "client", url, key, modules: modules(ids) });
        expect(online).toMatchObject({ lines: zipLines(ids), errors: ids.map(() => "") });
        verified.push(...ids);
        heads.push(online.config ?? {});
      }

      database.isDown = true;
      relay = newRelay();
      const asked = ports.fetched.length;
      for (let round = 0; round < 5; round++) {
        const ids = shuffled(verified, round);
        const offline = await oracle.ask({ op: "client", url, key, modules: modules(ids) });
        expect(offline).toMatchObject({ lines: zipLines(ids), errors: ids.map(() => "") });
      }
      // A client that we gave an older head can still follow to the newest.
      for (const config of heads) {
        const request = { op: "client", url, key, modules: modules(shuffled(verified, 9)), config };
        const offline = await oracle.ask(request);
        expect(offline.errors).toEqual(verified.map(() => ""));
        expect(offline.text ?? "").toBe("");
      }
      expect(ports.fetched.length).toBe(asked);
    });

    it("refuses what we refuse: a tile that older versions took", async ({ expect }) => {
      const database = await TestDatabase.create(771);
      const { verifierKey: key } = database;
      database.lie = (path, truth) => (path === "/tile/8/0/000" ? flipBit(truth, 0) : undefined);
      const url = await serve(() => ({
        serveLookup: (escaped) => database.fetch(`/lookup/${escaped}`),
        serveLatest: () => database.fetch("/latest"),
        serveTile: (path) => database.fetch(`/${path}`),
      }));
      const answer = await oracle.ask({ op: "client", url, key, modules: modules([0]) });
      expect(answer.errors?.[0]).toMatch(/inconsistent tile/);
      const ports = new MemoryPorts(database.fetch);
      const client = new SumdbClient({ verifierKey: key, ports });
      await expect(client.lookup(testModule(0), "v1.0.0")).rejects.toThrow(/inconsistent tile/);
    });
  });
});
