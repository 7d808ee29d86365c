import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const folders = new Set<string>();

// Registered before every hook of the test file, so it runs after them.
afterAll(() => {
  for (const folder of folders) removeFolder(folder);
});

/** Make an empty folder; it is removed when the test file has ended, or sooner. */
export function makeTempFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `goproxy-edge-${name}-`));
  folders.add(folder);
  return folder;
}

/** Remove a folder that {@link makeTempFolder} made. */
export function removeFolder(folder: string): void {
  folders.delete(folder);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
