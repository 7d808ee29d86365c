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
import { quarantineKey, stagingKey, stagingPrefix } from "./object-key.ts";

// R2 wants equal parts of at least 5 MiB; this is also what one staged file costs in memory.
const PART_BYTES = 8 * 1024 * 1024;
const CREATE_ONLY: R2Conditional = { etagDoesNotMatch: "*" };
// The metadata that an object has when its bytes were set aside: the name that they went by.
const LOST = "lost";
const MODULE_FILE = /\/@v\/[^/]+\.(?:info|mod|zip)$/;

/**
 * Files in an R2 bucket.
 *
 * The record travels as custom metadata in the same put as its file, so that the put is the
 * commit; the condition of the put lets the first writer win, whoever else writes.
 */
export class R2FileStore implements FileStore {
  readonly #bucket: R2Bucket;

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket;
  }

  async readRecord(scope: Scope, path: string): Promise<FileRecord | undefined> {
    const object = await reach(this.#bucket.head(`${scope}/${path}`));
    return object === null ? undefined : toRecord(object);
  }

  async open(scope: Scope, path: string, range?: ByteRange): Promise<OpenFile | undefined> {
    const object = await this.#get(`${scope}/${path}`, range);
    if (object === undefined) return undefined;
    const record = toRecord(object);
    if (record === undefined) {
      await object.body.cancel();
      return undefined;
    }
    return { record, body: object.body, validator: object.httpEtag };
  }

  async readState(scope: Scope, path: string): Promise<StoredState | undefined> {
    const object = await reach(this.#bucket.head(`${scope}/${path}`));
    if (object === null || isLost(object)) return undefined;
    return { sizeBytes: object.size, validator: object.httpEtag };
  }

  async reopen(
    scope: Scope,
    path: string,
    range?: ByteRange,
  ): Promise<Pick<OpenFile, "body" | "validator"> | undefined> {
    const object = await this.#get(`${scope}/${path}`, range);
    return object === undefined ? undefined : { body: object.body, validator: object.httpEtag };
  }

  async create(
    scope: Scope,
    path: string,
    body: Uint8Array,
    record: FileRecord,
  ): Promise<FileRecord> {
    return await this.#putOnce(scope, path, body, record);
  }

  async createStaged(
    scope: Scope,
    path: string,
    staged: StagedFile,
    record: FileRecord,
  ): Promise<FileRecord> {
    const object = await this.#get(staged.key);
    if (object === undefined) throw new ProxyError("storage_unavailable", "staged file is gone");
    const stored = await this.#putOnce(scope, path, object.body, record);
    await staged.discard();
    return stored;
  }

  async updateRecord(scope: Scope, path: string, record: FileRecord): Promise<void> {
    const object = await this.#getObject(`${scope}/${path}`);
    if (object === undefined) throw new ProxyError("storage_unavailable", "file is gone");
    const { sha256, customMetadata } = toPutOptions(record);
    const options: R2PutOptions = isLost(object)
      ? { customMetadata: { ...object.customMetadata, ...customMetadata } }
      : { customMetadata, sha256 };
    // Metadata cannot be changed in place; the condition keeps whatever was put in the meantime.
    const onlyIf = { etagMatches: object.etag };
    await reach(this.#bucket.put(`${scope}/${path}`, object.body, { ...options, onlyIf }));
  }

  async replace(scope: Scope, path: string, body: Uint8Array, record: FileRecord): Promise<void> {
    await reach(this.#bucket.put(`${scope}/${path}`, body, toPutOptions(record)));
  }

  async remove(scope: Scope, path: string): Promise<void> {
    await reach(this.#bucket.delete(`${scope}/${path}`));
  }

  async quarantine(scope: Scope, path: string, name: string): Promise<void> {
    const object = await this.#getObject(`${scope}/${path}`);
    if (object !== undefined) await this.#copyAside(scope, path, name, object);
    await this.remove(scope, path);
  }

  async setAside(scope: Scope, path: string, name: string): Promise<void> {
    const object = await this.#getObject(`${scope}/${path}`);
    if (object === undefined || isLost(object)) return;
    await this.#copyAside(scope, path, name, object);
    // The record is metadata: an empty object goes on carrying it. The condition keeps what was put
    // in the meantime.
    const customMetadata = { ...object.customMetadata, [LOST]: name };
    const onlyIf = { etagMatches: object.etag };
    const options = { customMetadata, onlyIf };
    await reach(this.#bucket.put(`${scope}/${path}`, new Uint8Array(), options));
  }

  async putBack(
    scope: Scope,
    path: string,
    content: Uint8Array | StagedFile,
    record: FileRecord,
  ): Promise<void> {
    const body = content instanceof Uint8Array ? content : (await this.#get(content.key))?.body;
    if (body === undefined) throw new ProxyError("storage_unavailable", "staged file is gone");
    await reach(this.#bucket.put(`${scope}/${path}`, body, toPutOptions(record)));
    if (!(content instanceof Uint8Array)) await content.discard();
  }

  stage(name: string): StagingWriter {
    return stageInParts(this.#bucket, stagingKey(name));
  }

  async readSystem(path: string): Promise<Uint8Array | undefined> {
    const object = await this.#get(`system/${path}`);
    return object === undefined ? undefined : new Uint8Array(await reach(object.arrayBuffer()));
  }

  async writeSystem(path: string, bytes: Uint8Array): Promise<void> {
    await reach(this.#bucket.put(`system/${path}`, bytes));
  }

  async listSystem(folder: string): Promise<string[]> {
    const prefix = `system/${folder}/`;
    const names: string[] = [];
    for await (const page of this.#pages({ prefix, delimiter: "/" })) {
      for (const { key } of page) names.push(key.slice(prefix.length));
    }
    return names;
  }

  async writeTreeFile(scope: Scope, path: string, text: string): Promise<void> {
    await reach(this.#bucket.put(`${scope}/${path}`, text));
  }

  async walk(scope: Scope, cursor: string | undefined): Promise<FilePage> {
    const prefix = `${scope}/`;
    const options: R2ListOptions = { prefix, include: ["customMetadata"] };
    const page = await reach(
      this.#bucket.list(cursor === undefined ? options : { ...options, cursor }),
    );
    const objects = page.objects.filter(({ key }) => MODULE_FILE.test(key));
    const toPath = ({ key }: R2Object): string => key.slice(prefix.length);
    return {
      paths: objects.map(toPath),
      lost: objects.filter(isLost).map(toPath),
      cursor: page.truncated ? page.cursor : undefined,
    };
  }

  async sweep(olderThanMs: number): Promise<number> {
    let count = 0;
    for await (const page of this.#pages({ prefix: `${stagingPrefix()}/` })) {
      const old = page.filter(({ uploaded }) => uploaded.getTime() < olderThanMs);
      if (old.length > 0) await reach(this.#bucket.delete(old.map(({ key }) => key)));
      count += old.length;
    }
    return count;
  }

  async #copyAside(scope: Scope, path: string, name: string, object: R2ObjectBody): Promise<void> {
    const { body, customMetadata = {} } = object;
    await reach(this.#bucket.put(quarantineKey(scope, path, name), body, { customMetadata }));
  }

  /** An object with bytes of its file. */
  async #get(key: string, range?: ByteRange): Promise<R2ObjectBody | undefined> {
    try {
      const object = await this.#getObject(key, range);
      if (object === undefined || !isLost(object)) return object;
      await object.body.cancel();
      return undefined;
    } catch (error) {
      // No range lies within an object whose bytes were set aside.
      const object = range === undefined ? null : await reach(this.#bucket.head(key));
      if (object !== null && isLost(object)) return undefined;
      throw error;
    }
  }

  async #getObject(key: string, range?: ByteRange): Promise<R2ObjectBody | undefined> {
    const options: R2GetOptions =
      range === undefined
        ? {}
        : { range: { offset: range.offsetBytes, length: range.lengthBytes } };
    return (await reach(this.#bucket.get(key, options))) ?? undefined;
  }

  async #putOnce(
    scope: Scope,
    path: string,
    body: Uint8Array | ReadableStream,
    record: FileRecord,
  ): Promise<FileRecord> {
    const key = `${scope}/${path}`;
    const options = { ...toPutOptions(record), onlyIf: CREATE_ONLY };
    if ((await reach(this.#bucket.put(key, body, options))) !== null) return record;
    const present = await this.readRecord(scope, path);
    if (present !== undefined) return present;
    // An object without a record does not exist. A body that was a stream is used up by now: the
    // next try finds the way free.
    if (!(body instanceof Uint8Array)) {
      await this.remove(scope, path);
      throw new ProxyError("storage_unavailable", "an object without a record stood in the way");
    }
    await reach(this.#bucket.put(key, body, toPutOptions(record)));
    return record;
  }

  async *#pages(options: R2ListOptions): AsyncGenerator<R2Object[]> {
    let cursor: string | undefined;
    do {
      const page = await reach(
        this.#bucket.list({ ...options, ...(cursor === undefined ? {} : { cursor }) }),
      );
      yield page.objects;
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor !== undefined);
  }
}

function toPutOptions(record: FileRecord): {
  readonly sha256: string;
  readonly customMetadata: { readonly record: string };
} {
  return { sha256: record.sha256, customMetadata: { record: formatFileRecord(record) } };
}

/** Whether an object has no bytes of its file any more, only the record. */
function isLost({ customMetadata }: R2Object): boolean {
  return customMetadata?.[LOST] !== undefined;
}

function toRecord(object: R2Object): FileRecord | undefined {
  return tryParseFileRecord(object.customMetadata?.["record"]);
}

/** Every failure of the bucket is one of storage, never an absence. */
async function reach<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (error instanceof ProxyError) throw error;
    throw new ProxyError("storage_unavailable", "object storage does not answer", { cause: error });
  }
}

/** Multipart always: a length that is not known beforehand has no other way in. */
function stageInParts(bucket: R2Bucket, key: string): StagingWriter {
  const hash = createHash("sha256");
  const parts: R2UploadedPart[] = [];
  let upload: R2MultipartUpload | undefined;
  let part = new Uint8Array(PART_BYTES);
  let filled = 0;
  let sizeBytes = 0;

  async function flush(): Promise<void> {
    upload ??= await reach(bucket.createMultipartUpload(key));
    parts.push(await reach(upload.uploadPart(parts.length + 1, part.subarray(0, filled))));
    part = new Uint8Array(PART_BYTES);
    filled = 0;
  }

  return {
    async write(chunk) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      for (let offset = 0; offset < chunk.length;) {
        const slice = chunk.subarray(offset, offset + PART_BYTES - filled);
        part.set(slice, filled);
        filled += slice.length;
        offset += slice.length;
        if (filled === PART_BYTES) await flush();
      }
    },
    async finish() {
      if (filled > 0 || upload === undefined) await flush();
      if (upload !== undefined) await reach(upload.complete(parts));
      return {
        key,
        sizeBytes,
        sha256: hash.digest("hex"),
        read: (offsetBytes, lengthBytes) => readRange(bucket, key, offsetBytes, lengthBytes),
        discard: () => reach(bucket.delete(key)).catch(() => undefined),
      };
    },
    async abort() {
      await upload?.abort().catch(() => undefined);
    },
  };
}

async function readRange(
  bucket: R2Bucket,
  key: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const object = await reach(bucket.get(key, { range: { offset, length } }));
  if (object === null) throw new ProxyError("storage_unavailable", "staged file is gone");
  return new Uint8Array(await reach(object.arrayBuffer()));
}
