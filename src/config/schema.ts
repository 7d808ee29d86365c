import * as v from "valibot";
import { findPathPatternProblem } from "../module/pattern.ts";
import { ROLES } from "../auth/role.ts";

const DURATION = /^([1-9][0-9]{0,8})(s|m|h|d)$/;
const DURATION_UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
const SIZE = /^([1-9][0-9]{0,8})(KiB|MiB|GiB)$/;
const SIZE_UNIT_BYTES = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
const ACCEL_PREFIX = /^\/(?:[A-Za-z0-9_-]+\/)+$/;
const LABEL = /^[a-z0-9-]{1,63}$/;
const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const DATABASE_NAME = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\/[A-Za-z0-9_-]+)*$/;
const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** An object of known keys only; a list is none. */
function mapping<const Entries extends v.ObjectEntries>(entries: Entries) {
  return v.pipe(
    v.custom<Record<string, unknown>>(
      (value) => typeof value === "object" && value !== null && !Array.isArray(value),
      "must be a mapping of keys",
    ),
    v.strictObject(entries),
  );
}

const duration = v.pipe(
  v.string(),
  v.regex(DURATION, 'must be a time such as "60s", "10m", "24h" or "7d"'),
  v.transform((text) => toSeconds(text)),
);

const size = v.pipe(
  v.string(),
  v.regex(SIZE, 'must be a size such as "64KiB" or "32MiB"'),
  v.transform((text) => toBytes(text)),
);

const name = v.pipe(v.string(), v.regex(LABEL, "must be 1 to 63 of a-z, 0-9 and -"));

const secretName = v.pipe(
  v.string(),
  v.regex(SECRET_NAME, "must be the NAME of a Worker secret, not the secret itself"),
);

const upstreamUrl = v.pipe(
  v.string(),
  v.check(
    (text) => findUrlProblem(text) === undefined,
    (issue) => findUrlProblem(issue.input) ?? "must be an http or https URL",
  ),
  v.transform((text) => text.replace(/\/+$/, "")),
);

const databaseUrl = v.pipe(
  upstreamUrl,
  v.check(isSecure, "must be an https URL; plain http is for loopback only"),
);

const status = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(400, "must be a status from 400 to 499"),
  v.maxValue(499, "must be a status from 400 to 499"),
);

const upstream = mapping({
  name: v.optional(name),
  url: upstreamUrl,
  credential: v.optional(secretName),
  notFound: v.optional(v.array(status), [404, 410]),
});

// A pattern that can match nothing would leave open what it was meant to close.
const pattern = v.pipe(
  v.string(),
  v.maxLength(500, "is too long"),
  v.rawCheck(({ dataset, addIssue }) => {
    const problem = dataset.typed ? findPatternProblem(dataset.value) : undefined;
    if (problem !== undefined) addIssue({ message: problem });
  }),
);

const patterns = v.array(pattern);

const sumdb = v.union(
  [
    v.literal("off"),
    v.literal("sum.golang.org"),
    mapping({
      name: v.pipe(v.string(), v.nonEmpty("must not be empty")),
      key: v.pipe(v.string(), v.nonEmpty("must not be empty")),
      url: v.optional(databaseUrl),
    }),
  ],
  "must be sum.golang.org, off, or an object of name, key and url",
);

const cache = mapping({
  memory: v.optional(duration, "24h"),
  edge: v.optional(duration, "7d"),
  list: v.optional(duration, "60s"),
  negative: v.optional(duration, "60s"),
  memorySize: v.optional(size, "32MiB"),
});

const privateModules = mapping({
  pattern,
  source: name,
  credential: v.optional(secretName),
});

const staticToken = mapping({
  name,
  role: v.picklist(ROLES, `must be one of ${ROLES.join(", ")}`),
  secret: secretName,
});

const team = mapping({
  name,
  hosts: v.optional(v.array(v.pipe(v.string(), v.regex(HOST, "must be a host name"))), []),
  access: v.optional(v.picklist(["open", "token"], "must be open or token"), "token"),
  private: v.optional(v.array(privateModules), []),
  tokens: v.optional(v.array(staticToken), []),
  sumdb: v.optional(
    mapping({
      name: v.pipe(v.string(), v.regex(DATABASE_NAME, "must be a host, or a host and a path")),
      key: secretName,
    }),
  ),
});

/** The configuration document, as written by a person. */
export const CONFIG_SCHEMA = mapping({
  upstreams: v.optional(v.pipe(v.array(upstream), v.minLength(1, "must name an upstream"))),
  balance: v.optional(v.literal("failover", "must be failover"), "failover"),
  sumdb: v.optional(sumdb, "sum.golang.org"),
  noSum: v.optional(patterns, []),
  cache: v.optional(cache, {}),
  access: v.optional(v.literal("open", "must be open"), "open"),
  accelRedirect: v.optional(
    v.pipe(v.string(), v.regex(ACCEL_PREFIX, 'must be a path such as "/goproxy-edge-files/"')),
  ),
  teams: v.optional(v.array(team), []),
});

/** The document after parsing: defaults filled in, times in seconds, sizes in bytes. */
export type ConfigDocument = v.InferOutput<typeof CONFIG_SCHEMA>;

function toSeconds(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return Number(count) * DURATION_UNIT_SECONDS[unit as keyof typeof DURATION_UNIT_SECONDS];
}

function toBytes(text: string): number {
  const [, count, unit] = SIZE.exec(text) ?? [];
  return Number(count) * SIZE_UNIT_BYTES[unit as keyof typeof SIZE_UNIT_BYTES];
}

/** Why a list of patterns in the syntax of GOPRIVATE holds one that no module path can match. */
function findPatternProblem(list: string): string | undefined {
  for (const glob of list.split(",")) {
    const elements = glob.replace(/\/$/, "").split("/");
    if (/\s/.test(glob)) return `"${glob}" holds white space`;
    if (elements.includes("")) return `"${glob}" is no path: it has an empty element`;
    if (glob.includes(":")) return `"${glob}" is an address, not a module path`;
    if (/[A-Z]/.test(elements[0] ?? "")) return `"${glob}": a host is written in lower case`;
    const problem = findPathPatternProblem(glob);
    if (problem !== undefined) return `"${glob}": ${problem}`;
  }
  return undefined;
}

/** Whether nobody between can read or change what an http(s) URL gives. */
function isSecure(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || /^(?:127(?:\.\d+){3}|\[::1\]|localhost)$/.test(hostname);
}

/** Why a text is no address of a server that can be asked; the text itself is not repeated. */
export function findUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return "must be an http or https URL";
  if (url.protocol !== "https:" && url.protocol !== "http:") return "must be an http or https URL";
  if (url.username !== "" || url.password !== "") {
    return "must not hold a credential; name a Worker secret in `credential`";
  }
  if (url.search !== "" || url.hash !== "") return "must not hold a query or a fragment";
  return undefined;
}
