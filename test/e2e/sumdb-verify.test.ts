// Guarantee: nothing public is stored or served that the checksum database does not vouch for,
// whatever the source or the database does. The database is golang.org/x/mod's own test server.

import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, type ExpectStatic, it } from "vitest";
import { alertsOf, raises } from "../support/alerts.ts";
import { FakeUpstream, text, zip } from "../support/fake-upstream.ts";
import { makeLargeModule, makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import { eventually, type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { readObjectRows, readStoredRecord } from "../support/stored-record.ts";
import { type AnswerLie, backendAt, DatabaseFront } from "../support/sumdb/database-front.ts";
import { DATABASE_NAME, makeDatabaseKey, startGoDatabase } from "../support/sumdb/go-database.ts";
import { hasGo, Oracle } from "../support/sumdb/oracle.ts";
import { flipBit, testHash } from "../support/sumdb/test-database.ts";

const isSkipped = process.env["CI"] !== "true" && !hasGo();
const reason = isSkipped ? " (skipped: the go command is not installed)" : "";

const BASE = `/sumdb/${DATABASE_NAME}`;
// So many that the tree has full tiles, partial ones and a second level.
const FILLERS = 300;
const EVIL = testHash("evil");

/** Records that are in the signed tree, and should not be. */
const BAD_RECORDS: Readonly<Record<string, (path: string, good: ModuleFixture) => string>> = {
  "other-module.test/m": () => `else.test/m v1.0.0 ${EVIL}\nelse.test/m v1.0.0/go.mod ${EVIL}\n`,
  "other-version.test/m": (path) => `${path} v1.0.1 ${EVIL}\n${path} v1.0.1/go.mod ${EVIL}\n`,
  "no-zip-line.test/m": (path) => `${path} v1.0.0/go.mod ${EVIL}\n`,
  "no-mod-line.test/m": (path) => `${path} v1.0.0 ${EVIL}\n`,
  "two-zip-lines.test/m": (path) =>
    `${path} v1.0.0 ${EVIL}\n${path} v1.0.0 ${testHash("x")}\n${path} v1.0.0/go.mod ${EVIL}\n`,
  "two-mod-lines.test/m": (path) =>
    `${path} v1.0.0 ${EVIL}\n${path} v1.0.0/go.mod ${EVIL}\n${path} v1.0.0/go.mod ${testHash("x")}\n`,
  "no-h1.test/m": (path) =>
    `${path} v1.0.0 h2:${EVIL.slice(3)}\n${path} v1.0.0/go.mod h2:${EVIL.slice(3)}\n`,
};

const badModules = Object.keys(BAD_RECORDS).map((path) => makeModule({ path, version: "v1.0.0" }));

/** Answers that are changed on their way. */
const LIES: readonly (readonly [string, (good: ModuleFixture) => AnswerLie])[] = [
  ["an empty record", () => onLookup((id, _, note) => `${id}\n\n${note}`)],
  [
    "lines of another hash behind the signature",
    ({ path }) => onLookup((id, record, note) => `${id}\n${record}\n${note}${evilLines(path)}`),
  ],
  [
    "lines of another hash between record and head",
    ({ path }) => onLookup((id, record, note) => `${id}\n${record}\n${evilLines(path)}\n${note}`),
  ],
  [
    "lines of another hash in place of the record",
    ({ path }) => onLookup((id, _, note) => `${id}\n${evilLines(path)}\n${note}`),
  ],
  ["the number of another record", () => onLookup((_, record, note) => `3\n${record}\n${note}`)],
  ["no number", () => onLookup((_, record, note) => `${record}\n${note}`)],
  ["a cut note", () => onLookup((id, record, note) => `${id}\n${record}\n${note.slice(0, -20)}`)],
  ["no note", () => onLookup((id, record) => `${id}\n${record}\n`)],
  ["nothing at all", () => onLookup(() => "")],
  ["forged tiles of level 0", () => onTile(/^\/tile\/8\/0\//, (bytes) => flipBit(bytes, 40))],
  ["tiles cut by a hash", () => onTile(/./, (bytes) => bytes.slice(0, -32))],
  ["tiles cut by a byte", () => onTile(/./, (bytes) => bytes.slice(0, -1))],
  ["empty tiles", () => onTile(/./, () => new Uint8Array())],
  ["tiles that are too long", () => onTile(/./, (bytes) => Buffer.concat([bytes, bytes]))],
];

describe.skipIf(isSkipped).each(STORAGES)(
  `verification at ingest with --storage %s${reason}`,
  (storage) => {
    let oracle: Oracle;
    let origin: FakeUpstream;
    let upstream: FakeUpstream;
    let honest: string;
    let front: DatabaseFront;
    let server: RunningServer;
    let key: { signerKey: string; verifierKey: string };
    let count = 0;

    /** A module that the origin, the database and the upstream agree about. */
    const newModule = (what: string): ModuleFixture => {
      const path = `${what.replaceAll(/[^a-z0-9]+/g, "-")}.test/m${count++}`;
      const module = makeModule({ path, version: "v1.0.0", goMod: `module ${path}\n\ngo 1.20\n` });
      origin.add(module);
      upstream.add(module);
      return module;
    };
    const askAll = async (module: ModuleFixture): Promise<number[]> => [
      (await server.ask(`/${module.base}.mod`)).status,
      (await server.ask(`/${module.base}.zip`)).status,
    ];
    const askLookup = async ({ escapedPath, version }: ModuleFixture) =>
      await server.ask(`${BASE}/lookup/${escapedPath}@${version}`);
    const storedOf = ({ escapedPath }: ModuleFixture): string[] =>
      server.stored().filter((stored) => stored.startsWith(`public/${escapedPath}/`));
    const storedLookupOf = ({ escapedPath }: ModuleFixture): string[] =>
      server.stored().filter((stored) => stored.includes(`/lookup/${escapedPath}@`));
    const headSize = async (): Promise<number> =>
      Number((await server.ask(`${BASE}/latest`)).text.split("\n")[1]);

    const expectRefused = async (expect: ExpectStatic, module: ModuleFixture) => {
      expect(await askAll(module)).toEqual([502, 502]);
      expect(storedOf(module)).toEqual([]);
    };
    const expectProven = async (expect: ExpectStatic, module: ModuleFixture) => {
      expect(await askAll(module)).toEqual([200, 200]);
      for (const kind of ["mod", "zip"] as const) {
        const record = readStoredRecord(server, `public/${module.base}.${kind}`);
        expect(record).toMatchObject({ verified: "sumdb" });
        expect(record?.treeSize).toBeGreaterThan(FILLERS);
      }
    };

    beforeAll(async () => {
      oracle = new Oracle();
      origin = await FakeUpstream.start(badModules);
      upstream = await FakeUpstream.start(badModules);
      key = await makeDatabaseKey();
      honest = await startGoDatabase(oracle, {
        signerKey: key.signerKey,
        origin: origin.url,
        fillers: FILLERS,
        records: Object.fromEntries(
          badModules.map((module) => [
            `${module.path}@${module.version}`,
            BAD_RECORDS[module.path]?.(module.path, module) ?? "",
          ]),
        ),
      });
      front = await DatabaseFront.start(backendAt(honest));
      server = await startServer({
        storage,
        config: {
          upstreams: [{ url: upstream.url }],
          sumdb: { name: DATABASE_NAME, key: key.verifierKey, url: front.url },
          cache: { list: "1s", negative: "1s" },
        },
      });
    });

    afterAll(async () => {
      await server.stop();
      await Promise.all([front.down(), upstream.down(), origin.down()]);
      oracle.close();
    });

    it("stores what the database vouches for and writes down the size of its tree", async ({
      expect,
    }) => {
      const module = newModule("honest");
      await expectProven(expect, module);
      const info = await server.ask(`/${module.base}.info`);
      expect(info.status).toBe(200);
      expect(readStoredRecord(server, `public/${module.base}.info`)).toMatchObject({
        verified: "none",
      });
    });

    it("looks for the proof of a go.mod and of a zip while their source has not answered yet", async ({
      expect,
    }) => {
      for (const kind of ["mod", "zip"]) {
        const module = newModule(`slow-${kind}`);
        const path = `/${module.base}.${kind}`;
        const lookup = `/lookup/${module.escapedPath}@${module.version}`;
        upstream.on(path, { body: kind === "zip" ? module.zip : module.mod, delayMs: 2000 });
        const asked = server.ask(path);
        expect(await eventually(() => front.paths.includes(lookup), 1500)).toBe(true);
        expect((await asked).status).toBe(200);
        await expectProven(expect, module);
      }
    });

    it("is an absence where the source says so, whatever the database says of it", async ({
      expect,
    }) => {
      const module = newModule("gone");
      for (const kind of ["mod", "zip"]) {
        upstream.on(`/${module.base}.${kind}`, { status: 404, body: "not found: gone" });
      }
      expect(await askAll(module)).toEqual([404, 404]);
    });

    it("answers who waits for a look-up that was begun for a go.mod that no source has", async ({
      expect,
      onTestFinished,
    }) => {
      const module = newModule("gone-meanwhile");
      upstream.on(`/${module.base}.mod`, { status: 404, body: "not found: gone" });
      const { backend } = front;
      onTestFinished(() => {
        front.backend = backend;
      });
      front.backend = async (path) => {
        await wait(2000);
        return await backend(path);
      };
      const absent = server.ask(`/${module.base}.mod`);
      expect((await absent).status).toBe(404);
      const lookups = await Promise.all([1, 2, 3].map(async () => await askLookup(module)));
      expect(lookups.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect((await server.ask(`/${module.base}.zip`)).status).toBe(200);
    });

    it("proves names and versions with capitals", async ({ expect }) => {
      const module = makeModule({ path: "capitals.test/Big/API", version: "v1.0.0-RC.1" });
      origin.add(module);
      upstream.add(module);
      await expectProven(expect, module);
      expect(front.paths).toContain("/lookup/capitals.test/!big/!a!p!i@v1.0.0-!r!c.1");
    });

    it("refuses an altered zip and an altered go.mod with 502, and stores neither", async ({
      expect,
    }) => {
      const module = newModule("altered");
      const goMod = `${module.mod}\nretract v1.0.0\n`;
      const altered = makeModule({ path: module.path, version: "v1.0.0", goMod });
      upstream.on(`/${module.base}.zip`, zip(altered.zip));
      upstream.on(`/${module.base}.mod`, text(altered.mod));
      await expectRefused(expect, module);
      const { text: said } = await server.ask(`/${module.base}.zip`);
      expect(said).toMatch(/checksum mismatch/);
      expect(await raises(server, "checksum_mismatch")).toBe(true);
      upstream.add(module);
      await expectProven(expect, module);
    });

    it("breaks the body of an altered zip that was being streamed, and stores nothing", async ({
      expect,
    }) => {
      const module = makeLargeModule("altered-large.test/m", "v1.0.0", 2 * 1024 * 1024);
      origin.add(module);
      upstream.add(module);
      const altered = makeLargeModule("altered-large.test/m", "v1.0.0", 2 * 1024 * 1024 - 4096);
      upstream.on(`/${module.base}.zip`, zip(altered.zip));
      const outcome = await server.ask(`/${module.base}.zip`).then(
        ({ status }) => status,
        () => "broken",
      );
      expect(["broken", 502]).toContain(outcome);
      expect(storedOf(module)).toEqual([]);
      upstream.on(`/${module.base}.zip`, zip(module.zip));
      const { status, body } = await server.ask(`/${module.base}.zip`);
      expect({ status, isSame: body.equals(module.zip) }).toEqual({ status: 200, isSame: true });
    });

    it("never serves a version that the database does not know", async ({ expect }) => {
      const module = makeModule({ path: "unknown.test/m", version: "v1.0.0" });
      upstream.add(module);
      await expectRefused(expect, module);
      const head = await server.ask(`/${module.base}.zip`, { method: "HEAD" });
      expect(head.status).toBe(502);
      const range = await server.ask(`/${module.base}.zip`, { headers: { Range: "bytes=0-9" } });
      expect(range.status).toBe(502);
      expect((await server.ask(`/cached-only/${module.base}.zip`)).status).toBe(404);
    });

    it.for(badModules.map((module) => [module.path, module] as const))(
      "refuses the signed record of %s",
      async ([, module], { expect }) => {
        await expectRefused(expect, module);
        const { status } = await askLookup(module);
        expect(status).toBe(502);
        expect(storedLookupOf(module)).toEqual([]);
      },
    );

    it.for(LIES)(
      "refuses %s, and works when the database is honest again",
      async ([what, toLie], { expect }) => {
        const module = newModule(what);
        const goMod = `module ${module.path}\n\ngo 1.99\n`;
        const altered = makeModule({ path: module.path, version: "v1.0.0", goMod });
        front.lie = toLie(altered);
        try {
          // The source lies as well, in the same way, or tells the truth: neither is good enough.
          upstream.add(altered);
          await expectRefused(expect, module);
          const lookup = await askLookup(module);
          expect(lookup.status).toBe(502);
          expect(storedLookupOf(module)).toEqual([]);
        } finally {
          front.lie = undefined;
          upstream.add(module);
        }
        await expectProven(expect, module);
        expect((await askLookup(module)).status).toBe(200);
      },
    );

    it("refuses a database that signs with another key", async ({ expect }) => {
      const { signerKey } = await makeDatabaseKey();
      const other = await startGoDatabase(oracle, { signerKey, origin: origin.url, fillers: 400 });
      front.backend = backendAt(other);
      const module = newModule("wrong key");
      await expectRefused(expect, module);
      expect((await askLookup(module)).status).toBe(502);
      front.backend = backendAt(honest);
      await expectProven(expect, module);
    });

    it("takes an older head for the past that it is, and keeps the newer one", async ({
      expect,
    }) => {
      const module = newModule("rollback");
      const later = newModule("later");
      // The database's answer for the first, as it was before the second was there.
      const old = await backendAt(honest)(`/lookup/${module.escapedPath}@v1.0.0`);
      const oldLatest = await backendAt(honest)("/latest");
      await expectProven(expect, later);
      const newest = await headSize();
      front.lie = (path) => {
        if (path === "/latest") return oldLatest;
        return path.startsWith(`/lookup/${module.escapedPath}@`) ? old : undefined;
      };
      await expectProven(expect, module);
      expect(await headSize()).toBe(newest);
      front.lie = undefined;
      expect(readStoredRecord(server, `public/${module.base}.zip`)?.treeSize).toBe(newest);
      expect((await askLookup(module)).text).toContain(`\n${newest}\n`);
      expect(alertsOf(server, "tree-forked")).toEqual([]);
    });

    it.for([
      ["longer", 600],
      ["shorter", 302],
      ["much shorter", 40],
    ] as const)(
      "refuses a %s fork, raises an alarm with both heads and keeps its own",
      async ([what, fillers], { expect }) => {
        const fork = await startGoDatabase(oracle, {
          signerKey: key.signerKey,
          origin: origin.url,
          fillers,
          salt: what,
        });
        const newest = await headSize();
        const before = alertsOf(server, "tree-forked").length;
        front.backend = backendAt(fork);
        const module = newModule(`fork ${what}`);
        await expectRefused(expect, module);
        expect((await askLookup(module)).status).toBe(502);
        front.backend = backendAt(honest);
        await expectProven(expect, module);
        expect(await headSize()).toBeGreaterThan(newest);
        expect(await raises(server, "tree-forked", before + 1)).toBe(true);
        const alerts = alertsOf(server, "tree-forked").slice(before);
        expect(alerts.length).toBeGreaterThan(0);
        expect(alerts[0]?.["log.level"]).toBe("error");
        expect(String(alerts[0]?.["sumdb.ours"])).toContain(`go.sum database tree\n${newest}\n`);
        expect(String(alerts[0]?.["sumdb.theirs"])).toContain(
          `go.sum database tree\n${fillers + 1}\n`,
        );
      },
    );

    it("goes on with what is stored while the database is gone, and with the rest once it is back", async ({
      expect,
    }) => {
      const known = newModule("known");
      await expectProven(expect, known);
      await front.down();
      const module = newModule("unreachable");
      for (const kind of ["mod", "zip"]) {
        const { status, text: said } = await server.ask(`/${module.base}.${kind}`);
        expect([502, 503]).toContain(status);
        expect(said).toMatch(/checksum database|sumdb|verif/i);
        expect(said).not.toContain("127.0.0.1");
      }
      expect(storedOf(module)).toEqual([]);
      expect(await askAll(known)).toEqual([200, 200]);
      expect((await server.ask(`/${module.escapedPath}/@v/list`)).status).toBe(200);
      await front.up();
      const startedMs = performance.now();
      await expectProven(expect, module);
      expect(performance.now() - startedMs).toBeLessThan(8000);
    });

    // Takes as long as the database is waited for, so on one storage only: it makes no difference.
    it.runIf(storage === "disk")(
      "works again within 8 s of a database that stood still, whoever waits for it",
      async ({ expect }) => {
        const module = newModule("stood still");
        front.backend = async () => await new Promise(() => undefined);
        const waiting = server.ask(`/${module.base}.mod`);
        const asked = front.requests.length;
        expect(await eventually(() => front.requests.length > asked, 5000)).toBe(true);
        front.backend = backendAt(honest);
        const startedMs = performance.now();
        const { status } = await server.ask(`/${module.base}.mod`);
        const tookMs = performance.now() - startedMs;
        await waiting;
        expect({ status, isInTime: tookMs < 8000 }).toEqual({ status: 200, isInTime: true });
      },
    );

    it("has kept both heads of every fork after its end", async ({ expect }) => {
      const { data } = server;
      await server.stop();
      const forks = readObjectRows(data, "forks");
      expect(forks.length).toBeGreaterThanOrEqual(2);
      for (const { ours, theirs } of forks) {
        expect(String(ours)).toMatch(/^go\.sum database tree\n/);
        expect(String(theirs)).toMatch(/^go\.sum database tree\n/);
        expect(ours).not.toBe(theirs);
      }
      server = await startServer({ storage, data, upstream: upstream.url });
    });
  },
);

/** Changes lookup answers: number, record and signed head, and what is made of them. */
function onLookup(change: (id: string, record: string, note: string) => string): AnswerLie {
  return (path, truth) => {
    if (!path.startsWith("/lookup/") || truth.status !== 200) return undefined;
    const body = Buffer.from(truth.body).toString("utf8");
    const idEnd = body.indexOf("\n") + 1;
    const recordEnd = body.indexOf("\n\n") + 1;
    const changed = change(
      body.slice(0, idEnd - 1),
      body.slice(idEnd, recordEnd),
      body.slice(recordEnd + 1),
    );
    return { status: 200, body: Buffer.from(changed) };
  };
}

/** Changes tiles of some paths. */
function onTile(paths: RegExp, change: (bytes: Uint8Array) => Uint8Array): AnswerLie {
  return (path, truth) =>
    path.startsWith("/tile/") && paths.test(path) && truth.status === 200
      ? { status: 200, body: change(truth.body) }
      : undefined;
}

function evilLines(path: string): string {
  return `${path} v1.0.0 ${EVIL}\n${path} v1.0.0/go.mod ${EVIL}\n`;
}
