import { describe, it } from "vitest";
import { ProxyError, type ProxyErrorCode } from "../../../src/errors/proxy-error.ts";
import { type ModuleRequest, parseModuleRequest } from "../../../src/module/request.ts";
import type { ModuleSource, SourceAnswer } from "../../../src/proxy/ports.ts";
import { createSourceChain } from "../../../src/proxy/source-chain.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const REQUEST = parseModuleRequest("example.com/m/@v/list") as ModuleRequest;

type Says = "absent" | "found" | ProxyErrorCode;

class ScriptedSource implements ModuleSource {
  readonly name: string;
  says: Says;
  readonly deadlines: number[] = [];

  constructor(name: string, says: Says) {
    this.name = name;
    this.says = says;
  }

  ask(_: ModuleRequest, { deadlineMs }: { deadlineMs: number }): Promise<SourceAnswer> {
    this.deadlines.push(deadlineMs);
    const { says, name } = this;
    if (says === "absent") return Promise.resolve({ found: false, reason: `${name} has it not` });
    if (says !== "found") return Promise.reject(new ProxyError(says, name));
    return Promise.resolve({
      found: true,
      source: name,
      body: new Blob([]).stream(),
      sizeBytes: 0,
      contentType: "",
    });
  }
}

function makeChain(...says: Says[]) {
  const clock = new FakeClock();
  const sources = says.map((each, index) => new ScriptedSource(`source${index}`, each));
  const chain = createSourceChain(sources, clock);
  const ask = async (): Promise<string> => {
    try {
      const answer = await chain.ask(REQUEST, { deadlineMs: 9000 });
      return answer.found ? answer.source : `absent: ${answer.reason}`;
    } catch (error) {
      return error instanceof ProxyError ? `${error.code}: ${error.publicDetail}` : String(error);
    }
  };
  const asked = (): number[] => sources.map(({ deadlines }) => deadlines.length);
  return { clock, sources, chain, ask, asked };
}

describe("createSourceChain()", () => {
  it.for([
    [["found", "found"], "source0", [1, 0]],
    [["absent", "found"], "source1", [1, 1]],
    [["upstream_unavailable", "found"], "source1", [1, 1]],
    [["upstream_timeout", "found"], "source1", [1, 1]],
    [["absent", "absent"], "absent: source1 has it not", [1, 1]],
    [["upstream_unavailable", "absent"], "upstream_unavailable: source0", [1, 1]],
    [["absent", "upstream_timeout"], "upstream_timeout: source1", [1, 1]],
    [["upstream_denied", "found"], "upstream_denied: source0", [1, 0]],
    [["rate_limited", "found"], "rate_limited: source0", [1, 0]],
    [["upstream_invalid", "found"], "upstream_invalid: source0", [1, 0]],
    [[], "absent: no source has it", []],
  ] as const)("of %j says %s", async ([says, outcome, counts], { expect }) => {
    const { ask, asked } = makeChain(...says);
    expect(await ask()).toBe(outcome);
    expect(asked()).toEqual(counts);
  });

  it("asks a source that failed last for 5 s, and first again after that", async ({ expect }) => {
    const { ask, asked, clock, sources } = makeChain("upstream_unavailable", "absent");
    await ask();
    if (sources[0] !== undefined) sources[0].says = "found";
    if (sources[1] !== undefined) sources[1].says = "found";
    expect(await ask()).toBe("source1");
    expect(asked()).toEqual([1, 2]);
    clock.advance(5000);
    expect(await ask()).toBe("source0");
  });

  it("asks even a source that is down when there is no other", async ({ expect }) => {
    const { ask, chain, sources, clock } = makeChain("upstream_timeout");
    await ask();
    expect(chain.isDown()).toBe(true);
    if (sources[0] !== undefined) sources[0].says = "found";
    expect(await ask()).toBe("source0");
    expect(chain.isDown()).toBe(false);
    clock.advance(1);
  });

  it("is down only while every source is", async ({ expect }) => {
    const { ask, chain, clock, sources } = makeChain("upstream_timeout", "upstream_unavailable");
    await ask();
    expect(chain.isDown()).toBe(true);
    clock.advance(4999);
    expect(chain.isDown()).toBe(true);
    if (sources[1] !== undefined) sources[1].says = "absent";
    await ask();
    expect(chain.isDown()).toBe(false);
    clock.advance(60_000);
    expect(chain.isDown()).toBe(false);
  });

  it("gives those that have others behind them less time", async ({ expect }) => {
    const { ask, sources } = makeChain("absent", "absent", "absent");
    await ask();
    const deadlines = sources.map(({ deadlines: [deadline] }) => deadline);
    expect(deadlines[2]).toBe(9000);
    expect(deadlines[0]).toBeLessThan(9000);
    expect(deadlines[1]).toBe(deadlines[0]);
  });
});
