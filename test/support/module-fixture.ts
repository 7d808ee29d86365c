import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { escapePath, type ModulePath, tryEscapeVersion } from "../../src/module/path.ts";
import { writeZip, type ZipFile } from "./module/zip-writer.ts";
import { parseTxtar } from "./txtar.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures/modules");
const DEFAULT_TIME = "2021-02-03T04:05:06Z";

/** What a version of a module is made of; everything but its name has a default. */
export interface ModuleSpec {
  readonly path: string;
  readonly version: string;
  readonly time?: string;
  /** Text of the `.info`. */
  readonly info?: string;
  /** Text of the `.mod`, and of the zip's go.mod unless `files` has one. */
  readonly goMod?: string;
  /** Files of the zip by their names below the module's root. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Whether the zip holds no go.mod but what `files` says. */
  readonly bare?: boolean;
  /** Whether the zip's files are stored as they are; quicker for large ones. */
  readonly stored?: boolean;
}

/** The answers of a version, and where they stand. */
export interface ModuleFixture {
  readonly path: string;
  readonly version: string;
  /** `{escaped path}/@v/{escaped version}`, without extension. */
  readonly base: string;
  readonly escapedPath: string;
  readonly info: string;
  readonly mod: string;
  readonly zip: Uint8Array;
}

/** Make a module version out of its parts. */
export function makeModule(spec: ModuleSpec): ModuleFixture {
  const { path, version } = spec;
  const mod = spec.goMod ?? `module ${path}\n`;
  const time = spec.time ?? DEFAULT_TIME;
  const escapedPath = escapePath(path as ModulePath);
  return {
    path,
    version,
    escapedPath,
    base: `${escapedPath}/@v/${tryEscapeVersion(version) ?? version}`,
    info: spec.info ?? `{"Version":"${version}","Time":"${time}"}`,
    mod,
    zip: writeZip(toZipFiles(spec, mod)),
  };
}

/** Entries of a module's zip, for tests that damage some of them. */
export function toZipFiles(spec: ModuleSpec, mod: string): ZipFile[] {
  const files = {
    ...(spec.bare === true ? {} : { "go.mod": mod }),
    ...(spec.files ?? { "a.go": "package a\n" }),
  };
  return Object.entries(files).map(([name, content]) => ({
    name: `${spec.path}@${spec.version}/${name}`,
    content,
    ...(spec.stored === true ? ({ method: 0, descriptor: 0 } as const) : {}),
  }));
}

/** Bytes that do not shrink, the same in every run. */
export function incompressible(sizeBytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed * 2_654_435_761 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

/** A module version whose zip has about the given size. */
export function makeLargeModule(path: string, version: string, sizeBytes: number): ModuleFixture {
  const fileBytes = Math.min(sizeBytes, 4 * 1024 * 1024);
  const files: Record<string, Uint8Array> = {};
  for (let index = 0, left = sizeBytes; left > 0; index++, left -= fileBytes) {
    files[`data${index}.bin`] = incompressible(Math.min(left, fileBytes), index + 1);
  }
  return makeModule({ path, version, files, stored: true });
}

/**
 * Read the module versions of `test/fixtures/modules`.
 *
 * A file is named `{path with _ for /}@{version}.txtar`; its first line says why it exists. `.info`
 * and `.mod` stand for these answers, all other names are files of the zip.
 */
export function readFixtures(): ModuleFixture[] {
  return readdirSync(FIXTURES)
    .filter((name) => name.endsWith(".txtar"))
    .map((name) => {
      const { files } = parseTxtar(readFileSync(join(FIXTURES, name), "utf8"));
      const [file = "", version = ""] = name.slice(0, -".txtar".length).split("@");
      const find = (wanted: string): string | undefined =>
        files.find((entry) => entry.name === wanted)?.text;
      const info = find(".info")?.trimEnd();
      const goMod = find(".mod") ?? find("go.mod");
      return makeModule({
        path: file.replaceAll("_", "/"),
        version,
        bare: true,
        ...(info === undefined ? {} : { info }),
        ...(goMod === undefined ? {} : { goMod }),
        files: Object.fromEntries(
          files.filter((entry) => !entry.name.startsWith(".")).map((e) => [e.name, e.text]),
        ),
      });
    });
}
