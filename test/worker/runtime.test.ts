import { describe, it } from "vitest";
import type { Bindings } from "../../src/runtime.ts";
import { readSecret } from "../../src/runtime.ts";

describe("readSecret()", () => {
  // Guarantee: what depends on a secret that is not there is closed.
  it.for([[undefined], [""], [" "], ["\t\r\n "]])("refuses %j", ([value], { expect }) => {
    const env = { TOKEN: value } as unknown as Bindings;
    expect(() => readSecret(env, "TOKEN")).toThrow(/^unavailable: .*TOKEN/);
  });

  it("gives a secret as it is, with the white space around it", ({ expect }) => {
    expect(readSecret({ TOKEN: " x\n" } as unknown as Bindings, "TOKEN")).toBe(" x\n");
  });
});
