// Guarantee: a team's own database vouches for all that the team may use, to golang.org/x/mod's
// client and to the real go command, through every append, restart and kill.

import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, type ExpectStatic, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeGoEnv } from "../support/go-env.ts";
import { makeModule } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { backendAt, DatabaseFront } from "../support/sumdb/database-front.ts";
import { makeCertificate, makeDatabaseKey, startGoDatabase } from "../support/sumdb/go-database.ts";
import { hasGo, Oracle, type OracleRequest } from "../support/sumdb/oracle.ts";
import { makeTempFolder } from "../support/temp-folder.ts";

const isSkipped = process.env["CI"] !== "true" && !hasGo();
const reason = isSkipped ? " (skipped: the go command is not installed)" : "";

const OWN = "acme.test/sumdb";
// Begins like the team's own: names are matched whole.
const PUBLIC = "acme.test/sumdb/public";
const TOKEN = "token-of-this-test";
const BEARER = `Bearer ${TOKEN}`;
const asking = { headers: { Authorization: BEARER } };

const module = (path: string, version = "v1.0.0") =>
  makeModule({ path, version, files: { "a.go": `package a // ${path}\n` } });
const privates = Array.from({ length: 12 }, (_, index) =>
  module(`git.acme.test/${index % 2 === 0 ? "Capital" : "plain"}/m${index}`, `v1.${index}.0`),
);
const publics = Array.from({ length: 6 }, (_, index) => module(`public.test/m${index}`));
const foreign = module("git.beta.test/m");
const exempt = module("exempt.test/m");
const toPair = ({ path, version }: { path: string; version: string }) => ({ path, version });

interface Parts {
  readonly oracle: Oracle;
  readonly main: FakeUpstream;
  readonly git: FakeUpstream;
  readonly front: DatabaseFront;
  readonly verifierKey: string;
  start(data?: string, args?: readonly string[]): Promise<RunningServer>;
  end(): Promise<void>;
}

async function makeParts(storage: (typeof STORAGES)[number]): Promise<Parts> {
  const oracle = new Oracle();
  const main = await FakeUpstream.start([...publics, exempt]);
  const git = await FakeUpstream.start([...privates, foreign]);
  const [own, theirs] = await Promise.all([makeDatabaseKey(OWN), makeDatabaseKey(PUBLIC)]);
  const url = await startGoDatabase(oracle, {
    signerKey: theirs.signerKey,
    origin: main.url,
    fillers: 20,
  });
  const front = await DatabaseFront.start(backendAt(url));
  const team = (name: string, secret: string) => ({
    name,
    private: [{ pattern: `git.${name}.test/*`, source: "git" }],
    tokens: [{ name: "ci", role: "reader", secret }],
  });
  return {
    oracle,
    main,
    git,
    front,
    verifierKey: own.verifierKey,
    start: async (data, args = []) =>
      await startServer({
        storage,
        ...(data === undefined ? {} : { data }),
        args,
        config: {
          upstreams: [
            { name: "main", url: main.url },
            { name: "git", url: git.url },
          ],
          sumdb: { name: PUBLIC, key: theirs.verifierKey, url: front.url },
          noSum: ["exempt.test"],
          teams: [
            { ...team("acme", "ACME_TOKEN"), sumdb: { name: OWN, key: "ACME_KEY" } },
            team("beta", "BETA_TOKEN"),
          ],
        },
        env: { ACME_TOKEN: TOKEN, BETA_TOKEN: "beta-token", ACME_KEY: own.signerKey },
      }),
    async end() {
      await Promise.all([main.down(), git.down(), front.down()]);
      oracle.close();
    },
  };
}

describe.skipIf(isSkipped).each(STORAGES)(
  `a team's database with --storage %s${reason}`,
  (storage) => {
    let parts: Parts;
    let server: RunningServer;
    const base = (): string => `/t/acme/sumdb/${OWN}`;
    const lookup = async (escaped: string) =>
      await server.ask(`${base()}/lookup/${escaped}`, asking);

    /** Ask golang.org/x/mod's client, which remembers what it has seen when it gets its memory. */
    const follow = async (
      expect: ExpectStatic,
      modules: readonly { path: string; version: string }[],
      config?: Readonly<Record<string, string>>,
    ): Promise<Readonly<Record<string, string>>> => {
      const asked: OracleRequest & { authorization: string } = {
        op: "client",
        url: server.url + base(),
        key: parts.verifierKey,
        modules: modules.map(toPair),
        authorization: BEARER,
        ...(config === undefined ? {} : { config }),
      };
      const answer = await parts.oracle.ask(asked);
      expect(answer.errors).toEqual(modules.map(() => ""));
      expect(answer.text ?? "").toBe("");
      for (const [index, { path, version }] of modules.entries()) {
        expect(answer.lines?.[index]?.[0]).toMatch(new RegExp(`^${path} ${version} h1:`));
      }
      return answer.config ?? {};
    };

    beforeAll(async () => {
      parts = await makeParts(storage);
      server = await parts.start();
    });

    afterAll(async () => {
      await server.stop();
      await parts.end();
    });

    it("asks for credentials at each of its addresses", async ({ expect }) => {
      for (const question of [
        "supported",
        "latest",
        `lookup/${privates[1]?.escapedPath}@v1.1.0`,
        "lookup/git.acme.test/absent@v1.0.0",
        "tile/8/0/000.p/1",
      ]) {
        expect((await server.ask(`${base()}/${question}`)).status).toBe(401);
        const wrong = await server.ask(`${base()}/${question}`, {
          headers: { Authorization: "Bearer beta-token" },
        });
        expect(wrong.status).toBe(401);
        const open = await server.ask(`/sumdb/${OWN}/${question}`, asking);
        expect({ question, status: open.status }).toEqual({ question, status: 404 });
      }
      expect(parts.git.requests).toEqual([]);
      const supported = await server.ask(`${base()}/supported`, asking);
      expect(supported.status).toBe(200);
      expect(supported.headers["cache-control"]).toBe("private, no-store");
    });

    it("begins empty and is signed even so", async ({ expect }) => {
      const { status, text } = await server.ask(`${base()}/latest`, asking);
      expect({ status, head: text.split("\n").slice(0, 2) }).toEqual({
        status: 200,
        head: ["go.sum database tree", "0"],
      });
    });

    it("continues itself through appends, concurrent appends, a restart and a kill", async ({
      expect,
    }) => {
      let config: Readonly<Record<string, string>> = {};
      const all = [...privates.slice(0, 6), ...publics.slice(0, 3)];
      for (const each of all.slice(0, 3)) config = await follow(expect, [each], config);

      const answers = await Promise.all(
        [...all, ...all].map(
          async ({ escapedPath, version }) => (await lookup(`${escapedPath}@${version}`)).text,
        ),
      );
      const numbers = answers.map((text) => Number(text.split("\n", 1)[0]));
      expect(numbers.slice(0, all.length)).toEqual(numbers.slice(all.length));
      expect(new Set(numbers)).toEqual(new Set(all.keys()));
      config = await follow(expect, all, config);

      const { data } = server;
      await server.stop();
      server = await parts.start(data);
      config = await follow(expect, [...all].toReversed(), config);
      await follow(expect, all);
      const more = [...privates.slice(6), ...publics.slice(3)];
      await Promise.all(
        more.map(async (each) => await lookup(`${each.escapedPath}@${each.version}`)),
      );
      config = await follow(expect, more, config);
      await server.kill();
      server = await parts.start(data);
      config = await follow(expect, [...more, ...all], config);
      await follow(expect, [...all, ...more]);
      expect(config[`${OWN}/latest`]).toContain(`\n${all.length + more.length}\n`);
    });

    it("says of public modules what the public database says, and names no private one to it", async ({
      expect,
    }) => {
      const [first] = publics;
      const ours = (await lookup(`${first?.escapedPath}@v1.0.0`)).text;
      const theirs = await server.ask(`/sumdb/${PUBLIC}/lookup/${first?.escapedPath}@v1.0.0`);
      const lines = (text: string) => text.split("\n").slice(1, 3);
      expect(lines(ours)).toEqual(lines(theirs.text));
      const told = [...parts.front.paths, ...parts.main.requests.map(({ path }) => path)];
      expect(told.filter((path) => /git\.(acme|beta)/.test(path))).toEqual([]);
    });

    it("serves the public database beside itself, though its name begins like its own", async ({
      expect,
    }) => {
      for (const question of ["supported", "latest", "lookup/public.test/m0@v1.0.0"]) {
        const { status, text } = await server.ask(`/t/acme/sumdb/${PUBLIC}/${question}`, asking);
        expect({ question, status }).toEqual({ question, status: 200 });
        if (question !== "supported") expect(text).toContain(`— ${PUBLIC} `);
      }
    });

    it("does not name to the public database what a pattern keeps from it", async ({ expect }) => {
      const { status } = await lookup("exempt.test/m@v1.0.0");
      expect(parts.front.paths.filter((path) => path.includes("exempt.test"))).toEqual([]);
      expect(status).toBe(200);
    });

    it("knows nothing of other teams' modules, absent versions and malformed names", async ({
      expect,
    }) => {
      const before = (await server.ask(`${base()}/latest`, asking)).text;
      for (const escaped of [
        "git.beta.test/m@v1.0.0",
        "git.beta.test@v1.0.0",
        "git.acme.test/plain/m1@v9.9.9",
        "git.acme.test/none@v1.0.0",
        "public.test/none@v1.0.0",
        "git.acme.test/plain/m1@v1.1",
        "git.acme.test/plain/m1@main",
        "git.acme.test/Capital/m0@v1.0.0",
        "git.acme.test/plain/m1@v2.0.0",
      ]) {
        expect({ escaped, status: (await lookup(escaped)).status }).toEqual({
          escaped,
          status: 404,
        });
      }
      expect((await server.ask(`${base()}/latest`, asking)).text).toBe(before);
    });

    it("records nothing of a public module that cannot be proven now", async ({ expect }) => {
      const late = module("public.test/late");
      parts.main.add(late);
      await parts.front.down();
      expect([502, 503]).toContain((await lookup("public.test/late@v1.0.0")).status);
      // What it has recorded once it goes on telling.
      expect((await lookup("public.test/m0@v1.0.0")).status).toBe(200);
      await parts.front.up();
      expect((await lookup("public.test/late@v1.0.0")).status).toBe(200);
    });
  },
);

describe.skipIf(isSkipped).each(STORAGES)(
  `the go command with a team's database over TLS, --storage %s${reason}`,
  (storage) => {
    let parts: Parts;
    let server: RunningServer;
    let files: { certificate: string; key: string };
    const tls = (): string[] => ["--tls-cert", files.certificate, "--tls-key", files.key];
    const proxy = (): string => `${server.url}/t/acme`;
    const sumdbOf = (way: "url" | "proxy"): string =>
      way === "proxy" ? parts.verifierKey : `${parts.verifierKey} ${proxy()}/sumdb/${OWN}`;

    const newGo = (way: "url" | "proxy") => {
      const netrc = join(makeTempFolder("netrc"), "netrc");
      const login = `login ci password ${TOKEN}`;
      const { host } = new URL(server.url);
      writeFileSync(netrc, `machine 127.0.0.1 ${login}\nmachine ${host} ${login}\n`);
      const go = makeGoEnv(proxy(), {
        env: {
          GOSUMDB: sumdbOf(way),
          SSL_CERT_FILE: files.certificate,
          NETRC: netrc,
        },
      });
      return {
        ...go,
        download: async (modules: readonly { path: string; version: string }[]) =>
          await go.mustGo(
            ["mod", "download", ...modules.map(({ path, version }) => `${path}@${version}`)],
            { GOPROXY: proxy(), GOSUMDB: sumdbOf(way) },
          ),
      };
    };

    beforeAll(async () => {
      parts = await makeParts(storage);
      const pems = await makeCertificate(parts.oracle);
      const folder = makeTempFolder("tls");
      files = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
      writeFileSync(files.certificate, pems.certificate);
      writeFileSync(files.key, pems.key);
      server = await parts.start(undefined, tls());
    });

    afterAll(async () => {
      await server.stop();
      await parts.end();
    });

    it("verifies private and public modules, at the database's address and through the proxy", async ({
      expect,
    }) => {
      const some = [...privates.slice(0, 4), ...publics.slice(0, 2)];
      const byUrl = newGo("url");
      await byUrl.download(some);
      const byProxy = newGo("proxy");
      await byProxy.download(some.toReversed());
      expect(await askTls(server.url, `/t/acme/sumdb/${OWN}/latest`)).toBe(401);

      // A client that has seen the head before the restart, and one that has seen none.
      const { data } = server;
      await server.stop();
      server = await parts.start(data, tls());
      const others = [...privates.slice(4, 8), ...publics.slice(2, 4)];
      const { host } = new URL(server.url);
      const netrc = byUrl.env["NETRC"] ?? "";
      writeFileSync(
        netrc,
        `machine 127.0.0.1 login ci password ${TOKEN}\nmachine ${host} login ci password ${TOKEN}\n`,
      );
      await byUrl.download(others);
      await byUrl.mustGo(["clean", "-modcache"]);
      await byUrl.download([...others, ...some]);
      await newGo("proxy").download([...some, ...others]);
    });

    it("fails plainly without credentials", async ({ expect }) => {
      const go = makeGoEnv(proxy(), {
        env: { GOSUMDB: sumdbOf("url"), SSL_CERT_FILE: files.certificate },
      });
      const [first] = privates;
      const { code, stderr } = await go.go(["mod", "download", `${first?.path}@${first?.version}`]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/401|unauthorized/i);
    });
  },
);

/** Status of a GET over TLS, whoever signed the certificate. */
async function askTls(url: string, path: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const sent = request(`${url}${path}`, { rejectUnauthorized: false }, (response) => {
    response.resume();
    response.once("end", () => resolve(response.statusCode ?? 0));
  });
  sent.once("error", reject);
  sent.end();
  return await promise;
}
