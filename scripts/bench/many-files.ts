import { createHash } from "node:crypto";
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Below a name that no real proxy is asked for. */
export const MADE_MODULES = "bench.example.com/made";

const VERSIONS_PER_MODULE = 100;
// Every hundredth version has its zip as well: the rest were only ever looked at.
const VERSIONS_PER_ZIP = 100;
// File systems allow a file some 65,000 names.
const MAX_NAMES = 60_000;

/**
 * Put many small versions into a data folder, in its documented layout: each file has its record
 * beside it.
 *
 * Files of equal content share one inode, which makes a million versions a matter of minutes.
 */
export class ManyFiles {
  readonly #root: string;
  readonly #masters = new Map<string, { path: string; names: number }>();
  #versionCount = 0;
  #moduleCount = 0;

  /** @param files The folder `files` of the data folder. */
  constructor(files: string) {
    this.#root = join(files, "public");
  }

  get versionCount(): number {
    return this.#versionCount;
  }

  /** Module path of one of those made so far, and a version of it. */
  pick(index: number): { readonly module: string; readonly version: string } {
    const module = `${MADE_MODULES}/m${index % this.#moduleCount}`;
    return {
      module,
      version: `v1.0.${Math.floor(index / this.#moduleCount) % VERSIONS_PER_MODULE}`,
    };
  }

  /** Add modules of a hundred versions each until there are so many versions. */
  growTo(versionCount: number): void {
    while (this.#versionCount < versionCount) {
      this.addModule(`${MADE_MODULES}/m${this.#moduleCount}`, VERSIONS_PER_MODULE);
      this.#moduleCount++;
    }
  }

  addModule(module: string, versionCount: number): void {
    const folder = join(this.#root, module, "@v");
    mkdirSync(folder, { recursive: true });
    const goMod = `module ${module}\n`;
    const modHash = sha256(goMod);
    const h1 = `h1:${createHash("sha256").update(`${modHash}  go.mod\n`).digest("base64")}`;
    for (let patch = 0; patch < versionCount; patch++) {
      const version = `v1.0.${patch}`;
      const info = JSON.stringify({ Version: version, Time: "2026-01-02T03:04:05Z" });
      this.#put(folder, `${version}.info`, info, {});
      this.#put(folder, `${version}.mod`, goMod, { h1 });
      // Never read as a zip: only its presence counts.
      if (patch % VERSIONS_PER_ZIP === 0) this.#put(folder, `${version}.zip`, goMod, { h1 });
    }
    this.#versionCount += versionCount;
  }

  #put(folder: string, name: string, content: string, more: { readonly h1?: string }): void {
    const record = JSON.stringify({
      sizeBytes: content.length,
      sha256: sha256(content),
      ...more,
      source: "made",
      fetchedAt: "2026-01-02T03:04:05.000Z",
      verified: "sumdb",
    });
    this.#link(join(folder, name), content);
    this.#link(join(folder, `${name}.record`), record);
  }

  #link(path: string, content: string): void {
    const master = this.#masters.get(content);
    if (master === undefined || master.names >= MAX_NAMES) {
      writeFileSync(path, content);
      this.#masters.set(content, { path, names: 1 });
      return;
    }
    linkSync(master.path, path);
    master.names++;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
