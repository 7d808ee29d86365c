import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the documented configuration is to run. */
export interface NginxPlace {
  /** Address and port of its own. */
  readonly listen: string;
  /** Address and port of goproxy-edge. */
  readonly edge: string;
  /** An empty folder that is its alone. */
  readonly folder: string;
  /** As root the workers must be told to stay root, or they may not read the folder. */
  readonly isRoot: boolean;
}

const DOCUMENT = join(import.meta.dirname, "../../docs/nginx.md");

/**
 * The configuration of docs/nginx.md with its folders and ports put in place.
 *
 * @throws Error when the document no longer holds what is to be replaced.
 */
export function readNginxConfig({ listen, edge, folder, isRoot }: NginxPlace): string {
  const block = /```nginx\n([\s\S]*?)```/.exec(readFileSync(DOCUMENT, "utf8"))?.[1];
  if (block === undefined) throw new Error("docs/nginx.md holds no configuration");
  const replacements: readonly (readonly [string, string])[] = [
    ["worker_processes auto;", "worker_processes 2;"],
    ["listen 8080 ", `listen ${listen} `],
    ["127.0.0.1:8787", edge],
    ["/var/cache/nginx/goproxy-edge", join(folder, "cache")],
    [
      "http {",
      ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].reduce(
        (text, name) => `${text}\n  ${name}_temp_path ${join(folder, name)};`,
        "http {",
      ),
    ],
  ];
  let config = block;
  for (const [from, to] of replacements) {
    if (!config.includes(from)) throw new Error(`docs/nginx.md does not say "${from}"`);
    config = config.replace(from, to);
  }
  const user = isRoot ? "user root;" : "";
  return `daemon off; ${user} pid ${join(folder, "nginx.pid")}; error_log stderr error;\n${config}`;
}
