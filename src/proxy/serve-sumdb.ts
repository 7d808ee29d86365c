import { ProxyError } from "../errors/proxy-error.ts";
import { sha256Hex } from "../module/sha256.ts";
import type { WholeAnswer } from "./answer.ts";
import { LruCache } from "./lru-cache.ts";
import type { Clock, Sumdb } from "./ports.ts";
import { parseLookup } from "./sumdb-lookup.ts";

/** What serving databases works with. */
export interface SumdbServerPorts {
  readonly clock: Clock;
  readonly times: { readonly memorySeconds: number; readonly listSeconds: number };
}

/** How one request for a database is to be answered. */
export interface SumdbOptions {
  readonly databases: readonly Sumdb[];
  readonly cachedOnly: boolean;
  /** Whether a module must not be named to a database, or not to this caller. */
  isHidden(modulePath: string, sumdb: Sumdb): boolean;
}

const CACHE_BYTES = 4 * 1024 * 1024;
const FULL_TILE = /^tile\/8\/[^.]+$/;

interface Kept {
  readonly answer: WholeAnswer;
  readonly untilMs: number;
}

/** Answers for checksum databases, every one of them verified before. */
export class SumdbServer {
  readonly #ports: SumdbServerPorts;
  readonly #cache = new LruCache<Kept>(CACHE_BYTES);

  constructor(ports: SumdbServerPorts) {
    this.#ports = ports;
  }

  /**
   * Answer one request.
   *
   * @param path Everything after `/sumdb/`: a database's name, which may hold slashes, and what is
   *   asked of it.
   * @throws ProxyError `sumdb_not_found` for a name that is not relayed and for hidden modules;
   *   `malformed_path`, `malformed_version`; and what the database throws.
   */
  async serve(path: string, options: SumdbOptions): Promise<WholeAnswer> {
    // Of two names of which one begins with the other, the longer one is meant.
    const [sumdb] = options.databases
      .filter(({ name }) => path.startsWith(`${name}/`))
      .toSorted((a, b) => b.name.length - a.name.length);
    if (sumdb === undefined) {
      throw new ProxyError("sumdb_not_found", "this database is not served here");
    }
    const question = path.slice(sumdb.name.length + 1);
    if (question === "supported") return toAnswer(question, new Uint8Array());
    if (question.startsWith("lookup/"))
      checkLookup(question.slice("lookup/".length), sumdb, options);
    const kept = this.#cache.get(path);
    if (kept !== undefined && kept.untilMs > this.#ports.clock.now()) return kept.answer;
    const { cachedOnly } = options;
    const answer = toAnswer(question, await sumdb.serve(question, { cachedOnly }));
    // The newest head must not fall behind what lookups have shown already.
    if (question !== "latest") this.#keep(path, answer);
    return answer;
  }

  #keep(path: string, answer: WholeAnswer): void {
    const { memorySeconds, listSeconds } = this.#ports.times;
    const seconds = answer.immutable ? memorySeconds : listSeconds;
    const untilMs = this.#ports.clock.now() + seconds * 1000;
    this.#cache.set(path, { answer, untilMs }, 2 * path.length + answer.sizeBytes + 400);
  }
}

/** What no database can have, and what this one must not be asked, is answered here. */
function checkLookup(escaped: string, sumdb: Sumdb, options: SumdbOptions): void {
  const { modulePath } = parseLookup(escaped);
  if (!options.isHidden(modulePath, sumdb)) return;
  const detail = "not in this database (a client does not ask for what GONOSUMDB names)";
  throw new ProxyError("sumdb_not_found", detail);
}

function toAnswer(question: string, body: Uint8Array): WholeAnswer {
  return {
    kind: "whole",
    body,
    sizeBytes: body.length,
    sha256: sha256Hex(body),
    contentType: question.startsWith("tile/")
      ? "application/octet-stream"
      : "text/plain; charset=utf-8",
    immutable: FULL_TILE.test(question),
  };
}
