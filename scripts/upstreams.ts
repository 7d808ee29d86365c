import { spawnSync } from "node:child_process";
import { findUrlProblem } from "../src/config/schema.ts";
import { UsageError } from "./usage-error.ts";

/** Used on a machine where neither `UPSTREAM` nor the go command names a proxy. */
const FALLBACK_UPSTREAMS = ["https://goproxy.cn", "https://goproxy.io"] as const;

/** Entries of GOPROXY that are no address: they tell the go command what to do itself. */
const GO_KEYWORDS: ReadonlySet<string> = new Set(["direct", "off", "noproxy"]);

const GO_ENV = "go env GOPROXY";

/**
 * Split a list in the form of GOPROXY into the addresses it holds.
 *
 * @param list Entries separated by `,` or `|`, in order.
 * @param where Where the list came from, for errors.
 * @returns The entries that are addresses, without a slash at their end.
 * @throws UsageError for an entry that nobody can be asked by; it is counted, never shown, for it
 *   may hold a credential.
 */
export function parseUpstreamList(list: string, where = GO_ENV): string[] {
  return list.split(/[,|]/).flatMap((text, index) => {
    const entry = text.trim().replace(/\/+$/, "");
    if (entry === "" || GO_KEYWORDS.has(entry)) return [];
    const url = toUrl(entry);
    const problem = findUrlProblem(url);
    if (problem === undefined) return [url];
    throw new UsageError(`${where}: entry ${index + 1} ${problem}`);
  });
}

/** @source cmd/go/internal/modfetch, proxyList: a host alone stands for its https address */
function toUrl(entry: string): string {
  const isHost = /[.:/]/.test(entry) && !entry.includes(":/") && !entry.startsWith("/");
  return isHost ? `https://${entry}` : entry;
}

/** What `go env GOPROXY` prints on this machine, or nothing when there is no go command. */
export function goEnvProxy(): string {
  const run = spawnSync("go", ["env", "GOPROXY"], { encoding: "utf8" });
  return run.status === 0 ? run.stdout.trim() : "";
}

/**
 * The public sources of a deployment that nobody configured.
 *
 * @param upstream The environment variable `UPSTREAM`; wins when it names anything.
 * @param goProxy Asked for the machine's GOPROXY only when `upstream` is empty.
 * @param isOwn Whether an address of the machine's GOPROXY is that of this proxy itself.
 * @returns At least one address, in order.
 * @throws UsageError naming the list and its entry.
 */
export function defaultUpstreams(
  upstream: string | undefined,
  goProxy: () => string = goEnvProxy,
  isOwn: (url: string) => boolean = () => false,
): readonly string[] {
  const named = parseUpstreamList(upstream ?? "", "UPSTREAM");
  if (named.length > 0) return named;
  const fromGo = parseUpstreamList(goProxy(), GO_ENV).filter((url) => !isOwn(url));
  return fromGo.length > 0 ? fromGo : FALLBACK_UPSTREAMS;
}
