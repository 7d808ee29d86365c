import { Agent } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import { FakeUpstream, json, text, zip } from "../support/fake-upstream.ts";
import { makeModule } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

// Several upstreams, their failures, and what is served while they fail; on both sets of bindings.

const USER_SECRET = "robot:s3cret-Pass";
const BEARER_SECRET = "tok3n-without-colon";

describe.each(STORAGES)("upstreams with --storage %s", (storage) => {
  let main: FakeUpstream;
  let spare: FakeUpstream;
  let server: RunningServer;

  beforeAll(async () => {
    main = await FakeUpstream.start();
    spare = await FakeUpstream.start();
    server = await startServer({
      storage,
      config: {
        upstreams: [
          {
            name: "main",
            url: `${main.url}/base/`,
            credential: "MAIN_TOKEN",
            notFound: [404, 451],
          },
          { name: "spare", url: spare.url, credential: "SPARE_TOKEN" },
        ],
        sumdb: "off",
        cache: { list: "1s", negative: "1s" },
      },
      env: { MAIN_TOKEN: USER_SECRET, SPARE_TOKEN: BEARER_SECRET },
    });
  });

  afterAll(async () => {
    await server.stop();
    await main.down();
    await spare.down();
  });

  it("the second is asked only when the first says absent or is out of order", async ({
    expect,
  }) => {
    const table: [number, number, "spare" | "alone"][] = [
      [404, 200, "spare"],
      [451, 200, "spare"],
      [500, 200, "spare"],
      [503, 200, "spare"],
      [403, 403, "alone"],
      [429, 429, "alone"],
    ];
    for (const [status, expected, who] of table) {
      const path = `/chain.test/s${status}/@v/list`;
      main.on(`/base${path}`, text("no\n", status));
      spare.on(path, text("v1.0.0\n"));
      const answer = await server.ask(path);
      expect({ status, got: answer.status }).toEqual({ status, got: expected });
      expect(spare.count(path)).toBe(who === "spare" ? 1 : 0);
      // A source that failed is asked last for a while: let it prove itself again.
      main.on("/base/heal.test/m/@v/list", text("v1.0.0\n"));
      await healed(server, main);
    }
  });

  it("an absence is believed only when every source has said so", async ({ expect }) => {
    main.on("/base/half.test/m/@v/list", text("down\n", 500));
    const answer = await server.ask("/half.test/m/@v/list");
    expect(answer.status).toBe(502);
    expect(spare.count("/half.test/m/@v/list")).toBe(1);
    await healed(server, main);
    const both = await server.ask("/none.test/m/@v/list");
    expect(both.status).toBe(404);
  });

  it("a file and its list may come from different sources", async ({ expect }) => {
    const module = makeModule({ path: "mixed.test/m", version: "v1.0.0" });
    spare.add(module);
    main.on(`/base/${module.base}.info`, json(module.info));
    const statuses = [];
    for (const kind of ["info", "mod", "zip"]) {
      statuses.push((await server.ask(`/${module.base}.${kind}`)).status);
    }
    expect(statuses).toEqual([200, 200, 200]);
    expect(spare.count(`/${module.base}.info`)).toBe(0);
  });

  it("each credential goes to its own origin, in its own form, and to no other", async ({
    expect,
  }) => {
    const path = "/credential.test/m/@v/list";
    main.on(`/base${path}`, { status: 302, headers: { Location: `${spare.url}/elsewhere` } });
    spare.on("/elsewhere", text("v1.0.0\n"));
    expect((await server.ask(path)).status).toBe(200);
    const first = main.requests.find((request) => request.path === `/base${path}`);
    const second = spare.requests.find((request) => request.path === "/elsewhere");
    expect(first?.headers.authorization).toBe(
      `Basic ${Buffer.from(USER_SECRET).toString("base64")}`,
    );
    expect(second?.headers.authorization).toBeUndefined();

    const own = "/credential.test/own/@v/list";
    main.on(`/base${own}`, { status: 302, headers: { Location: "/base/inside" } });
    main.on("/base/inside", text("v1.0.0\n"));
    expect((await server.ask(own)).status).toBe(200);
    const inside = main.requests.find((request) => request.path === "/base/inside");
    expect(inside?.headers.authorization).toBe(first?.headers.authorization);

    spare.on("/credential.test/spare/@v/list", text("v1.0.0\n"));
    expect((await server.ask("/credential.test/spare/@v/list")).status).toBe(200);
    const bearer = spare.requests.find((request) => request.path.includes("credential.test/spare"));
    expect(bearer?.headers.authorization).toBe(`Bearer ${BEARER_SECRET}`);
  });

  it("nothing of a client's request is handed on", async ({ expect }) => {
    const path = "/handed.test/m/@v/list";
    main.on(`/base${path}`, text("v1.0.0\n"));
    await server.ask(`${path}?query=1`, {
      headers: {
        Authorization: "Basic Y2xpZW50OnBhc3M=",
        Cookie: "a=b",
        "X-Forwarded-For": "192.0.2.1",
        Range: "bytes=0-1",
        "If-None-Match": '"x"',
        "Accept-Encoding": "gzip",
      },
    });
    const sent = main.requests.find((request) => request.path.startsWith(`/base${path}`));
    expect(sent?.path).toBe(`/base${path}`);
    expect(sent?.headers).not.toHaveProperty("cookie");
    expect(sent?.headers).not.toHaveProperty("x-forwarded-for");
    expect(sent?.headers).not.toHaveProperty("range");
    expect(sent?.headers).not.toHaveProperty("if-none-match");
    expect(sent?.headers["accept-encoding"]).toBe("identity");
    expect(sent?.headers.authorization).not.toContain("Y2xpZW50OnBhc3M");
  });

  it("a credential that an upstream echoes back is not shown", async ({ expect }) => {
    const encoded = Buffer.from(USER_SECRET).toString("base64");
    main.on("/base/echo.test/m/@v/list", text(`you sent Basic ${encoded}\n`, 403));
    main.on("/base/echo.test/m2/@v/list", text(`bad password ${USER_SECRET}\n`, 403));
    main.on("/base/echo.test/m3/@v/list", text("bad password s3cret-Pass for robot\n", 403));
    for (const name of ["m", "m2", "m3"]) {
      const { status, text: body } = await server.ask(`/echo.test/${name}/@v/list`);
      expect(status).toBe(403);
      expect(body).not.toContain(encoded);
      expect(body).not.toContain("s3cret-Pass");
    }
    expect(server.process.stdout + server.process.stderr).not.toContain("s3cret-Pass");
  });

  it("an absence is forgotten after its time, and the module is found", async ({ expect }) => {
    const module = makeModule({ path: "later.test/m", version: "v1.0.0" });
    const paths = [`/${module.base}.zip`, "/later.test/m/@v/list", "/later.test/m/@latest"];
    for (const path of paths) expect((await server.ask(path)).status).toBe(404);
    spare.add(module);
    await wait(1100);
    for (const path of paths) expect((await server.ask(path)).status).toBe(200);
  });

  it("a list follows its source: the next one after its time has what is new", async ({
    expect,
  }) => {
    const path = "/grows.test/m/@v/list";
    main.on(`/base${path}`, text("v1.0.0\n"));
    expect((await server.ask(path)).text).toBe("v1.0.0\n");
    main.on(`/base${path}`, text("v1.0.0\nv1.1.0\n"));
    expect((await server.ask(path)).text).toBe("v1.0.0\n");
    await wait(1100);
    // Served stale at once, with one refresh behind it.
    const asked = main.count(`/base${path}`);
    await Promise.all([1, 2, 3, 4, 5].map(async () => await server.ask(path)));
    await wait(300);
    expect(main.count(`/base${path}`)).toBe(asked + 1);
    expect((await server.ask(path)).text).toBe("v1.0.0\nv1.1.0\n");
  });

  it("a stored list is served at once while every upstream hangs or is gone", async ({
    expect,
  }) => {
    const paths = ["/stale.test/m/@v/list", "/stale.test/m/@latest", "/stale.test/m/@v/main.info"];
    const info = `{"Version":"v1.0.0","Time":"2021-02-03T04:05:06Z"}`;
    main.on("/base/stale.test/m/@v/list", text("v1.0.0\n"));
    main.on("/base/stale.test/m/@latest", json(info));
    main.on("/base/stale.test/m/@v/main.info", json(info));
    for (const path of paths) expect((await server.ask(path)).status).toBe(200);
    await wait(1100);
    main.onEverything({ hang: true });
    spare.onEverything({ hang: true });
    const startedMs = performance.now();
    for (const path of paths) expect((await server.ask(path)).status).toBe(200);
    expect(performance.now() - startedMs).toBeLessThan(1500);
    main.onEverything(undefined);
    spare.onEverything(undefined);
    await main.down();
    await spare.down();
    await wait(1100);
    const goneMs = performance.now();
    for (const path of paths) expect((await server.ask(path)).status).toBe(200);
    expect(performance.now() - goneMs).toBeLessThan(1500);
    await main.up();
    await spare.up();
  });
});

describe.each(STORAGES)("a single upstream with --storage %s", (storage) => {
  it("that was down is asked again within 5 s", async ({ expect, onTestFinished }) => {
    const { upstream, server } = await startPair(storage, onTestFinished);
    upstream.add(makeModule({ path: "back.test/m", version: "v1.0.0" }));
    await upstream.down();
    const down = await server.ask("/back.test/m/@v/v1.0.0.zip");
    expect(down.status).toBe(502);
    expect(down.text).not.toContain(String(upstream.port));
    await upstream.up();
    const up = await server.ask("/back.test/m/@v/v1.0.0.zip");
    expect(up.status).toBe(200);
  });

  it("that answers too late gives 504 in about 9 s, and its file a moment later", async ({
    expect,
    onTestFinished,
  }) => {
    const { upstream, server } = await startPair(storage, onTestFinished);
    const module = makeModule({ path: "hang.test/m", version: "v1.0.0" });
    upstream.add(module);
    upstream.on(`/${module.base}.zip`, { hang: true });
    upstream.on("/hang.test/m/@v/list", { hang: true });
    upstream.on("/hang.test/late/@v/list", { ...text("v1.0.0\n"), delayMs: 10_500 });
    const startedMs = performance.now();
    const answers = await Promise.all([
      server.ask(`/${module.base}.zip`),
      server.ask("/hang.test/m/@v/list"),
      server.ask("/hang.test/late/@v/list"),
      server.ask(`/${module.base}.zip`),
    ]);
    const tookMs = performance.now() - startedMs;
    expect(answers.map(({ status }) => status)).toEqual([504, 504, 504, 504]);
    expect(tookMs).toBeGreaterThan(7000);
    expect(tookMs).toBeLessThan(12_000);
    upstream.on(`/${module.base}.zip`, zip(module.zip));
    expect((await server.ask(`/${module.base}.zip`)).status).toBe(200);
    // The fetch went on behind the answer.
    await wait(2500);
    expect((await server.ask("/cached-only/hang.test/late/@v/list")).text).toBe("v1.0.0\n");
  });

  it("that hangs does not hold up what is stored, whoever waits", async ({
    expect,
    onTestFinished,
  }) => {
    const { upstream, server } = await startPair(storage, onTestFinished);
    upstream.add(makeModule({ path: "stored.test/m", version: "v1.0.0" }));
    await server.ask("/stored.test/m/@v/v1.0.0.zip");
    await server.ask("/stored.test/m/@v/list");
    upstream.onEverything({ hang: true });
    const agent = new Agent();
    const waiting = Array.from({ length: 40 }, async (_, index) => {
      await server.ask(`/waits.test/m${index}/@v/v1.0.0.zip`, { agent }).catch(() => undefined);
    });
    await wait(200);
    const startedMs = performance.now();
    for (let index = 0; index < 20; index++) {
      expect((await server.ask("/stored.test/m/@v/v1.0.0.zip")).status).toBe(200);
      expect((await server.ask("/stored.test/m/@v/list")).status).toBe(200);
      expect((await server.ask("/-/healthz")).status).toBe(200);
    }
    expect(performance.now() - startedMs).toBeLessThan(3000);
    agent.destroy();
    await Promise.all(waiting);
  });

  it("of which notFound is changed says absent with these statuses only", async ({
    expect,
    onTestFinished,
  }) => {
    const upstream = await FakeUpstream.start();
    const server = await startServer({
      storage,
      config: { upstreams: [{ url: upstream.url, notFound: [403] }], sumdb: "off" },
    });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    upstream.on("/nf.test/m/@v/list", text("no such module\n", 403));
    upstream.on("/nf.test/gone/@v/list", text("gone\n", 410));
    const denied = await server.ask("/nf.test/m/@v/list");
    expect({ status: denied.status, text: denied.text }).toMatchObject({
      status: 404,
      text: expect.stringContaining("no such module") as string,
    });
    expect((await server.ask("/nf.test/gone/@v/list")).status).toBe(502);
  });

  it("that is out of reach makes readyz say degraded, never healthz", async ({
    expect,
    onTestFinished,
  }) => {
    const { upstream, server } = await startPair(storage, onTestFinished);
    await upstream.down();
    const ready = await server.ask("/-/readyz");
    expect({ status: ready.status, body: JSON.parse(ready.text) as unknown }).toMatchObject({
      status: 200,
      body: { status: "degraded" },
    });
    expect((await server.ask("/-/healthz")).status).toBe(200);
  });
});

async function startPair(
  storage: (typeof STORAGES)[number],
  onTestFinished: (end: () => Promise<void>) => void,
): Promise<{ upstream: FakeUpstream; server: RunningServer }> {
  const upstream = await FakeUpstream.start();
  const server = await startServer({ storage, upstream: upstream.url });
  onTestFinished(async () => {
    await server.kill();
    await upstream.down();
  });
  return { upstream, server };
}

let heals = 0;

/** Ask for something new until the main upstream is the first to be asked again. */
async function healed(server: RunningServer, main: FakeUpstream): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const path = `/heal.test/m${heals++}/@v/list`;
    main.on(`/base${path}`, text("v1.0.0\n"));
    await server.ask(path);
    if (main.count(`/base${path}`) > 0) {
      const next = `/heal.test/m${heals++}/@v/v1.0.0.info`;
      await server.ask(next);
      if (main.count(`/base${next}`) > 0) return;
    }
    await wait(100);
  }
}
