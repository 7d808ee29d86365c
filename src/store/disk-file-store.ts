import { createHash } from "node:crypto";
import { ProxyError } from "../errors/proxy-error.ts";
import { formatFileRecord, tryParseFileRecord } from "./record-text.ts";
import type {
  ByteRange,
  FilePage,
  FileRecord,
  FileStore,
  OpenFile,
  Scope,
  StagedFile,
  StagingWriter,
  StoredState,
} from "../proxy/ports.ts";
import { DiskFolder } from "./disk-folder.ts";
import { sweepLeftovers, walkModules } from "./disk-walk.ts";
import { quarantineKey, stagingKey, stagingPrefix } from "./object-key.ts";

const RECORD_SUFFIX = ".record";

/**
 * Files in a folder of one machine, by the runtime's disk service.
 *
 * The service replaces a file atomically but knows no conditions and no metadata: the record is a
 * second file, written after the first, and a file without one does not exist. That a file is
 * created only once is up to the coordinator, the one writer of its modules.
 */
export class DiskFileStore implements FileStore {
  readonly #folder: DiskFolder;
  readonly #leftovers: DiskFolder | undefined;

  /**
   * @param leftovers The same folder by a service that shows hidden names; for sweeping alone, since
   *   no key of ours has one.
   */
  constructor(disk: Fetcher, leftovers?: Fetcher) {
    this.#folder = new DiskFolder(disk);
    this.#leftovers = leftovers && new DiskFolder(leftovers);
  }

  async readRecord(scope: Scope, path: string): Promise<FileRecord | undefined> {
    return tryParseFileRecord(await this.#folder.readText(`${scope}/${path}${RECORD_SUFFIX}`));
  }

  async open(scope: Scope, path: string, range?: ByteRange): Promise<OpenFile | undefined> {
    const [record, file] = await Promise.all([
      this.readRecord(scope, path),
      this.#folder.get(`${scope}/${path}`, range),
    ]);
    if (file === undefined) return undefined;
    if (record === undefined) {
      await file.body.cancel();
      return undefined;
    }
    return { record, body: file.body, validator: file.validator };
  }

  async readState(scope: Scope, path: string): Promise<StoredState | undefined> {
    return await this.#folder.readState(`${scope}/${path}`);
  }

  async reopen(scope: Scope, path: string, range?: ByteRange): Promise<Reopened | undefined> {
    return await this.#folder.get(`${scope}/${path}`, range);
  }

  async create(
    scope: Scope,
    path: string,
    body: Uint8Array,
    record: FileRecord,
  ): Promise<FileRecord> {
    const present = await this.readRecord(scope, path);
    if (present !== undefined) return present;
    await this.#folder.put(`${scope}/${path}`, body);
    await this.#putRecord(scope, path, record);
    return record;
  }

  async createStaged(
    scope: Scope,
    path: string,
    staged: StagedFile,
    record: FileRecord,
  ): Promise<FileRecord> {
    const present = await this.readRecord(scope, path);
    if (present === undefined) {
      await this.#copy(staged.key, `${scope}/${path}`, staged.sizeBytes);
      await this.#putRecord(scope, path, record);
    }
    await staged.discard();
    return present ?? record;
  }

  async updateRecord(scope: Scope, path: string, record: FileRecord): Promise<void> {
    await this.#putRecord(scope, path, record);
  }

  async replace(scope: Scope, path: string, body: Uint8Array, record: FileRecord): Promise<void> {
    await this.#folder.delete(`${scope}/${path}${RECORD_SUFFIX}`);
    await this.#folder.put(`${scope}/${path}`, body);
    await this.#putRecord(scope, path, record);
  }

  async remove(scope: Scope, path: string): Promise<void> {
    await this.#folder.delete(`${scope}/${path}${RECORD_SUFFIX}`);
    await this.#folder.delete(`${scope}/${path}`);
  }

  async quarantine(scope: Scope, path: string, name: string): Promise<void> {
    const record = await this.#folder.readText(`${scope}/${path}${RECORD_SUFFIX}`);
    await this.#folder.delete(`${scope}/${path}${RECORD_SUFFIX}`);
    await this.setAside(scope, path, name);
    if (record !== undefined) {
      await this.#folder.put(`${quarantineKey(scope, path, name)}${RECORD_SUFFIX}`, record);
    }
  }

  async setAside(scope: Scope, path: string, name: string): Promise<void> {
    const state = await this.readState(scope, path);
    if (state === undefined) return;
    await this.#copy(`${scope}/${path}`, quarantineKey(scope, path, name), state.sizeBytes);
    await this.#folder.delete(`${scope}/${path}`);
  }

  async putBack(
    scope: Scope,
    path: string,
    content: Uint8Array | StagedFile,
    record: FileRecord,
  ): Promise<void> {
    if (content instanceof Uint8Array) await this.#folder.put(`${scope}/${path}`, content);
    else await this.#copy(content.key, `${scope}/${path}`, content.sizeBytes);
    await this.#putRecord(scope, path, record);
    if (!(content instanceof Uint8Array)) await content.discard();
  }

  stage(name: string): StagingWriter {
    return stageOnDisk(this.#folder, stagingKey(name));
  }

  async readSystem(path: string): Promise<Uint8Array | undefined> {
    return await this.#folder.read(`system/${path}`);
  }

  async writeSystem(path: string, bytes: Uint8Array): Promise<void> {
    await this.#folder.put(`system/${path}`, bytes);
  }

  async listSystem(folder: string): Promise<string[]> {
    const entries = await this.#folder.list(`system/${folder}`);
    return entries.filter((entry) => entry.type === "file").map((entry) => entry.name);
  }

  async writeTreeFile(scope: Scope, path: string, text: string): Promise<void> {
    await this.#folder.put(`${scope}/${path}`, text);
  }

  async walk(scope: Scope, cursor: string | undefined): Promise<FilePage> {
    return await walkModules(this.#folder, scope, cursor, RECORD_SUFFIX);
  }

  async sweep(olderThanMs: number): Promise<number> {
    let count =
      this.#leftovers === undefined ? 0 : await sweepLeftovers(this.#leftovers, "", olderThanMs);
    for (const { name, type } of await this.#folder.list(stagingPrefix())) {
      const key = `${stagingPrefix()}/${name}`;
      if (type !== "file" || (await this.#folder.modifiedAtMs(key)) > olderThanMs) continue;
      await this.#folder.delete(key);
      count++;
    }
    return count;
  }

  async #putRecord(scope: Scope, path: string, record: FileRecord): Promise<void> {
    await this.#folder.put(`${scope}/${path}${RECORD_SUFFIX}`, formatFileRecord(record));
  }

  async #copy(from: string, to: string, sizeBytes: number): Promise<void> {
    const file = await this.#folder.get(from);
    if (file === undefined) throw new ProxyError("storage_unavailable", "a file to copy is gone");
    await this.#folder.put(to, file.body);
    // The service takes a body that breaks off for a whole one.
    if ((await this.#folder.readState(to))?.sizeBytes !== sizeBytes) {
      throw new ProxyError("storage_unavailable", "the copy of a file is incomplete");
    }
  }
}

interface Reopened {
  readonly body: ReadableStream<Uint8Array>;
  readonly validator: string;
}

function stageOnDisk(folder: DiskFolder, key: string): StagingWriter {
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const stored = folder.put(key, readable);
  stored.catch(() => undefined);
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const discard = async (): Promise<void> => {
    await folder.delete(key).catch(() => undefined);
  };
  return {
    async write(chunk) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      // A disk that takes no more ends the PUT; the write alone would wait for ever.
      await Promise.race([writer.write(chunk), stored]);
    },
    async finish() {
      await Promise.all([writer.close(), stored]);
      if ((await folder.readState(key))?.sizeBytes !== sizeBytes) {
        throw new ProxyError("storage_unavailable", "staged file is incomplete");
      }
      return {
        key,
        sizeBytes,
        sha256: hash.digest("hex"),
        read: (offsetBytes, lengthBytes) => folder.readRange(key, { offsetBytes, lengthBytes }),
        discard,
      };
    },
    async abort() {
      await writer.abort().catch(() => undefined);
      await stored.catch(() => undefined);
      await discard();
    },
  };
}
