import { ProxyError } from "../errors/proxy-error.ts";
import type { ByteRange, StoredState } from "../proxy/ports.ts";

/** One entry of a folder. */
export interface FolderEntry {
  readonly name: string;
  readonly type: string;
}

/** An opened file of the folder. */
export interface FolderFile {
  readonly body: ReadableStream<Uint8Array>;
  readonly validator: string;
}

/**
 * The runtime's disk service as calls.
 *
 * Keys are slash-separated and come from checked parts only. Every method throws
 * `storage_unavailable` on anything but success and absence.
 */
export class DiskFolder {
  readonly #disk: Fetcher;

  constructor(disk: Fetcher) {
    this.#disk = disk;
  }

  async get(key: string, range?: ByteRange): Promise<FolderFile | undefined> {
    const response = await this.#send("GET", key, undefined, range);
    if (response === undefined) return undefined;
    return {
      body: response.body ?? new Blob([]).stream(),
      validator: toValidator(response, range !== undefined),
    };
  }

  async readState(key: string): Promise<StoredState | undefined> {
    const response = await this.#send("HEAD", key);
    if (response === undefined) return undefined;
    const sizeBytes = Number(response.headers.get("Content-Length"));
    return { sizeBytes, validator: toValidator(response, false) };
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const response = await this.#send("GET", key);
    return response === undefined ? undefined : new Uint8Array(await response.arrayBuffer());
  }

  async readText(key: string): Promise<string | undefined> {
    const response = await this.#send("GET", key);
    return response === undefined ? undefined : await response.text();
  }

  async readRange(key: string, range: ByteRange): Promise<Uint8Array> {
    const response = await this.#send("GET", key, undefined, range);
    if (response === undefined) throw new ProxyError("storage_unavailable", "file is gone");
    return new Uint8Array(await response.arrayBuffer());
  }

  async put(key: string, body: ReadableStream<Uint8Array> | Uint8Array | string): Promise<void> {
    const response = await this.#send("PUT", key, body);
    if (response === undefined) throw new ProxyError("storage_unavailable", "disk refuses a write");
    await response.body?.cancel();
  }

  async delete(key: string): Promise<void> {
    const response = await this.#send("DELETE", key);
    await response?.body?.cancel();
  }

  async list(key: string): Promise<FolderEntry[]> {
    const response = await this.#send("GET", key);
    return response === undefined ? [] : await response.json<FolderEntry[]>();
  }

  /** Milliseconds since the epoch; 0 when there is no such file. */
  async modifiedAtMs(key: string): Promise<number> {
    const response = await this.#send("HEAD", key);
    return Date.parse(response?.headers.get("Last-Modified") ?? "") || 0;
  }

  async #send(
    method: string,
    key: string,
    body?: ReadableStream<Uint8Array> | Uint8Array | string,
    range?: ByteRange,
  ): Promise<Response | undefined> {
    // The hot path: a plain read takes no more than its address.
    const isPlain = method === "GET" && range === undefined;
    const headers: HeadersInit =
      range === undefined
        ? {}
        : { Range: `bytes=${range.offsetBytes}-${range.offsetBytes + range.lengthBytes - 1}` };
    let response: Response;
    try {
      response = isPlain
        ? await this.#disk.fetch(`http://disk/${key}`)
        : await this.#disk.fetch(`http://disk/${key}`, {
            method,
            headers,
            ...(body === undefined ? {} : { body }),
          });
    } catch (error) {
      throw new ProxyError("storage_unavailable", "disk does not answer", { cause: error });
    }
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 404) return undefined;
    throw new ProxyError("storage_unavailable", `disk answers ${response.status}`);
  }
}

/** The whole file's time of change and size; those of a slice are not comparable. */
function toValidator(response: Response, isSlice: boolean): string {
  const size = isSlice ? "" : response.headers.get("Content-Length");
  return `${response.headers.get("Last-Modified")} ${size}`;
}
