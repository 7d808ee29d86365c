import { tryUnescapePath, tryUnescapeVersion } from "../module/path.ts";
import { isPseudoVersion } from "../module/pseudo-version.ts";
import type { FileKind } from "../module/request.ts";
import { compareVersions, sortVersions } from "../module/version.ts";
import { findCanonicalProblem } from "../module/request.ts";
import type { FileStore, Scope } from "./ports.ts";
import { formatVersionList } from "./version-list.ts";

/** What the files say of one module. */
export interface RebuiltModule {
  readonly escapedPath: string;
  readonly versions: readonly { readonly version: string; readonly kinds: readonly FileKind[] }[];
  /** Body of its `@v/list`. */
  readonly body: string;
  readonly newestPseudo: string | undefined;
}

/** What a step of the reindex did. */
export interface ReindexStep {
  readonly files: number;
  readonly modules: number;
  /** Where to go on; undefined at the end. */
  readonly cursor: string | undefined;
}

const STORED_FILE = /^(.+)\/@v\/(.+)\.(info|mod|zip)$/;

/**
 * Read one page of the store and hand every module in it to its coordinator.
 *
 * A module whose files lie on two pages comes twice: `rebuild` must add, not replace.
 */
export async function reindexPage(
  files: FileStore,
  scope: Scope,
  cursor: string | undefined,
  rebuild: (module: RebuiltModule) => Promise<void>,
): Promise<ReindexStep> {
  const page = await files.walk(scope, cursor);
  const modules = toModules(page.paths);
  for (const module of modules) await rebuild(module);
  return { files: page.paths.length, modules: modules.length, cursor: page.cursor };
}

/** Group stored paths by module. Names that no request could have made are passed over. */
export function toModules(paths: readonly string[]): RebuiltModule[] {
  const modules = new Map<string, Map<string, FileKind[]>>();
  for (const path of paths) {
    const [, escapedPath = "", escapedVersion = "", kind] = STORED_FILE.exec(path) ?? [];
    const modulePath = tryUnescapePath(escapedPath);
    const version = tryUnescapeVersion(escapedVersion);
    if (modulePath === undefined || version === undefined) continue;
    if (findCanonicalProblem(modulePath, version) !== undefined) continue;
    const versions = modules.get(escapedPath) ?? new Map<string, FileKind[]>();
    versions.set(version, [...(versions.get(version) ?? []), kind as FileKind]);
    modules.set(escapedPath, versions);
  }
  return [...modules].map(([escapedPath, versions]) => toModule(escapedPath, versions));
}

/** The list that a set of stored versions makes. */
export function toListOf(versions: Iterable<string>): {
  body: string;
  newestPseudo: string | undefined;
} {
  const listed: string[] = [];
  let newestPseudo: string | undefined;
  for (const version of versions) {
    if (!isPseudoVersion(version)) listed.push(version);
    else if (newestPseudo === undefined || compareVersions(version, newestPseudo) > 0) {
      newestPseudo = version;
    }
  }
  return { body: formatVersionList(sortVersions(listed)), newestPseudo };
}

function toModule(escapedPath: string, versions: ReadonlyMap<string, FileKind[]>): RebuiltModule {
  return {
    escapedPath,
    versions: [...versions].map(([version, kinds]) => ({ version, kinds })),
    ...toListOf(versions.keys()),
  };
}
