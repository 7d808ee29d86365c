/**
 * Who may import whom. Data only: `oxlint.config.ts` turns it into rules, CONTRIBUTING.md says it
 * in words, and `test/unit/layers.test.ts` plants bad imports to show that it holds.
 *
 * A layer is a folder below `src/`, but for `scripts`. No folder inside a layer may carry the name
 * of a layer, for the rules look at the text of the import.
 */

/** What one layer may use; whatever is not named here is refused. */
export interface LayerRule {
  /** Layers of which every file may be imported. */
  readonly imports: readonly string[];
  /** The only file of `proxy` that may be imported, for those who implement its ports. */
  readonly portsOnly?: true;
  /** Things of the platform that are kept to few places. */
  readonly may?: readonly Privilege[];
}

/**
 * - `hono`: the web framework.
 * - `bindings`: storage of the platform, by type, by global and by `cloudflare:` module.
 * - `clock`: the time of day and random numbers; everybody else gets them as arguments.
 */
export type Privilege = "hono" | "bindings" | "clock";

export const LAYERS: Readonly<Record<string, LayerRule>> = {
  module: { imports: [] },
  errors: { imports: ["module"] },
  config: { imports: ["module", "errors", "policy", "auth"] },
  sumdb: { imports: ["module", "errors"] },
  git: { imports: ["module", "errors"] },
  policy: { imports: ["module", "errors"] },
  auth: { imports: ["module", "errors"] },
  proxy: { imports: ["module", "errors", "config", "sumdb", "policy", "auth"] },
  store: { imports: ["module", "errors"], portsOnly: true, may: ["bindings", "clock"] },
  telemetry: { imports: ["module", "errors"], portsOnly: true, may: ["clock"] },
  upstream: { imports: ["module", "errors", "git"], portsOnly: true },
  http: { imports: ["module", "errors", "config", "policy", "auth", "proxy"], may: ["hono"] },
};

/** What the scripts may import from `src/`; they run in Node and have no other limits. */
export const SCRIPT_IMPORTS: readonly string[] = ["module", "errors", "config", "sumdb", "auth"];

/** The one file of `proxy` that layers with `portsOnly` see. */
export const PORTS_FILE = "proxy/ports.ts";

/** The one file that may call the global `fetch`. */
export const FETCH_FILE = "src/upstream/http-client.ts";

/** The one file below `src/` that may use `console`. */
export const CONSOLE_FILE = "src/telemetry/log.ts";

/** Types of the platform's storage; the names are those of `@cloudflare/workers-types`. */
export const BINDING_TYPES: readonly string[] = [
  "Cache",
  "CacheStorage",
  "DurableObjectId",
  "DurableObjectNamespace",
  "DurableObjectState",
  "DurableObjectStorage",
  "DurableObjectStub",
  "Env",
  "Fetcher",
  "KVNamespace",
  "R2Bucket",
  "R2Conditional",
  "R2GetOptions",
  "R2HTTPMetadata",
  "R2ListOptions",
  "R2MultipartUpload",
  "R2Object",
  "R2ObjectBody",
  "R2Objects",
  "R2PutOptions",
  "R2Range",
  "R2UploadedPart",
  "SqlStorage",
  "SqlStorageCursor",
];
