import { ProxyError } from "../errors/proxy-error.ts";
import { tryUnescapeVersion } from "../module/path.ts";
import { parseEscapedModule } from "../module/request.ts";
import { canonicalVersion } from "../module/version.ts";
import { sha256Hex } from "../module/sha256.ts";
import type { WholeAnswer } from "./answer.ts";
import { LruCache } from "./lru-cache.ts";
import type { Clock, Sumdb } from "./ports.ts";

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
   * @throws ProxyError `sumdb_not_found` for a name that is not relayed and for private modules;
   *   `malformed_path`; and what the database throws.
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

/** A private name is answered here, before anything is looked up or sent. */
function checkLookup(escaped: string, sumdb: Sumdb, options: SumdbOptions): void {
  const [escapedPath = "", escapedVersion = ""] = escaped.split("@");
  const module = parseEscapedModule(escapedPath);
  if ("problem" in module) throw new ProxyError("malformed_path", module.problem);
  if (options.isHidden(module.modulePath, sumdb)) {
    throw new ProxyError("sumdb_not_found", "not in this database");
  }
  const version = tryUnescapeVersion(escapedVersion) ?? "";
  if (version === "" || canonicalVersion(version) !== version) {
    throw new ProxyError("malformed_version", "a lookup needs a canonical version");
  }
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
