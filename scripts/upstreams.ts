import { spawnSync } from "node:child_process";

/** Used on a machine where neither `UPSTREAM` nor the go command names a proxy. */
const FALLBACK_UPSTREAMS = ["https://goproxy.cn", "https://goproxy.io"] as const;

/** Entries of GOPROXY that are no address: they tell the go command what to do itself. */
const GO_KEYWORDS: ReadonlySet<string> = new Set(["direct", "off", "noproxy"]);

/**
 * Split a list in the form of GOPROXY into the addresses it holds.
 *
 * @param list Entries separated by `,` or `|`, in order.
 * @returns The entries that are addresses, without a slash at their end.
 */
export function parseUpstreamList(list: string): string[] {
  return list
    .split(/[,|]/)
    .map((entry) => entry.trim().replace(/\/+$/, ""))
    .filter((entry) => entry !== "" && !GO_KEYWORDS.has(entry));
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
 */
export function defaultUpstreams(
  upstream: string | undefined,
  goProxy: () => string = goEnvProxy,
  isOwn: (url: string) => boolean = () => false,
): readonly string[] {
  const named = parseUpstreamList(upstream ?? "");
  if (named.length > 0) return named;
  const fromGo = parseUpstreamList(goProxy()).filter((url) => !isOwn(url));
  return fromGo.length > 0 ? fromGo : FALLBACK_UPSTREAMS;
}
