// The real go command against the real public Go module proxy, through this one. A test that needs
// the network says why it is skipped; with CI=true a missing go command fails.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, type ExpectStatic, it } from "vitest";
import {
  findGoObstacle,
  GO_CACHE_FOLDER,
  type GoEnv,
  makeGoEnv,
  readPublicProxy,
  readPublicSumdb,
} from "../support/go-env.ts";
import { type RunningServer, startServer, STORAGES } from "../support/start-server.ts";

const UNREACHABLE = "http://127.0.0.1:9";
const MIN_MODULES = 60;

const GRAPH = `module example.com/measured

go 1.25.0

require (
	github.com/gin-gonic/gin v1.12.0
	github.com/go-chi/chi/v5 v5.2.3
	github.com/jackc/pgx/v5 v5.7.6
	github.com/prometheus/client_golang v1.23.2
	github.com/spf13/cobra v1.10.2
	github.com/spf13/viper v1.21.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/zap v1.28.0
	gorm.io/gorm v1.31.2
)
`;

/** One module of each kind of name. */
const KINDS = [
  ["capitals", "github.com/BurntSushi/toml@v1.6.0"],
  ["capitals in host folder and version", "github.com/Azure/go-autorest@v14.2.0+incompatible"],
  ["+incompatible", "github.com/gofrs/uuid@v4.4.0+incompatible"],
  ["/vN", "github.com/russross/blackfriday/v2@v2.1.0"],
  ["gopkg.in", "gopkg.in/yaml.v3@v3.0.1"],
  ["a pseudo-version", "golang.org/x/exp@v0.0.0-20250819193227-8b4c13bb791b"],
  ["a plain one", "golang.org/x/text@v0.40.0"],
  ["a v0 of one release", "rsc.io/qr@v0.2.0"],
] as const;

interface Download {
  readonly Path: string;
  readonly Version: string;
  readonly Error?: string;
  readonly Sum?: string;
  readonly GoModSum?: string;
}

const obstacle = findGoObstacle() ?? (await findNetworkObstacle());
const isSkipped =
  obstacle !== undefined && (process.env["CI"] !== "true" || findGoObstacle() === undefined);
if (obstacle !== undefined) console.log(`go tests: ${obstacle}`);

const upstream = obstacle === undefined ? (readPublicProxy() ?? "") : "";

// The same for every server, so it is made once.
let direct: ReturnType<typeof download> | undefined;

describe.skipIf(isSkipped).each(STORAGES)(
  `the go command through --storage %s${obstacle === undefined ? "" : ` (${obstacle})`}`,
  (storage) => {
    let server: RunningServer;

    beforeAll(async () => {
      if (obstacle !== undefined) throw new Error(obstacle);
      server = await startServer({ storage, upstream });
    });

    afterAll(async () => await server.stop());

    it(`downloads a graph of ${MIN_MODULES} modules and more, cold, then warm with no upstream`, async ({
      expect,
    }) => {
      const cold = await download(server.url);
      expect(cold.modules.length).toBeGreaterThanOrEqual(MIN_MODULES);
      expect(cold.modules.filter(({ Error: error }) => error !== undefined)).toEqual([]);
      const { data } = server;
      await server.stop();
      server = await startServer({ storage, data, upstream: UNREACHABLE });
      const warm = await download(server.url);
      expect(warm.goSum).toBe(cold.goSum);
      direct ??= download(upstream);
      expect(cold.goSum).toBe((await direct).goSum);
      await server.stop();
      if (storage === "disk") await checkStaticTree(expect, join(data, "files/public"), cold.goSum);
      server = await startServer({ storage, data, upstream });
    });

    it.for(KINDS)("gets the same of %s as without it: %s", async ([, module], { expect }) => {
      const ours = makeGoEnv(server.url);
      const plain = makeGoEnv(upstream);
      const [mine, theirs] = await Promise.all([
        describeModule(ours, module),
        describeModule(plain, module),
      ]);
      expect(mine).toEqual(theirs);
      const path = module.split("@", 1)[0] ?? "";
      const [list, theirList] = await Promise.all([
        ours.go(["list", "-m", "-versions", "-json", path]),
        plain.go(["list", "-m", "-versions", "-json", path]),
      ]);
      expect(JSON.parse(list.stdout)).toEqual(JSON.parse(theirList.stdout));
    });

    it("builds a program whose checksums the public database vouches for", async ({ expect }) => {
      const go = makeGoEnv(withDatabase(server.url), {
        env: { GOSUMDB: readPublicSumdb(), GOFLAGS: "-modcacherw -mod=mod" },
      });
      writeFileSync(
        join(go.folder, "go.mod"),
        "module example.com/qr\n\ngo 1.20\n\nrequire rsc.io/qr v0.2.0\n",
      );
      writeFileSync(
        join(go.folder, "main.go"),
        'package main\n\nimport (\n\t"fmt"\n\n\t"rsc.io/qr"\n)\n\nfunc main() {\n\tcode, err := qr.Encode("hello", qr.L)\n\tfmt.Println(code.Size, err)\n}\n',
      );
      const output = await go.mustGo(["run", "."]);
      expect(output).toBe("21 <nil>\n");
    });

    it("explains an absent module and an absent version in its own words", async ({ expect }) => {
      const go = makeGoEnv(server.url);
      const version = await go.go(["list", "-m", "golang.org/x/text@v0.0.999"]);
      expect(version.code).not.toBe(0);
      expect(version.stderr).toContain("request-id:");
      expect(version.stderr).toMatch(/not found|refused/);
    });
  },
);

describe.skipIf(isSkipped)("toolchains", () => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer({ upstream });
  });

  afterAll(async () => await server.stop());

  it("GOTOOLCHAIN=auto fetches a newer go through the proxy, cold and with no request before", async ({
    expect,
  }) => {
    // A folder of its own, which no other run has filled.
    const go = makeGoEnv(withDatabase(server.url), {
      env: { GOTOOLCHAIN: "auto", GOSUMDB: readPublicSumdb() },
    });
    writeFileSync(join(go.folder, "go.mod"), "module example.com/newer\n\ngo 1.27.0\n");
    writeFileSync(
      join(go.folder, "main.go"),
      'package main\n\nimport "runtime"\n\nfunc main() { println(runtime.Version()) }\n',
    );
    const version = await go.mustGo(["version"]);
    expect(version).toContain("go1.27.0");
    const asked = server.process.stdout
      .split("\n")
      .filter((line) => line.includes("golang.org/toolchain"));
    expect(asked.some((line) => line.includes(".zip"))).toBe(true);
    expect(server.stored().filter((key) => key.includes("staging"))).toEqual([]);
  });

  it.for(["1.13.15", "1.20.14", "1.21.13", "1.27.4"])(
    "go %s resolves, downloads and verifies through the proxy",
    async (release, { expect }) => {
      const program = await getRelease(release);
      const go = makeGoEnv(server.url, {
        program,
        env: {
          GOFLAGS: release.startsWith("1.13") ? "" : "-modcacherw",
          GOROOT: join(program, "../.."),
        },
      });
      writeFileSync(
        join(go.folder, "go.mod"),
        "module example.com/old\n\ngo 1.13\n\nrequire (\n\trsc.io/qr v0.2.0\n\tgithub.com/BurntSushi/toml v0.3.1\n)\n",
      );
      const lines = (await go.mustGo(["mod", "download", "-json"])).replaceAll("}\n{", "},\n{");
      const modules = JSON.parse(`[${lines}]`) as Download[];
      expect(modules.map(({ Path, Sum }) => ({ Path, hasSum: Sum !== undefined }))).toEqual(
        expect.arrayContaining([
          { Path: "rsc.io/qr", hasSum: true },
          { Path: "github.com/BurntSushi/toml", hasSum: true },
        ]),
      );
      const listed = await go.mustGo(["list", "-m", "-versions", "rsc.io/qr"]);
      expect(listed).toContain("v0.2.0");
      // 1.13 makes its module cache read-only, whatever it is told.
      await go.go(["clean", "-modcache"]);
    },
  );
});

/** The folder of a scope is itself a GOPROXY, lists and all. */
async function checkStaticTree(expect: ExpectStatic, tree: string, goSum: string): Promise<void> {
  const fromFile = await download(`file://${tree}`);
  expect(fromFile.goSum).toBe(goSum);
  const go = makeGoEnv(`file://${tree}`);
  const versions = await go.mustGo(["list", "-m", "-versions", "github.com/spf13/cobra"]);
  expect(versions).toContain("v1.10.2");
  expect(await go.mustGo(["list", "-m", "go.uber.org/zap@latest"])).toContain("v1.28.0");
}

/** Who serves no checksum database lets the go command ask the next proxy of the list for it. */
function withDatabase(proxy: string): string {
  return `${proxy},${upstream}`;
}

/** Download the graph into an empty module cache. */
async function download(proxy: string): Promise<{ modules: Download[]; goSum: string }> {
  const go = makeGoEnv(proxy);
  writeFileSync(join(go.folder, "go.mod"), GRAPH);
  const output = await go.mustGo(["mod", "download", "-json", "all"]);
  const modules = JSON.parse(`[${output.replaceAll("}\n{", "},\n{")}]`) as Download[];
  const lines = modules.flatMap(({ Path: path, Version: version, Sum: sum, GoModSum: modSum }) => [
    `${path} ${version} ${sum}`,
    `${path} ${version}/go.mod ${modSum}`,
  ]);
  return { modules, goSum: lines.toSorted().join("\n") };
}

/** What the go command says of a module, places on this machine aside. */
async function describeModule(go: GoEnv, module: string): Promise<unknown> {
  const result = await go.go(["mod", "download", "-json", module]);
  const {
    Path,
    Version,
    Error: error,
    Sum,
    GoModSum,
    Info,
    Zip,
  } = JSON.parse(result.stdout) as Download & { Info: string; Zip: string };
  return {
    Path,
    Version,
    error,
    Sum,
    GoModSum,
    info: JSON.parse(readFileSync(Info, "utf8")) as unknown,
    zip: readFileSync(Zip).length,
  };
}

/** The go command of another release, fetched once and kept. */
async function getRelease(release: string): Promise<string> {
  const modCache = join(GO_CACHE_FOLDER, "toolchains");
  mkdirSync(modCache, { recursive: true });
  const name = `golang.org/toolchain@v0.0.1-go${release}.linux-${process.arch === "arm64" ? "arm64" : "amd64"}`;
  const program = join(modCache, name, "bin/go");
  if (existsSync(program)) return program;
  const go = makeGoEnv(upstream, {
    modCache,
    // Old releases do not know the flags that the others take.
    env: { GOTOOLCHAIN: `go${release}`, GOSUMDB: readPublicSumdb(), GOFLAGS: "" },
  });
  await go.mustGo(["version"]);
  return program;
}

async function findNetworkObstacle(): Promise<string | undefined> {
  const proxy = readPublicProxy();
  if (proxy === undefined) return "go env GOPROXY names no proxy";
  try {
    const response = await fetch(`${proxy}/golang.org/x/text/@v/list`, {
      signal: AbortSignal.timeout(10_000),
    });
    return response.ok ? undefined : `the public Go module proxy answers ${response.status}`;
  } catch {
    return "the public Go module proxy cannot be reached";
  }
}
