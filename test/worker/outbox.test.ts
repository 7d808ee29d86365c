// Guarantee: a version whose zip is committed is in the list of the static tree, at whatever moment
// the process was killed.

import { env } from "cloudflare:workers";
import { describe, it } from "vitest";
import { type FileKind, type FileRequest, parseModuleRequest } from "../../src/module/request.ts";
import { sha256Hex } from "../../src/module/sha256.ts";
import { emptyOutbox } from "../../src/proxy/outbox.ts";
import { type FileRecord, type FileStore, PUBLIC_SCOPE } from "../../src/proxy/ports.ts";
import { DiskFileStore } from "../../src/store/disk-file-store.ts";
import type { SqliteIndex } from "../../src/store/sqlite-index.ts";
import { R2FileStore } from "../../src/store/r2-file-store.ts";
import { dyingBucket, dyingDisk, Life } from "../support/dying-binding.ts";
import { FakeDisk } from "../support/fake-disk.ts";
import { withIndex } from "../support/with-index.ts";

const MAX_WRITES = 6;
const disk = new FakeDisk();
const STORES: readonly (readonly [string, (life: Life) => FileStore])[] = [
  ["r2", (life) => new R2FileStore(dyingBucket(env.FILES, life))],
  ["disk", (life) => new DiskFileStore(dyingDisk(disk.binding, life))],
];
const KINDS = ["info", "mod", "zip"] as const satisfies readonly FileKind[];
const immortal = (): Life => new Life(Number.POSITIVE_INFINITY);

describe.each(STORES)("emptyOutbox() with files in %s", (name, open) => {
  it("lists a version whose zip was committed just before a kill, and no other", async ({
    expect,
  }) => {
    const outcomes = new Set<boolean>();
    for (let writes = 0; writes < MAX_WRITES; writes++) {
      const module = `killed${writes}.test/${name}`;
      const list = await killAfter(writes, module, open);
      const isCommitted =
        (await open(immortal()).open(PUBLIC_SCOPE, path(module, "zip"))) !== undefined;
      outcomes.add(isCommitted);
      expect({ writes, list }).toEqual({ writes, list: isCommitted ? "v1.0.0\n" : undefined });
    }
    expect(outcomes.size).toBe(2);
  });

  it("passes over a commit that is still on its way, and one that failed", async ({ expect }) => {
    const module = `on-its-way.test/${name}`;
    await withIndex(async ({ index, clock, storage }) => {
      const empty = () => emptyOutbox(index, { files: open(immortal()), copies: undefined });
      index.noteBegun(PUBLIC_SCOPE, file(module, "mod"));
      expect(await storage.getAlarm()).toBeNull();
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      expect(await storage.getAlarm()).toBe(clock.nowMs + 1000);
      clock.nowMs += 1000;
      await empty();
      expect(await storage.getAlarm()).toBe(clock.nowMs + 10_000);
      index.noteFailed(PUBLIC_SCOPE, file(module, "zip"));
      clock.nowMs += 10_000;
      expect(index.listDue()).toHaveLength(1);
      await empty();
      expect(index.listDue()).toEqual([]);
      expect(index.listSought(PUBLIC_SCOPE, module)).toEqual([]);
      expect(await readTreeList(module, open)).toBeUndefined();
    });
  });

  it("lists a zip that was long on its way a second after its commit", async ({ expect }) => {
    const module = `slow.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock, storage }) => {
      const empty = () => emptyOutbox(index, { files: store, copies: undefined });
      for (const kind of ["info", "mod"] as const) await commit(store, module, kind);
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      clock.nowMs += 3000;
      await empty();
      await commit(store, module, "zip");
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      expect(await storage.getAlarm()).toBe(clock.nowMs + 1000);
      clock.nowMs += 1000;
      await empty();
      expect(await readTreeList(module, open)).toBe("v1.0.0\n");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("no longer lists a version that was lost, though it was begun again and refused since", async ({
    expect,
  }) => {
    const module = `lost.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      const empty = async () => {
        clock.nowMs += 1000;
        await emptyOutbox(index, { files: store, copies: undefined });
        return await readTreeList(module, open);
      };
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      expect(await empty()).toBe("v1.0.0\n");
      for (const kind of KINDS) await lose(store, index, module, kind);
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      index.noteFailed(PUBLIC_SCOPE, file(module, "zip"));
      expect(await empty()).toBe("");
      for (const kind of KINDS) {
        index.noteBegun(PUBLIC_SCOPE, file(module, kind));
        await mend(store, module, kind);
        index.noteStored(PUBLIC_SCOPE, file(module, kind));
      }
      expect(await empty()).toBe("v1.0.0\n");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("no longer lists a version that was lost, though it was listed in the moment of a kill", async ({
    expect,
  }) => {
    const module = `lost-after-kill.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, again, clock }) => {
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      for (const kind of KINDS) await commit(store, module, kind);
      // Written by an instance that could not note it any more.
      await store.writeTreeFile(PUBLIC_SCOPE, `${module}/@v/list`, "v1.0.0\n");
      const restarted = again();
      for (const kind of KINDS) await lose(store, restarted, module, kind);
      clock.nowMs += 1000;
      await emptyOutbox(restarted, { files: store, copies: undefined });
      expect(await readTreeList(module, open)).toBe("");
      expect(restarted.listDue()).toEqual([]);
    });
  });

  it("lists a version that is begun and committed while it is still looked for in vain", async ({
    expect,
  }) => {
    const module = `looked-for.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      // A commit that failed leaves its row to whoever looks for the file.
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      index.noteFailed(PUBLIC_SCOPE, file(module, "zip"));
      atTheEndOf(store, "readRecord", async () => {
        index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
        for (const kind of KINDS) await commit(store, module, kind);
        index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      });
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("v1.0.0\n");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("no longer lists a version that is lost while it is still looked for", async ({ expect }) => {
    const module = `lost-meanwhile.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      atTheEndOf(store, "writeTreeFile", async () => await lose(store, index, module, "zip"));
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("lists a zip that was committed while a second flight of it is still on its way", async ({
    expect,
  }) => {
    const module = `twice.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("v1.0.0\n");
    });
  });

  it("no longer lists a version whose go.mod is lost while it is looked for", async ({
    expect,
  }) => {
    const module = `mod-lost-meanwhile.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      atTheEndOf(store, "writeTreeFile", async () => await lose(store, index, module, "mod"));
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("lists what is completed during the writing soon, also while another zip is on its way", async ({
    expect,
  }) => {
    const module = `other-on-its-way.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      for (const kind of ["zip", "info"]) {
        await commit(store, module, kind, "v1.1.0");
        index.noteStored(PUBLIC_SCOPE, file(module, kind, "v1.1.0"));
      }
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      atTheEndOf(store, "writeTreeFile", async () => {
        await commit(store, module, "mod", "v1.1.0");
        index.noteStored(PUBLIC_SCOPE, file(module, "mod", "v1.1.0"));
      });
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("v1.1.0\n");
    });
  });

  it("goes on listing a version that storage could not read for a moment", async ({ expect }) => {
    const module = `hiccup.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      await pass(2, { index, store, clock });
      // Its bytes are still in their place.
      index.noteLost(PUBLIC_SCOPE, file(module, "zip"));
      await pass(3, { index, store, clock });
      expect(await readTreeList(module, open)).toBe("v1.0.0\n");
      expect(index.listDue()).toEqual([]);
    });
  });

  it("does not list a version whose zip was lost a moment after its commit", async ({ expect }) => {
    const module = `lost-at-once.test/${name}`;
    const store = open(immortal());
    await withIndex(async ({ index, clock }) => {
      index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
      for (const kind of KINDS) await commit(store, module, kind);
      index.noteStored(PUBLIC_SCOPE, file(module, "zip"));
      await lose(store, index, module, "zip");
      clock.nowMs += 1000;
      await emptyOutbox(index, { files: store, copies: undefined });
      expect((await readTreeList(module, open)) ?? "").toBe("");
      expect(index.listDue()).toEqual([]);
    });
  });

  it.for(["zip", "info"] as const)(
    "lists a version whose %s is committed while the list is written",
    async (last, { expect }) => {
      const module = `meanwhile-${last}.test/${name}`;
      const store = open(immortal());
      const rest = KINDS.filter((kind) => kind !== last);
      await withIndex(async ({ index, clock }) => {
        index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
        for (const kind of rest) {
          await commit(store, module, kind);
          index.noteStored(PUBLIC_SCOPE, file(module, kind));
        }
        // The other version is why a list is written at all.
        for (const kind of KINDS) await commit(store, module, kind, "v1.1.0");
        index.noteStored(PUBLIC_SCOPE, file(module, "zip", "v1.1.0"));
        const writeTreeFile = store.writeTreeFile.bind(store);
        store.writeTreeFile = async (...args) => {
          await commit(store, module, last);
          index.noteStored(PUBLIC_SCOPE, file(module, last));
          await writeTreeFile(...args);
          store.writeTreeFile = writeTreeFile;
        };
        await pass(3, { index, store, clock });
        expect(await readTreeList(module, open)).toBe("v1.0.0\nv1.1.0\n");
        expect(index.listDue()).toEqual([]);
      });
    },
  );
});

/** Commit a version; the process is killed after so many writes, and a new one goes on. */
async function killAfter(
  writes: number,
  module: string,
  open: (life: Life) => FileStore,
): Promise<string | undefined> {
  const store = open(immortal());
  for (const kind of ["info", "mod"] as const) await commit(store, module, kind);
  await withIndex(async ({ index, again, clock }) => {
    index.noteBegun(PUBLIC_SCOPE, file(module, "zip"));
    await commit(open(new Life(writes)), module, "zip").catch(() => undefined);
    // Killed: nobody notes that it is stored.
    const restarted = again();
    for (let seconds = 0; seconds < 3; seconds++) {
      await emptyOutbox(restarted, { files: store, copies: undefined });
      clock.nowMs += 1000;
    }
  });
  return await readTreeList(module, open);
}

/** Let so many seconds pass, and write what is due after each. */
async function pass(
  seconds: number,
  { index, store, clock }: { index: SqliteIndex; store: FileStore; clock: { nowMs: number } },
): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    clock.nowMs += 1000;
    await emptyOutbox(index, { files: store, copies: undefined });
  }
}

async function readTreeList(
  module: string,
  open: (life: Life) => FileStore,
): Promise<string | undefined> {
  // A tree file has no record: what is read is the storage itself.
  const list = await open(immortal()).reopen(PUBLIC_SCOPE, `${module}/@v/list`);
  return list === undefined ? undefined : await new Response(list.body).text();
}

async function commit(
  store: FileStore,
  module: string,
  kind: string,
  version?: string,
): Promise<void> {
  const { body, record } = content(module, kind);
  await store.create(PUBLIC_SCOPE, path(module, kind, version), body, record);
}

/** The same bytes as before were had again. */
async function mend(store: FileStore, module: string, kind: string): Promise<void> {
  const { body, record } = content(module, kind);
  await store.putBack(PUBLIC_SCOPE, path(module, kind), body, record);
}

function content(module: string, kind: string): { body: Uint8Array; record: FileRecord } {
  const body = new TextEncoder().encode(`${module} ${kind}`);
  const record: FileRecord = {
    sizeBytes: body.length,
    sha256: sha256Hex(body),
    source: "test",
    fetchedAt: "2026-01-02T03:04:05.000Z",
    verified: "none",
  };
  return { body, record };
}

/** Have something happen once, after the next call of a method and before its caller goes on. */
function atTheEndOf(
  store: FileStore,
  method: "readRecord" | "writeTreeFile",
  happen: () => Promise<void>,
): void {
  const original = store[method].bind(store) as (...args: unknown[]) => Promise<unknown>;
  Object.assign(store, {
    [method]: async (...args: unknown[]) => {
      Object.assign(store, { [method]: original });
      const result = await original(...args);
      await happen();
      return result;
    },
  });
}

/** What is damaged and cannot be had again is moved out of reach. */
async function lose(
  store: FileStore,
  index: SqliteIndex,
  module: string,
  kind: string,
): Promise<void> {
  await store.setAside(PUBLIC_SCOPE, path(module, kind), `${module}-${kind}`);
  index.noteLost(PUBLIC_SCOPE, file(module, kind));
}

function path(module: string, kind: string, version = "v1.0.0"): string {
  return `${module}/@v/${version}.${kind}`;
}

function file(module: string, kind: string, version?: string): FileRequest {
  return parseModuleRequest(path(module, kind, version)) as FileRequest;
}
