import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import {
  type FileRecord,
  type FileStore,
  PUBLIC_SCOPE,
  type Scope,
} from "../../src/proxy/ports.ts";
import type { StagedFile } from "../../src/proxy/ports.ts";
import { Life } from "./dying-binding.ts";
import { incompressible } from "./module-fixture.ts";

/** One storage, seen by as many stores as a test wants. */
export interface StoreBed {
  /** A store as a fresh process would make it. */
  open(): FileStore;
  /** A store whose process is killed when its life is over. */
  openDying(life: Life): FileStore;
}

const TEAM = "team/0123" as Scope;
const MEBIBYTE = 1024 * 1024;
const MAX_WRITES = 12;
const SLICE = { offsetBytes: 0, lengthBytes: 1 };

let bases = 0;

/** A base of its own for each test: storage is shared by all tests of a file. */
function newPath(): string {
  return `base${bases++}.test/m/@v/v1.0.0.zip`;
}

/** What every file store promises, whatever it stores in. */
export function testFileStore(name: string, makeBed: () => StoreBed): void {
  describe(`${name} as a file store`, () => {
    const bed = makeBed();
    const store = bed.open();

    it("create() commits a file with its record, byte for byte", async ({ expect }) => {
      const path = newPath();
      for (const size of [0, 1, 100_000]) {
        const body = incompressible(size);
        const record = { ...recordOf(body), h1: "h1:x", commit: "abc", treeSize: 7 };
        expect(await store.create(PUBLIC_SCOPE, `${path}${size}`, body, record)).toEqual(record);
        expect(await bed.open().readRecord(PUBLIC_SCOPE, `${path}${size}`)).toEqual(record);
        expect(await readWhole(bed.open(), PUBLIC_SCOPE, `${path}${size}`)).toEqual(body);
      }
    });

    it("create() keeps the first bytes and says so", async ({ expect }) => {
      const path = newPath();
      const first = incompressible(100, 1);
      const second = incompressible(100, 2);
      await store.create(PUBLIC_SCOPE, path, first, recordOf(first));
      const kept = await bed.open().create(PUBLIC_SCOPE, path, second, recordOf(second));
      expect(kept).toEqual(recordOf(first));
      expect(await readWhole(store, PUBLIC_SCOPE, path)).toEqual(first);
    });

    it("what is absent is undefined, not an error", async ({ expect }) => {
      const path = newPath();
      expect(await store.readRecord(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await store.open(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await store.reopen(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await store.readSystem(`nothing/${path}`)).toBeUndefined();
      expect(await store.listSystem(`nothing-${bases}`)).toEqual([]);
      await store.remove(PUBLIC_SCOPE, path);
      await store.quarantine(PUBLIC_SCOPE, path, "q");
      expect(await store.readState(PUBLIC_SCOPE, path)).toBeUndefined();
      await store.setAside(PUBLIC_SCOPE, path, "q");
      expect(await store.readRecord(PUBLIC_SCOPE, path)).toBeUndefined();
    });

    it("scopes do not see each other", async ({ expect }) => {
      const path = newPath();
      const ours = incompressible(50, 3);
      await store.create(TEAM, path, ours, recordOf(ours));
      expect(await store.readRecord(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await readWhole(store, TEAM, path)).toEqual(ours);
    });

    it("open() and reopen() read slices", async ({ expect }) => {
      const path = newPath();
      const body = incompressible(5000);
      await store.create(PUBLIC_SCOPE, path, body, recordOf(body));
      for (const [offsetBytes, lengthBytes] of [
        [0, 1],
        [100, 900],
        [4999, 1],
        [0, 5000],
      ] as const) {
        const range = { offsetBytes, lengthBytes };
        const opened = await store.open(PUBLIC_SCOPE, path, range);
        const reopened = await store.reopen(PUBLIC_SCOPE, path, range);
        const slice = body.subarray(offsetBytes, offsetBytes + lengthBytes);
        expect(await drain(opened?.body)).toEqual(slice);
        expect(await drain(reopened?.body)).toEqual(slice);
        expect(opened?.record).toEqual(recordOf(body));
      }
    });

    it("the validator stays while the bytes do", async ({ expect }) => {
      const path = newPath();
      const body = incompressible(10);
      await store.create(PUBLIC_SCOPE, path, body, recordOf(body));
      const first = await store.open(PUBLIC_SCOPE, path);
      const second = await bed.open().reopen(PUBLIC_SCOPE, path);
      await Promise.all([drain(first?.body), drain(second?.body)]);
      expect(second?.validator).toBe(first?.validator);
      expect(await store.readState(PUBLIC_SCOPE, path)).toEqual({
        sizeBytes: 10,
        validator: first?.validator,
      });
      const other = incompressible(11);
      await store.replace(PUBLIC_SCOPE, path, other, recordOf(other));
      const third = await store.open(PUBLIC_SCOPE, path);
      await drain(third?.body);
      expect(third?.validator).not.toBe(first?.validator);
    });

    it("replace() and updateRecord() put others in place, remove() leaves nothing", async ({
      expect,
    }) => {
      const path = newPath();
      const first = incompressible(100, 4);
      const second = incompressible(200, 5);
      await store.create(PUBLIC_SCOPE, path, first, recordOf(first));
      await store.replace(PUBLIC_SCOPE, path, second, recordOf(second));
      expect(await readWhole(bed.open(), PUBLIC_SCOPE, path)).toEqual(second);
      const proven: FileRecord = { ...recordOf(second), verified: "sumdb", treeSize: 9 };
      await store.updateRecord(PUBLIC_SCOPE, path, proven);
      expect(await bed.open().readRecord(PUBLIC_SCOPE, path)).toEqual(proven);
      expect(await readWhole(bed.open(), PUBLIC_SCOPE, path)).toEqual(second);
      await store.remove(PUBLIC_SCOPE, path);
      expect(await bed.open().open(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await store.create(PUBLIC_SCOPE, path, first, recordOf(first))).toEqual(
        recordOf(first),
      );
    });

    it("quarantine() moves a file out of reach and lets another take its place", async ({
      expect,
    }) => {
      const path = newPath();
      const bad = incompressible(100, 6);
      const good = incompressible(100, 7);
      await store.create(PUBLIC_SCOPE, path, bad, recordOf(bad));
      await store.quarantine(PUBLIC_SCOPE, path, `q${bases}`);
      expect(await store.open(PUBLIC_SCOPE, path)).toBeUndefined();
      await store.create(PUBLIC_SCOPE, path, good, recordOf(good));
      expect(await readWhole(store, PUBLIC_SCOPE, path)).toEqual(good);
      const kept = await store.readSystem(`quarantine/q${bases}/${PUBLIC_SCOPE}/${path}`);
      expect(kept).toEqual(bad);
    });

    // Guarantee: what a file has to be is never forgotten because its bytes were damaged.
    it("setAside() moves the bytes out of reach, and their record keeps the place", async ({
      expect,
    }) => {
      const path = newPath();
      const [bad, other] = [incompressible(100, 6), incompressible(100, 7)];
      const record = { ...recordOf(bad), h1: "h1:x" };
      await store.create(PUBLIC_SCOPE, path, bad, record);
      const aside = `aside${bases}`;
      await store.setAside(PUBLIC_SCOPE, path, aside);
      await store.setAside(PUBLIC_SCOPE, path, `${aside}-again`);
      const fresh = bed.open();
      expect(await fresh.readRecord(PUBLIC_SCOPE, path)).toEqual(record);
      expect(await fresh.open(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await fresh.reopen(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await fresh.reopen(PUBLIC_SCOPE, path, SLICE)).toBeUndefined();
      expect(await fresh.readState(PUBLIC_SCOPE, path)).toBeUndefined();
      expect(await store.readSystem(`quarantine/${aside}/${PUBLIC_SCOPE}/${path}`)).toEqual(bad);
      expect(await store.readSystem(`quarantine/${aside}-again/${PUBLIC_SCOPE}/${path}`)).toBe(
        undefined,
      );
      expect(await store.create(PUBLIC_SCOPE, path, other, recordOf(other))).toEqual(record);
      const proven: FileRecord = { ...record, verified: "sumdb" };
      await store.updateRecord(PUBLIC_SCOPE, path, proven);
      expect(await fresh.readRecord(PUBLIC_SCOPE, path)).toEqual(proven);
      expect(await fresh.open(PUBLIC_SCOPE, path)).toBeUndefined();
      await store.quarantine(PUBLIC_SCOPE, path, `${aside}-last`);
      expect(await fresh.readRecord(PUBLIC_SCOPE, path)).toBeUndefined();
    });

    it("putBack() gives a file bytes again, from memory and from staging", async ({ expect }) => {
      const path = newPath();
      const [bad, good] = [incompressible(100, 6), incompressible(200, 8)];
      await store.create(PUBLIC_SCOPE, path, bad, recordOf(bad));
      await store.putBack(PUBLIC_SCOPE, path, good, recordOf(good));
      expect(await digest(bed, path)).toBe(recordOf(good).sha256);
      await store.setAside(PUBLIC_SCOPE, path, `aside${bases++}`);
      await store.putBack(PUBLIC_SCOPE, path, await stage(store, good), recordOf(good));
      expect(await digest(bed, path)).toBe(recordOf(good).sha256);
      expect(await store.listSystem("staging")).toEqual([]);
    });

    it("a staged file is read in slices, committed whole, and gone from staging", async ({
      expect,
    }) => {
      for (const size of [0, 10, 8 * MEBIBYTE, 9 * MEBIBYTE + 1]) {
        const path = newPath();
        const body = incompressible(size);
        const staged = await stage(store, body);
        expect({ size, staged: staged.sizeBytes, sha256: staged.sha256 }).toEqual({
          size,
          staged: size,
          sha256: recordOf(body).sha256,
        });
        if (size > 100) {
          const slice = await staged.read(size - 70, 50);
          expect(slice).toEqual(body.subarray(size - 70, size - 20));
        }
        const record = recordOf(body);
        expect(await store.createStaged(PUBLIC_SCOPE, path, staged, record)).toEqual(record);
        expect(sha256(await readWhole(bed.open(), PUBLIC_SCOPE, path))).toBe(record.sha256);
      }
      expect(await store.listSystem("staging")).toEqual([]);
    });

    it("createStaged() keeps the first bytes too", async ({ expect }) => {
      const path = newPath();
      const first = incompressible(100, 8);
      const second = incompressible(100, 9);
      await store.create(PUBLIC_SCOPE, path, first, recordOf(first));
      const staged = await stage(store, second);
      expect(await store.createStaged(PUBLIC_SCOPE, path, staged, recordOf(second))).toEqual(
        recordOf(first),
      );
      expect(await readWhole(store, PUBLIC_SCOPE, path)).toEqual(first);
      expect(await store.listSystem("staging")).toEqual([]);
    });

    it("abort() and discard() leave nothing staged", async ({ expect }) => {
      const writer = store.stage(`aborted${bases++}`);
      await writer.write(incompressible(MEBIBYTE));
      await writer.abort();
      const staged = await stage(store, incompressible(100));
      await staged.discard();
      await staged.discard();
      expect(await store.listSystem("staging")).toEqual([]);
    });

    it("sweep() deletes staged leftovers from before a time, and only these", async ({
      expect,
    }) => {
      await stage(store, incompressible(10));
      expect(await store.sweep(Date.UTC(2000, 0, 1))).toBe(0);
      expect(await store.listSystem("staging")).toHaveLength(1);
      expect(await store.sweep(Date.UTC(2100, 0, 1))).toBe(1);
      expect(await store.listSystem("staging")).toEqual([]);
    });

    it("files of our own are written, replaced and listed", async ({ expect }) => {
      const folder = `own${bases++}`;
      const [one, two] = [incompressible(10, 1), incompressible(20, 2)];
      await store.writeSystem(`${folder}/a`, one);
      await store.writeSystem(`${folder}/a`, two);
      await store.writeSystem(`${folder}/b`, one);
      await store.writeSystem(`${folder}/deep/c`, one);
      expect(await store.readSystem(`${folder}/a`)).toEqual(two);
      expect((await store.listSystem(folder)).toSorted()).toEqual(["a", "b"]);
    });

    it("walk() passes every committed file once and nothing else", async ({ expect }) => {
      const scope = `team/walk${bases++}` as Scope;
      const body = incompressible(10);
      const paths = [
        "a.test/x",
        "a.test/x/v2",
        "a.test/y",
        "b.test/m",
        "b.test/m/sub/deep",
      ].flatMap((module) =>
        ["v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip"].map((file) => `${module}/@v/${file}`),
      );
      for (const path of paths) await store.create(scope, path, body, recordOf(body));
      await store.writeTreeFile(scope, "a.test/x/@v/list", "v1.0.0\n");
      await store.setAside(scope, "b.test/m/@v/v1.0.0.zip", `aside${bases}`);
      const seen: string[] = [];
      const lost: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await store.walk(scope, cursor);
        seen.push(...page.paths);
        lost.push(...page.lost);
        cursor = page.cursor;
      } while (cursor !== undefined);
      expect(seen.toSorted()).toEqual(paths.toSorted());
      expect(lost).toEqual(["b.test/m/@v/v1.0.0.zip"]);
    });
  });

  describe(`${name} killed after each single write`, () => {
    const bed = makeBed();
    const first = incompressible(3000, 20);
    const second = incompressible(4000, 21);
    const staged = incompressible(9 * MEBIBYTE, 22);

    it("create() leaves the whole file or none, and the next one heals", async ({ expect }) => {
      await killEverywhere(bed, {
        prepare: () => Promise.resolve(),
        act: async (store, path) =>
          void (await store.create(PUBLIC_SCOPE, path, first, recordOf(first))),
        check: async (path) => {
          expect([undefined, recordOf(first).sha256]).toContain(await digest(bed, path));
          await heal(bed, path, first);
          expect(await digest(bed, path)).toBe(recordOf(first).sha256);
        },
      });
    });

    it("createStaged() leaves the whole file or none, and what was staged is swept", async ({
      expect,
    }) => {
      await killEverywhere(bed, {
        prepare: () => Promise.resolve(),
        act: async (store, path) => {
          const file = await stage(store, staged);
          await store.createStaged(PUBLIC_SCOPE, path, file, recordOf(staged));
        },
        check: async (path) => {
          expect([undefined, recordOf(staged).sha256]).toContain(await digest(bed, path));
          await heal(bed, path, first);
          expect(await digest(bed, path)).toBeDefined();
          await bed.open().sweep(Date.UTC(2100, 0, 1));
          expect(await bed.open().listSystem("staging")).toEqual([]);
        },
      });
    });

    it("replace() leaves the old file, the new one or none, never a mixture", async ({
      expect,
    }) => {
      await killEverywhere(bed, {
        prepare: async (path) => await heal(bed, path, first),
        act: async (store, path) =>
          await store.replace(PUBLIC_SCOPE, path, second, recordOf(second)),
        check: async (path) => {
          const allowed = [undefined, recordOf(first).sha256, recordOf(second).sha256];
          expect(allowed).toContain(await digest(bed, path));
          await heal(bed, path, second);
          expect(await digest(bed, path)).toBeDefined();
        },
      });
    });

    it("updateRecord() leaves the old record or the new one", async ({ expect }) => {
      const proven: FileRecord = { ...recordOf(first), verified: "sumdb" };
      await killEverywhere(bed, {
        prepare: async (path) => await heal(bed, path, first),
        act: async (store, path) => await store.updateRecord(PUBLIC_SCOPE, path, proven),
        check: async (path) => {
          expect(await digest(bed, path)).toBe(proven.sha256);
          const record = await bed.open().readRecord(PUBLIC_SCOPE, path);
          expect(["none", "sumdb"]).toContain(record?.verified);
        },
      });
    });

    it("setAside() and putBack() never lose the record, nor the file to a mixture", async ({
      expect,
    }) => {
      for (const way of ["setAside", "putBack", "putBackStaged"] as const) {
        await killEverywhere(bed, {
          prepare: async (path) => {
            await heal(bed, path, first);
            if (way !== "setAside") await bed.open().setAside(PUBLIC_SCOPE, path, `k${bases++}`);
          },
          act: async (store, path) => {
            if (way === "setAside") await store.setAside(PUBLIC_SCOPE, path, `k${bases++}`);
            else {
              const content = way === "putBack" ? first : await stage(store, first);
              await store.putBack(PUBLIC_SCOPE, path, content, recordOf(first));
            }
          },
          check: async (path) => {
            expect([undefined, recordOf(first).sha256]).toContain(await digest(bed, path));
            expect(await bed.open().readRecord(PUBLIC_SCOPE, path)).toEqual(recordOf(first));
            await bed.open().putBack(PUBLIC_SCOPE, path, first, recordOf(first));
            expect(await digest(bed, path)).toBe(recordOf(first).sha256);
          },
        });
      }
    });

    it("quarantine() and remove() leave the whole file or none", async ({ expect }) => {
      for (const way of ["quarantine", "remove"] as const) {
        await killEverywhere(bed, {
          prepare: async (path) => await heal(bed, path, first),
          act: async (store, path) =>
            way === "remove"
              ? await store.remove(PUBLIC_SCOPE, path)
              : await store.quarantine(PUBLIC_SCOPE, path, `k${bases++}`),
          check: async (path) => {
            expect([undefined, recordOf(first).sha256]).toContain(await digest(bed, path));
            await heal(bed, path, first);
            expect(await digest(bed, path)).toBe(recordOf(first).sha256);
          },
        });
      }
    });
  });
}

interface Killing {
  prepare(path: string): Promise<void>;
  act(store: FileStore, path: string): Promise<void>;
  check(path: string): Promise<void>;
}

/** Do something again and again, each time killed one write later, until it survives. */
async function killEverywhere(bed: StoreBed, killing: Killing): Promise<void> {
  for (let writes = 0; writes < MAX_WRITES; writes++) {
    const path = newPath();
    await killing.prepare(path);
    const life = new Life(writes);
    const survived = await killing.act(bed.openDying(life), path).then(
      () => !life.isOver,
      () => false,
    );
    await killing.check(path);
    if (survived && writes === 0) throw new Error("nothing was written, so nothing was killed");
    if (survived) return;
  }
  throw new Error(`still killed after ${MAX_WRITES} writes`);
}

async function stage(store: FileStore, body: Uint8Array): Promise<StagedFile> {
  const writer = store.stage(`staged${bases++}`);
  const pieceBytes = 700_000;
  for (let offset = 0; offset < body.length; offset += pieceBytes) {
    await writer.write(body.subarray(offset, offset + pieceBytes));
  }
  return await writer.finish();
}

async function heal(bed: StoreBed, path: string, body: Uint8Array): Promise<void> {
  await bed.open().create(PUBLIC_SCOPE, path, body, recordOf(body));
}

/** Digest of what a fresh process reads; it must be what its record says. */
async function digest(bed: StoreBed, path: string): Promise<string | undefined> {
  const file = await bed.open().open(PUBLIC_SCOPE, path);
  if (file === undefined) return undefined;
  const found = sha256(await drain(file.body));
  if (found !== file.record.sha256) throw new Error("a file is not what its record says");
  return found;
}

async function readWhole(store: FileStore, scope: Scope, path: string): Promise<Uint8Array> {
  const file = await store.open(scope, path);
  if (file === undefined) throw new Error(`${path} is absent`);
  return await drain(file.body);
}

async function drain(body: ReadableStream<Uint8Array> | undefined): Promise<Uint8Array> {
  return new Uint8Array(await new Response(body).arrayBuffer());
}

function recordOf(body: Uint8Array): FileRecord {
  return {
    sizeBytes: body.length,
    sha256: sha256(body),
    source: "test",
    fetchedAt: "2026-01-02T03:04:05.000Z",
    verified: "none",
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
