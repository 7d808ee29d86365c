// Guarantee: what was verified once verifies again from the proxy alone, for a go command with empty
// caches and in any order, with the upstream and the database gone.

import { afterAll, beforeAll, describe, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { findGoObstacle, makeGoEnv } from "../support/go-env.ts";
import { makeModule } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { backendAt, DatabaseFront } from "../support/sumdb/database-front.ts";
import { DATABASE_NAME, makeDatabaseKey, startGoDatabase } from "../support/sumdb/go-database.ts";
import { Oracle } from "../support/sumdb/oracle.ts";

const obstacle = findGoObstacle();
const isSkipped = obstacle !== undefined && process.env["CI"] !== "true";

const modules = Array.from({ length: 30 }, (_, index) =>
  makeModule({
    path: `offline.test/${index % 3 === 0 ? "Capital" : "plain"}/m${index}`,
    version: index % 5 === 0 ? "v0.0.0-20210203040506-abcdefabcdef" : `v1.${index}.0`,
    files: { "a.go": `package m${index}\n` },
  }),
);
const names = modules.map(({ path, version }) => `${path}@${version}`);

/** The same in every run, and different for every seed. */
function shuffled(seed: number): string[] {
  const rank = (name: string): number =>
    Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 10_007, seed);
  return names.toSorted((a, b) => rank(a) - rank(b));
}

describe.skipIf(isSkipped).each(STORAGES)(
  `the go command with its database on, through --storage %s alone${isSkipped ? ` (${obstacle})` : ""}`,
  (storage) => {
    let oracle: Oracle;
    let upstream: FakeUpstream;
    let front: DatabaseFront;
    let server: RunningServer;
    let verifierKey: string;

    const start = async (data?: string): Promise<RunningServer> =>
      await startServer({
        storage,
        ...(data === undefined ? {} : { data }),
        upstream: upstream.url,
        args: ["--sumdb", `${DATABASE_NAME} ${verifierKey} ${front.url}`],
      });
    const newGo = () => makeGoEnv(server.url, { env: { GOSUMDB: verifierKey } });

    beforeAll(async () => {
      oracle = new Oracle();
      upstream = await FakeUpstream.start(modules);
      const key = await makeDatabaseKey();
      ({ verifierKey } = key);
      // The modules' records lie on both sides of a full tile.
      const url = await startGoDatabase(oracle, {
        signerKey: key.signerKey,
        origin: upstream.url,
        fillers: 240,
      });
      front = await DatabaseFront.start(backendAt(url));
      server = await start();
    });

    afterAll(async () => {
      await server.stop();
      await Promise.all([front.down(), upstream.down()]);
      oracle.close();
    });

    it("downloads 30 modules, and again in other orders with everything else gone", async ({
      expect,
    }) => {
      const old = newGo();
      // One after the other, so that each proof is made under a head of its own.
      for (const part of [names.slice(0, 3), names.slice(3, 14), names.slice(14)]) {
        await old.mustGo(["mod", "download", ...part]);
      }
      await Promise.all([front.down(), upstream.down()]);
      const asked = front.requests.length;

      await newGo().mustGo(["mod", "download", ...shuffled(1)]);
      const { data } = server;
      await server.stop();
      server = await start(data);
      const fresh = newGo();
      for (const name of shuffled(2).slice(0, 5)) await fresh.mustGo(["mod", "download", name]);
      await fresh.mustGo(["mod", "download", ...shuffled(3)]);
      // A client that has seen an older head follows to the newest.
      await old.mustGo(["clean", "-modcache"]);
      const moved = { GOPROXY: server.url };
      await old.mustGo(["mod", "download", ...shuffled(4)], moved);
      expect(front.requests.length).toBe(asked);

      const unknown = await newGo().go(["mod", "download", "offline.test/never@v1.0.0"]);
      expect(unknown.code).not.toBe(0);
    });
  },
);
