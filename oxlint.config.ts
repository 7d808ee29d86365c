import type { DummyRuleMap, OxlintConfig, OxlintOverride } from "oxlint";
import {
  BINDING_TYPES,
  CONSOLE_FILE,
  FETCH_FILE,
  LAYERS,
  PORTS_FILE,
  type Privilege,
  SCRIPT_IMPORTS,
} from "./layers.config.ts";

const ALL_LAYERS = Object.keys(LAYERS);

interface ImportPattern {
  group?: string[];
  regex?: string;
  importNames?: string[];
  message: string;
}

/** Any relative way out of the folder into `name`, a folder or a file of `src/`. */
function intoLayer(name: string): string {
  return `^\\.\\.?/(\\.\\./)*(src/)?${name}(/|$)`;
}

function forbiddenLayers(
  self: string,
  allowed: readonly string[],
  portsOnly: boolean,
): ImportPattern[] {
  return ALL_LAYERS.filter((layer) => layer !== self && !allowed.includes(layer)).map((layer) => {
    if (layer === "proxy" && portsOnly) {
      return {
        group: ["**/proxy/**", `!**/${PORTS_FILE}`],
        message: `${self} may import from proxy only ${PORTS_FILE}`,
      };
    }
    return { regex: intoLayer(layer), message: `${self} may not import ${layer}` };
  });
}

/** Patterns that hold for every file below `src/`. */
const FROM_SOURCE: readonly ImportPattern[] = [
  { regex: "(^|/)(test|scripts)/", message: "src imports neither tests nor scripts" },
  { regex: "^\\.\\.?/(\\.\\./)*worker(\\.ts)?$", message: "nothing imports the composition root" },
  { regex: "/index(\\.ts)?$", message: "no barrel files: import the file that defines it" },
  {
    regex: "^(node:)?(https?|http2|net|tls|dgram|fs|child_process)(/|$)",
    message: "the Worker has one way out: upstream/http-client.ts",
  },
];

const HONO_IMPORT: ImportPattern = {
  regex: "^(hono|@hono)(/|$)",
  message: "hono stays in src/http and src/worker.ts",
};
const BINDINGS_IMPORT: ImportPattern = {
  regex: "^cloudflare:",
  message: "the platform's modules stay in src/store and src/worker.ts",
};
const RANDOM_IMPORT: ImportPattern = {
  regex: "^(node:)?crypto$",
  importNames: ["randomUUID", "randomBytes", "randomInt", "randomFillSync", "getRandomValues"],
  message: "take random numbers from the injected source",
};

const AMBIENT_PROPERTIES = [
  { object: "Date", property: "now", message: "take the time from the injected clock" },
  { object: "performance", property: "now", message: "take the time from the injected clock" },
  { object: "Math", property: "random", message: "take random numbers from the injected source" },
  {
    object: "crypto",
    property: "randomUUID",
    message: "take random numbers from the injected source",
  },
  {
    object: "crypto",
    property: "getRandomValues",
    message: "take random numbers from the injected source",
  },
];

const FETCH_MESSAGE = `global fetch is called only in ${FETCH_FILE}`;
const FETCH_PROPERTIES = ["globalThis", "self"].map((object) => ({
  object,
  property: "fetch",
  message: FETCH_MESSAGE,
}));

/**
 * The rules of one place below `src/`.
 *
 * An override replaces a rule as a whole, so each place gets its complete set at once.
 */
function placeRules(
  imports: readonly ImportPattern[],
  may: readonly Privilege[],
  mayFetch: boolean,
): DummyRuleMap {
  const patterns = [
    ...FROM_SOURCE,
    ...imports,
    ...(may.includes("hono") ? [] : [HONO_IMPORT]),
    ...(may.includes("bindings") ? [] : [BINDINGS_IMPORT]),
    ...(may.includes("clock") ? [] : [RANDOM_IMPORT]),
  ];
  const globals = [
    ...(mayFetch ? [] : [{ name: "fetch", message: FETCH_MESSAGE }]),
    ...(may.includes("bindings")
      ? []
      : [{ name: "caches", message: "the edge cache stays in src/store" }]),
  ];
  const properties = [
    ...(may.includes("clock") ? [] : AMBIENT_PROPERTIES),
    ...(mayFetch ? [] : FETCH_PROPERTIES),
  ];
  const types = Object.fromEntries(
    BINDING_TYPES.map((type) => [type, "the platform's storage stays in src/store"]),
  );
  return {
    "no-restricted-imports": ["error", { patterns }],
    "no-restricted-globals": globals.length > 0 ? ["error", ...globals] : "off",
    "no-restricted-properties": properties.length > 0 ? ["error", ...properties] : "off",
    "typescript/no-restricted-types": may.includes("bindings") ? "off" : ["error", { types }],
    "ambient/no-ambient-date": may.includes("clock") ? "off" : "error",
  };
}

function layerOverride(name: string): OxlintOverride {
  const rule = LAYERS[name];
  if (rule === undefined) throw new TypeError(`no layer ${name}`);
  const imports = forbiddenLayers(name, rule.imports, rule.portsOnly === true);
  return { files: [`src/${name}/**/*.ts`], rules: placeRules(imports, rule.may ?? [], false) };
}

function fetchFileOverride(): OxlintOverride {
  const rule = LAYERS["upstream"];
  const imports = forbiddenLayers("upstream", rule?.imports ?? [], true);
  return { files: [FETCH_FILE], rules: placeRules(imports, rule?.may ?? [], true) };
}

const config: OxlintConfig = {
  plugins: ["eslint", "typescript", "unicorn", "oxc", "import", "promise", "vitest"],
  jsPlugins: ["./scripts/lint/ambient-plugin.ts"],
  ignorePatterns: ["worker-configuration.d.ts", "dist", ".wrangler", ".data", "test/fixtures"],
  categories: { correctness: "error", suspicious: "error", perf: "error" },
  rules: {
    "import/no-cycle": "error",
    "import/no-default-export": "error",
    "no-console": "error",
    "unicorn/filename-case": ["error", { case: "kebabCase" }],

    "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }],
    "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
    complexity: ["error", { max: 15 }],
    "max-params": ["error", { max: 4 }],
    "max-depth": ["error", { max: 4 }],

    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/only-throw-error": "error",
    "typescript/switch-exhaustiveness-check": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-non-null-assertion": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/return-await": ["error", "error-handling-correctness-only"],

    // Sources are asked one after the other on purpose.
    "no-await-in-loop": "off",
    // A brand is put on by `as`, after the check that earns it.
    "typescript/no-unsafe-type-assertion": "off",
    // Promises are awaited; the few callbacks of `then` need no value.
    "promise/always-return": "off",
    // The compiler's noImplicitReturns says the same and understands exhaustive switches.
    "typescript/consistent-return": "off",
    // Values are copied, not changed in place.
    "oxc/no-map-spread": "off",
    // A helper stays beside its only user.
    "unicorn/consistent-function-scoping": "off",
  },
  overrides: [
    {
      files: ["src/**/*.ts"],
      rules: { "ambient/no-dynamic-import": "error", ...placeRules([], [], false) },
    },
    ...ALL_LAYERS.map(layerOverride),
    fetchFileOverride(),
    {
      // The composition root, in two files.
      files: ["src/worker.ts", "src/runtime.ts"],
      rules: placeRules([], ["hono", "bindings", "clock"], false),
    },
    { files: ["src/worker.ts"], rules: { "import/no-default-export": "off" } },
    { files: [CONSOLE_FILE, "scripts/**/*.ts"], rules: { "no-console": "off" } },
    {
      files: ["scripts/**/*.ts"],
      rules: {
        "no-restricted-imports": [
          "error",
          { patterns: forbiddenLayers("scripts", SCRIPT_IMPORTS, false) },
        ],
      },
    },
    { files: ["*.config.ts", "scripts/lint/*.ts"], rules: { "import/no-default-export": "off" } },
    {
      files: ["test/**/*.ts"],
      rules: {
        "max-lines": "off",
        "max-lines-per-function": "off",
        "max-params": "off",
        complexity: "off",
        "no-console": "off",
        // Tables of cases are grouped in lines that way.
        "unicorn/no-useless-spread": "off",
      },
    },
  ],
};

export default config;
