// One suite for both places that files live in: R2 as the runtime simulates it, and a folder behind
// the disk service's semantics. The real disk service runs in the end-to-end tests.

import { env } from "cloudflare:workers";
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
