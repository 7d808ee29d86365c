// Guarantee: the lists can be lost. `npm run cli -- reindex` rebuilds them from the files alone, and
// they are served with every upstream gone.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeModule, readFixtures } from "../support/module-fixture.ts";
import { eventually, findNode, ROOT, startServer, STORAGES } from "../support/start-server.ts";

const TOKEN = "admin-token-of-this-test";
const UNREACHABLE = "http://127.0.0.1:9";

describe.each(STORAGES)("reindex with --storage %s", (storage) => {
  it("rebuilds the lists from the files after index and coordinators are gone", async ({
    expect,
    onTestFinished,
  }) => {
    const modules = [
      ...readFixtures(),
      ...["v1.0.0", "v1.2.0", "v1.10.0", "v1.11.0-rc.1"].map((version) =>
        makeModule({ path: "many.test/m", version }),
      ),
      makeModule({ path: "many.test/m/v2", version: "v2.0.0" }),
      makeModule({ path: "pseudo.test/m", version: "v0.0.0-20210203040506-abcdefabcdef" }),
    ];
    const upstream = await FakeUpstream.start(modules);
    onTestFinished(async () => await upstream.down());
    const first = await startServer({ storage, upstream: upstream.url });
    for (const { base } of modules) {
      for (const kind of ["info", "mod", "zip"]) {
        expect((await first.ask(`/${base}.${kind}`)).status).toBe(200);
      }
    }
    const lists = [...new Set(modules.map(({ escapedPath }) => `/${escapedPath}/@v/list`))];
    const before = [];
    for (const list of lists) before.push((await first.ask(list)).text);
    await first.stop();
    loseIndex(first.data, storage);
    await upstream.down();

    const second = await startServer({
      storage,
      data: first.data,
      upstream: UNREACHABLE,
      env: { ADMIN_TOKEN: TOKEN },
    });
    onTestFinished(async () => await second.stop().then(() => undefined));
    expect((await second.ask(`/cached-only${lists[0]}`)).status).toBe(404);
    const refused = await reindex(second.url, "wrong-token");
    expect(refused.code).not.toBe(0);
    expect(refused.output).not.toContain("wrong-token");
    const done = await reindex(second.url, TOKEN);
    expect({ code: done.code, output: done.code === 0 ? "" : done.output }).toEqual({
      code: 0,
      output: "",
    });
    expect(done.output).not.toContain(TOKEN);

    const after = [];
    for (const list of lists) after.push((await second.ask(list)).text);
    expect(after).toEqual(before);
    const fromStorage = [];
    for (const list of lists) fromStorage.push((await second.ask(`/cached-only${list}`)).text);
    expect(fromStorage).toEqual(before);
    // Nobody had asked for it before the index was lost.
    for (const [module, version] of [
      ["many.test/m", "v1.10.0"],
      ["many.test/m/v2", "v2.0.0"],
      ["pseudo.test/m", "v0.0.0-20210203040506-abcdefabcdef"],
    ] as const) {
      for (const path of [`/cached-only/${module}/@latest`, `/${module}/@latest`]) {
        const { status, text } = await second.ask(path);
        expect({ path, status }).toEqual({ path, status: 200 });
        expect(JSON.parse(text)).toMatchObject({ Version: version });
      }
    }
    for (const { base, zip } of modules) {
      expect((await second.ask(`/${base}.zip`)).body.equals(zip)).toBe(true);
    }
    const trees = lists.map((list) => `public${list}`);
    const hasTrees = (): boolean => {
      const keys = new Set(second.stored());
      return trees.every((key) => keys.has(key));
    };
    expect(await eventually(hasTrees, 5000)).toBe(true);
  });

  it("leaves a list that a source has confirmed as it is", async ({ expect, onTestFinished }) => {
    const upstream = await FakeUpstream.start([
      makeModule({ path: "kept.test/m", version: "v1.0.0" }),
      makeModule({ path: "kept.test/m", version: "v1.1.0" }),
    ]);
    const server = await startServer({
      storage,
      upstream: upstream.url,
      env: { ADMIN_TOKEN: TOKEN },
    });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    await server.ask("/kept.test/m/@v/v1.0.0.mod");
    const before = await server.ask("/kept.test/m/@v/list");
    expect(before.text).toBe("v1.0.0\nv1.1.0\n");
    const done = await reindex(server.url, TOKEN);
    expect(done.code).toBe(0);
    expect((await server.ask("/cached-only/kept.test/m/@v/list")).text).toBe(before.text);
  });

  it("is refused without ADMIN_TOKEN, in JSON", async ({ expect, onTestFinished }) => {
    const server = await startServer({
      storage,
      upstream: UNREACHABLE,
      env: { ADMIN_TOKEN: TOKEN },
    });
    const open = await startServer({ storage, upstream: UNREACHABLE });
    onTestFinished(async () => {
      await server.stop();
      await open.stop();
    });
    const path = "/-/api/v1/reindex";
    const send = async (authorization?: string) =>
      await server.ask(path, {
        method: "POST",
        headers: authorization === undefined ? {} : { Authorization: authorization },
      });
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;
    for (const bad of [
      undefined,
      "Bearer x",
      basic("x:y"),
      "Bearer",
      `Bearer ${TOKEN} x`,
      `Bearer ${TOKEN}, Bearer x`,
    ]) {
      const { status, headers, text } = await send(bad);
      expect({ bad, status }).toEqual({ bad, status: 401 });
      expect(headers["www-authenticate"]).toBe('Basic realm="goproxy-edge"');
      expect(JSON.parse(text)).toMatchObject({
        error: { code: expect.any(String) as string, requestId: expect.any(String) as string },
      });
    }
    for (const good of [`bearer ${TOKEN}`, basic(`any:${TOKEN}`), basic(`${TOKEN}:`)]) {
      expect({ good, status: (await send(good)).status }).toEqual({ good, status: 202 });
    }
    const never = await open.ask(path, { method: "POST", headers: { Authorization: "Bearer " } });
    expect([401, 503]).toContain(never.status);
    const empty = await open.ask(path, { method: "POST", headers: { Authorization: basic(":") } });
    expect([401, 503]).toContain(empty.status);
  });
});

/** Delete what the coordinators and the index know, and nothing else. */
function loseIndex(data: string, storage: (typeof STORAGES)[number]): void {
  const folders = storage === "disk" ? ["objects"] : ["r2/do", "r2/kv"];
  for (const folder of folders) {
    const path = join(data, folder);
    if (!existsSync(path)) throw new Error(`${folder} is not there: ${readdirSync(data).join()}`);
    rmSync(path, { recursive: true });
  }
}

async function reindex(
  url: string,
  token: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(findNode(), [join(ROOT, "scripts/cli.ts"), "reindex", "--url", url], {
    cwd: ROOT,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      ADMIN_TOKEN: token,
    } as unknown as NodeJS.ProcessEnv,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  return { code: await promise, output };
}
