import { tryUnescapePath, tryUnescapeVersion } from "../module/path.ts";
import { isPseudoVersion } from "../module/pseudo-version.ts";
import type { FileKind } from "../module/request.ts";
import { sortVersions } from "../module/version.ts";
import { findCanonicalProblem } from "../module/request.ts";
import type { FileStore, Scope } from "./ports.ts";
import { formatVersionList, NewestPseudo } from "./version-list.ts";

/** What the files say of one module. */
export interface RebuiltModule {
  readonly escapedPath: string;
  readonly versions: readonly { readonly version: string; readonly kinds: readonly FileKind[] }[];
}

/** One page of a walk over several scopes. */
export interface WalkedPage {
  readonly scope: Scope;
  readonly paths: readonly string[];
  /** Those of them that have a record but no bytes. */
  readonly lost: readonly string[];
  /** Where to go on; undefined at the end. */
  readonly cursor: string | undefined;
}

const STORED_FILE = /^(.+)\/@v\/(.+)\.(info|mod|zip)$/;

/**
 * Read the next page of all stored files, scope after scope.
 *
 * @param cursor That of the page before; it names a scope and a place in it.
 */
export async function walkScopes(
  files: FileStore,
  scopes: readonly Scope[],
  cursor: string | undefined,
): Promise<WalkedPage | undefined> {
  const [index = 0, place] = cursor === undefined ? [] : parseCursor(cursor);
  const scope = scopes[index];
  if (scope === undefined) return undefined;
  const page = await files.walk(scope, place);
  const hasNext = page.cursor !== undefined || index + 1 < scopes.length;
  const next = page.cursor === undefined ? `${index + 1}` : `${index} ${page.cursor}`;
  return { scope, paths: page.paths, lost: page.lost, cursor: hasNext ? next : undefined };
}

function parseCursor(cursor: string): [number, string | undefined] {
  const space = cursor.indexOf(" ");
  return space < 0
    ? [Number(cursor), undefined]
    : [Number(cursor.slice(0, space)), cursor.slice(space + 1)];
}

/**
 * Group stored paths by module. Names that no request could have made are passed over.
 *
 * @param lost Paths whose bytes are lost: their version exists, but that part of it is not there.
 */
export function toModules(paths: readonly string[], lost: readonly string[] = []): RebuiltModule[] {
  const isLost = new Set(lost);
  const modules = new Map<string, Map<string, FileKind[]>>();
  for (const path of paths) {
    const [, escapedPath = "", escapedVersion = "", kind] = STORED_FILE.exec(path) ?? [];
    const modulePath = tryUnescapePath(escapedPath);
    const version = tryUnescapeVersion(escapedVersion);
    if (modulePath === undefined || version === undefined) continue;
    if (findCanonicalProblem(modulePath, version) !== undefined) continue;
    const versions = modules.get(escapedPath) ?? new Map<string, FileKind[]>();
    const kinds = versions.get(version) ?? [];
    versions.set(version, isLost.has(path) ? kinds : [...kinds, kind as FileKind]);
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
  const pseudo = new NewestPseudo();
  for (const version of versions) {
    if (isPseudoVersion(version)) pseudo.offer(version);
    else listed.push(version);
  }
  return { body: formatVersionList(sortVersions(listed)), newestPseudo: pseudo.version };
}

function toModule(escapedPath: string, versions: ReadonlyMap<string, FileKind[]>): RebuiltModule {
  return {
    escapedPath,
    versions: [...versions].map(([version, kinds]) => ({ version, kinds })),
  };
}
