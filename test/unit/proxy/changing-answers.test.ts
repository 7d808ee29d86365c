// Guarantee: what the sources say of a module's versions is neither invented nor lost: an outage
// never looks like absence, and a store that was rebuilt answers by itself.

import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { type MutableRequest, parseModuleRequest } from "../../../src/module/request.ts";
import { sha256Hex } from "../../../src/module/sha256.ts";
import { ChangingAnswers } from "../../../src/proxy/changing-answers.ts";
import { Absences } from "../../../src/proxy/flights.ts";
import {
  type AnswerIndex,
  type FileStore,
  type MutableAnswer,
  PUBLIC_SCOPE,
} from "../../../src/proxy/ports.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const LIST = parseModuleRequest("a.test/m/@v/list") as MutableRequest;
const LATEST = parseModuleRequest("a.test/m/@latest") as MutableRequest;
const DOWN = new ProxyError("upstream_unavailable", "down");
const info = (version: string): string => `{"Version":"${version}"}`;

/** What is stored, and what the one source says: a body, an error, or nothing for absence. */
function make(
  stored: { readonly list?: string; readonly newestPseudo?: string; readonly infos?: string[] },
  says: { readonly list?: string | ProxyError; readonly latest?: string | ProxyError },
) {
  const answers = new Map<string, MutableAnswer>();
  if (stored.list !== undefined) {
    const { newestPseudo } = stored;
    const pseudo = newestPseudo === undefined ? {} : { newestPseudo };
    answers.set(LIST.path, { body: stored.list, fetchedAtMs: 0, revision: 1, ...pseudo });
  }
  const index = {
    read: (_: string, path: string) => answers.get(path),
    write(_: string, { path }: { path: string }, answer: MutableAnswer) {
      answers.set(path, { ...answer, revision: 1 });
      return answers.get(path);
    },
  } as unknown as AnswerIndex;
  const files = {
    open(_: string, path: string) {
      const version = (stored.infos ?? []).find((one) => path === `a.test/m/@v/${one}.info`);
      if (version === undefined) return Promise.resolve(undefined);
      const body = new Blob([info(version)]).stream();
      return Promise.resolve({ record: { sha256: sha256Hex(info(version)) }, body });
    },
  } as unknown as FileStore;
  const asked: string[] = [];
  const clock = new FakeClock();
  const changing = new ChangingAnswers({
    clock,
    files,
    index,
    events: { report: () => undefined },
    absences: new Absences(clock, 60),
    chainFor: () => ({
      name: "main",
      isDown: () => false,
      ask({ kind }) {
        asked.push(kind);
        const said = kind === "list" ? says.list : says.latest;
        if (said instanceof ProxyError) return Promise.reject(said);
        if (said === undefined) return Promise.resolve({ found: false, reason: "absent" });
        const body = new Blob([said]).stream();
        const sizeBytes = said.length;
        return Promise.resolve({ found: true, source: "main", body, sizeBytes, contentType: "" });
      },
    }),
    readInfo: () => Promise.resolve(undefined),
    times: { listSeconds: 60 },
  });
  const find = async (request: MutableRequest, cachedOnly = false): Promise<string> => {
    const outcome = await changing.find(PUBLIC_SCOPE, request, { cachedOnly });
    if (outcome.kind === "answer") return outcome.answer.body;
    return outcome.kind === "absent" ? "absent" : outcome.error.code;
  };
  return { find, asked, answers };
}

describe("an empty list of a source", () => {
  it.for([
    ["is answered as it is if there is a latest version", info("v1.0.0"), ""],
    ["is absence if there is none", undefined, "absent"],
    // Whether the module exists is not known: a 404 would hide an outage, an empty 200 would end
    // the client's search, and would be kept for good.
    ["is an outage while the source cannot say", DOWN, "upstream_unavailable"],
    ["is an outage while the source is too slow to say", "timeout", "upstream_timeout"],
    ["is a refusal when the source refuses to say", "denied", "upstream_denied"],
    ["is a refusal when the source is asked too often", "limited", "rate_limited"],
  ] as const)("%s", async ([, latest, expected], { expect }) => {
    const errors: Readonly<Record<string, ProxyError>> = {
      timeout: new ProxyError("upstream_timeout", ""),
      denied: new ProxyError("upstream_denied", ""),
      limited: new ProxyError("rate_limited", ""),
    };
    const said = typeof latest === "string" ? (errors[latest] ?? latest) : latest;
    const { find, answers } = make(
      {},
      { list: "", ...(said === undefined ? {} : { latest: said }) },
    );
    expect(await find(LIST)).toBe(expected);
    expect(answers.has(LIST.path)).toBe(expected === "");
  });

  it("does not end a list that was stored before", async ({ expect }) => {
    const { find } = make({ list: "v1.0.0\n" }, { list: "", latest: DOWN });
    expect(await find(LIST)).toBe("v1.0.0\n");
  });
});

describe("@latest that was never asked for", () => {
  const PSEUDO = "v0.0.0-20210203040506-abcdefabcdef";
  it.for([
    ["a release", "v1.0.0\nv1.2.0\nv2.0.0-rc.1\n", ["v1.0.0", "v1.2.0", "v2.0.0-rc.1"], "v1.2.0"],
    ["a pre-release", "v2.0.0-rc.1\n", ["v2.0.0-rc.1", PSEUDO], "v2.0.0-rc.1"],
    ["the newest pseudo-version", "", [PSEUDO], PSEUDO],
    ["the best that has its info stored", "v1.0.0\nv1.2.0\n", ["v1.0.0"], "v1.0.0"],
  ] as const)(
    "is derived from what is stored: %s",
    async ([, list, infos, version], { expect }) => {
      const stored = { list, newestPseudo: PSEUDO, infos: [...infos] };
      const { find, asked } = make(stored, { list: DOWN, latest: DOWN });
      expect(await find(LATEST, true)).toBe(info(version));
      expect(asked).toEqual([]);
      expect(await find(LATEST)).toBe(info(version));
    },
  );

  it("is what the source says while it can be asked", async ({ expect }) => {
    const stored = { list: "v1.0.0\n", infos: ["v1.0.0"] };
    const { find, answers } = make(stored, { latest: info("v1.5.0") });
    expect(await find(LATEST)).toBe(info("v1.5.0"));
    expect(answers.get(LATEST.path)?.body).toBe(info("v1.5.0"));
  });

  it("is not invented where no info is stored", async ({ expect }) => {
    const { find } = make({ list: "v1.0.0\n" }, { latest: DOWN });
    expect(await find(LATEST, true)).toBe("not_fetched");
    expect(await find(LATEST)).toBe("upstream_unavailable");
  });
});
