import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const BUNDLE = join(ROOT, "dist/worker.js");

/**
 * Build the Worker unless the last bundle is newer than every source.
 *
 * @returns Path of the bundle: one ES module, as it would be deployed.
 */
export async function buildBundle(): Promise<string> {
  const builtAtMs = statSync(BUNDLE, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (newestMs([join(ROOT, "src"), join(ROOT, "package-lock.json")]) < builtAtMs) return BUNDLE;
  // Not in memory for as long as the server runs, unless it is needed.
  const { build } = await import("esbuild");
  mkdirSync(dirname(BUNDLE), { recursive: true });
  // Two starts at once must not read each other's half-written bundle.
  const temporary = `${BUNDLE}.${process.pid}`;
  await build({
    entryPoints: [join(ROOT, "src/worker.ts")],
    outfile: temporary,
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["module", "main"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "error",
  });
  renameSync(temporary, BUNDLE);
  return BUNDLE;
}

function newestMs(paths: readonly string[]): number {
  let newest = 0;
  for (const path of paths) {
    const stat = statSync(path);
    newest = Math.max(newest, stat.mtimeMs);
    if (stat.isDirectory()) {
      newest = Math.max(newest, newestMs(readdirSync(path).map((name) => join(path, name))));
    }
  }
  return newest;
}
