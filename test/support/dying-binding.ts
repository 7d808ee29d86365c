/** What a binding throws once its process is dead. */
class Killed extends Error {
  override readonly name = "Killed";
}

/** Counts the writes of a binding and fails for ever after so many: a kill between two writes. */
export class Life {
  #left: number;

  /** @param writes How many writes still take effect. */
  constructor(writes: number) {
    this.#left = writes;
  }

  get isOver(): boolean {
    return this.#left < 0;
  }

  check(): void {
    if (this.isOver) throw new Killed("the process was killed");
  }

  /** One write; the one too many does not take effect. */
  spend(): void {
    this.check();
    this.#left--;
    this.check();
  }
}

const R2_WRITES: ReadonlySet<string> = new Set(["put", "delete", "createMultipartUpload"]);
const UPLOAD_WRITES: ReadonlySet<string> = new Set(["uploadPart", "complete", "abort"]);

/** A bucket that dies. */
export function dyingBucket(bucket: R2Bucket, life: Life): R2Bucket {
  return wrap(bucket, R2_WRITES, life);
}

/** A disk service that dies. */
export function dyingDisk(disk: Fetcher, life: Life): Fetcher {
  return {
    async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
      const method = init?.method ?? "GET";
      if (method === "PUT" || method === "DELETE") life.spend();
      else life.check();
      return await disk.fetch(input, init);
    },
  } as unknown as Fetcher;
}

function wrap<T extends object>(target: T, writes: ReadonlySet<string>, life: Life): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        if (writes.has(String(name))) life.spend();
        else life.check();
        const result: unknown = await Reflect.apply(value, object, args);
        return name === "createMultipartUpload"
          ? wrap(result as object, UPLOAD_WRITES, life)
          : result;
      };
    },
  });
}
