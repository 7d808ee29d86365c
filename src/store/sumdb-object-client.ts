import { type ErrorValue, fromErrorValue, ProxyError } from "../errors/proxy-error.ts";
import type { ProvenHashes, Sumdb } from "../proxy/ports.ts";

/** A result that crosses to another Durable Object, where thrown classes do not survive. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: ErrorValue };

/** A module version to record. */
interface Entry {
  readonly modulePath: string;
  readonly version: string;
  readonly hashes: { readonly zip: string; readonly mod: string };
}

/** The calls of a team database's Durable Object. */
export interface OwnSumdbCalls {
  append(keyName: string, folder: string, entry: Entry): Promise<Result<null>>;
  serveOwn(keyName: string, folder: string, path: string): Promise<Result<Uint8Array>>;
}

/**
 * Reaches the Durable Object that keeps a team's own log.
 *
 * @param keyName Name of the Worker secret that holds the signer key.
 * @param folder Where the log's tiles lie.
 */
export function toTeamLog(
  keyName: string,
  folder: string,
  find: () => OwnSumdbCalls,
): {
  append(entry: Entry): Promise<void>;
  serve(path: string): Promise<Uint8Array>;
} {
  return {
    async append(entry) {
      await callTwice(folder, find, (calls) => calls.append(keyName, folder, entry));
    },
    serve: (path) => callTwice(folder, find, (calls) => calls.serveOwn(keyName, folder, path)),
  };
}

/** The calls of a database's Durable Object. */
export interface SumdbCalls {
  prove(name: string, modulePath: string, version: string): Promise<Result<ProvenHashes>>;
  serve(name: string, path: string, cachedOnly: boolean): Promise<Result<Uint8Array>>;
}

/** Reaches the one Durable Object that keeps a database's newest head. */
export class SumdbObjectClient implements Sumdb {
  readonly name: string;
  readonly #find: () => SumdbCalls;

  constructor(name: string, find: () => SumdbCalls) {
    this.name = name;
    this.#find = find;
  }

  async prove(modulePath: string, version: string): Promise<ProvenHashes> {
    return await callTwice(this.name, this.#find, (calls) =>
      calls.prove(this.name, modulePath, version),
    );
  }

  async serve(path: string, { cachedOnly }: { cachedOnly: boolean }): Promise<Uint8Array> {
    return await callTwice(this.name, this.#find, (calls) =>
      calls.serve(this.name, path, cachedOnly),
    );
  }
}

/** A call that met a moved or restarted object is repeated once. */
async function callTwice<C, T>(
  name: string,
  find: () => C,
  call: (calls: C) => Promise<Result<T>>,
): Promise<T> {
  let result: Result<T>;
  try {
    result = await call(find()).catch(() => call(find()));
  } catch (error) {
    const detail = `the keeper of ${name} cannot be reached`;
    throw new ProxyError("unavailable", detail, { cause: error });
  }
  if (result.ok) return result.value;
  throw fromErrorValue(result.error);
}
