import type { FileKind, FileRequest } from "../module/request.ts";
import { sortVersions } from "../module/version.ts";
import type { FoundParts, Scope, SoughtParts } from "../proxy/ports.ts";
import type { SqliteTables } from "./sqlite-tables.ts";

// The zip first: without it nobody has to look for the others.
const KINDS = ["zip", "mod", "info"] as const satisfies readonly FileKind[];
const KIND_BITS = { info: 1, mod: 2, zip: 4 } as const satisfies Record<FileKind, number>;
const ALL_KINDS = 7;
/** Beside those: a zip was begun or a file was lost, and nobody has looked yet what became of it. */
const BEGUN = 8;
/** And: a file of it was stored and is lost, so that the list perhaps promises it still. */
const LOST = 16;

/** One version of a module of a scope. */
type Version = Pick<FileRequest, "escapedPath" | "version">;

/**
 * Which files of a version are stored, as far as the list of the static tree needs it.
 *
 * One row is written before a zip is committed and none after it: whoever writes the list looks for
 * the file. So a kill at any moment leaves no version out.
 */
export class StoredVersions {
  readonly #tables: SqliteTables;
  /** Zips that this instance has begun to commit; true once they are committed. */
  readonly #begun = new Map<string, boolean>();
  /** Versions by module of which more has become known since somebody began to look for files. */
  readonly #changed = new Map<string, Set<string>>();

  constructor(tables: SqliteTables) {
    this.#tables = tables;
  }

  /** A zip is about to be committed. */
  begin(scope: Scope, { escapedPath, version }: Version): void {
    this.#begun.set(toKey(scope, escapedPath, version), false);
    this.#noteChanged(scope, escapedPath, version);
    this.#put(scope, escapedPath, version, BEGUN);
  }

  /**
   * What became of a zip.
   *
   * @returns Whether it was begun here.
   */
  end(scope: Scope, { escapedPath, version }: Version, isCommitted: boolean): boolean {
    const key = toKey(scope, escapedPath, version);
    if (!this.#begun.has(key)) return false;
    if (isCommitted) {
      this.#begun.set(key, true);
      this.#noteChanged(scope, escapedPath, version);
    } else this.#begun.delete(key);
    return true;
  }

  /** Note which files of a version are stored. */
  add(scope: Scope, escapedPath: string, { version, kinds }: FoundParts): void {
    this.#put(scope, escapedPath, version, kinds.length > 0 ? toBits(kinds) : LOST);
  }

  /** @returns Whether it was noted as stored, or perhaps was. */
  remove(scope: Scope, { escapedPath, version, kind }: FileRequest): boolean {
    const key = toKey(scope, escapedPath, version);
    // Storage may only have failed to read it, and of the rest of a version with a zip there may be
    // no note: whoever writes the list is to look for himself.
    if (kind === "zip" && this.#begun.get(key) === true) this.#begun.delete(key);
    this.#noteChanged(scope, escapedPath, version);
    const { rowsWritten } = this.#tables.written.exec(
      `UPDATE stored SET kinds = (kinds & ~?1) | ${LOST | BEGUN}
       WHERE scope = ?2 AND escaped_path = ?3 AND version = ?4
         AND kinds & (?1 | ${KIND_BITS.zip | BEGUN})`,
      KIND_BITS[kind],
      scope,
      escapedPath,
      version,
    );
    return rowsWritten > 0;
  }

  /** Whether a version is noted whose other files nobody is going to look for by himself. */
  isNoted(scope: Scope, { escapedPath, version }: Version): boolean {
    if (this.#begun.get(toKey(scope, escapedPath, version)) === false) return false;
    const rows = this.#tables.select(
      "SELECT kinds FROM stored WHERE scope = ? AND escaped_path = ? AND version = ?",
      scope,
      escapedPath,
      version,
    );
    return rows.length > 0;
  }

  /** Files to look for: the rest of versions whose zip is stored, or perhaps is. */
  listSought(scope: Scope, escapedPath: string): SoughtParts[] {
    this.#changed.delete(toModuleKey(scope, escapedPath));
    const rows = this.#tables.select<VersionRow>(
      `SELECT version, kinds FROM stored WHERE scope = ? AND escaped_path = ?
         AND (kinds & ${BEGUN} OR (kinds & ${KIND_BITS.zip} AND kinds & ${ALL_KINDS} <> ${ALL_KINDS}))`,
      scope,
      escapedPath,
    );
    return rows.flatMap(({ version, kinds }) => {
      const isCommitted = this.#begun.get(toKey(scope, escapedPath, version));
      const known = isCommitted === true ? kinds | KIND_BITS.zip : kinds;
      return [{ version, known: toKinds(known), sought: toKinds(ALL_KINDS & ~known) }];
    });
  }

  /**
   * Versions of which all three files are stored: what the static tree can promise.
   *
   * @param found What is not noted yet.
   * @returns Undefined for a module of which nothing is stored at all, nor was.
   */
  listComplete(
    scope: Scope,
    escapedPath: string,
    found: readonly FoundParts[],
  ): string[] | undefined {
    const bits = new Map(this.#listStored(scope, escapedPath));
    for (const { version, kinds } of found) {
      if (kinds.length > 0) bits.set(version, (bits.get(version) ?? 0) | toBits(kinds));
    }
    if (bits.size === 0) return undefined;
    return sortVersions(
      [...bits]
        .filter(([, kinds]) => (kinds & ALL_KINDS) === ALL_KINDS)
        .map(([version]) => version),
    );
  }

  /** Every version that is known to be stored, in whatever parts, or was and is lost. */
  list(scope: Scope, escapedPath: string): string[] {
    return this.#listStored(scope, escapedPath).map(([version]) => version);
  }

  /**
   * Note what a look at the files has found.
   *
   * @returns Whether something is left to look for: a zip that is on its way, or was a moment ago.
   */
  settle(
    scope: Scope,
    escapedPath: string,
    found: readonly FoundParts[],
  ): "all" | "later" | "soon" {
    const changed = this.#changed.get(toModuleKey(scope, escapedPath));
    for (const { version, kinds } of found) {
      // Begun or lost in the meantime: it is looked for once more.
      if (changed?.has(version) === true) continue;
      const key = toKey(scope, escapedPath, version);
      // On its way once more, as the source's second answer: what is found of it counts already.
      if (this.#begun.get(key) === false) continue;
      this.#begun.delete(key);
      this.#tables.written.exec(
        `UPDATE stored SET kinds = (kinds | ?1) & ~${BEGUN}
         WHERE scope = ?2 AND escaped_path = ?3 AND version = ?4
           AND kinds <> (kinds | ?1) & ~${BEGUN}`,
        toBits(kinds),
        scope,
        escapedPath,
        version,
      );
      if (kinds.length > 0) continue;
      this.#tables.written.exec(
        "DELETE FROM stored WHERE scope = ? AND escaped_path = ? AND version = ? AND kinds = 0",
        scope,
        escapedPath,
        version,
      );
    }
    const left = this.#tables.select<{ version: string }>(
      `SELECT version FROM stored WHERE scope = ? AND escaped_path = ? AND kinds & ${BEGUN}`,
      scope,
      escapedPath,
    );
    if (left.length === 0) return "all";
    const isUnderWay = ({ version }: { version: string }): boolean =>
      this.#begun.get(toKey(scope, escapedPath, version)) === false;
    return left.every((row) => isUnderWay(row)) ? "later" : "soon";
  }

  #noteChanged(scope: Scope, escapedPath: string, version: string): void {
    const key = toModuleKey(scope, escapedPath);
    const versions = this.#changed.get(key) ?? new Set();
    this.#changed.set(key, versions.add(version));
  }

  #listStored(scope: Scope, escapedPath: string): [string, number][] {
    return this.#tables
      .select<VersionRow>(
        `SELECT version, kinds FROM stored
         WHERE scope = ? AND escaped_path = ? AND kinds & ${ALL_KINDS | LOST}`,
        scope,
        escapedPath,
      )
      .map(({ version, kinds }) => [version, kinds]);
  }

  #put(scope: Scope, escapedPath: string, version: string, bits: number): void {
    this.#tables.written.exec(
      `INSERT INTO stored (scope, escaped_path, version, kinds) VALUES (?, ?, ?, ?)
       ON CONFLICT (scope, escaped_path, version) DO UPDATE SET kinds = kinds | excluded.kinds`,
      scope,
      escapedPath,
      version,
      bits,
    );
  }
}

type VersionRow = { version: string; kinds: number };

function toModuleKey(scope: Scope, escapedPath: string): string {
  return `${scope}/${escapedPath}`;
}

function toKey(scope: Scope, escapedPath: string, version: string): string {
  return `${toModuleKey(scope, escapedPath)}@${version}`;
}

function toBits(kinds: readonly FileKind[]): number {
  return kinds.reduce((bits, kind) => bits | KIND_BITS[kind], 0);
}

function toKinds(bits: number): FileKind[] {
  return KINDS.filter((kind) => (bits & KIND_BITS[kind]) !== 0);
}
