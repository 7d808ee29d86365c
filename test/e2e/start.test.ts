import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, it } from "vitest";
import { FakeUpstream, zip } from "../support/fake-upstream.ts";
import { open } from "../support/http-client.ts";
import { makeLargeModule, makeModule, readFixtures } from "../support/module-fixture.ts";
import {
  eventually,
  isListening,
  ROOT,
  ServerProcess,
  spawnServer,
  startServer,
  STORAGES,
  writeConfig,
} from "../support/start-server.ts";
import { makeTempFolder } from "../support/temp-folder.ts";

// `npm start` as an operator meets it: flags, files, exit codes, signals, and what it leaves behind.

const MEBIBYTE = 1024 * 1024;
const UPSTREAM = "http://127.0.0.1:9";
const SECRET = "v3ry-s3cret-value";

// Name and key of the database that golang.org/x/mod tests with.
const KEY =
  "localhost.localdev/sumdb localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6";

const hasOpenssl = runs("openssl", ["version"]);

describe("a mistake ends the start with code 2 and one line that names it", () => {
  const missing = join(makeTempFolder("missing"), "nothing.yaml");
  const data = makeTempFolder("data");
  const write = (...parts: string[]): string => {
    const file = join(makeTempFolder("file"), "file");
    writeFileSync(file, parts.join(""));
    return file;
  };
  const config = (text: string): string[] => ["--config", writeConfig(text)];
  const cases: [string, string[], RegExp][] = [
    ["an unknown flag", ["--prot", "1"], /--prot/],
    ["a flag without its value", ["--port"], /--port/],
    ["a word that is no flag", ["8787"], /8787/],
    ["a port that is none", ["--port", "http"], /--port: http is not a port/],
    ["a port above the highest", ["--port", "65536"], /--port/],
    ["a negative port", ["--port=-1"], /--port/],
    ["a storage that is none", ["--storage", "tape"], /--storage: must be disk or r2/],
    ["a host that cannot be used", ["--host", "192.0.2.1"], /192\.0\.2\.1/],
    ["an empty upstream list", ["--upstream", "direct,off"], /--upstream/],
    ["an upstream that is no URL", ["--upstream", "not a url"], /--upstream/],
    ["an upstream with a password", ["--upstream", `http://u:${SECRET}@127.0.0.1:9`], /--upstream.*credential/],
    ["an upstream that is a folder", ["--upstream", `file:///srv/${SECRET}`], /--upstream: entry 1 must be an http or https URL/],
    ["a sumdb on plain http", ["--sumdb", `${KEY} http://sum.example.com`], /--sumdb:1: sumdb\.url: must be an https URL/],
    ["a sumdb that is half", ["--sumdb", "name key"], /--sumdb/],
    ["a configuration that is not there", ["--config", missing], /--config: cannot read .*nothing\.yaml/],
    ["secrets that are not there", ["--secrets", missing], /--secrets: cannot read .*nothing\.yaml/],
    ["a certificate without its key", ["--tls-cert", missing], /--tls-cert/],
    ["a certificate that is not there", ["--tls-cert", missing, "--tls-key", missing], /--tls-cert: cannot read/],
    ["secrets that are none", ["--secrets", write("A=1\n", `here is ${SECRET}\n`)], /file:2: must be NAME=value/],
    ["secrets that are no text", ["--secrets", write("\u0000\u0001\u0002", SECRET)], /file:1: must be NAME=value/],
    ["secrets whose quote stays open", ["--secrets", write("A=1\n", `B="${SECRET}\nC=3\n`)], /file:2: must be NAME=value/],
    ["a data folder that is a file", ["--data", write()], /--data: .*file/],
    ["a data folder without a name", ["--data", ""], /--data: must name a folder/],
    ["a data folder where none can be", ["--data", "/proc/x"], /--data: cannot use \/proc\/x/],
    ["YAML that does not parse", config("upstreams: [\n  - x: {\n"), /goproxy-edge\.yaml:\d+: /],
    ["an unknown key", config("upstreams:\n  - url: http://127.0.0.1:9\n    retries: 3\n"), /goproxy-edge\.yaml:3: upstreams\[0\]\.retries: unknown key/],
    ["an unknown key at the top", config("\n\ncolour: red\n"), /goproxy-edge\.yaml:3: colour: unknown key/],
    ["a value of the wrong kind", config("cache:\n  list: 60\n"), /goproxy-edge\.yaml:2: cache\.list: /],
    ["a time without unit", config("cache:\n  memory: 24h\n  negative: '60'\n"), /goproxy-edge\.yaml:3: cache\.negative: .*60s/],
    ["a status that is none", config("upstreams:\n  - url: http://127.0.0.1:9\n    notFound: [404, 200]\n"), /goproxy-edge\.yaml:3: upstreams\[0\]\.notFound\[1\]: /],
    ["two upstreams of one name", config("upstreams:\n  - {name: a, url: http://127.0.0.1:9}\n  - {name: a, url: http://127.0.0.1:8}\n"), /goproxy-edge\.yaml:3: upstreams\[1\]\.name: /],
    ["a source that is none", config("teams:\n  - name: a\n    private:\n      - {pattern: x.test/*, source: nobody}\n"), /goproxy-edge\.yaml:4: teams\[0\]\.private\[0\]\.source: /],
    ["a key that is none", config("sumdb:\n  name: x.test\n  key: x.test+zzz\n"), /goproxy-edge\.yaml:3: sumdb\.key: /],
    ["a key of another database", config(`sumdb:\n  name: x.test\n  key: ${KEY.split(" ")[1]}\n`), /goproxy-edge\.yaml:3: sumdb\.key: is of /],
    ["the same key twice", config("sumdb: off\nsumdb: off\n"), /goproxy-edge\.yaml:2: /],
    ["a list instead of a document", config("- a\n"), /goproxy-edge\.yaml:1: /],
    ["a secret that is missing", config("upstreams:\n  - url: http://127.0.0.1:9\n    credential: NOT_THERE\n"), /NOT_THERE.*missing/],
    ["a secret in place of its name", config(`upstreams:\n  - url: http://127.0.0.1:9\n    credential: "user:${SECRET}"\n`), /credential: .*NAME of a Worker secret/],
  ]; // prettier-ignore

  it.for(cases)("%s", async ([, args, line], { expect }) => {
    const all = args.some((arg) => arg.startsWith("--data")) ? args : ["--data", data, ...args];
    const hasPort = args.some((arg) => arg.startsWith("--port"));
    const started = spawnServer(hasPort ? all : ["--port", "0", ...all]);
    const { code, stderr, stdout } = await started.ended;
    expect({ code, lines: stderr.trimEnd().split("\n").length }).toEqual({ code: 2, lines: 1 });
    expect(stderr).toMatch(/^goproxy-edge: /);
    expect(stderr).toMatch(line);
    expect(stdout + stderr).not.toContain(SECRET);
    expect(stdout).not.toContain("ready on");
  });

  it("a busy port", async ({ expect, onTestFinished }) => {
    const holder = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => holder.once("listening", resolve));
    onTestFinished(() => void holder.close());
    const address = holder.address();
    const port = String(typeof address === "object" ? address?.port : address);
    for (const storage of STORAGES) {
      const folder = makeTempFolder("busy");
      const started = spawnServer(["--port", port, "--data", folder, "--storage", storage]);
      const { code, stderr } = await started.ended;
      expect(code).toBe(2);
      expect(stderr).toMatch(new RegExp(`^goproxy-edge: .*port ${port}.* busy\\n$`));
    }
  });

  it("an empty secret", async ({ expect }) => {
    const document = { upstreams: [{ url: UPSTREAM, credential: "EMPTY" }] };
    const started = spawnServer(
      ["--port", "0", "--data", makeTempFolder("data"), "--config", writeConfig(document)],
      { env: { EMPTY: "" }, cwd: makeTempFolder("cwd") },
    );
    const { code, stderr } = await started.ended;
    expect(code).toBe(2);
    expect(stderr).toContain("EMPTY");
  });

  it.for(STORAGES)(
    "a data folder that another process has, --storage %s",
    async (storage, { expect, onTestFinished }) => {
      const first = await startServer({ storage, upstream: UPSTREAM });
      onTestFinished(async () => await first.stop().then(() => undefined));
      for (const other of STORAGES) {
        const second = spawnServer(["--port", "0", "--data", first.data, "--storage", other]);
        const { code, stderr } = await second.ended;
        expect(code).toBe(2);
        expect(stderr).toMatch(/^goproxy-edge: --data: .* in use by another process\n$/);
      }
      expect((await first.ask("/-/healthz")).status).toBe(200);
    },
  );
});

describe.each(STORAGES)("a server with --storage %s", (storage) => {
  let upstream: FakeUpstream;

  beforeAll(async () => {
    upstream = await FakeUpstream.start(readFixtures());
  });

  afterAll(async () => await upstream.down());

  it("is ready within 10 s and prints the line to copy", async ({ expect, onTestFinished }) => {
    const startedMs = performance.now();
    const server = await startServer({ storage, upstream: upstream.url });
    onTestFinished(async () => await server.stop().then(() => undefined));
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect((await server.ask("/-/healthz")).status).toBe(200);
    expect(server.process.stdout).toContain(`go env -w GOPROXY=${server.url}\n`);
    expect(server.process.stderr).toBe("");
  });

  it("keeps its data over a restart", async ({ expect }) => {
    const paths = ["list", "v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip"].map(
      (name) => `/example.com/hello/@v/${name}`,
    );
    const first = await startServer({ storage, upstream: upstream.url });
    const before = [];
    for (const path of paths) before.push((await first.ask(path)).text);
    await first.stop();
    const second = await startServer({ storage, data: first.data, upstream: UPSTREAM });
    const after = [];
    for (const path of paths) after.push((await second.ask(path)).text);
    await second.stop();
    expect(after).toEqual(before);
  });

  it("ends on SIGTERM and SIGINT within 5 s and with code 0, its port free", async ({ expect }) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const server = await startServer({ storage, upstream: upstream.url });
      await server.ask("/example.com/hello/@v/list");
      const startedMs = performance.now();
      server.process.child.kill(signal);
      const { code } = await server.process.ended;
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect({ signal, code }).toEqual({ signal, code: 0 });
      expect(await isListening(server.url)).toBe(false);
    }
  });

  // A terminal sends Ctrl-C, and its own end, to every process that it started.
  it.for([
    ["SIGTERM", "the launcher"],
    ["SIGTERM", "all processes"],
    ["SIGINT", "all processes"],
    ["SIGHUP", "all processes"],
  ] as const)(
    "lets an open answer end on %s to %s, and cuts one that does not after 4 s",
    async ([signal, whom], { expect }) => {
      const quick = makeLargeModule("drain.test/quick", "v1.0.0", 4 * MEBIBYTE);
      const endless = makeLargeModule("drain.test/endless", "v1.0.0", 4 * MEBIBYTE);
      upstream.on(`/${quick.base}.zip`, { ...zip(quick.zip), pieces: 20, pauseMs: 60 });
      upstream.on(`/${endless.base}.zip`, {
        ...zip(endless.zip),
        sendBytes: 3 * MEBIBYTE,
        ending: "hang",
      });
      const server = await startServer({ storage, upstream: upstream.url });
      const open1 = await open(server.url, `/${quick.base}.zip`);
      const whole = readAll(open1);
      const open2 = await open(server.url, `/${endless.base}.zip`);
      const cut = readAll(open2).catch(() => undefined);
      const startedMs = performance.now();
      const pid = server.process.child.pid ?? 0;
      process.kill(whom === "the launcher" ? pid : -pid, signal);
      const read = await whole.catch(() => Buffer.alloc(0));
      const { code } = await server.process.ended;
      const tookMs = performance.now() - startedMs;
      expect(tookMs).toBeGreaterThan(3500);
      expect(tookMs).toBeLessThan(5000);
      expect(code).toBe(0);
      expect(await eventually(async () => !(await isListening(server.url)), 1000)).toBe(true);
      expect((await cut)?.equals(endless.zip) ?? false).toBe(false);
      expect(read.equals(quick.zip)).toBe(true);
    },
  );

  it("leaves no process behind when the launcher alone is killed", async ({ expect }) => {
    const server = await startServer({ storage, upstream: upstream.url });
    await server.process.killLauncher();
    const isClosed = async (): Promise<boolean> => !(await isListening(server.url));
    expect(await eventually(isClosed, 3000)).toBe(true);
    const again = await startServer({ storage, data: server.data, upstream: upstream.url });
    expect((await again.ask("/example.com/hello/@v/list")).status).toBe(200);
    await again.stop();
  });

  it("shows its secrets to nobody: not in its output, its files or its arguments", async ({
    expect,
    onTestFinished,
  }) => {
    const secrets = join(makeTempFolder("secrets"), "secrets.env");
    writeFileSync(secrets, `UP_TOKEN=${SECRET}\nADMIN_TOKEN=admin-${SECRET}\n`);
    const server = await startServer({
      storage,
      config: {
        upstreams: [{ url: upstream.url, credential: "UP_TOKEN" }],
        sumdb: "off",
      },
      args: ["--secrets", secrets],
    });
    onTestFinished(async () => await server.stop().then(() => undefined));
    await server.ask("/example.com/hello/@v/v1.0.0.zip");
    await server.ask("/-/api/v1/jobs/x", { headers: { Authorization: `Bearer admin-${SECRET}` } });
    await server.ask("/-/api/v1/jobs/x", { headers: { Authorization: `Bearer wrong-${SECRET}` } });
    const asked = upstream.requests.filter(({ headers }) => headers.authorization !== undefined);
    expect(asked.at(-1)?.headers.authorization).toBe(`Bearer ${SECRET}`);
    expect(server.process.stdout + server.process.stderr).not.toContain(SECRET);
    expect(filesWith(server.data, SECRET)).toEqual([]);
    expect(argumentsOf(server.process.child.pid ?? 0)).not.toContain(SECRET);
  });

  it.skipIf(!hasOpenssl && process.env["CI"] !== "true")(
    "speaks TLS 1.2 or newer with a certificate of one's own",
    async ({ expect, onTestFinished }) => {
      const { cert, key } = makeCertificate();
      const server = await startServer({
        storage,
        upstream: upstream.url,
        args: ["--tls-cert", cert, "--tls-key", key],
      });
      onTestFinished(async () => await server.stop().then(() => undefined));
      expect(server.url).toMatch(/^https:/);
      const ca = readFileSync(cert);
      const { status, text } = await getTls(`${server.url}/example.com/hello/@v/list`, ca);
      expect({ status, text }).toEqual({ status: 200, text: "v1.0.0\n" });
      const page = await getTls(`${server.url}/`, ca);
      expect(page.text).toContain(`GOPROXY=${server.url}`);
      const port = Number(new URL(server.url).port);
      expect(await handshake(port, "TLSv1.3", ca)).toBe("TLSv1.3");
      expect(await handshake(port, "TLSv1.2", ca)).toBe("TLSv1.2");
      expect(await handshake(port, "TLSv1.1", ca)).toBeUndefined();
    },
  );

  it("runs by npm start, whose end is the server's end", async ({ expect }) => {
    const data = makeTempFolder("npm");
    const args = ["--port", "0", "--data", data, "--storage", storage, "--upstream", upstream.url];
    const npm = new ServerProcess("npm", ["start", "--", ...args, "--sumdb", "off"], { cwd: ROOT });
    const url = await npm.waitUntilReady();
    expect(await isListening(url)).toBe(true);
    npm.child.kill("SIGKILL");
    await npm.ended;
    expect(await eventually(async () => !(await isListening(url)), 3000)).toBe(true);
    npm.killGroup();
  });
});

describe("a start", () => {
  it("takes its upstreams from UPSTREAM where no flag and no file names any", async ({
    expect,
    onTestFinished,
  }) => {
    const module = makeModule({ path: "env.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    const server = await startServer({ env: { UPSTREAM: `${upstream.url},direct` } });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    expect((await server.ask("/env.test/m/@v/list")).status).toBe(200);
  });

  it("refuses what it cannot ask, and says where that stands", async ({ expect }) => {
    const args = ["--port", "0", "--data", makeTempFolder("data"), "--sumdb", "off"];
    for (const [name, where] of [
      ["UPSTREAM", "UPSTREAM"],
      ["GOPROXY", "go env GOPROXY"],
    ] as const) {
      const env = { [name]: `https://u:${SECRET}@proxy.example` };
      const { code, stderr, stdout } = await spawnServer(args, { env }).ended;
      expect({ code, lines: stderr.trimEnd().split("\n").length }).toEqual({ code: 2, lines: 1 });
      expect(stderr).toContain(`goproxy-edge: ${where}: entry 1 must not hold a credential`);
      expect(stdout + stderr).not.toContain(SECRET);
    }
  });

  it("lets a flag beat the file", async ({ expect, onTestFinished }) => {
    const module = makeModule({ path: "flag.test/m", version: "v1.0.0" });
    const upstream = await FakeUpstream.start([module]);
    const server = await startServer({
      config: { upstreams: [{ url: UPSTREAM }], sumdb: "off" },
      upstream: upstream.url,
    });
    onTestFinished(async () => {
      await server.stop();
      await upstream.down();
    });
    expect((await server.ask("/flag.test/m/@v/list")).status).toBe(200);
  });

  // A port that is looked for first and taken later may be somebody else's by then.
  it("gives servers that start at once with port 0 a port each", async ({ expect }) => {
    const servers = await Promise.all(
      [...STORAGES, ...STORAGES].map(async (storage) => await startServer({ storage })),
    );
    expect(new Set(servers.map(({ url }) => url)).size).toBe(4);
    for (const server of servers) expect((await server.ask("/-/healthz")).status).toBe(200);
    await Promise.all(servers.map(async (server) => await server.stop()));
  });

  it("listens on all addresses and on IPv6 when told so", async ({ expect, onTestFinished }) => {
    for (const host of ["0.0.0.0", "::1"]) {
      const started = spawnServer([
        "--port",
        "0",
        "--host",
        host,
        "--data",
        makeTempFolder("host"),
        "--upstream",
        UPSTREAM,
        "--sumdb",
        "off",
      ]);
      onTestFinished(async () => await started.stop().then(() => undefined));
      const url = await started.waitUntilReady();
      const reachable = url.replace("0.0.0.0", "127.0.0.1");
      const response = await fetch(`${reachable}/-/healthz`);
      expect({ host, status: response.status }).toEqual({ host, status: 200 });
    }
  });
});

async function readAll(response: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Files below a folder, and in its processes' view, that hold a text. */
function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .filter((path) => readFileSync(path).includes(text));
}

/** Command lines of a process and all below it. */
function argumentsOf(pid: number): string {
  const table = execFileSync("ps", ["-eo", "pid=,pgid=,args="], { encoding: "utf8" });
  return table
    .split("\n")
    .filter((line) => Number(line.trim().split(/\s+/)[1]) === pid)
    .join("\n");
}

function makeCertificate(): { cert: string; key: string } {
  const folder = makeTempFolder("tls");
  const cert = join(folder, "cert.pem");
  const key = join(folder, "key.pem");
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert],
    { stdio: "ignore" },
  ); // prettier-ignore
  return { cert, key };
}

async function getTls(url: string, ca: Buffer): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const sent = httpsRequest(url, { ca, agent: false }, (response) => {
    readAll(response).then(
      (body) => resolve({ status: response.statusCode ?? 0, text: body.toString() }),
      reject,
    );
  });
  sent.once("error", reject);
  sent.end();
  return await promise;
}

/** The version that a handshake agrees on; undefined when there is none. */
async function handshake(
  port: number,
  version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3",
  ca: Buffer,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = tlsConnect({
    host: "127.0.0.1",
    port,
    ca,
    minVersion: version,
    maxVersion: version,
    ciphers: "DEFAULT:@SECLEVEL=0",
  });
  socket.once("secureConnect", () => resolve(socket.getProtocol() ?? undefined));
  socket.once("error", () => resolve(undefined));
  const agreed = await promise;
  socket.destroy();
  return agreed;
}

function runs(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
