import { describe, it } from "vitest";
import { parseSecrets } from "../../../scripts/serve/secrets-file.ts";

describe("parseSecrets()", () => {
  it("reads names and values, comments, quotes and several lines", ({ expect }) => {
    const text = [
      "# a comment",
      "",
      "  A=1",
      "export B = two words # and a comment",
      "C='it is \"quoted\"' # more",
      'D="first',
      'second"',
      "E=",
      "F=it's",
      "G=`x=y`\r",
    ].join("\n");
    expect(parseSecrets(text, "f")).toEqual({
      A: "1",
      B: "two words",
      C: 'it is "quoted"',
      D: "first\nsecond",
      E: "",
      F: "it's",
      G: "x=y",
    });
    expect(parseSecrets("", "f")).toEqual({});
  });

  // Guarantee: whatever the file is, its content is not shown.
  it.for<[string, number]>([
    ["hunter2", 1],
    ["A=1\nhunter2\nB=2\n", 2],
    ["# x\n\nA=1\n=hunter2\n", 4],
    ["A=1\nB='hunter2\nC=3\n", 2],
    ['A="x\ny"\nB="hunter2', 3],
    ["\u0000\u0001hunter2=\u0002", 1],
    ["A=1\nB=\u0000hunter2\n", 2],
    ["A: hunter2", 1],
  ])("refuses %j at line %i", ([text, line], { expect }) => {
    const parse = (): unknown => parseSecrets(text, "some.env");
    expect(parse).toThrow(new RegExp(`^some\\.env:${line}: must be NAME=value`));
    expect(parse).not.toThrow(/hunter2/);
  });
});
