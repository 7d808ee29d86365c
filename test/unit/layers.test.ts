// Guarantee: an import against the direction of the layers cannot pass the linter. The rules are
// worth nothing if they silently match no file, so bad files are planted and each must be reported.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const CONFIG_FILES = ["oxlint.config.ts", "layers.config.ts", "scripts/lint"];

/** The table of the design, written out again: a change of direction is a change of this too. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  module: [],
  errors: ["module"],
  config: ["module", "errors", "policy", "auth"],
  sumdb: ["module", "errors"],
  git: ["module", "errors"],
  policy: ["module", "errors"],
  auth: ["module", "errors"],
  proxy: ["module", "errors", "config", "sumdb", "policy", "auth"],
  store: ["module", "errors"],
  telemetry: ["module", "errors"],
  upstream: ["module", "errors", "git"],
  http: ["module", "errors", "config", "policy", "auth", "proxy"],
  scripts: ["module", "errors", "config", "sumdb", "auth"],
};
const PORTS_ONLY = new Set(["store", "telemetry", "upstream"]);
const LAYERS = Object.keys(MAY_IMPORT).filter((layer) => layer !== "scripts");

/** One planted file and the rule that must report it, or `undefined` when none may. */
interface Plant {
  readonly file: string;
  readonly text: string;
  readonly rule?: string | undefined;
}

function edgePlants(from: string, to: string, allowed: boolean): Plant[] {
  const rule = allowed ? undefined : "no-restricted-imports";
  const here = from === "scripts" ? "scripts" : `src/${from}`;
  const up = from === "scripts" ? "../src" : "..";
  return [
    {
      file: `${here}/to-${to}.ts`,
      text: `import { stub } from "${up}/${to}/stub.ts";\nexport const used = stub;\n`,
      rule,
    },
    {
      file: `${here}/deep/to-${to}.ts`,
      text: `import type { Stub } from "../${up}/${to}/stub.ts";\nexport type Used = Stub;\n`,
      rule,
    },
    { file: `${here}/re-${to}.ts`, text: `export { stub } from "${up}/${to}/stub.ts";\n`, rule },
  ];
}

function allEdges(): Plant[] {
  return Object.entries(MAY_IMPORT).flatMap(([from, allowed]) =>
    LAYERS.filter((to) => to !== from).flatMap((to) => edgePlants(from, to, allowed.includes(to))),
  );
}

function portPlants(): Plant[] {
  const text = 'import type { Port } from "../proxy/ports.ts";\nexport type Used = Port;\n';
  return LAYERS.filter((layer) => layer !== "proxy").map((layer) => ({
    file: `src/${layer}/to-ports.ts`,
    text,
    rule: layer === "http" || PORTS_ONLY.has(layer) ? undefined : "no-restricted-imports",
  }));
}

/** `text` in each of the places; those in `allowed` must stay silent. */
function everywhere(name: string, text: string, rule: string, allowed: readonly string[]): Plant[] {
  const places = [...LAYERS.map((layer) => `src/${layer}/${name}.ts`), "src/worker.ts"];
  return places.map((file) => ({
    file,
    text,
    rule: allowed.some((place) => file.startsWith(place)) ? undefined : rule,
  }));
}

const BINDINGS = ["src/store/", "src/worker.ts"];
const CLOCK = ["src/store/", "src/telemetry/", "src/worker.ts"];

const PLACE_PLANTS: readonly (readonly [string, readonly Plant[]])[] = [
  [
    "hono outside src/http and src/worker.ts",
    everywhere(
      "uses-hono",
      'import { Hono } from "hono";\nexport const app = new Hono();\n',
      "no-restricted-imports",
      ["src/http/", "src/worker.ts"],
    ),
  ],
  [
    "a part of hono outside src/http and src/worker.ts",
    everywhere(
      "uses-hono-part",
      'import { html } from "hono/html";\nexport const page = html;\n',
      "no-restricted-imports",
      ["src/http/", "src/worker.ts"],
    ),
  ],
  [
    "the platform's module outside src/store and src/worker.ts",
    everywhere(
      "uses-platform",
      'import { DurableObject } from "cloudflare:workers";\nexport class Box extends DurableObject {}\n',
      "no-restricted-imports",
      BINDINGS,
    ),
  ],
  ...["R2Bucket", "KVNamespace", "DurableObjectState", "DurableObjectNamespace<Box>", "Cache"].map(
    (type): readonly [string, readonly Plant[]] => [
      `the type ${type} outside src/store and src/worker.ts`,
      everywhere(
        "uses-type",
        `export interface Box {\n  readonly inner: ${type};\n}\n`,
        "no-restricted-types",
        BINDINGS,
      ),
    ],
  ),
  [
    "the global caches outside src/store and src/worker.ts",
    everywhere(
      "uses-caches",
      "export const cache = caches.default;\n",
      "no-restricted-globals",
      BINDINGS,
    ),
  ],
  [
    "global fetch in any place but the http client",
    everywhere(
      "uses-fetch",
      "export const answer = (url: string): Promise<Response> => fetch(url);\n",
      "no-restricted-globals",
      [],
    ),
  ],
  [
    "global fetch by its full name",
    everywhere(
      "uses-global-fetch",
      "export const answer = (url: string): Promise<Response> => globalThis.fetch(url);\n",
      "no-restricted-properties",
      [],
    ),
  ],
  ...["Date.now()", "Math.random()", "crypto.randomUUID()", "performance.now()"].map(
    (call): readonly [string, readonly Plant[]] => [
      `${call} where the clock is injected`,
      everywhere(
        "uses-ambient",
        `export const value = (): unknown => ${call};\n`,
        "no-restricted-properties",
        CLOCK,
      ),
    ],
  ),
  [
    "crypto.getRandomValues() where random is injected",
    everywhere(
      "uses-random-values",
      "export const value = (): Uint8Array => crypto.getRandomValues(new Uint8Array(8));\n",
      "no-restricted-properties",
      CLOCK,
    ),
  ],
  [
    "randomUUID of node:crypto where random is injected",
    everywhere(
      "uses-random-import",
      'import { randomUUID } from "node:crypto";\nexport const value = (): string => randomUUID();\n',
      "no-restricted-imports",
      CLOCK,
    ),
  ],
  [
    "new Date() where the clock is injected",
    everywhere(
      "uses-date",
      "export const value = (): Date => new Date();\n",
      "no-ambient-date",
      CLOCK,
    ),
  ],
  [
    "console outside the log",
    everywhere(
      "uses-console",
      'export const say = (): void => console.log("said");\n',
      "no-console",
      [],
    ),
  ],
  [
    "a dynamic import",
    everywhere(
      "uses-import",
      'export const load = (): Promise<unknown> => import("./stub.ts");\n',
      "no-dynamic-import",
      [],
    ),
  ],
  [
    "a default export of a layer",
    everywhere("default-export", "export default 1;\n", "no-default-export", ["src/worker.ts"]),
  ],
];

const HARMLESS: readonly Plant[] = [
  { file: "src/proxy/dates.ts", text: "export const at = (ms: number): Date => new Date(ms);\n" },
  {
    file: "src/module/hash.ts",
    text: 'import { createHash } from "node:crypto";\nexport const hash = createHash("sha256");\n',
  },
  {
    file: "src/upstream/http-client.ts",
    text: "export const get = (url: string): Promise<Response> => fetch(url);\n",
  },
  {
    file: "src/telemetry/log.ts",
    text: "export const write = (line: string): void => console.log(line);\n",
  },
  { file: "scripts/now.ts", text: "console.log(Date.now(), new Date(), Math.random());\n" },
  { file: "tool.config.ts", text: "export default {};\n" },
];

const OTHER_FORBIDDEN: readonly Plant[] = [
  {
    file: "src/proxy/uses-test.ts",
    text: 'export { fake } from "../../test/support/fake.ts";\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/http/uses-script.ts",
    text: 'export { cli } from "../../scripts/cli.ts";\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/http/uses-worker.ts",
    text: 'export { Coordinator } from "../worker.ts";\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/http/uses-barrel.ts",
    text: 'export { all } from "./routes/index.ts";\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/proxy/uses-network.ts",
    text: 'import { connect } from "node:net";\nexport const open = connect;\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/upstream/http-client.ts",
    text: 'export { stub } from "../store/stub.ts";\n',
    rule: "no-restricted-imports",
  },
  {
    file: "src/module/ring-one.ts",
    text: 'import { two } from "./ring-two.ts";\nexport const one = (): unknown => two;\n',
    rule: "no-cycle",
  },
  {
    file: "src/module/ring-two.ts",
    text: 'import { one } from "./ring-one.ts";\nexport const two = (): unknown => one;\n',
    rule: "no-cycle",
  },
  {
    file: "src/module/CamelCase.ts",
    text: "export const camel = 1;\n",
    rule: "filename-case",
  },
  {
    file: "src/module/too-many-parameters.ts",
    text: "export const sum = (a: number, b: number, c: number, d: number, e: number): number => a + b + c + d + e;\n",
    rule: "max-params",
  },
  {
    file: "src/module/any.ts",
    text: "export const whatever = (value: any): void => void value;\n",
    rule: "no-explicit-any",
  },
];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

/** Lint the planted files with the project's own configuration, as `file: rule` lines. */
function lintPlants(plants: readonly Plant[]): Set<string> {
  const tree = mkdtempSync(join(tmpdir(), "layers-"));
  try {
    for (const file of CONFIG_FILES) {
      cpSync(join(ROOT, file), join(tree, file), { recursive: true });
    }
    for (const { file, text } of plants) {
      mkdirSync(dirname(join(tree, file)), { recursive: true });
      writeFileSync(join(tree, file), text);
    }
    const bin = join(ROOT, "node_modules/oxlint/bin/oxlint");
    const run = spawnSync(process.execPath, [bin, "--format=json"], {
      cwd: tree,
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024,
    });
    if (!run.stdout.startsWith("{")) throw new Error(`oxlint: ${run.stdout}${run.stderr}`);
    const { diagnostics } = JSON.parse(run.stdout) as { diagnostics: readonly Diagnostic[] };
    return new Set(
      diagnostics.map(({ code, filename }) => `${filename}: ${/\(([^)]+)\)/.exec(code)?.[1]}`),
    );
  } finally {
    rmSync(tree, { recursive: true });
  }
}

/** The plants whose report differs from what it must be; empty when the linter holds. */
function wrongReports(plants: readonly Plant[], watched: readonly string[]): string[] {
  const reported = lintPlants(plants);
  const wanted = new Set(
    plants.flatMap(({ file, rule }) => (rule === undefined ? [] : [`${file}: ${rule}`])),
  );
  const missed = [...wanted].filter((line) => !reported.has(line)).map((line) => `missed ${line}`);
  const extra = [...reported]
    .filter((line) => !wanted.has(line) && watched.some((rule) => line.endsWith(`: ${rule}`)))
    .map((line) => `extra ${line}`);
  return [...missed, ...extra];
}

describe("layers", () => {
  it("every edge against the table is reported and no other", ({ expect }) => {
    const plants = [...allEdges(), ...portPlants()];
    const forbidden = plants.filter(({ rule }) => rule !== undefined);
    expect(forbidden.length).toBeGreaterThan(200);
    expect(plants.length - forbidden.length).toBeGreaterThan(100);

    expect(wrongReports(plants, ["no-restricted-imports"])).toEqual([]);
  });

  it.for(PLACE_PLANTS)("%s is reported, and allowed where it belongs", ([, plants], { expect }) => {
    const rules = plants.flatMap(({ rule }) => rule ?? []);

    expect(wrongReports(plants, rules)).toEqual([]);
  });

  it("files that keep the rules are silent", ({ expect }) => {
    expect([...lintPlants(HARMLESS)]).toEqual([]);
  });

  it("tests, scripts, cycles, sizes and names are watched too", ({ expect }) => {
    expect(wrongReports(OTHER_FORBIDDEN, [])).toEqual([]);
  });
});
