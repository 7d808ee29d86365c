import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isIPv6 } from "node:net";
import { join, relative } from "node:path";
import type { ServeOptions } from "./options.ts";

// The package has no types: its main module says where the binary lies.
const { default: workerdPath } = createRequire(import.meta.url)("workerd") as { default: string };

// Where the runtime tells which port each socket listens on.
const CONTROL_FD = 3;
const SOCKET = "http";

/** Starts the runtime `WORKERD_BINARY` in such a way that the terminal's signals pass it by. */
export const RUNTIME_SCRIPT = join(import.meta.dirname, "workerd.sh");

/**
 * The runtime's allocator keeps free memory by processor only if it may register for restartable
 * sequences itself; the C library, which is first, makes it fall back to slower caches by thread.
 *
 * @source glibc manual, 38.5 (glibc.pthread.rseq)
 */
export const RUNTIME_ENV: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: "glibc.pthread.rseq=0",
  WORKERD_BINARY: workerdPath,
};

/**
 * A collection of the young generation alone frees next to nothing here: what a request leaves is
 * held by the runtime's own heap, which only a whole collection looks into. So each is a whole one,
 * in steps large enough that what memory keeps is not looked through too often, and that never
 * grow: memory after many hits is what it was after few.
 */
const V8_FLAGS = ["--gc-global", "--min-semi-space-size=8", "--max-semi-space-size=8"];

/** Must be that of wrangler.toml: it is the same Worker. */
export const COMPATIBILITY_DATE = "2026-10-01";
/** Durable Object classes and their bindings. */
export const DURABLE_OBJECTS = [
  { binding: "COORDINATORS", className: "Coordinator" },
  { binding: "DIRECTORY", className: "Directory" },
  { binding: "SUMDBS", className: "SumdbLog" },
] as const;

/**
 * Start the runtime on a generated configuration: the disk service in place of R2, SQLite in
 * place of KV, and nothing else in the path of a request.
 */
export function startWorkerd(bundle: string, options: ServeOptions): ChildProcess {
  const folders = {
    run: join(options.data, "run"),
    files: join(options.data, "files"),
    objects: join(options.data, "objects"),
  };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  // Beside the configuration, so that a new build cannot change what is running.
  copyFileSync(bundle, join(folders.run, "worker.js"));
  const configFile = join(folders.run, "workerd.capnp");
  writeFileSync(configFile, toCapnp(options, folders));
  return spawn(RUNTIME_SCRIPT, ["serve", `--control-fd=${CONTROL_FD}`, configFile], {
    stdio: ["ignore", "inherit", "pipe", "pipe"],
    // The only way in for secrets: neither the configuration nor the arguments show them.
    env: { ...RUNTIME_ENV, ...options.secrets } as NodeJS.ProcessEnv,
  });
}

/**
 * The port that the runtime listens on, once it does.
 *
 * A port that was free a moment ago may be taken by then, so the runtime itself chooses it.
 */
export async function readPort(child: ChildProcess): Promise<number> {
  const control = child.stdio[CONTROL_FD] as Readable;
  for await (const line of createInterface({ input: control })) {
    const message = JSON.parse(line) as { event: string; socket?: string; port?: number };
    if (message.event === "listen" && message.socket === SOCKET) return message.port ?? 0;
  }
  // It has ended, which whoever started it learns in another way.
  return await new Promise(() => undefined);
}

function toCapnp(
  options: ServeOptions,
  folders: { readonly run: string; readonly files: string; readonly objects: string },
): string {
  const secrets = Object.keys(options.secrets).map(
    (name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`,
  );
  const namespaces = DURABLE_OBJECTS.map(({ className }) => {
    const uniqueKey = text(`goproxy-edge-${className}`);
    // Their number is fixed, and one that comes back opens its database anew: that costs more than
    // a fetch does.
    return `(className = ${text(className)}, uniqueKey = ${uniqueKey}, enableSql = true, preventEviction = true)`;
  });
  const objects = DURABLE_OBJECTS.map(
    ({ binding, className }) =>
      `(name = ${text(binding)}, durableObjectNamespace = ${text(className)})`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "files", disk = (path = ${text(folders.files)}, writable = true, allowDotfiles = false)),
    (name = "leftovers", disk = (path = ${text(folders.files)}, writable = true, allowDotfiles = true)),
    (name = "objects", disk = (path = ${text(folders.objects)}, writable = true)),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true${trustedCertificates(folders.run)}))),
  ],
  v8Flags = [${V8_FLAGS.map(text).join(", ")}],
  sockets = [(
    name = ${text(SOCKET)},
    address = ${text(toAddress(options.host, options.port))},
    service = "main",
    ${toSocketKind(options, folders.run)})],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${text(COMPATIBILITY_DATE)},
  bindings = [
    (name = "DISK", service = "files"),
    (name = "LEFTOVERS", service = "leftovers"),
    (name = "CONFIG", text = ${text(options.document)}),
    ${[...objects, ...secrets].join(",\n    ")},
  ],
  durableObjectNamespaces = [${namespaces.join(", ")}],
  durableObjectStorage = (localDisk = "objects"),
);
`;
}

/** A company's own authority, named as for every other program, is trusted as well. */
function trustedCertificates(run: string): string {
  const file = process.env["SSL_CERT_FILE"];
  return file === undefined ? "" : `, trustedCertificates = [embed ${text(relative(run, file))}]`;
}

function toSocketKind({ tls }: ServeOptions, run: string): string {
  if (tls === undefined) return "http = ()";
  // Embedded by reference: the key itself is never written into the configuration.
  const key = text(relative(run, tls.keyFile));
  const certificate = text(relative(run, tls.certFile));
  return `https = (options = (), tlsOptions = (
      keypair = (privateKey = embed ${key}, certificateChain = embed ${certificate}),
      minVersion = tls1Dot2))`;
}

function toAddress(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A Cap'n Proto string literal. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll(/\\u([0-9a-f]{4})/g, (_, hex: string) => {
    return String.raw`\x` + hex.slice(2);
  });
}
