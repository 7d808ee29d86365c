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
import { FakeUpstream } from "../support/fake-upstream.ts";
import { makeLargeModule, makeModule, type ModuleFixture } from "../support/module-fixture.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

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

  it("is not mended with something else that the source has now", async ({
    expect,
    onTestFinished,
  }) => {
    const module = makeModule({ path: "changed.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    onTestFinished(async () => await upstream.down());
    const first = await startServer({ storage, upstream: upstream.url });
    for (const kind of KINDS) await first.ask(`/${module.base}.${kind}`);
    await first.stop();
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
    expect(second.process.stdout).toContain("file-lost");
  });
});

/** Change the files that hold a module's answers, wherever the storage keeps them. */
function damageAll(
  data: string,
  modules: readonly ModuleFixture[],
  damage: (file: string) => void,
): void {
  const wanted = new Set(modules.flatMap((module) => KINDS.map((kind) => sha256(module[kind]))));
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
