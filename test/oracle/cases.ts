import { infoQuestion } from "./info-cases.ts";
import type { Random } from "./random.ts";
import {
  HOSTS,
  ELEMENTS,
  CHARS,
  VERSION_PARTS,
  PRERELEASES,
  BUILDS,
  TIMESTAMPS,
  ODD_TIMES,
  REVISIONS,
  GLOBS,
  NAME_PARTS,
  GO_MOD_LINES,
} from "./vocabulary.ts";
import { zipQuestion } from "./zip-cases.ts";

/** An operation of the oracle and its arguments. */
export type Question = readonly [operation: string, ...args: unknown[]];

/** A question, and whether a refusal of ours may meet a yes of Go (ambiguous archives). */
export interface OracleCase {
  readonly question: Question;
  readonly mayBeStricter?: boolean;
}

type Generator = (random: Random) => OracleCase;

const PATH: Generator = (random) => {
  const path = randomPath(random);
  return {
    question: [random.pick(["checkPath", "checkImport", "checkFile", "split", "escapePath"]), path],
  };
};
const ESCAPED: Generator = (random) => {
  const lower = randomPath(random).replaceAll(/[A-Z]/g, (c) => `!${c.toLowerCase()}`);
  const text = random.oneIn(3) ? mutate(random, lower) : lower;
  return { question: [random.pick(["unescapePath", "unescapePath", "unescapeVersion"]), text] };
};
const ESCAPE_VERSION: Generator = (random) => ({
  question: ["escapeVersion", random.oneIn(2) ? randomVersion(random) : randomElement(random)],
});
const CHECK: Generator = (random) => {
  if (random.oneIn(2)) return { question: ["check", randomPath(random), randomVersion(random)] };
  const major = random.pick([
    "",
    "/v2",
    "/v3",
    ".v1",
    ".v2",
    ".v1-unstable",
    ".v0",
    "v2",
    "/v2-unstable",
  ]);
  return { question: ["matchMajor", randomVersion(random), major] };
};
const SEMVER: Generator = (random) => ({ question: ["semver", randomVersion(random)] });
const COMPARE: Generator = (random) => ({
  question: ["compare", randomVersion(random), randomVersion(random)],
});
const SORT: Generator = (random) => ({ question: ["sort", many(random, 8, randomVersion)] });
const PSEUDO: Generator = (random) => ({ question: ["pseudo", randomPseudo(random)] });
const MAKE_PSEUDO: Generator = (random) => ({
  question: [
    "makePseudo",
    random.pick(["", "v0", "v1", "v2", "v10"]),
    random.oneIn(4) ? "" : randomVersion(random),
    random.below(2 ** 32) - 2 ** 30,
    random.pick(REVISIONS),
  ],
});
const MATCH: Generator = (random) => ({
  question: ["match", randomGlob(random), many(random, 5, (r) => r.pick(NAME_PARTS)).join("")],
});
const MATCH_PREFIX: Generator = (random) => ({
  question: [
    "matchPrefix",
    many(random, 3, randomPrefixGlob).join(","),
    random.oneIn(6)
      ? randomPath(random)
      : random.pick(["rsc.io/quote/v3", "a/b/c", "ab", "a/b", "corp.example.com/x"]),
  ],
});
const GO_MOD: Generator = (random) => ({ question: ["goMod", randomGoMod(random)] });
const HASH: Generator = (random) => {
  if (random.oneIn(4)) return { question: ["goModHash", randomGoMod(random)] };
  if (random.oneIn(4)) return { question: ["syntheticGoMod", randomPath(random)] };
  const pairs = many(random, 6, (r): [string, string] => [randomPath(r), r.pick(["", "x\n", "é"])]);
  return { question: ["hash", pairs] };
};

/** How often each kind is asked, in shares of the whole. */
const MIX: readonly (readonly [share: number, generator: Generator])[] = [
  [24, PATH],
  [14, ESCAPED],
  [4, ESCAPE_VERSION],
  [8, CHECK],
  [8, SEMVER],
  [10, COMPARE],
  [3, SORT],
  [8, PSEUDO],
  [4, MAKE_PSEUDO],
  [12, MATCH],
  [6, MATCH_PREFIX],
  [5, GO_MOD],
  [3, HASH],
  [8, infoQuestion],
];
const LOTS = MIX.flatMap(([share, generator]) => Array.from({ length: share }, () => generator));

/** Makes the table of sample paths and then generated cases, `zips` of them archives. */
export function makeCases(random: Random, count: number, zips: number): OracleCase[] {
  const table = HOSTS.flatMap((host) =>
    ELEMENTS.flatMap((element): OracleCase[] => {
      const path = `${host}/${element}`;
      return [
        { question: ["checkPath", path] },
        { question: ["checkImport", path] },
        { question: ["checkFile", path] },
        { question: ["split", path] },
      ];
    }),
  );
  const generated = Array.from({ length: count }, () => random.pick(LOTS)(random));
  const archives = Array.from({ length: zips }, () => zipQuestion(random));
  return [...table, ...generated, ...archives];
}

function many<T>(random: Random, most: number, make: (random: Random) => T): T[] {
  return Array.from({ length: random.below(most + 1) }, () => make(random));
}

function randomElement(random: Random): string {
  if (random.oneIn(3)) return many(random, 6, (r) => r.pick(Array.from(CHARS))).join("");
  return random.pick(ELEMENTS);
}

function randomPath(random: Random): string {
  const first = random.oneIn(8) ? randomElement(random) : random.pick(HOSTS);
  const path = [first, ...many(random, 4, randomElement)].join("/");
  return random.oneIn(4) ? mutate(random, path) : path;
}

/** Inserts, drops or replaces one character. */
function mutate(random: Random, text: string): string {
  const chars = Array.from(text);
  const at = random.below(chars.length + 1);
  const inserted = random.oneIn(3) ? [] : [random.pick(Array.from(CHARS))];
  chars.splice(at, random.below(2), ...inserted);
  return chars.join("");
}

function randomVersion(random: Random): string {
  if (random.oneIn(8)) return randomPseudo(random);
  const numbers = random.oneIn(5)
    ? [random.pick(VERSION_PARTS), ...many(random, 3, (r) => r.pick(VERSION_PARTS))]
    : many(random, 2, (r) => String(r.below(3)))
        .concat("1", "0")
        .slice(0, 3 - Number(random.oneIn(9)));
  const prerelease = random.oneIn(3) ? `-${random.pick(PRERELEASES)}` : "";
  const build = random.oneIn(4) ? `+${random.pick(BUILDS)}` : "";
  const version = `v${numbers.join(".")}${prerelease}${build}`;
  return random.oneIn(12) ? mutate(random, version) : version;
}

function randomPseudo(random: Random): string {
  const base = random.pick([
    "v0.0.0-",
    "v1.0.0-",
    "v2.0.0-",
    "v1.2.3-0.",
    "v1.2.0-0.",
    "v1.2.10-0.",
    "v1.2.3-pre.0.",
  ]);
  const odd = random.pick([
    "v1.2.3-",
    "v0.1.0-",
    "v1.2.3-pre.",
    "v1.2.3-0",
    "v0.0.0-0.",
    "v0.0.0--.0.",
    "v1-0.",
    "v1.2.100-0.",
  ]);
  const head = random.oneIn(3) ? odd : base;
  const time = random.oneIn(5) ? random.pick(ODD_TIMES) : random.pick(TIMESTAMPS);
  const revision = random.oneIn(2) ? "abcdefabcdef" : random.pick(REVISIONS);
  const build = random.oneIn(4) ? `+${random.pick(BUILDS)}` : "";
  const version = `${head}${time}-${revision}${build}`;
  return random.oneIn(8) ? mutate(random, version) : version;
}

function randomGlob(random: Random): string {
  return many(random, 6, (r) => r.pick(r.oneIn(2) ? GLOBS : NAME_PARTS)).join("");
}

function randomPrefixGlob(random: Random): string {
  const known = [
    "*/quote",
    "*quo*",
    "rsc",
    "rsc*",
    "*.io",
    "*/*/*",
    "",
    "*.corp.example.com",
    "a/",
    "a/b/",
    "[a-b]/?",
    "a/[",
    "/",
  ];
  return random.oneIn(3) ? randomGlob(random) : random.pick(known);
}

function randomGoMod(random: Random): string {
  const end = random.oneIn(4) ? "\r\n" : "\n";
  const sound = GO_MOD_LINES.filter((line) => /^(?:\/\/|\t|retract|go 1\.2|$)/.test(line));
  const from = random.oneIn(2) ? sound : GO_MOD_LINES;
  const lines = many(random, 9, (r) => r.pick(from));
  const head = random.oneIn(6)
    ? []
    : many(random, 2, (r) => r.pick(["// Deprecated: old", "//", "// text", ""]));
  const module = random.oneIn(8) ? [] : ["module example.com/m"];
  const open =
    lines.lastIndexOf("retract (") > lines.lastIndexOf(")") && !random.oneIn(5) ? [")"] : [];
  const text = [...head, ...module, ...lines, ...open].join(end);
  return random.oneIn(8) ? text : text + end;
}
