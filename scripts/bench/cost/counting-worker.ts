/**
 * Source of a module that stands before the Worker and counts what it asks of the platform.
 *
 * It decorates prototypes, so that the Worker's own code and bindings stay as they are; the Worker
 * and its Durable Objects share one isolate here, and so the counters.
 */
export const COUNTING_WORKER = `
import worker, * as all from "./worker.js";
console.log = () => undefined;
let counts = {};
let cursors = [];
let isEdgeOff = false;
const count = (name, by = 1) => { counts[name] = (counts[name] ?? 0) + by; };
function decorate(prototype, methods) {
  for (const [method, name] of Object.entries(methods)) {
    const original = prototype[method];
    if (typeof original !== "function") continue;
    prototype[method] = function (...args) { count(name); return original.apply(this, args); };
  }
}
const outside = globalThis.fetch;
globalThis.fetch = (...args) => { count("source"); return outside(...args); };
const match = Cache.prototype.match;
Cache.prototype.match = async function (...args) {
  count("cacheRead");
  return isEdgeOff ? undefined : await match.apply(this, args);
};
decorate(Cache.prototype, { put: "cacheWrite" });
let isReady = false;
function prepare(env) {
  if (isReady) return;
  isReady = true;
  decorate(Object.getPrototypeOf(env.FILES), { get: "r2B", head: "r2B", put: "r2A", list: "r2A", createMultipartUpload: "r2A", resumeMultipartUpload: "none" });
  decorate(Object.getPrototypeOf(env.INDEX), { get: "kvRead", getWithMetadata: "kvRead", put: "kvWrite", list: "kvWrite", delete: "kvWrite" });
}
function keeper(Class, name) {
  for (const method of Object.getOwnPropertyNames(Class.prototype)) {
    if (method === "constructor") continue;
    const what = method === "alarm" ? "alarm" : "request";
    decorate(Class.prototype, { [method]: "do" + what });
  }
  return class extends Class {
    constructor(ctx, env) {
      prepare(env);
      const sql = Object.getPrototypeOf(ctx.storage.sql);
      if (sql.isCounted !== true) {
        sql.isCounted = true;
        const exec = sql.exec;
        sql.exec = function (...args) { const cursor = exec.apply(this, args); cursors.push(cursor); return cursor; };
        decorate(Object.getPrototypeOf(ctx.storage), { setAlarm: "rowsWritten" });
      }
      super(ctx, env);
    }
  };
}
export const Coordinator = keeper(all.Coordinator);
export const Directory = keeper(all.Directory);
export const SumdbLog = keeper(all.SumdbLog);
export default {
  async fetch(request, env, ctx) {
    prepare(env);
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== "/_counts") return await worker.fetch(request, env, ctx);
    isEdgeOff = searchParams.get("edge") === "off";
    for (const cursor of cursors) { count("rowsRead", cursor.rowsRead); count("rowsWritten", cursor.rowsWritten); }
    const taken = counts;
    counts = {};
    cursors = [];
    return Response.json(taken);
  },
};
`;
