// Guarantees: a team's modules are the team's alone, and their names leave the house on no way.

import { afterAll, beforeAll, describe, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import type { Answer, Asking } from "../support/http-client.ts";
import { makeLargeModule, makeModule } from "../support/module-fixture.ts";
import { askRaw } from "../support/raw-request.ts";
import {
  type RunningServer,
  spawnServer,
  startServer,
  STORAGES,
  writeConfig,
} from "../support/start-server.ts";
import { readStoredRecord } from "../support/stored-record.ts";
import { makeTempFolder } from "../support/temp-folder.ts";
import { backendOf, DatabaseFront } from "../support/sumdb/database-front.ts";
import { randomSeed, TestDatabase } from "../support/sumdb/test-database.ts";
import { generateKey } from "../../src/sumdb/note.ts";

const DATABASE = "localhost.localdev/sumdb";
const TOKENS = {
  ACME_READER: "acme-reader-token",
  ACME_PUBLISHER: "acme-publisher:with-colon",
  ACME_AUDITOR: "acme-auditor-token",
  ACME_ADMIN: "acme-admin-token",
  BETA_READER: "beta-reader-token",
} as const;

const repo = makeModule({ path: "git.acme.test/repo", version: "v1.0.0" });
const exact = makeModule({ path: "code.test/Secret/exact", version: "v1.0.0-RC1" });
const large = makeLargeModule("git.acme.test/large", "v1.0.0", 2 * 1024 * 1024);
const shared = makeModule({ path: "public.test/m", version: "v1.0.0" });
const opened = makeModule({ path: "git.opened.test/m", version: "v1.0.0" });
const beta = makeModule({ path: "git.beta.test/x", version: "v1.0.0" });
const privates = [repo, exact, large];

/** Spellings of names that belong to a team, or that the go command makes of them. */
const PRIVATE_PATHS = [
  "git.acme.test/repo",
  "git.acme.test/absent",
  "git.acme.test/repo/v2",
  "git.acme.test/repo/sub/pkg",
  "git.acme.test/repo.git",
  "git.acme.test/!repo",
  "git.acme.test/%21repo",
  "git.acme.test/repo%2Bx",
  "git.acme.test",
  "code.test/!secret/exact",
  "code.test/%21secret/exact",
  "code.test/!secret/exact/sub",
  "code.test/!secret/exact/v3",
  "code.test/!secret",
  "code.test",
  "a.corp.test/team1/api",
  "b.c.corp.test/team2/cool/deep",
  "second.test/a",
  "second.test/b/c",
];
const NEVER_SENT = /acme|secret|corp\.test|second\.test/i;

const QUESTIONS = [
  "@v/list",
  "@latest",
  "@v/v1.0.0.info",
  "@v/v1.0.0.mod",
  "@v/v1.0.0.zip",
  "@v/main.info",
];

describe.each(STORAGES)("teams with --storage %s", (storage) => {
  let main: FakeUpstream;
  let acmeGit: FakeUpstream;
  let betaGit: FakeUpstream;
  let front: DatabaseFront;
  let server: RunningServer;

  const as = (token: string): Asking => ({ headers: { Authorization: `Bearer ${token}` } });
  const reader = as(TOKENS.ACME_READER);

  beforeAll(async () => {
    main = await FakeUpstream.start([shared]);
    acmeGit = await FakeUpstream.start(privates);
    betaGit = await FakeUpstream.start([beta, opened]);
    const database = await TestDatabase.create(3);
    front = await DatabaseFront.start(backendOf(database));
    server = await startServer({
      storage,
      config: {
        upstreams: [
          { name: "main", url: main.url },
          { name: "acme-git", url: acmeGit.url },
          { name: "beta-git", url: betaGit.url },
        ],
        sumdb: { name: DATABASE, key: database.verifierKey, url: front.url },
        noSum: ["public.test"],
        teams: [
          {
            name: "acme",
            hosts: ["Acme.go.test"],
            private: [
              { pattern: "git.acme.test/*", source: "acme-git" },
              { pattern: "code.test/Secret/exact", source: "acme-git" },
              { pattern: "*.corp.test/team?/[a-c]*", source: "acme-git" },
              { pattern: "second.test/a,second.test/b", source: "acme-git" },
            ],
            tokens: [
              { name: "reader", role: "reader", secret: "ACME_READER" },
              { name: "publisher", role: "publisher", secret: "ACME_PUBLISHER" },
              { name: "auditor", role: "auditor", secret: "ACME_AUDITOR" },
              { name: "admin", role: "admin", secret: "ACME_ADMIN" },
            ],
          },
          {
            name: "beta",
            hosts: ["beta.go.test"],
            private: [{ pattern: "git.beta.test/x", source: "beta-git" }],
            tokens: [{ name: "reader", role: "reader", secret: "BETA_READER" }],
          },
          {
            name: "opened",
            access: "open",
            private: [{ pattern: "git.opened.test/*", source: "beta-git" }],
          },
        ],
      },
      env: TOKENS,
    });
  });

  afterAll(async () => {
    await server.stop();
    await Promise.all([main, acmeGit, betaGit, front].map(async (each) => await each.down()));
  });

  describe("private names", () => {
    const others: readonly [string, Asking][] = [
      ["", {}],
      ["/t/beta", as(TOKENS.BETA_READER)],
      ["/t/opened", {}],
      ["/cached-only", {}],
      ["/t/beta/cached-only", as(TOKENS.BETA_READER)],
    ];
    const sent = (): string[] =>
      [main, acmeGit, betaGit, front].flatMap(({ requests }) => requests.map(({ path }) => path));

    it("are 404 for everybody else, in every spelling, and nobody is asked", async ({ expect }) => {
      const before = sent().length;
      for (const [prefix, asking] of others) {
        for (const path of PRIVATE_PATHS) {
          for (const question of QUESTIONS) {
            const address = `${prefix}/${path}/${question}`;
            const { status, headers } = await server.ask(address, asking);
            expect({ address, status }).toEqual({ address, status: 404 });
            expect(headers["cache-control"]).toContain("no-store");
          }
        }
      }
      expect(sent().slice(before)).toEqual([]);
    });

    it("are 404 in lookups for everybody, the team included, and the database is not asked", async ({
      expect,
    }) => {
      const before = sent().length;
      const callers: readonly [string, Asking][] = [...others, ["/t/acme", reader]];
      for (const [prefix, asking] of callers) {
        for (const path of PRIVATE_PATHS) {
          for (const version of ["v1.0.0", "v1.0.0-!r!c1", "v0.0.0-20210203040506-abcdefabcdef"]) {
            const address = `${prefix}/sumdb/${DATABASE}/lookup/${path}@${version}`;
            expect({ address, status: (await server.ask(address, asking)).status }).toEqual({
              address,
              status: 404,
            });
          }
        }
      }
      expect(sent().slice(before)).toEqual([]);
    });

    it("are refused in spellings that are none, and nobody is asked", async ({ expect }) => {
      const before = sent().length;
      const paths = [
        "!git.acme.test/repo",
        "GIT.ACME.TEST/repo",
        "git.acme.test/Repo",
        "git.acme.test//repo",
        "git.acme.test/repo@v1.0.0",
        "git%2Eacme.test/repo",
        "git.acme.test%2Frepo",
        "git.acme.test/%2521repo",
        "git.acme.test./repo",
        "git.acme.test:443/repo",
        "x@git.acme.test/repo",
        "https:/git.acme.test/repo",
      ];
      for (const prefix of ["", "/t/opened"]) {
        for (const path of paths) {
          for (const address of [
            `${prefix}/${path}/@v/list`,
            `${prefix}/sumdb/${DATABASE}/lookup/${path}@v1.0.0`,
          ]) {
            expect({ address, status: (await server.ask(address)).status }).toEqual({
              address,
              status: 404,
            });
          }
        }
      }
      await server.ask("/public.test/m/@v/list?path=git.acme.test/repo");
      await server.ask("/public.test/m/@latest#git.acme.test/repo");
      expect(
        sent()
          .slice(before)
          .filter((path) => NEVER_SENT.test(path)),
      ).toEqual([]);
    });

    it("come to their team from their one source, with capitals as well", async ({ expect }) => {
      for (const module of privates) {
        for (const kind of ["info", "mod", "zip"] as const) {
          const { status, body, headers } = await server.ask(
            `/t/acme/${module.base}.${kind}`,
            reader,
          );
          expect({ status, isSame: body.equals(Buffer.from(module[kind])) }).toEqual({
            status: 200,
            isSame: true,
          });
          expect(headers["cache-control"]).toBe("private, no-store");
          const key = `team/acme/${module.base}.${kind}`;
          expect(server.stored()).toContain(key);
          expect(readStoredRecord(server, key)).toMatchObject({
            source: "acme-git",
            verified: kind === "info" ? "none" : "ledger",
          });
        }
        expect(acmeGit.count(`/${module.base}.zip`)).toBe(1);
        const list = await server.ask(`/t/acme/${module.escapedPath}/@v/list`, reader);
        expect(list.text).toBe(`${module.version}\n`);
        const latest = await server.ask(`/t/acme/${module.escapedPath}/@latest`, reader);
        expect(JSON.parse(latest.text)).toMatchObject({ Version: module.version });
      }
      const percent = await server.ask("/t/acme/code.test/%21secret/exact/@v/list", reader);
      expect(percent.status).toBe(200);
    });

    it("are asked of no other source when theirs has them not, or is down", async ({ expect }) => {
      const seen = [main, betaGit, front].map(({ requests }) => requests.length);
      const absent = await server.ask("/t/acme/git.acme.test/none/@v/v1.0.0.zip", reader);
      expect(absent.status).toBe(404);
      await acmeGit.down();
      for (const question of ["@v/list", "@v/v1.0.0.zip", "@latest", "@v/main.info"]) {
        const { status, text } = await server.ask(`/t/acme/git.acme.test/gone/${question}`, reader);
        expect({ question, status }).toEqual({ question, status: 502 });
        expect(text).not.toContain("127.0.0.1");
      }
      await acmeGit.up();
      expect([main, betaGit, front].map(({ requests }) => requests.length)).toEqual(seen);
    });

    it("stay hidden after the team has fetched them", async ({ expect }) => {
      for (const [prefix, asking] of others) {
        for (const kind of ["info", "mod", "zip"]) {
          const { status } = await server.ask(`${prefix}/${repo.base}.${kind}`, asking);
          expect(status).toBe(404);
        }
      }
    });

    it("were never in a request to a public upstream, another team's source or the database", ({
      expect,
    }) => {
      const seen = [main, betaGit].flatMap(({ requests }) => requests).concat(front.requests);
      expect(seen.filter((request) => NEVER_SENT.test(JSON.stringify(request)))).toEqual([]);
    });

    it("of one team are unknown to the others, whose own work", async ({ expect }) => {
      const asking = as(TOKENS.BETA_READER);
      expect((await server.ask(`/t/beta/${beta.base}.zip`, asking)).status).toBe(200);
      expect((await server.ask(`/t/acme/${beta.base}.zip`, reader)).status).toBe(404);
      expect((await server.ask(`/${beta.base}.zip`)).status).toBe(404);
    });
  });

  describe("rights", () => {
    const paths = [
      "/t/acme/git.acme.test/repo/@v/v1.0.0.zip",
      "/t/acme/git.acme.test/repo/@v/list",
      "/t/acme/git.acme.test/never/@v/list",
      "/t/acme/git.acme.test/repo/@v/nonsense",
      "/t/acme/public.test/m/@v/v1.0.0.mod",
      "/t/acme/git.beta.test/x/@v/list",
      "/t/acme/-/healthz",
      "/t/acme",
      "/t/acme/",
      `/t/acme/sumdb/${DATABASE}/latest`,
      "/t/acme/sumdb/none/supported",
      "/t/acme/cached-only/git.acme.test/repo/@v/list",
      "/t/nobody/git.acme.test/repo/@v/v1.0.0.zip",
      "/t/nobody/anything.test/m/@v/list",
      "/t/beta/git.acme.test/repo/@v/list",
    ];
    const withoutId = ({ status, text, headers }: Answer) => {
      // What the header is about can be seen from the path; it tells nothing of what exists.
      const { date: _, vary: __, ...rest } = headers;
      return { status, text: text.replace(/request-id: .*/, ""), headers: rest };
    };
    const bad: readonly [string, Asking][] = [
      ["none", {}],
      ["a wrong token", as("wrong")],
      ["a wrong password", basic("x", "wrong")],
      ["an unknown scheme", { headers: { Authorization: "Digest abc" } }],
      ["an empty token", { headers: { Authorization: "Bearer " } }],
      ["no token", { headers: { Authorization: "Basic Og==" } }],
      ["garbage", { headers: { Authorization: "Basic \u00e4\u00f6" } }],
      ["a longer token", as(`${TOKENS.ACME_READER}x`)],
      ["a shorter token", as(TOKENS.ACME_READER.slice(0, -1))],
      ["another case", as(TOKENS.ACME_READER.toUpperCase())],
      ["the user beside a wrong password", basic(TOKENS.ACME_READER, "wrong")],
      ["two tokens", as(`${TOKENS.ACME_READER}, Bearer ${TOKENS.ACME_READER}`)],
      ["a very long token", as("x".repeat(8193))],
    ];

    it("without good credentials there is one and the same 401 for all that is and is not", async ({
      expect,
    }) => {
      const answers: [string, ReturnType<typeof withoutId>][] = [];
      for (const path of paths) {
        for (const [what, asking] of bad) {
          answers.push([`${what}: ${path}`, withoutId(await server.ask(path, asking))]);
        }
      }
      const [, first] = answers[0] ?? [];
      expect(first).toMatchObject({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="goproxy-edge"' },
      });
      for (const answer of answers) expect(answer).toEqual([answer[0], first]);
    });

    it("a token of another team is as good as none", async ({ expect }) => {
      const path = "/t/acme/git.acme.test/repo/@v/v1.0.0.zip";
      const none = withoutId(await server.ask(path));
      expect(withoutId(await server.ask(path, as(TOKENS.BETA_READER)))).toEqual(none);
      const other = await server.ask("/t/beta/git.beta.test/x/@v/list", reader);
      expect(withoutId(other)).toEqual(none);
    });

    it.for([
      ["Bearer", { Authorization: `Bearer ${TOKENS.ACME_READER}` }],
      ["bearer", { Authorization: `bearer ${TOKENS.ACME_READER}` }],
      ["BEARER", { authorization: `BEARER ${TOKENS.ACME_READER}` }],
      ["a password", basic("anybody", TOKENS.ACME_READER).headers],
      ["a password without a user", basic("", TOKENS.ACME_READER).headers],
      ["a user without a password", basic(TOKENS.ACME_READER, "").headers],
      ["a password with a colon", basic("ci", TOKENS.ACME_PUBLISHER).headers],
      ["basic in lower case", { Authorization: basicValue("x", TOKENS.ACME_ADMIN, "basic") }],
    ] as const)("a good token is taken as %s", async ([, headers], { expect }) => {
      const { status } = await server.ask("/t/acme/git.acme.test/repo/@v/list", {
        headers: { ...headers },
      });
      expect(status).toBe(200);
    });

    it("two Authorization headers are 401, even of one good token", async ({ expect }) => {
      const line = `Authorization: Bearer ${TOKENS.ACME_READER}`;
      const path = "/t/acme/git.acme.test/repo/@v/list";
      expect((await askRaw(server.url, path, [line])).status).toBe(200);
      expect((await askRaw(server.url, path, [line, line])).status).toBe(401);
      const password = `Authorization: ${basicValue("x", TOKENS.ACME_READER)}`;
      expect((await askRaw(server.url, path, [password, line])).status).toBe(401);
    });

    it("a token in the query is none", async ({ expect }) => {
      const { status } = await server.ask(
        `/t/acme/git.acme.test/repo/@v/list?token=${TOKENS.ACME_READER}&access_token=${TOKENS.ACME_READER}`,
      );
      expect(status).toBe(401);
    });

    it("an auditor is known and reads no module: 403, whether it exists or not", async ({
      expect,
    }) => {
      const statuses = [];
      for (const path of [
        "git.acme.test/repo/@v/list",
        "git.acme.test/none/@v/list",
        "public.test/m/@v/list",
        `sumdb/${DATABASE}/latest`,
      ]) {
        statuses.push((await server.ask(`/t/acme/${path}`, as(TOKENS.ACME_AUDITOR))).status);
      }
      expect(statuses).toEqual([403, 403, 403, 403]);
    });

    it("the team's host is the team, with port, dot and any case", async ({ expect }) => {
      const path = "/git.acme.test/repo/@v/list";
      for (const host of [
        "acme.go.test",
        "ACME.go.test",
        "acme.go.test:8787",
        "acme.go.test:",
        "acme.go.test.",
        "acme.go.test.:443",
      ]) {
        const headers = { ...reader.headers, Host: host };
        const good = await server.ask(path, { headers });
        expect({ host, status: good.status }).toEqual({ host, status: 200 });
        expect(good.headers["cache-control"]).toBe("private, no-store");
        expect((await server.ask(path, { headers: { Host: host } })).status).toBe(401);
        expect((await server.ask(`/t/acme${path}`, { headers })).status).toBe(200);
        const other = await server.ask("/t/beta/git.beta.test/x/@v/list", {
          headers: { Authorization: `Bearer ${TOKENS.BETA_READER}`, Host: host },
        });
        expect({ host, other: other.status }).toEqual({ host, other: 401 });
      }
      for (const header of ["X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host"]) {
        const value = header === "Forwarded" ? "host=acme.go.test" : "acme.go.test";
        const { status } = await server.ask(path, {
          headers: { ...reader.headers, [header]: value },
        });
        expect({ header, status }).toEqual({ header, status: 404 });
      }
      const strangers = ["x.acme.go.test", "acme.go.test.evil.test", "acme.go.tes", "go.test"];
      // No hosts at all, and so nobody's: what is private to a team is hidden there as well.
      const nonsense = ["acme.go.test:abc", "acme.go.test::", "acme.go.test?", "acme.go.test?x=1"];
      for (const host of [...strangers, ...nonsense, "acme.go.test#", "x@acme.go.test", ":80"]) {
        for (const { headers } of [reader, { headers: {} }]) {
          const { status, text } = await server.ask(path, { headers: { ...headers, Host: host } });
          const isHidden = status === 404 || (status === 400 && !strangers.includes(host));
          expect({ host, status, isHidden }).toEqual({ host, status, isHidden: true });
          expect(text).not.toContain("v1.");
        }
      }
    });

    it("every answer of a team is private and not to be kept", async ({ expect }) => {
      const answers: [string, Asking][] = [
        [`/t/acme/${repo.base}.zip`, reader],
        [`/t/acme/${repo.base}.mod`, reader],
        [`/t/acme/${shared.base}.zip`, reader],
        [`/t/acme/${shared.base}.zip`, { method: "HEAD", ...reader }],
        [`/t/acme/${repo.base}.zip`, { headers: { ...reader.headers, Range: "bytes=0-1" } }],
        [`/t/acme/${repo.base}.zip`, { headers: { ...reader.headers, Range: "bytes=999999999-" } }],
        [`/t/acme/${repo.base}.mod`, { headers: { ...reader.headers, "If-None-Match": "*" } }],
        ["/t/acme/git.acme.test/repo/@v/list", reader],
        ["/t/acme/git.acme.test/repo/@latest", reader],
        ["/t/acme/cached-only/git.acme.test/repo/@v/list", reader],
        [`/t/acme/sumdb/${DATABASE}/latest`, reader],
        [`/t/opened/${shared.base}.mod`, {}],
        [`/t/opened/${opened.base}.zip`, {}],
      ];
      const seen = [];
      for (const [path, asking] of answers) {
        const { status, headers } = await server.ask(path, asking);
        seen.push({ path, status, cache: headers["cache-control"] });
      }
      expect(seen).toEqual(seen.map((each) => ({ ...each, cache: "private, no-store" })));
    });

    it("every error and page of a team is private and not to be kept, too", async ({ expect }) => {
      const answers: [string, Asking][] = [
        ["/t/acme/git.acme.test/none/@v/list", reader],
        ["/t/acme/nonsense", reader],
        ["/t/acme/git.acme.test/repo/@v/list", {}],
        ["/t/acme/git.acme.test/repo/@v/list", as(TOKENS.ACME_AUDITOR)],
        ["/t/acme/", reader],
      ];
      const seen = [];
      for (const [path, asking] of answers) {
        const { status, headers } = await server.ask(path, asking);
        seen.push({ path, status, cache: headers["cache-control"] });
      }
      expect(seen).toEqual(seen.map((each) => ({ ...each, cache: "private, no-store" })));
    });

    it("the open part ignores credentials, good or bad", async ({ expect }) => {
      for (const [what, asking] of [...bad, ["a good one", reader] as const]) {
        const { status, headers } = await server.ask(`/${shared.base}.mod`, asking);
        expect({ what, status }).toEqual({ what, status: 200 });
        expect(headers["cache-control"]).toContain("public");
        const hidden = await server.ask(`/${repo.base}.mod`, asking);
        expect({ what, status: hidden.status }).toEqual({ what, status: 404 });
      }
    });

    it("an open team lets everybody read, and nobody else's address does", async ({ expect }) => {
      expect((await server.ask(`/t/opened/${opened.base}.zip`)).status).toBe(200);
      expect((await server.ask(`/${opened.base}.zip`)).status).toBe(404);
      expect((await server.ask(`/t/acme/${opened.base}.zip`, reader)).status).toBe(404);
    });

    it("no token is in the log, nor in the folder of its configuration", ({ expect }) => {
      for (const token of Object.values(TOKENS)) {
        expect(server.process.stdout + server.process.stderr).not.toContain(token);
      }
    });
  });
});

describe("a server whose teams lack something", () => {
  const team = (tokens: readonly object[], more: object = {}): string =>
    writeConfig({
      upstreams: [{ name: "main", url: "http://127.0.0.1:9" }],
      sumdb: "off",
      teams: [{ name: "acme", tokens, ...more }],
    });
  const outcomeOf = async (config: string, env: Readonly<Record<string, string>> = {}) => {
    const process = spawnServer(
      ["--port", "0", "--data", makeTempFolder("data"), "--config", config],
      { env },
    );
    const started = process.waitUntilReady().then(
      () => "started",
      () => "ended",
    );
    const outcome = await started;
    const { code, stderr } = outcome === "started" ? await process.kill() : await process.ended;
    return { code: outcome === "started" ? "started" : code, stderr };
  };
  const READER = { name: "ci", role: "reader", secret: "TOKEN_ONE" };

  it.for([
    ["missing", {}],
    ["empty", { TOKEN_ONE: "" }],
    ["white space alone", { TOKEN_ONE: " \t " }],
  ] as const)("ends with 2 and names the secret that is %s", async ([, env], { expect }) => {
    const { code, stderr } = await outcomeOf(team([READER]), env);
    expect({ code, isNamed: stderr.includes("TOKEN_ONE") }).toEqual({ code: 2, isNamed: true });
  });

  it("ends with 2 when the key of its database is missing", async ({ expect }) => {
    const { code, stderr } = await outcomeOf(
      team([READER], { sumdb: { name: "acme.test/sumdb", key: "SUMDB_KEY" } }),
      { TOKEN_ONE: "x" },
    );
    expect({ code, isNamed: stderr.includes("SUMDB_KEY") }).toEqual({ code: 2, isNamed: true });
  });

  it.for([
    ["no signer key", "acme.test/sumdb", "nonsense"],
    ["the key of another database", "acme.test/sumdb", "other.test/sumdb"],
    ["the name of the public database", DATABASE, DATABASE],
  ] as const)("ends with 2 when its database has %s", async ([, name, keyOf], { expect }) => {
    const signerKey =
      keyOf === "nonsense" ? keyOf : (await generateKey(keyOf, randomSeed())).signerKey;
    const { verifierKey } = await generateKey(DATABASE, randomSeed());
    const config = writeConfig({
      upstreams: [{ name: "main", url: "http://127.0.0.1:9" }],
      sumdb: { name: DATABASE, key: verifierKey, url: "http://127.0.0.1:9" },
      teams: [{ name: "acme", sumdb: { name, key: "SUMDB_KEY" } }],
    });
    const { code, stderr } = await outcomeOf(config, { SUMDB_KEY: signerKey });
    expect({ code, isShown: stderr.includes(signerKey) }).toEqual({ code: 2, isShown: false });
  });

  // Each of them matches nothing, so that what it was to keep private would be open to everybody.
  it.for([
    ["git.acme.test/[a"],
    ["second.test/a, git.acme.test/*"],
    ["https://git.acme.test/*"],
    ["/git.acme.test"],
    ["git.acme.test/a//b"],
    ["Git.acme.test/*"],
    [" "],
    [","],
  ])(
    "ends with 2 for the private pattern %j, which can match nothing",
    async ([pattern], { expect }) => {
      const config = team([READER], { private: [{ pattern, source: "main" }] });
      expect((await outcomeOf(config, { TOKEN_ONE: "x" })).code).toBe(2);
    },
  );

  it.for([["acme.go.test:8787"], ["acme.go.test."], ["https://acme.go.test"], ["acme.go.test/x"]])(
    "ends with 2 for the host %s, which no request can have",
    async ([host], { expect }) => {
      const config = team([READER], { hosts: [host] });
      expect((await outcomeOf(config, { TOKEN_ONE: "x" })).code).toBe(2);
    },
  );

  it("ends with 2 when two tokens have one value, and shows neither", async ({ expect }) => {
    const other = { name: "cd", role: "admin", secret: "TOKEN_TWO" };
    const value = "one-and-the-same-token";
    const { code, stderr } = await outcomeOf(team([READER, other]), {
      TOKEN_ONE: value,
      TOKEN_TWO: value,
    });
    expect({ code, isShown: stderr.includes(value) }).toEqual({ code: 2, isShown: false });
  });
});

function basicValue(user: string, password: string, scheme = "Basic"): string {
  return `${scheme} ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

function basic(user: string, password: string): { headers: { Authorization: string } } {
  return { headers: { Authorization: basicValue(user, password) } };
}
