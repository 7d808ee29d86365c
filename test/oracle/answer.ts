import { createHash } from "node:crypto";

import { bytesSource } from "../../src/module/byte-window.ts";
import { goModHash, hash1 } from "../../src/module/dirhash.ts";
import { parseGoMod, syntheticGoMod } from "../../src/module/go-mod.ts";
import * as path from "../../src/module/path.ts";
import {
  findPathPatternProblem,
  matchPathPattern,
  matchPrefixPatterns,
} from "../../src/module/pattern.ts";
import * as pseudo from "../../src/module/pseudo-version.ts";
import * as version from "../../src/module/version.ts";
import { verifyModuleZip } from "../../src/module/zip-check.ts";
import { decodeInfo } from "../../src/proxy/info-json.ts";
import { ZERO_GO_TIME_MS } from "../../src/module/go-time.ts";
import type { Question } from "./cases.ts";

/** Answers a question with our code, in the form in which the Go program answers it. */
export async function answer(question: Question): Promise<unknown> {
  const [operation, ...args] = question;
  const texts = args.map(String);
  const [first = "", second = "", third = "", fourth = ""] = texts;
  switch (operation) {
    case "hash":
      return hashOf(args[0] as [string, string][]);
    case "sort":
      return version.sortVersions(args[0] as string[]);
    case "makePseudo":
      return pseudo.pseudoVersion(first, second, new Date(Number(third) * 1000), fourth);
    case "zip": {
      const checked = await verifyModuleZip(
        bytesSource(Buffer.from(third, "base64")),
        first,
        second,
      );
      return "problem" in checked ? null : checked.h1;
    }
    default: {
      const answered = answerPath(operation, first, second);
      return answered === undefined ? answerVersion(operation, first, second) : answered;
    }
  }
}

function answerPath(operation: string, first: string, second: string): unknown {
  switch (operation) {
    case "checkPath":
      return path.findModulePathProblem(first) === undefined;
    case "checkImport":
      return path.findImportPathProblem(first) === undefined;
    case "checkFile":
      return path.findFilePathProblem(first) === undefined;
    case "check":
      return path.findModuleVersionProblem(first, second) === undefined;
    case "split": {
      const split = path.splitPathVersion(first);
      return split === undefined ? null : [split.prefix, split.pathMajor];
    }
    case "matchMajor":
      return path.matchPathMajor(first, second);
    case "escapePath": {
      const modulePath = path.tryParseModulePath(first);
      return modulePath === undefined ? null : path.escapePath(modulePath);
    }
    case "unescapePath":
      return path.tryUnescapePath(first) ?? null;
    case "escapeVersion":
      return path.tryEscapeVersion(first) ?? null;
    case "unescapeVersion":
      return path.tryUnescapeVersion(first) ?? null;
    case "match":
      return [matchPathPattern(first, second), findPathPatternProblem(first) !== undefined];
    case "matchPrefix":
      return matchPrefixPatterns(first, second);
    default:
      return undefined;
  }
}

function answerVersion(operation: string, first: string, second: string): unknown {
  switch (operation) {
    case "semver":
      return [
        version.isValidVersion(first),
        version.canonicalize(first),
        version.canonicalVersion(first),
        version.majorOf(first),
        version.majorMinorOf(first),
        version.prereleaseOf(first),
        version.buildOf(first),
      ];
    case "compare":
      return version.compareVersions(first, second);
    case "pseudo":
      return [
        pseudo.isPseudoVersion(first),
        pseudo.pseudoVersionTime(first)?.toISOString().replace(".000Z", "Z") ?? null,
        pseudo.pseudoVersionRevision(first) ?? null,
        pseudo.pseudoVersionBase(first) ?? null,
      ];
    case "goMod":
      return goModOf(first);
    case "info":
      return infoOf(first);
    case "syntheticGoMod":
      return syntheticGoMod(first);
    case "goModHash":
      return goModHash(new TextEncoder().encode(first));
    default:
      throw new TypeError(`unknown operation ${operation}`);
  }
}

/** The go command refuses a file of which one directive is bad; we keep what is good. */
function goModOf(text: string): unknown {
  const parsed = parseGoMod(text);
  if ("problem" in parsed || parsed.directiveProblem !== undefined) return null;
  const { modulePath, goVersion = "", deprecated = "", retract } = parsed;
  return [
    modulePath,
    goVersion,
    deprecated,
    retract.map((r) => [r.low, r.high, r.rationale ?? ""]),
  ];
}

function infoOf(text: string): unknown {
  const info = decodeInfo(text);
  if ("problem" in info) return null;
  const { timeMs, commit } = info;
  return [info.version, Math.floor((timeMs ?? ZERO_GO_TIME_MS) / 1000), commit];
}

function hashOf(pairs: readonly (readonly [string, string])[]): string | null {
  const contents = new Map(pairs);
  const hashed = hash1(
    pairs.map(([name]) => ({
      name,
      sha256: createHash("sha256")
        .update(contents.get(name) ?? "")
        .digest(),
    })),
  );
  return typeof hashed === "string" ? hashed : null;
}
