import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folders = new Set<string>();

process.once("exit", () => {
  for (const folder of folders) removeFolder(folder);
});

/** Make an empty folder; it is removed when the test process ends, or sooner. */
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
