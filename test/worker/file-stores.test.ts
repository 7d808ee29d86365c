// One suite for both places that files live in: R2 as the runtime simulates it, and a folder behind
// the disk service's semantics. The real disk service runs in the end-to-end tests.

import { env } from "cloudflare:workers";
import { describe, it } from "vitest";
import { DiskFileStore } from "../../src/store/disk-file-store.ts";
import { R2FileStore } from "../../src/store/r2-file-store.ts";
import { dyingBucket, dyingDisk } from "../support/dying-binding.ts";
import { FakeDisk } from "../support/fake-disk.ts";
import { testFileStore } from "../support/store-compliance.ts";

testFileStore("R2FileStore", () => ({
  open: () => new R2FileStore(env.FILES),
  openDying: (life) => new R2FileStore(dyingBucket(env.FILES, life)),
}));

testFileStore("DiskFileStore", () => {
  const disk = new FakeDisk();
  return {
    open: () => new DiskFileStore(disk.binding),
    openDying: (life) => new DiskFileStore(dyingDisk(disk.binding, life)),
  };
});

describe("DiskFileStore.sweep()", () => {
  // Guarantee: what killed writes leave, which the disk service hides, does not fill the disk.
  it("deletes old hidden leftovers wherever they lie, and nothing else", async ({ expect }) => {
    const disk = new FakeDisk();
    const put = (key: string, modifiedMs: number): void => {
      disk.files.set(key, { bytes: new Uint8Array(1), modifiedMs });
    };
    const dayMs = 86_400_000;
    const nowMs = Date.UTC(2026, 0, 10);
    const kept = [
      "public/a.test/m/@v/v1.0.0.zip",
      "public/a.test/m/@v/.hidden",
      "public/a.test/m/@v/.notes.tmp",
      "public/a.test/.git/.x.1.0.tmp",
      "system/staging.1.0.tmp",
    ];
    for (const key of kept) put(key, nowMs - 2 * dayMs);
    put("public/a.test/m/@v/.v1.0.1.zip.5872.3.tmp", nowMs - dayMs / 2);
    put("public/a.test/m/@v/.v1.0.0.zip.5872.0.tmp", nowMs - 2 * dayMs);
    put("team/0123/b.test/m/@v/.v1.0.0.info.record.1.12.tmp", nowMs - 2 * dayMs);
    put("system/staging/.f31af8c6-8212.5872.0.tmp", nowMs - 2 * dayMs);
    const store = new DiskFileStore(disk.binding, disk.leftovers);
    expect(await store.sweep(nowMs - dayMs)).toBe(3);
    expect([...disk.files.keys()].toSorted()).toEqual(
      [...kept, "public/a.test/m/@v/.v1.0.1.zip.5872.3.tmp"].toSorted(),
    );
  });
});
