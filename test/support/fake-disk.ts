/**
 * The runtime's disk service in memory, as far as its semantics go.
 *
 * A PUT replaces a file at once or not at all and makes the folders above it; a folder is read as a
 * JSON list; DELETE is 204, of nothing 404; there are neither conditions nor metadata. The real
 * service is what the end-to-end tests run on.
 */
export class FakeDisk {
  readonly files = new Map<string, { readonly bytes: Uint8Array; readonly modifiedMs: number }>();
  /** Time of the next write. */
  nowMs = Date.UTC(2026, 0, 1);

  /** The service's binding: hidden names do not exist. */
  get binding(): Fetcher {
    return this.#bind(false);
  }

  /** A binding of a service that shows hidden names. */
  get leftovers(): Fetcher {
    return this.#bind(true);
  }

  #bind(showsHidden: boolean): Fetcher {
    const fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
      const request = new Request(input, init);
      const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
      if (!showsHidden && isHidden(key)) return new Response(null, { status: 404 });
      return await this.#answer(key, request, showsHidden);
    };
    return { fetch } as unknown as Fetcher;
  }

  async #answer(key: string, request: Request, showsHidden: boolean): Promise<Response> {
    switch (request.method) {
      case "PUT":
        return await this.#put(key, request);
      case "DELETE":
        return new Response(null, { status: this.files.delete(key) ? 204 : 404 });
      default:
        return this.#get(key, request, showsHidden);
    }
  }

  async #put(key: string, request: Request): Promise<Response> {
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(await request.arrayBuffer());
    } catch {
      return new Response(null, { status: 500 });
    }
    this.files.set(key, { bytes, modifiedMs: this.nowMs });
    return new Response(null, { status: 204 });
  }

  #get(key: string, request: Request, showsHidden: boolean): Response {
    const file = this.files.get(key);
    if (file === undefined) return this.#list(key, showsHidden);
    const headers = new Headers({ "Last-Modified": new Date(file.modifiedMs).toUTCString() });
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("Range") ?? "");
    const end = range === null ? file.bytes.length : Number(range[2]) + 1;
    const bytes = file.bytes.slice(range === null ? 0 : Number(range[1]), end);
    headers.set("Content-Length", String(bytes.length));
    const body = request.method === "HEAD" ? null : bytes;
    return new Response(body, { status: range === null ? 200 : 206, headers });
  }

  #list(folder: string, showsHidden: boolean): Response {
    const prefix = folder === "" ? "" : `${folder}/`;
    const names = new Map<string, string>();
    for (const key of this.files.keys()) {
      if (!key.startsWith(prefix)) continue;
      const [name = "", ...deeper] = key.slice(prefix.length).split("/");
      if (!showsHidden && isHidden(name)) continue;
      names.set(name, deeper.length > 0 ? "directory" : "file");
    }
    if (names.size === 0) return new Response(null, { status: 404 });
    return Response.json([...names].map(([name, type]) => ({ name, type })));
  }
}

function isHidden(key: string): boolean {
  return key.split("/").some((name) => name.startsWith("."));
}
