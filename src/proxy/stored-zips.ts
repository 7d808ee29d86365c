import { createHash } from "node:crypto";
import { fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import type { FileRequest } from "../module/request.ts";
import { CONTENT_TYPES, type FileAnswer } from "./answer.ts";
import { LruCache } from "./lru-cache.ts";
import { toKey } from "./memory-key.ts";
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
  digestedAtMs: number;
  /** Under way, for all who wait. */
  digesting: Promise<boolean> | undefined;
  /** One for all requests, with the headers that the HTTP layer keeps on it. */
  readonly answer: FileAnswer;
}

interface ZipPorts {
  readonly files: FileStore;
  readonly coordinators: Coordinators;
  readonly verifier: Verifier;
  readonly clock: Clock;
}

const KNOWN_ZIPS_BYTES = 4 * 1024 * 1024;
const KNOWN_ZIP_BYTES = 900;
const SHARED_DIGEST_MS = 3000;
const DIGEST_AGAIN_MS = 24 * 3600 * 1000;
// Up to this size, which takes some 30 ms, a zip is digested before its first byte goes out; above
// it on the way.
const MAX_DIGEST_FIRST_BYTES = 16 * 1024 * 1024;

/**
 * Stored zips, digested on their first read and then passed through natively.
 *
 * A read of a slice is not checked.
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
  findDigested(key: string): FileAnswer | undefined {
    const zip = this.#known.get(key);
    return zip?.validator === undefined ? undefined : zip.answer;
  }

  /** What the store said of the bytes when their digest was right. */
  digestedAs(key: string): string | undefined {
    return this.#known.get(key)?.validator;
  }

  /** The zip, if it is committed. */
  async find(scope: Scope, request: FileRequest): Promise<FileAnswer | undefined> {
    const key = toKey(scope, request);
    const known = this.#known.get(key);
    if (known !== undefined) return known.answer;
    const record = await this.#ports.files.readRecord(scope, request.path);
    if (record === undefined) return undefined;
    // Whoever came first while this one was reading: all must share one digest.
    const first = this.#known.get(key);
    if (first !== undefined) return first.answer;
    const { verifier } = this.#ports;
    if (record.verified === "none" && verifier.requiresProof(scope, request)) return undefined;
    const zip: KnownZip = {
      record,
      validator: undefined,
      digestedAtMs: 0,
      digesting: undefined,
      answer: {
        kind: "file",
        verified: record.verified,
        sizeBytes: record.sizeBytes,
        sha256: record.sha256,
        contentType: CONTENT_TYPES.zip,
        immutable: true,
        location: `${scope}/${request.path}`,
        isDigested: () => this.#isDigested(scope, request, zip),
        open: (range) => this.#open(scope, request, zip, range),
      },
    };
    this.#known.set(key, zip, 2 * key.length + KNOWN_ZIP_BYTES);
    return zip.answer;
  }

  async #isDigested(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    if (this.#ports.clock.now() - zip.digestedAtMs >= DIGEST_AGAIN_MS) return false;
    return (await this.#ports.files.readValidator(scope, request.path)) === zip.validator;
  }

  async #open(
    scope: Scope,
    request: FileRequest,
    zip: KnownZip,
    range: ByteRange | undefined,
  ): Promise<ReadableStream<Uint8Array>> {
    const file = await this.#ports.files.reopen(scope, request.path, range);
    if (file === undefined) return await this.#restoreAndOpen(scope, request, zip, range);
    const isDigested =
      file.validator === zip.validator &&
      this.#ports.clock.now() - zip.digestedAtMs < DIGEST_AGAIN_MS;
    if (isDigested || range !== undefined) return file.body;
    if (zip.record.sizeBytes > MAX_DIGEST_FIRST_BYTES) {
      return this.#digestOnTheWay(scope, request, zip, file);
    }
    await file.body.cancel();
    // One digest serves all who came at once; each then gets the file as it is.
    zip.digesting ??= this.#digest(scope, request, zip);
    // Who waits for the request of another must not wait for ever: that one may be cancelled.
    const shared = await Promise.race([zip.digesting, this.#ports.clock.wait(SHARED_DIGEST_MS)]);
    if (!(shared ?? (await this.#digest(scope, request, zip))))
      return await this.#restoreAndOpen(scope, request, zip, range);
    const good = await this.#ports.files.reopen(scope, request.path);
    if (good === undefined) throw new ProxyError("storage_unavailable", "the stored file is gone");
    return good.body;
  }

  /** Read a whole zip for its digest alone; whether it is right. */
  async #digest(scope: Scope, request: FileRequest, zip: KnownZip): Promise<boolean> {
    try {
      const file = await this.#ports.files.reopen(scope, request.path);
      if (file === undefined) return false;
      const hash = createHash("sha256");
      for await (const chunk of file.body) hash.update(chunk);
      if (hash.digest("hex") !== zip.record.sha256) return false;
      this.#noteDigested(zip, file.validator);
      return true;
    } catch {
      // A body that breaks off is damaged as well.
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
    file: { readonly body: ReadableStream<Uint8Array>; readonly validator: string },
  ): ReadableStream<Uint8Array> {
    const { readable, writable } = new FixedLengthStream(zip.record.sizeBytes);
    const writer = writable.getWriter();
    const pump = async (): Promise<void> => {
      const last = await passOn(file.body, writer, zip.record.sha256);
      if (last === "gone") return;
      if (last === "damaged") {
        await this.#restore(scope, request).catch(() => undefined);
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
    range: ByteRange | undefined,
  ): Promise<ReadableStream<Uint8Array>> {
    await this.#restore(scope, request);
    const file = await this.#ports.files.open(scope, request.path, range);
    if (file === undefined) throw new ProxyError("storage_unavailable", "the stored file is gone");
    if (file.record.sha256 === zip.record.sha256) return file.body;
    // Another maker's zip with the same h1: the length and ETag announced for this answer are off.
    await file.body.cancel();
    throw new ProxyError("unavailable", "the stored file was damaged and is restored; ask again");
  }

  async #restore(scope: Scope, request: FileRequest): Promise<void> {
    this.#known.delete(toKey(scope, request));
    const options = { stream: false, damaged: true } as const;
    const outcome = await this.#ports.coordinators.file(scope, request, options);
    if (outcome.kind === "failed") throw fromErrorValue(outcome.error);
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
  const reader = body.getReader();
  let held: Uint8Array | undefined;
  for (;;) {
    const chunk = await reader.read().catch(() => undefined);
    if (chunk === undefined) return "damaged";
    if (chunk.done) break;
    hash.update(chunk.value);
    try {
      if (held !== undefined) await writer.write(held);
    } catch {
      await reader.cancel().catch(() => undefined);
      return "gone";
    }
    held = chunk.value;
  }
  return hash.digest("hex") === sha256 && held !== undefined ? held : "damaged";
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
