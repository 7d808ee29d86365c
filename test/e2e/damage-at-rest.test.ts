// Guarantee: stored bytes that have changed are never served as a whole 200. They come back from
// their source if it still has the same, and are an error while it does not.

import { createHash } from "node:crypto";
import {
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { raises } from "../support/alerts.ts";
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeLargeModule, makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";
import { overwriteStoredRecord, readStoredRecord } from "../support/stored-record.ts";
import { makeTempFolder } from "../support/temp-folder.ts";

const UNREACHABLE = "http://127.0.0.1:9";
const MEBIBYTE = 1024 * 1024;
const KINDS = ["info", "mod", "zip"] as const;

const WAYS: readonly [string, (file: string) => void][] = [
  ["a flipped bit", flipBit],
  ["a cut end", (file) => truncateSync(file, statSync(file).size - 1)],
  ["an empty file", (file) => truncateSync(file, 0)],
  ["a missing file", unlinkSync],
];

describe.each(STORAGES)("damage to stored files with --storage %s", (storage) => {
  it.for(WAYS)(
    "%s is restored from the source, or an error without it",
    async ([what, damage], { expect, onTestFinished }) => {
      const host = what.replaceAll(" ", "-");
      const modules = [
        makeModule({ path: `${host}.test/small`, version: "v1.0.0" }),
        makeLargeModule(`${host}.test/large`, "v1.0.0", 2 * MEBIBYTE),
      ];
      const upstream = await FakeUpstream.start(modules);
      onTestFinished(async () => await upstream.down());
      const first = await startServer({ storage, upstream: upstream.url });
      const paths = modules.flatMap((module) =>
        KINDS.map((kind) => [`/${module.base}.${kind}`, Buffer.from(module[kind])] as const),
      );
      for (const [path] of paths) expect((await first.ask(path)).status).toBe(200);
      await first.stop();
      damageAll(first.data, modules, damage);

      const without = await startServer({ storage, data: first.data, upstream: UNREACHABLE });
      for (const [path, bytes] of paths) {
        const outcome = await outcomeOf(without, path, bytes);
        expect({ path, outcome }).not.toEqual({ path, outcome: "damaged 200" });
        expect({ path, outcome }).not.toEqual({ path, outcome: "200" });
        expect({ path, isAbsent: outcome === "404" }).toEqual({ path, isAbsent: false });
      }
      await without.stop();

      const again = await startServer({ storage, data: first.data, upstream: upstream.url });
      onTestFinished(async () => await again.stop().then(() => undefined));
      for (const [path, bytes] of paths) {
        const outcomes = [await outcomeOf(again, path, bytes), await outcomeOf(again, path, bytes)];
        // A large one is checked on its way out: its first reader gets a short body.
        const allowed = path.includes("/large/") ? ["200", "broken"] : ["200"];
        expect(allowed, `${path}: ${outcomes.join()}`).toContain(outcomes[0]);
        expect({ path, outcome: outcomes[1] }).toEqual({ path, outcome: "200" });
      }
    },
  );

  // Guarantee: a zip that was restored is answered at once, also when its record was what was wrong.
  it("in a record is mended from the source for the first reader already", async ({
    expect,
    onTestFinished,
  }) => {
    const module = makeModule({ path: "record.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    onTestFinished(async () => await upstream.down());
    const first = await storeAndStop(storage, upstream.url, [module]);
    const key = `public/${module.base}.zip`;
    const record = readStoredRecord(first, key);
    const changed = { ...record, sha256: sha256("other bytes") };
    overwriteStoredRecord(first, key, JSON.stringify(changed));
    const second = await startServer({ storage, data: first.data, upstream: upstream.url });
    onTestFinished(async () => await second.stop().then(() => undefined));
    const outcome = await outcomeOf(second, `/${module.base}.zip`, Buffer.from(module.zip));
    expect(outcome).toBe("200");
    const { headers } = await second.ask(`/${module.base}.zip`);
    expect(headers["etag"]).toBe(`"${sha256(module.zip)}"`);
  });

  it("is not mended with something else that the source has now", async ({
    expect,
    onTestFinished,
  }) => {
    const module = makeModule({ path: "changed.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    onTestFinished(async () => await upstream.down());
    const first = await storeAndStop(storage, upstream.url, [module]);
    damageAll(first.data, [module], flipBit);
    upstream.add(
      makeModule({
        path: "changed.test/m",
        version: "v1.0.0",
        time: "2022-02-02T02:02:02Z",
        goMod: "module changed.test/m\n\ngo 1.20\n",
      }),
    );
    const second = await startServer({ storage, data: first.data, upstream: upstream.url });
    onTestFinished(async () => await second.stop().then(() => undefined));
    for (const kind of KINDS) {
      const { status } = await second.ask(`/${module.base}.${kind}`);
      // 502 where the source does not even agree with itself.
      expect({ kind, isRefused: [502, 503].includes(status) }).toEqual({ kind, isRefused: true });
    }
    expect(await raises(second, "file-lost")).toBe(true);
  });
});

describe.each(STORAGES)("a zip that is damaged in --storage %s", (storage) => {
  // Guarantee: cached-only never asks a source, whatever is found.
  it.for(WAYS)(
    "%s: is an error of the cached-only address, which asks no source",
    async ([what, damage], { expect, onTestFinished }) => {
      const host = what.replaceAll(" ", "-");
      const modules = [
        makeModule({ path: `${host}.test/small`, version: "v1.0.0" }),
        makeLargeModule(`${host}.test/large`, "v1.0.0", 17 * MEBIBYTE),
      ];
      const upstream = await FakeUpstream.start(modules);
      onTestFinished(async () => await upstream.down());
      const server = await restartDamaged(storage, upstream.url, modules, damage);
      onTestFinished(async () => await server.stop().then(() => undefined));
      const asked = upstream.requests.length;
      const asker = { headers: { "Disable-Module-Fetch": "true" } };
      for (const { base, info, mod, zip } of modules) {
        for (const [kind, bytes] of [
          ["info", info],
          ["mod", mod],
          ["zip", zip],
        ] as const) {
          for (const time of [1, 2]) {
            const outcome = await outcomeOf(
              server,
              `/cached-only/${base}.${kind}`,
              Buffer.from(bytes),
            );
            const isFirstOfLarge = base.includes("large") && kind === "zip" && time === 1;
            const allowed = isFirstOfLarge ? ["503", "broken"] : ["503"];
            expect(allowed, `${base}.${kind} ${time}: ${outcome}`).toContain(outcome);
          }
          const { status } = await server.ask(`/${base}.${kind}`, { ...asker, method: "HEAD" });
          expect({ base, kind, status }).toEqual({ base, kind, status: 503 });
        }
      }
      expect(upstream.requests.slice(asked)).toEqual([]);
      // The ordinary address may ask, and then there is something to answer from.
      for (const { base, zip } of modules) {
        await outcomeOf(server, `/${base}.zip`, Buffer.from(zip));
        const outcome = await outcomeOf(server, `/cached-only/${base}.zip`, Buffer.from(zip));
        expect(outcome).toBe("200");
      }
    },
  );

  it.for(WAYS)(
    "%s: HEAD, a range and a condition agree with GET once it is known",
    async ([what, damage], { expect, onTestFinished }) => {
      const module = makeModule({ path: `${what.replaceAll(" ", "-")}.test/m`, version: "v1.0.0" });
      const upstream = await FakeUpstream.start([module]);
      onTestFinished(async () => await upstream.down());
      const data = makeTempFolder("damaged");
      const server = await restartDamaged(storage, upstream.url, [module], damage, data);
      await upstream.down();
      const path = `/${module.base}.zip`;
      const ways = async (at: RunningServer): Promise<number[]> => [
        (await at.ask(path, { method: "HEAD" })).status,
        (await at.ask(path, { headers: { Range: "bytes=0-3" } })).status,
        (await at.ask(path, { headers: { "If-None-Match": '"other"' } })).status,
      ];
      // Where storage itself shows the damage, nobody has to read the bytes first.
      if (what !== "a flipped bit" && storage === "disk") {
        expect(await ways(server)).toEqual([503, 503, 503]);
      }
      expect((await server.ask(path)).status).toBe(503);
      expect(await ways(server)).toEqual([503, 503, 503]);
      await server.stop();
      // It stays known over a restart: damaged bytes are not left where they can be read.
      const again = await startServer({ storage, data, upstream: upstream.url });
      onTestFinished(async () => await again.stop().then(() => undefined));
      if (storage === "disk" || what === "a flipped bit") {
        expect(await ways(again)).toEqual([503, 503, 503]);
      }
      await upstream.up();
      expect(await outcomeOf(again, path, Buffer.from(module.zip))).toBe("200");
      expect(await ways(again)).toEqual([200, 206, 200]);
    },
  );

  it("HEAD and ranges agree with GET when the bytes change behind a server that knows them", async ({
    expect,
    onTestFinished,
  }) => {
    const module = makeModule({ path: "behind.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    onTestFinished(async () => await upstream.down());
    const server = await startServer({ storage, upstream: upstream.url });
    onTestFinished(async () => await server.stop().then(() => undefined));
    const path = `/${module.base}.zip`;
    for (let times = 0; times < 2; times++) expect((await server.ask(path)).status).toBe(200);
    await upstream.down();
    damageAll(server.data, [module], unlinkSync, ["zip"]);
    // The simulated bucket goes on saying that it has what was deleted below it.
    if (storage === "r2") expect((await server.ask(path)).status).toBe(503);
    expect((await server.ask(path, { method: "HEAD" })).status).toBe(503);
    expect((await server.ask(path, { headers: { Range: "bytes=0-3" } })).status).toBe(503);
    expect((await server.ask(path)).status).toBe(503);
  });
});

/** Have a server store modules and stop it; its data stay. */
async function storeAndStop(
  storage: (typeof STORAGES)[number],
  upstream: string,
  modules: readonly ModuleFixture[],
  data = makeTempFolder("stored"),
): Promise<RunningServer> {
  const server = await startServer({ storage, data, upstream });
  for (const { base } of modules) {
    for (const kind of KINDS) {
      const { status } = await server.ask(`/${base}.${kind}`);
      if (status !== 200) throw new Error(`${base}.${kind}: ${status}`);
    }
  }
  await server.stop();
  return server;
}

/** A server on data that an earlier one has stored and that were damaged since. */
async function restartDamaged(
  storage: (typeof STORAGES)[number],
  upstream: string,
  modules: readonly ModuleFixture[],
  damage: (file: string) => void,
  data = makeTempFolder("damaged"),
): Promise<RunningServer> {
  await storeAndStop(storage, upstream, modules, data);
  damageAll(data, modules, damage);
  return await startServer({ storage, data, upstream });
}

/** Change the files that hold a module's answers, wherever the storage keeps them. */
function damageAll(
  data: string,
  modules: readonly ModuleFixture[],
  damage: (file: string) => void,
  kinds: readonly (typeof KINDS)[number][] = KINDS,
): void {
  const wanted = new Set(modules.flatMap((module) => kinds.map((kind) => sha256(module[kind]))));
  let count = 0;
  for (const name of readdirSync(data, { recursive: true, encoding: "utf8" })) {
    const file = join(data, name);
    if (!statSync(file).isFile() || !wanted.has(sha256(readFileSync(file)))) continue;
    damage(file);
    count++;
  }
  if (count < wanted.size) throw new Error(`only ${count} of ${wanted.size} files were found`);
}

async function outcomeOf(server: RunningServer, path: string, bytes: Buffer): Promise<string> {
  try {
    const { status, body } = await server.ask(path);
    if (status === 200) return body.equals(bytes) ? "200" : "damaged 200";
    return String(status);
  } catch {
    return "broken";
  }
}

function flipBit(file: string): void {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
