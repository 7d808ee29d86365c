import { describe, it } from "vitest";
import { SumdbClient } from "../../../src/sumdb/client.ts";
import { encodeUtf8, tryFromBase64 } from "../../../src/sumdb/encoding.ts";
import { type Signer, signNote } from "../../../src/sumdb/note.ts";
import { checkTree } from "../../../src/sumdb/proof.ts";
import { formatTreeHead, parseTreeHead } from "../../../src/sumdb/record.ts";
import { MemoryPorts } from "../../support/sumdb/memory-ports.ts";
import {
  fetchPath,
  flipBit,
  type Lie,
  TestDatabase,
  testModule,
  testRecord,
  testSigner,
} from "../../support/sumdb/test-database.ts";

const lookup = (client: SumdbClient, id: number) => client.lookup(testModule(id), "v1.0.0");
const invalid = { code: "sumdb_invalid" };
const forked = { code: "tree_forked" };

async function start(size: number, signer?: Signer) {
  const database = await TestDatabase.create(size, signer);
  const ports = new MemoryPorts(database.fetch);
  const client = new SumdbClient({ verifierKey: database.verifierKey, ports });
  return { database, ports, client };
}

/** Everything that a client keeps, to show that nothing was added. */
function contents(ports: MemoryPorts): unknown {
  return structuredClone([ports.head, [...ports.tiles], [...ports.records]]);
}

/** A lie that edits the text of lookup answers. */
function inLookup(edit: (answer: string) => string): Lie {
  return (path, truth) =>
    path.startsWith("/lookup/") ? encodeUtf8(edit(new TextDecoder().decode(truth))) : undefined;
}

describe("a lookup answer that is a lie", () => {
  const zipLine = testRecord(7).split("\n")[0] ?? "";
  const modLine = testRecord(7).split("\n")[1] ?? "";
  const evilLine = testRecord(7, "evil").split("\n")[0] ?? "";

  // Guarantee: what is not proven is neither stored nor relayed (CVE-2026-42501, CVE-2026-56864).
  it.for<[string, (answer: string) => string]>([
    ["is empty", () => ""],
    ["is an HTML page", () => "<html>captive portal</html>\n"],
    ["has an empty record", (answer) => answer.replace(testRecord(7), "")],
    ["has a record of no lines", (answer) => answer.replace(testRecord(7), "\n")],
    [
      "has the true record of another module",
      (a) => a.replace(`7\n${testRecord(7)}`, `8\n${testRecord(8)}`),
    ],
    ["has another module in its record", (answer) => answer.replaceAll("m7 ", "m8 ")],
    ["has another version", (answer) => answer.replaceAll("v1.0.0", "v1.0.1")],
    ["lacks the zip's line", (answer) => answer.replace(`${zipLine}\n`, "")],
    ["lacks the go.mod's line", (answer) => answer.replace(`${modLine}\n`, "")],
    ["has another hash", (answer) => answer.replace(zipLine, evilLine)],
    ["has the zip's line twice", (answer) => answer.replace(zipLine, `${zipLine}\n${zipLine}`)],
    ["has a second hash", (answer) => answer.replace(zipLine, `${zipLine}\n${evilLine}`)],
    [
      "has one more line",
      (a) => a.replace(modLine, `${modLine}\nevil.com/m v1.0.0 ${zipLine.split(" ")[2]}`),
    ],
    ["has its lines in another order", (a) => a.replace(testRecord(7), `${modLine}\n${zipLine}\n`)],
    [
      "has the wanted line behind the record",
      (a) => a.replace(testRecord(7), `${modLine}\n\n${zipLine}\n`),
    ],
    [
      "has the wanted line in the note's text",
      (a) => a.replace("go.sum database", `${evilLine}\ngo.sum database`),
    ],
    [
      "has a line below the tree head",
      (answer) => answer.replace("=\n\n\u2014", `=\n${evilLine}\n\n\u2014`),
    ],
    ["has a line behind the signature", (answer) => `${answer}${evilLine}\n`],
    ["has another id", (answer) => answer.replace(/^7/, "6")],
    ["has an id beyond the tree", (answer) => answer.replace(/^7/, "300")],
    ["has no note", (answer) => answer.slice(0, answer.indexOf("\n\n") + 2)],
    ["has no signature", (answer) => answer.slice(0, answer.lastIndexOf("\u2014"))],
    ["has a larger tree than was signed", (answer) => answer.replace("\n300\n", "\n301\n")],
    ["is cut in the middle", (answer) => answer.slice(0, answer.length >> 1)],
    ["is cut at the end", (answer) => answer.slice(0, -1)],
  ])("is refused when it %s", async ([, edit], { expect }) => {
    const { database, ports, client } = await start(300);
    await lookup(client, 299);
    const before = contents(ports);
    database.lie = inLookup(edit);
    await expect(lookup(client, 7)).rejects.toMatchObject(invalid);
    await expect(client.serveLookup("example.com/m7@v1.0.0")).rejects.toMatchObject(invalid);
    expect(contents(ports)).toEqual(before);
    expect(ports.forks).toEqual([]);

    database.lie = undefined;
    expect((await lookup(client, 7)).id).toBe(7);
  });

  it("is refused when it is signed by another key of the same name", async ({ expect }) => {
    const { database, ports, client } = await start(300);
    const impostor = await testSigner();
    const note = await signNote(formatTreeHead(await database.tree.head()), impostor);
    database.lie = inLookup((answer) => answer.slice(0, answer.indexOf("\n\n") + 2) + note);
    await expect(lookup(client, 7)).rejects.toThrow(/not signed by the configured key/);
    expect(contents(ports)).toEqual([undefined, [], []]);
  });

  it("is refused when the right key signed it under another name", async ({ expect }) => {
    const { database, ports, client } = await start(300);
    database.lie = inLookup((answer) => answer.replace("localhost.localdev", "localhost.evil"));
    await expect(lookup(client, 7)).rejects.toThrow(/not signed by the configured key/);
    expect(contents(ports)).toEqual([undefined, [], []]);
  });

  it("is refused when the head is not a tree's", async ({ expect }) => {
    const { database, client } = await start(300);
    const note = await signNote("go.sum database tree v2\n300\nroot\n", database.signer);
    database.lie = inLookup((answer) => answer.slice(0, answer.indexOf("\n\n") + 2) + note);
    await expect(lookup(client, 7)).rejects.toThrow(/malformed tree head/);
  });
});

describe("a tile that is a lie", () => {
  it.for([255, 256, 257, 259, 515, 768, 771, 1027])(
    "is refused and not kept, whichever it is, in a log of %i",
    async (size, { expect }) => {
      const honest = await start(size);
      await lookup(honest.client, 3);
      const tiles = honest.ports.fetched.filter((path) => path.startsWith("/tile/"));
      for (const lied of tiles) {
        const { database, ports, client } = await start(size, honest.database.signer);
        for (const [name, edit] of [
          ["forged at its start", (truth: Uint8Array) => flipBit(truth, 0)],
          ["forged at its end", (truth: Uint8Array) => flipBit(truth, truth.length - 1)],
          ["cut", (truth: Uint8Array) => truth.slice(0, -32)],
          ["cut within a hash", (truth: Uint8Array) => truth.slice(0, -1)],
          ["too long", (truth: Uint8Array) => Uint8Array.from([...truth, ...new Uint8Array(64)])],
          ["empty", () => new Uint8Array()],
        ] as const) {
          database.lie = (path, truth) => (path === lied ? edit(truth) : undefined);
          await expect(lookup(client, 3), `${lied} ${name}`).rejects.toMatchObject(invalid);
          expect(contents(ports)).toEqual([undefined, [], []]);
        }
        database.lie = undefined;
        expect((await lookup(client, 3)).id).toBe(3);
      }
    },
  );

  it("is refused when a client asks for it, and not kept", async ({ expect }) => {
    const { database, ports, client } = await start(1027);
    await lookup(client, 3);
    const before = contents(ports);
    database.lie = (path, truth) => (path === fetchPath(0, 2) ? flipBit(truth, 99) : undefined);
    await expect(client.serveTile("tile/8/0/002")).rejects.toMatchObject(invalid);
    await expect(client.serveTile("tile/8/0/002.p/3")).rejects.toMatchObject(invalid);
    expect(contents(ports)).toEqual(before);
    database.lie = undefined;
    expect(await client.serveTile("tile/8/0/002.p/3")).toHaveLength(96);
  });

  it("does not stop what is proven with other tiles", async ({ expect }) => {
    const { database, client } = await start(1027);
    await lookup(client, 3);
    database.lie = (path, truth) => (path.startsWith("/tile/") ? flipBit(truth, 0) : undefined);
    expect((await lookup(client, 4)).id).toBe(4);
    await expect(lookup(client, 300)).rejects.toMatchObject(invalid);
  });
});

describe("a forked database", () => {
  /** A log with our key that agrees with the test log up to `common` records. */
  async function fork(size: number, common: number, signer: Signer) {
    const textOf = (id: number) => testRecord(id, id < common ? "" : "forked");
    return TestDatabase.create(size, signer, textOf);
  }

  /** Accept the head of one log, then be given the other. */
  async function meet(sizes: { ours: number; theirs: number; common: number }) {
    const { database, ports, client } = await start(sizes.ours);
    await lookup(client, 0);
    const evil = await fork(sizes.theirs, sizes.common, database.signer);
    const before = contents(ports);
    database.lie = () => undefined;
    let current = evil;
    const forkedPorts = Object.assign(ports, { fetch: (path: string) => current.fetch(path) });
    return {
      client: new SumdbClient({ verifierKey: database.verifierKey, ports: forkedPorts }),
      ports: forkedPorts,
      before,
      evil,
      database,
      recover: () => (current = database),
    };
  }

  it.for([
    { ours: 300, theirs: 300, common: 0 },
    { ours: 300, theirs: 300, common: 299 },
    { ours: 300, theirs: 301, common: 0 },
    { ours: 300, theirs: 700, common: 10 },
    { ours: 300, theirs: 700, common: 299 },
    { ours: 256, theirs: 512, common: 255 },
    { ours: 515, theirs: 771, common: 3 },
    { ours: 700, theirs: 300, common: 0 },
    { ours: 700, theirs: 512, common: 300 },
    { ours: 1, theirs: 2, common: 0 },
  ])("is refused, with both heads kept: %o", async (sizes, { expect }) => {
    const { client, ports, before, evil, database, recover } = await meet(sizes);
    await expect(lookup(client, 1)).rejects.toMatchObject(forked);
    expect(contents(ports)).toEqual(before);
    expect(ports.forks).toHaveLength(1);
    const theirs = await evil.signedHead(sizes.theirs);
    expect(ports.forks[0]).toMatchObject({ ours: ports.head, theirs });

    await expect(client.serveLatest()).rejects.toMatchObject(forked);
    const refusal = expect(client.serveTile(fetchPath(0, 9).slice(1))).rejects;
    await refusal.toMatchObject(forked);
    expect(contents(ports)).toEqual(before);

    recover();
    expect((await lookup(client, 0)).text).toBe(database.tree.records[0]);
  });

  it("leaves a proof that a third party can check", async ({ expect }) => {
    const { client, ports } = await meet({ ours: 300, theirs: 700, common: 10 });
    await expect(lookup(client, 1)).rejects.toMatchObject(forked);
    const [event] = ports.forks;
    const decode = (text: string | undefined) => tryFromBase64(text ?? "") ?? new Uint8Array();
    const newer = parseTreeHead(event?.theirs ?? "");
    const older = parseTreeHead(event?.ours ?? "");
    const computed = { size: older.size, root: decode(event?.computedRoot) };
    checkTree((event?.proof ?? []).map(decode), newer, computed);
    expect(computed.root).not.toEqual(older.root);
  });

  it("is refused even when nothing tells the fork from an outage", async ({ expect }) => {
    const { client, ports, before } = await meet({ ours: 700, theirs: 300, common: 290 });
    await expect(lookup(client, 1)).rejects.toMatchObject({ code: "sumdb_unavailable" });
    expect(contents(ports)).toEqual(before);
  });

  it("is still refused when the alarm itself fails", async ({ expect }) => {
    const { client, ports, before } = await meet({ ours: 300, theirs: 700, common: 10 });
    ports.onFork = () => {
      throw new Error("no alarm");
    };
    await expect(lookup(client, 1)).rejects.toMatchObject(forked);
    expect(contents(ports)).toEqual(before);
  });
});

describe("a database that goes back", () => {
  it("does not take us along while it can show that it was there", async ({ expect }) => {
    const { database, ports, client } = await start(700);
    await lookup(client, 650);
    const newest = ports.head;
    for (const size of [699, 512, 300, 1]) {
      const note = await database.signedHead(size);
      database.lie = (path) => (path === "/latest" ? encodeUtf8(note) : undefined);
      expect(new TextDecoder().decode(await client.serveLatest())).toBe(newest);
      database.lookupSize = size;
      expect((await lookup(client, size - 1)).treeSize).toBe(700);
    }
    expect(ports.head).toBe(newest);
  });

  it("is not believed when it has lost the tiles that would show it", async ({ expect }) => {
    const { database, ports, client } = await start(700);
    await lookup(client, 650);
    const before = contents(ports);
    database.publishedSize = 300;
    await expect(lookup(client, 299)).rejects.toMatchObject({ code: "sumdb_unavailable" });
    expect(contents(ports)).toEqual(before);
    expect(ports.forks).toEqual([]);
    expect((await lookup(client, 650)).id).toBe(650);
  });
});
