// Guarantee: a private version is what it was at first sight, whatever its source sends later, and
// somebody is told when a tag was moved.

import { afterAll, beforeAll, describe, it } from "vitest";
import { alertsOf } from "../support/alerts.ts";
import { FakeUpstream, text, zip } from "../support/fake-upstream.ts";
import { makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import { eventually, type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

const KINDS = ["info", "mod", "zip"] as const;
const TOKEN = "token-of-this-test";
const asking = { headers: { Authorization: `Bearer ${TOKEN}` } };

/** Two contents of one version: before and after its tag was moved. */
function twice(name: string, goMod = ""): { first: ModuleFixture; moved: ModuleFixture } {
  const path = `git.acme.test/${name}`;
  return {
    first: makeModule({ path, version: "v1.0.0" }),
    moved: makeModule({
      path,
      version: "v1.0.0",
      time: "2023-03-03T03:03:03Z",
      goMod: `module ${path}\n${goMod}`,
      files: { "a.go": "package moved\n" },
    }),
  };
}

describe.each(STORAGES)("the ledger of private modules with --storage %s", (storage) => {
  let source: FakeUpstream;
  let server: RunningServer;

  const start = async (data?: string): Promise<RunningServer> =>
    await startServer({
      storage,
      ...(data === undefined ? {} : { data }),
      config: {
        upstreams: [{ name: "git", url: source.url }],
        sumdb: "off",
        cache: { list: "1s", negative: "1s" },
        teams: [
          {
            name: "acme",
            private: [{ pattern: "git.acme.test/*", source: "git" }],
            tokens: [{ name: "ci", role: "reader", secret: "TOKEN" }],
          },
        ],
      },
      env: { TOKEN },
    });
  const ask = async (path: string) => await server.ask(`/t/acme/${path}`, asking);
  const movedTags = (path: string) =>
    alertsOf(server, "tag-moved").filter((alert) => String(alert["url.path"]).startsWith(path));
  const expectContent = async (module: ModuleFixture): Promise<string[]> => {
    const seen = [];
    for (const kind of KINDS) {
      const { status, body } = await ask(`${module.base}.${kind}`);
      seen.push(`${kind} ${status} ${body.equals(Buffer.from(module[kind]))}`);
    }
    return seen;
  };
  const WHOLE = KINDS.map((kind) => `${kind} 200 true`);

  beforeAll(async () => {
    source = await FakeUpstream.start();
    server = await start();
  });

  afterAll(async () => {
    await server.stop();
    await source.down();
  });

  it("goes on with the first content after the tag was moved, and raises an alarm", async ({
    expect,
  }) => {
    const { first, moved } = twice("moved");
    source.add(first);
    expect(await expectContent(first)).toEqual(WHOLE);
    source.add(moved);
    expect(await expectContent(first)).toEqual(WHOLE);
    const { data } = server;
    await server.stop();
    server = await start(data);
    expect(await expectContent(first)).toEqual(WHOLE);
    expect(await eventually(() => movedTags(first.escapedPath).length > 0, 5000)).toBe(true);
    const [alert] = movedTags(first.escapedPath);
    expect(alert).toMatchObject({ "log.level": "error", "labels.scope": "team/acme" });
  });

  it("raises an alarm when nothing but the zip of a moved tag differs", async ({ expect }) => {
    const first = makeModule({ path: "git.acme.test/zip-only", version: "v1.0.0" });
    const files = { "a.go": "package moved\n" };
    const moved = makeModule({ path: first.path, version: first.version, files });
    source.add(first);
    expect(await expectContent(first)).toEqual(WHOLE);
    source.add(moved);
    expect(await expectContent(first)).toEqual(WHOLE);
    expect(await eventually(() => movedTags(`${first.base}.zip`).length > 0, 5000)).toBe(true);
    expect(movedTags(first.escapedPath)).toHaveLength(1);
  });

  it("refuses a zip whose go.mod is not the one of first sight", async ({ expect }) => {
    const { first, moved } = twice("mod-first", "\ngo 1.22\n");
    source.add(first);
    expect((await ask(`${first.base}.mod`)).status).toBe(200);
    source.on(`/${first.base}.zip`, zip(moved.zip));
    expect((await ask(`${first.base}.zip`)).status).toBe(502);
    expect((await ask(`cached-only/${first.base}.zip`)).status).toBe(404);
    expect(server.stored()).not.toContain(`team/acme/${first.base}.zip`);
  });

  it("is not bound by a zip that it refused: the right one is still the first", async ({
    expect,
  }) => {
    const { first, moved } = twice("zip-refused", "\ngo 1.22\n");
    source.add(first);
    expect((await ask(`${first.base}.mod`)).status).toBe(200);
    source.on(`/${first.base}.zip`, zip(moved.zip));
    expect((await ask(`${first.base}.zip`)).status).toBe(502);
    source.add(first);
    expect(await expectContent(first)).toEqual(WHOLE);
  });

  it("is not bound by a go.mod that it refused: the right one is still the first", async ({
    expect,
  }) => {
    const { first, moved } = twice("mod-refused", "\ngo 1.22\n");
    source.add(first);
    expect((await ask(`${first.base}.zip`)).status).toBe(200);
    source.on(`/${first.base}.mod`, text(moved.mod));
    expect((await ask(`${first.base}.mod`)).status).toBe(502);
    source.add(first);
    expect(await expectContent(first)).toEqual(WHOLE);
  });

  it("gives the first content to the members after the source is gone", async ({ expect }) => {
    const { first } = twice("gone");
    source.add(first);
    expect(await expectContent(first)).toEqual(WHOLE);
    await source.down();
    expect(await expectContent(first)).toEqual(WHOLE);
    await source.up();
  });
});
