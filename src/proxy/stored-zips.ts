import { createHash } from "node:crypto";
import { fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest } from "../module/request.ts";
import { CONTENT_TYPES, type FileAnswer } from "./answer.ts";
import { LruCache } from "./lru-cache.ts";
import { toKey } from "./memory-key.ts";
import { inLargeChunks, tryDigest } from "./read-body.ts";
import type {
  ByteRange,
  Clock,
  Coordinators,
  FileRecord,
  FileStore,
  Scope,
  Verifier,
} from "./ports.ts";

interface KnownZip {
  readonly record: FileRecord;
  /** What the store said of the bytes when their digest was right; undefined before that. */
  validator: string | undefined;
  /** What the store said of bytes that were found damaged. */
  damagedAs: string | undefined;
  digestedAtMs: number;
  /** Under way, for all who wait. */
  digesting: Promise<boolean> | undefined;
  /** One for all requests, with the headers that the HTTP layer keeps on it. */
  readonly answer: FileAnswer;
  /** The same for those who ask for what is stored, and for whom no source may be asked. */
  readonly cachedOnly: FileAnswer;
}

/** One request's wish: whether a source may be asked. */
interface ZipOptions {
  readonly cachedOnly: boolean;
}

interface ZipPorts {
  readonly files: FileStore;
  readonly coordinators: Coordinators;
  readonly verifier: Verifier;
  readonly clock: Clock;
}

interface OpenOptions extends ZipOptions {
  readonly range: ByteRange | undefined;
}

type Reopened = NonNullable<Awaited<ReturnType<FileStore["reopen"]>>>;

const KNOWN_ZIPS_BYTES = 4 * 1024 * 1024;
const KNOWN_ZIP_BYTES = 1500;
const SHARED_DIGEST_MS = 3000;
const DIGEST_AGAIN_MS = 24 * 3600 * 1000;
// Up to this size, which takes some 30 ms, a zip is digested before its first byte goes out; above
// it on the way.
const MAX_DIGEST_FIRST_BYTES = 16 * 1024 * 1024;

/**
 * Stored zips, digested on their first read and then passed through natively.
 *
 * A read of a slice is not checked, and neither is a length alone, but for what one question to
 * storage shows: once a zip is known to be damaged, all its answers agree.
 */
export class StoredZips {
  readonly #ports: ZipPorts;
  readonly #known = new LruCache<KnownZip>(KNOWN_ZIPS_BYTES);

  constructor(ports: ZipPorts) {
    this.#ports = ports;
  }

  /**
   * The zip, if this isolate has read and digested it: no await.
   *
   * @param key From {@link toKey}.
   */
  findDigested(key: string, { cachedOnly }: ZipOptions): FileAnswer | undefined {
    const zip = this.#known.get(key);
    if (zip?.validator === undefined) return undefined;
    return cachedOnly ? zip.cachedOnly : zip.answer;
  }

  /** What the store said of the bytes when their digest was right. */
  digestedAs(key: string): string | undefined {
    return this.#known.get(key)?.validator;
  }

  /** The zip, if it is committed. */
  async find(
    scope: Scope,
    request: FileRequest,
    { cachedOnly }: ZipOptions,
  ): Promise<FileAnswer | undefined> {
    const zip = await this.#findKnown(scope, request);
    return cachedOnly ? zip?.cachedOnly : zip?.answer;
  }

  /**
   * The zip, if it is committed, for a client who will not read the whole of it.
   *
   * What storage says of the bytes must fit the record, and the bytes that were digested.
   *
   * @throws ProxyError as a read of the whole does, where it does not fit.
   */
  async findFitting(
    scope: Scope,
    request: FileRequest,
    options: ZipOptions,
  ): Promise<FileAnswer | undefined> {
    const zip = await this.#findKnown(scope, request);
    if (zip === undefined) return undefined;
    if (!(await this.#isFitting(scope, request, zip))) {
      await this.#restore(scope, request, options);
    }
    return await this.find(scope, request, options);
  }

  async #findKnown(scope: Scope, request: FileRequest): Promise<KnownZip | undefined> {
    const key = toKey(scope, request);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const record = await this.#ports.files.readRecord(scope, request.path);
    if (record === undefined) return undefined;
    // Whoever came first while this one was reading: all must share one digest.
    const first = this.#known.get(key);
    if (first !== undefined) return first;
    const { verifier } = this.#ports;
    if (record.verified === "none" && verifier.requiresProof(scope, request)) return undefined;
    const toAnswer = (options: ZipOptions): FileAnswer => ({
      kind: "file",
      verified: record.verified,
      sizeBytes: record.sizeBytes,
      sha256: record.sha256,
      contentType: CONTENT_TYPES.zip,
      immutable: true,
      location: `${scope}/${request.path}`,
      isDigested: () => this.#isDigested(scope, request, zip),
      open: (range) => this.#open(scope, request, zip, { ...options, range }),
    });
    const zip: KnownZip = {
      record,
      validator: undefined,
      damagedAs: undefined,
      digestedAtMs: 0,
      digesting: undefined,
      answer: toAnswer({ cachedOnly: false }),
      cachedOnly: toAnswer({ cachedOnly: true }),
    };
    this.#known.set(key, zip, 2 * key.length + KNOWN_ZIP_BYTES);
    return zip;
  }

  async #isFitting(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    const state = await this.#ports.files.readState(scope, request.path);
    if (state?.sizeBytes !== zip.record.sizeBytes || state.validator === zip.damagedAs)
      return false;
    if (zip.validator === undefined || state.validator === zip.validator) return true;
    return await this.#digestTogether(scope, request, zip);
  }

  async #isDigested(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    if (this.#ports.clock.now() - zip.digestedAtMs >= DIGEST_AGAIN_MS) return false;
    const state = await this.#ports.files.readState(scope, request.path);
    return state?.validator === zip.validator;
  }

  async #open(
    scope: Scope,
    request: FileRequest,
    zip: KnownZip,
    options: OpenOptions,
  ): Promise<ReadableStream<Uint8Array>> {
    const { range } = options;
    const file = await this.#ports.files.reopen(scope, request.path, range);
    if (file === undefined) {
      // Storage may go on saying that it has them.
      zip.damagedAs = (await this.#ports.files.readState(scope, request.path))?.validator;
      return await this.#restoreAndOpen(scope, request, zip, options);
    }
    const isDigested =
      file.validator === zip.validator &&
      this.#ports.clock.now() - zip.digestedAtMs < DIGEST_AGAIN_MS;
    if (isDigested || range !== undefined) return file.body;
    const isDamaged = file.validator === zip.damagedAs;
    if (!isDamaged && zip.record.sizeBytes > MAX_DIGEST_FIRST_BYTES) {
      return this.#digestOnTheWay(scope, request, zip, { ...options, file });
    }
    await file.body.cancel();
    if (isDamaged || !(await this.#digestTogether(scope, request, zip))) {
      return await this.#restoreAndOpen(scope, request, zip, options);
    }
    const good = await this.#ports.files.reopen(scope, request.path);
    if (good === undefined) throw new ProxyError("storage_unavailable", "the stored file is gone");
    return good.body;
  }

  /** One digest serves all who came at once; each then gets the file as it is. */
  async #digestTogether(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    zip.digesting ??= this.#digest(scope, request, zip);
    // Who waits for the request of another must not wait for ever: that one may be cancelled.
    const shared = await Promise.race([zip.digesting, this.#ports.clock.wait(SHARED_DIGEST_MS)]);
    return shared ?? (await this.#digest(scope, request, zip));
  }

  /** Read a whole zip for its digest alone; whether it is right. */
  async #digest(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    try {
      const file = await this.#ports.files.reopen(scope, request.path);
      if (file === undefined) return false;
      const { sizeBytes, sha256 } = zip.record;
      const isRight = (await tryDigest(file.body, sizeBytes, this.#ports.clock)) === sha256;
      if (isRight) this.#noteDigested(zip, file.validator);
      else zip.damagedAs = file.validator;
      return isRight;
    } catch {
      return false;
    } finally {
      zip.digesting = undefined;
    }
  }

  /** Pass the bytes on, but for the last chunk, which waits for the digest. */
  #digestOnTheWay(
    scope: Scope,
    request: FileRequest,
    zip: KnownZip,
    { cachedOnly, file }: ZipOptions & { readonly file: Reopened },
  ): ReadableStream<Uint8Array> {
    const { readable, writable } = new FixedLengthStream(zip.record.sizeBytes);
    const writer = writable.getWriter();
    const pump = async (): Promise<void> => {
      const last = await passOn(file.body, writer, zip.record.sha256);
      if (last === "gone") return;
      if (last === "damaged") {
        zip.damagedAs = file.validator;
        await this.#restore(scope, request, { cachedOnly }).catch(() => undefined);
        throw new ProxyError("storage_unavailable", "the stored file is damaged");
      }
      this.#noteDigested(zip, file.validator);
      await writer.write(last);
      await writer.close();
    };
    pump().catch((error: unknown) => writer.abort(error).catch(() => undefined));
    return readable;
  }

  async #restoreAndOpen(
    scope: Scope,
    request: FileRequest,
    zip: KnownZip,
    { cachedOnly, range }: OpenOptions,
  ): Promise<ReadableStream<Uint8Array>> {
    await this.#restore(scope, request, { cachedOnly });
    const file = await this.#ports.files.open(scope, request.path, range);
    if (file === undefined) throw new ProxyError("storage_unavailable", "the stored file is gone");
    if (file.record.sha256 === zip.record.sha256) return file.body;
    // Another maker's zip with the same h1: the length and ETag announced for this answer are off.
    await file.body.cancel();
    throw new ProxyError("file_restored", "the stored file was damaged and is restored; ask again");
  }

  /** Have the coordinator restore a zip; what was known of it is forgotten when it has. */
  async #restore(scope: Scope, request: FileRequest, { cachedOnly }: ZipOptions): Promise<void> {
    if (cachedOnly) throw new ProxyError("storage_unavailable", "the stored file is damaged");
    const options = { stream: false, damaged: "bytes" } as const;
    const outcome = await this.#ports.coordinators.file(scope, request, options);
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
    this.#known.delete(toKey(scope, request));
  }

  #noteDigested(zip: KnownZip, validator: string): void {
    zip.validator = validator;
    zip.digestedAtMs = this.#ports.clock.now();
  }
}

/**
 * Write all chunks but the last.
 *
 * @returns The last chunk, if the digest of all is right; `damaged` if not, or if the body breaks
 *   off; `gone` when the client left.
 */
async function passOn(
  body: ReadableStream<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  sha256: string,
): Promise<Uint8Array | "damaged" | "gone"> {
  const hash = createHash("sha256");
  let held: Uint8Array | undefined;
  try {
    for await (const chunk of inLargeChunks(body)) {
      hash.update(chunk);
      if (held !== undefined && !(await isTaken(writer.write(held)))) return "gone";
      held = chunk;
    }
  } catch {
    return "damaged";
  }
  return hash.digest("hex") === sha256 && held !== undefined ? held : "damaged";
}

async function isTaken(write: Promise<void>): Promise<boolean> {
  return await write.then(
    () => true,
    () => false,
  );
}

/** A whole body; undefined when it breaks off, which only damaged storage does. */
export async function tryReadWhole(
  body: ReadableStream<Uint8Array> | Uint8Array,
): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await new Response(body).arrayBuffer());
  } catch {
    return undefined;
  }
}
