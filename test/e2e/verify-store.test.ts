// Guarantee: `npm run cli -- verify` finds every damaged file, mends it or moves it away, and says so
// by its report and its exit code. What a file has to be is never forgotten over that.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type ExpectStatic, it } from "vitest";
import { raises } from "../support/alerts.ts";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import {
  eventually,
  findNode,
  ROOT,
  type RunningServer,
  startServer,
  STORAGES,
  type StartOptions,
} from "../support/start-server.ts";
import {
  overwriteStoredRecord,
  readStoredRecord,
  readStoredText,
} from "../support/stored-record.ts";
import { backendOf, DatabaseFront } from "../support/sumdb/database-front.ts";
import { TestDatabase } from "../support/sumdb/test-database.ts";
import { goModHash } from "../../src/module/dirhash.ts";
import { recordText } from "../../src/sumdb/record.ts";
import { verifyModuleZip } from "../../src/module/zip-check.ts";

const ADMIN = "admin-token-of-this-test";
const TEAM_TOKEN = "team-token-of-this-test";
const DATABASE = "localhost.localdev/sumdb";
const KINDS = ["info", "mod", "zip"] as const;

// Of its own time, so that no file of another module has the same bytes.
const kept = makeModule({ path: "kept.test/m", version: "v1.0.0", time: "2020-01-01T00:00:00Z" });
const mended = makeModule({ path: "mended.test/m", version: "v1.0.0" });
const lost = makeModule({ path: "lost.test/m", version: "v1.0.0" });
const own = makeModule({ path: "git.acme.test/m", version: "v1.0.0" });
const honest = makeModule({ path: "swapped.test/m", version: "v1.0.0" });
const forged = makeModule({
  path: "swapped.test/m",
  version: "v1.0.0",
  goMod: "module swapped.test/m\n\ngo 1.21\n",
});
const unknown = makeModule({ path: "a-unknown.test/m", version: "v1.0.0" });

const BASE = {
  teams: [
    {
      name: "acme",
      private: [{ pattern: "git.acme.test/*", source: "main" }],
      tokens: [{ name: "ci", role: "reader", secret: "TEAM_TOKEN" }],
    },
  ],
};
const env = { ADMIN_TOKEN: ADMIN, TEAM_TOKEN };

describe.each(STORAGES)("the verify command with --storage %s", (storage) => {
  const start = async (
    upstream: FakeUpstream,
    config: object,
    more: StartOptions = {},
  ): Promise<RunningServer> =>
    await startServer({
      storage,
      ...more,
      config: { ...BASE, upstreams: [{ name: "main", url: upstream.url }], ...config },
      env,
    });

  const fill = async (server: RunningServer, modules: readonly ModuleFixture[]) => {
    const headers = { Authorization: `Bearer ${TEAM_TOKEN}` };
    for (const module of modules) {
      const prefix = module === own ? "/t/acme/" : "/";
      for (const kind of KINDS) {
        const { status } = await server.ask(`${prefix}${module.base}.${kind}`, { headers });
        if (status !== 200) throw new Error(`${module.base}.${kind}: ${status}`);
      }
    }
  };

  it("reports nothing and ends with 0 when all is well; with 1 or 2 when it cannot look", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([kept, own]);
    const server = await start(upstream, { sumdb: "off" });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    await fill(server, [kept, own]);
    const asked = upstream.requests.length;
    const done = await verify(server.url);
    expect(done).toMatchObject({ code: 0, stdout: "verify done: 6 files, 0 damaged\n" });
    expect((await verify(server.url, ["--deep"])).code).toBe(0);
    expect(upstream.requests.length).toBe(asked);
    const refused = await verify(server.url, [], "wrong");
    expect({ code: refused.code, shows: refused.stderr.includes("wrong-") }).toEqual({
      code: 1,
      shows: false,
    });
    expect((await verify(server.url, [], "")).code).toBe(2);
    expect((await verify(server.url, ["--depth"])).code).toBe(2);
    expect((await verify("http://127.0.0.1:9")).code).toBe(1);
  });

  it("restores what the source still has, quarantines the rest, reports both and ends with 1", async ({
    expect,
    onTestFinished,
  }) => {
    const modules = [kept, mended, lost, own];
    const upstream = await FakeUpstream.start(modules);
    onTestFinished(async () => await upstream.down());
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, modules);
    await first.stop();
    damage(first.data, [mended, lost, own]);
    upstream.onEverything((request) =>
      request.path.startsWith("/lost.test/")
        ? { status: 404 }
        : undefinedReply(modules, request.path),
    );

    const second = await start(upstream, { sumdb: "off" }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    const report = await verify(second.url);
    expect({ code: report.code, count: report.stdout.split("\n")[0] }).toEqual({
      code: 1,
      count: "verify done: 12 files, 9 damaged",
    });
    const lines = report.stdout.split("\n").filter((line) => line.startsWith("  "));
    const told = (module: ModuleFixture, scope: string): string[] =>
      lines
        .filter((line) => line.includes(` ${scope}/${module.base}.`))
        .map((line) => line.trim().split(" ", 1)[0] ?? "");
    expect(told(mended, "public")).toEqual(["restored", "restored", "restored"]);
    expect(told(own, "team/acme")).toEqual(["restored", "restored", "restored"]);
    expect(told(lost, "public")).toEqual(["quarantined", "quarantined", "quarantined"]);
    expect(told(kept, "public")).toEqual([]);

    for (const kind of KINDS) {
      const { status, body } = await second.ask(`/${mended.base}.${kind}`);
      expect({ status, isSame: body.equals(Buffer.from(mended[kind])) }).toEqual({
        status: 200,
        isSame: true,
      });
      const path = `${lost.base}.${kind}`;
      for (const at of [`/cached-only/${path}`, `/${path}`]) {
        expect({ at, status: (await second.ask(at)).status }).toEqual({ at, status: 503 });
      }
    }
    const quarantined = second.stored().filter((key) => key.startsWith("system/quarantine/"));
    expect(quarantined.length).toBeGreaterThanOrEqual(3);
    expect(await raises(second, "file-damaged", 9)).toBe(true);
    expect(await raises(second, "file-quarantined", 3)).toBe(true);

    const missed = await verify(second.url);
    expect(missed.code).toBe(1);
    expect(actions(missed.stdout)).toEqual(["lost", "lost", "lost"]);
    upstream.onEverything((request) => undefinedReply(modules, request.path));
    expect(actions((await verify(second.url)).stdout)).toEqual([
      "restored",
      "restored",
      "restored",
    ]);
    expect((await verify(second.url)).code).toBe(0);
  });

  // Guarantee: first bytes stay for ever, also while they are damaged and their source is away.
  it("keeps what a file has to be: other content is refused until a source has the same again", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([mended]);
    onTestFinished(async () => await upstream.down());
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [mended]);
    const list = `public/${mended.escapedPath}/@v/list`;
    expect(await eventually(() => first.stored().includes(list), 5000)).toBe(true);
    await first.stop();
    damage(first.data, [mended]);

    await upstream.down();
    const second = await start(upstream, { sumdb: "off" }, { data: first.data });
    const report = await verify(second.url);
    expect(actions(report.stdout)).toEqual(["quarantined", "quarantined", "quarantined"]);
    await second.stop();

    await upstream.up();
    const other = makeModule({
      path: mended.path,
      version: mended.version,
      time: "2022-02-02T02:02:02Z",
      goMod: `module ${mended.path}\n\ngo 1.20\n`,
    });
    upstream.add(other);
    const third = await start(upstream, { sumdb: "off" }, { data: first.data });
    onTestFinished(async () => await third.stop().then(() => undefined));
    for (const kind of KINDS) {
      const { status } = await third.ask(`/${mended.base}.${kind}`);
      expect({ kind, status }).toEqual({ kind, status: 503 });
    }
    expect(await raises(third, "file-lost", 3)).toBe(true);
    // What is lost is not promised to who reads the files themselves, and the list stays.
    const reindexed = await run(third.url, "reindex");
    expect(reindexed.code).toBe(0);
    const isUnlisted = () => readStoredText(third, list) === "";
    expect(await eventually(isUnlisted, 5000)).toBe(true);
    expect((await third.ask(`/cached-only/${mended.escapedPath}/@v/list`)).text).toBe("v1.0.0\n");

    upstream.add(mended);
    for (const kind of KINDS) {
      const { status, body } = await third.ask(`/${mended.base}.${kind}`);
      expect({ kind, status, isSame: body.equals(Buffer.from(mended[kind])) }).toEqual({
        kind,
        status: 200,
        isSame: true,
      });
    }
    expect(await eventually(() => readStoredText(third, list) === "v1.0.0\n", 5000)).toBe(true);
  });

  it("says restored of a file whose record was lost and whose source has it again", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([mended]);
    onTestFinished(async () => await upstream.down());
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [mended]);
    await first.stop();
    for (const kind of KINDS) {
      overwriteStoredRecord(first, `public/${mended.base}.${kind}`, '{"sizeBytes":');
    }
    const second = await start(upstream, { sumdb: "off" }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    const report = await verify(second.url);
    expect(report.code).toBe(1);
    expect(actions(report.stdout)).toEqual(["restored", "restored", "restored"]);
    for (const kind of KINDS) {
      const { status } = await second.ask(`/cached-only/${mended.base}.${kind}`);
      expect({ kind, status }).toEqual({ kind, status: 200 });
    }
  });

  it("is not needed for a file whose record was lost: it is fetched anew when asked for", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([mended]);
    onTestFinished(async () => await upstream.down());
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [mended]);
    await first.stop();
    for (const kind of KINDS) {
      overwriteStoredRecord(first, `public/${mended.base}.${kind}`, '{"sizeBytes":');
    }
    const second = await start(upstream, { sumdb: "off" }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    for (const kind of KINDS) {
      const { status, body } = await second.ask(`/${mended.base}.${kind}`);
      expect({ kind, status, isSame: body.equals(Buffer.from(mended[kind])) }).toEqual({
        kind,
        status: 200,
        isSame: true,
      });
    }
  });

  it("--deep goes on behind a version that the database does not know", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([kept, unknown]);
    const database = await TestDatabase.create(3);
    database.append(await recordOf(kept));
    const front = await DatabaseFront.start(backendOf(database));
    onTestFinished(async () => {
      await upstream.down();
      await front.down();
    });
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [kept, unknown]);
    await first.stop();
    const sumdb = { name: DATABASE, key: database.verifierKey, url: front.url };
    const second = await start(upstream, { sumdb }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    const report = await verify(second.url, ["--deep"]);
    expect(report.stdout + report.stderr).toContain(unknown.path);
    expect(report.stdout).toContain("verify done: 6 files");
    expect(report.code).toBe(1);
  });

  it("--deep mends what the database contradicts", async ({ expect, onTestFinished }) => {
    const upstream = await FakeUpstream.start([kept, forged]);
    const database = await TestDatabase.create(3);
    for (const module of [kept, honest]) database.append(await recordOf(module));
    const front = await DatabaseFront.start(backendOf(database));
    onTestFinished(async () => {
      await upstream.down();
      await front.down();
    });
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [kept, forged]);
    await first.stop();
    upstream.add(honest);

    const sumdb = { name: DATABASE, key: database.verifierKey, url: front.url };
    const second = await start(upstream, { sumdb }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    // Without asking the database nothing is wrong with them.
    expect((await verify(second.url)).code).toBe(0);
    const report = await verify(second.url, ["--deep"]);
    expect(report.code).toBe(1);
    expect(report.stdout).toMatch(/^verify done: 6 files/);
    const swapped = report.stdout.split("\n").filter((line) => line.includes("swapped.test"));
    expect(swapped.map((line) => line.trim().split(" ", 1)[0])).toEqual(["restored", "restored"]);
    for (const kind of ["mod", "zip"] as const) {
      const { status, body } = await second.ask(`/cached-only/${honest.base}.${kind}`);
      expect({ kind, status, isSame: body.equals(Buffer.from(honest[kind])) }).toEqual({
        kind,
        status: 200,
        isSame: true,
      });
      expect(readStoredRecord(second, `public/${honest.base}.${kind}`)?.verified).toBe("sumdb");
    }
  });

  it("--deep with the database gone is no damage: nothing is moved, and it ends with 1", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start([kept]);
    const { verifierKey } = await TestDatabase.create(0);
    onTestFinished(async () => await upstream.down());
    const first = await start(upstream, { sumdb: "off" });
    await fill(first, [kept]);
    await first.stop();
    const sumdb = { name: DATABASE, key: verifierKey, url: "http://127.0.0.1:9" };
    const second = await start(upstream, { sumdb }, { data: first.data });
    onTestFinished(async () => await second.stop().then(() => undefined));
    await expectUnfinished(expect, second.url);
    expect(second.stored()).toEqual(
      expect.arrayContaining(KINDS.map((kind) => `public/${kept.base}.${kind}`)),
    );
  });
});

async function expectUnfinished(expect: ExpectStatic, url: string): Promise<void> {
  const report = await verify(url, ["--deep"]);
  expect(report.code).toBe(1);
  expect(report.stderr + report.stdout).toMatch(/database|sumdb/);
  expect(report.stdout + report.stderr).not.toContain("quarantined");
}

/** The answer that a fake upstream would give by itself. */
function undefinedReply(modules: readonly ModuleFixture[], path: string) {
  for (const module of modules) {
    for (const kind of KINDS) {
      if (path === `/${module.base}.${kind}`) return { body: module[kind] };
    }
  }
  return { status: 404 };
}

function actions(report: string): string[] {
  return report
    .split("\n")
    .filter((line) => line.startsWith("  "))
    .map((line) => line.trim().split(" ", 1)[0] ?? "");
}

async function recordOf({ path, version, mod, zip }: ModuleFixture): Promise<string> {
  const source = {
    sizeBytes: zip.length,
    read: async (offset: number, length: number) => zip.subarray(offset, offset + length),
  };
  const checked = await verifyModuleZip(source, path, version, {
    yieldNow: async () => undefined,
  });
  if ("problem" in checked) throw new Error(checked.problem);
  return recordText(path, version, { zip: checked.h1, mod: goModHash(Buffer.from(mod)) });
}

/** Turn a bit over in every stored file of some modules, wherever the storage keeps it. */
function damage(data: string, modules: readonly ModuleFixture[]): void {
  const digest = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
  const wanted = new Set(modules.flatMap((module) => KINDS.map((kind) => digest(module[kind]))));
  for (const name of readdirSync(data, { recursive: true, encoding: "utf8" })) {
    const file = join(data, name);
    if (!statSync(file).isFile()) continue;
    const bytes = readFileSync(file);
    if (!wanted.has(digest(bytes))) continue;
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(file, bytes);
  }
}

async function verify(url: string, args: readonly string[] = [], token = ADMIN): Promise<Ended> {
  return await run(url, "verify", args, token);
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  url: string,
  command: string,
  args: readonly string[] = [],
  token = ADMIN,
): Promise<Ended> {
  const child = spawn(findNode(), [join(ROOT, "scripts/cli.ts"), command, "--url", url, ...args], {
    env: { ...process.env, ADMIN_TOKEN: token },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  return { code: await promise, stdout, stderr };
}
