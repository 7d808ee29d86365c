// Guarantee: what was stored while no database was configured is proven before it is served again,
// or thrown out and fetched anew.

import { afterAll, beforeAll, describe, it } from "vitest";
import { raises } from "../support/alerts.ts";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { readStoredRecord } from "../support/stored-record.ts";
import { backendAt, DatabaseFront } from "../support/sumdb/database-front.ts";
import { DATABASE_NAME, makeDatabaseKey, startGoDatabase } from "../support/sumdb/go-database.ts";
import { hasGo, Oracle } from "../support/sumdb/oracle.ts";

const isSkipped = process.env["CI"] !== "true" && !hasGo();
const reason = isSkipped ? " (skipped: the go command is not installed)" : "";
const PROVABLE = ["mod", "zip"] as const;

const good = makeModule({ path: "good.test/m", version: "v1.0.0" });
const ranged = makeModule({ path: "ranged.test/m", version: "v1.0.0" });
const exempt = makeModule({ path: "exempt.test/m", version: "v1.0.0" });
const unknown = makeModule({ path: "unknown.test/m", version: "v1.0.0" });
const honest = makeModule({ path: "swapped.test/m", version: "v1.0.0" });
const forged = makeModule({
  path: "swapped.test/m",
  version: "v1.0.0",
  goMod: "module swapped.test/m\n\ngo 1.21\n",
});

describe.skipIf(isSkipped).each(STORAGES)(
  `files stored without a database, with --storage %s${reason}`,
  (storage) => {
    let oracle: Oracle;
    let origin: FakeUpstream;
    let upstream: FakeUpstream;
    let front: DatabaseFront;
    let server: RunningServer;

    const recordsOf = ({ base }: ModuleFixture) =>
      PROVABLE.map((kind) => readStoredRecord(server, `public/${base}.${kind}`)?.verified);

    beforeAll(async () => {
      oracle = new Oracle();
      origin = await FakeUpstream.start([good, ranged, exempt, honest]);
      upstream = await FakeUpstream.start([good, ranged, exempt, unknown, forged]);
      const first = await startServer({ storage, upstream: upstream.url });
      for (const { base } of [good, ranged, exempt, unknown, forged]) {
        for (const kind of ["info", "mod", "zip"]) await first.ask(`/${base}.${kind}`);
      }
      await first.stop();
      const key = await makeDatabaseKey();
      const url = await startGoDatabase(oracle, {
        signerKey: key.signerKey,
        origin: origin.url,
        fillers: 10,
      });
      front = await DatabaseFront.start(backendAt(url));
      upstream.requests.length = 0;
      server = await startServer({
        storage,
        data: first.data,
        config: {
          upstreams: [{ url: upstream.url }],
          sumdb: { name: DATABASE_NAME, key: key.verifierKey, url: front.url },
          noSum: ["exempt.test"],
        },
      });
    });

    afterAll(async () => {
      await server.stop();
      await Promise.all([front.down(), upstream.down(), origin.down()]);
      oracle.close();
    });

    it("are proven before the next answer, without asking the source", async ({ expect }) => {
      expect(recordsOf(good)).toEqual(["none", "none"]);
      for (const kind of PROVABLE) {
        const { status, body } = await server.ask(`/${good.base}.${kind}`);
        expect({ kind, status, isSame: body.equals(Buffer.from(good[kind])) }).toEqual({
          kind,
          status: 200,
          isSame: true,
        });
      }
      expect(recordsOf(good)).toEqual(["sumdb", "sumdb"]);
      expect(readStoredRecord(server, `public/${good.base}.zip`)?.treeSize).toBeGreaterThan(10);
      expect(upstream.requests).toEqual([]);
      expect((await server.ask(`/cached-only/${good.base}.zip`)).status).toBe(200);
    });

    it("are proven for HEAD, ranges and storage-only requests as well", async ({ expect }) => {
      const cached = await server.ask(`/cached-only/${ranged.base}.zip`);
      expect(cached.status).toBe(404);
      expect(recordsOf(ranged)).toEqual(["none", "none"]);
      const range = await server.ask(`/${ranged.base}.zip`, { headers: { Range: "bytes=0-3" } });
      expect(range.status).toBe(206);
      const head = await server.ask(`/${ranged.base}.mod`, { method: "HEAD" });
      expect(head.status).toBe(200);
      expect(recordsOf(ranged)).toEqual(["sumdb", "sumdb"]);
    });

    it("stay as they are where a pattern says so, and the database is not asked", async ({
      expect,
    }) => {
      for (const kind of PROVABLE) {
        expect((await server.ask(`/${exempt.base}.${kind}`)).status).toBe(200);
      }
      expect(recordsOf(exempt)).toEqual(["none", "none"]);
      const lookup = await server.ask(`/sumdb/${DATABASE_NAME}/lookup/exempt.test/m@v1.0.0`);
      expect(lookup).toMatchObject({ status: 404, text: expect.stringContaining("GONOSUMDB") });
      expect(front.paths.filter((path) => path.includes("exempt.test"))).toEqual([]);
    });

    it("are not served when the database does not know them", async ({ expect }) => {
      for (const kind of PROVABLE) {
        expect((await server.ask(`/${unknown.base}.${kind}`)).status).toBe(502);
      }
    });

    it("are not served while the database cannot be reached, and are afterwards", async ({
      expect,
    }) => {
      // Another isolate's memory is not asked: this one has never been served by this process.
      await front.down();
      for (const kind of PROVABLE) {
        const { status } = await server.ask(`/${honest.base}.${kind}`);
        expect([502, 503]).toContain(status);
      }
      await front.up();
    });

    it("go to quarantine when the database contradicts them, and are fetched anew", async ({
      expect,
    }) => {
      // The source still lies: nothing good can be had.
      expect((await server.ask(`/${honest.base}.zip`)).status).toBe(502);
      const quarantined = server.stored().filter((key) => key.startsWith("system/quarantine/"));
      expect(quarantined.length).toBeGreaterThan(0);
      expect(server.stored()).not.toContain(`public/${honest.base}.zip`);
      upstream.add(honest);
      for (const kind of PROVABLE) {
        const { status, body } = await server.ask(`/${honest.base}.${kind}`);
        expect({ kind, status, isSame: body.equals(Buffer.from(honest[kind])) }).toEqual({
          kind,
          status: 200,
          isSame: true,
        });
      }
      expect(recordsOf(honest)).toEqual(["sumdb", "sumdb"]);
      expect(await raises(server, "file-quarantined")).toBe(true);
    });
  },
);
