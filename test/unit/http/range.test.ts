import { describe, it } from "vitest";
import { parseRange } from "../../../src/http/range.ts";

describe("parseRange()", () => {
  it.for([
    ["bytes=0-9", 100, 0, 10],
    ["bytes=99-", 100, 99, 1],
    ["bytes=0-", 100, 0, 100],
    ["bytes=10-1000", 100, 10, 90],
    ["bytes=-1", 100, 99, 1],
    ["bytes=-1000", 100, 0, 100],
    [" bytes=1-1 ", 100, 1, 1],
  ] as const)("%s of %i bytes", ([header, size, offsetBytes, lengthBytes], { expect }) => {
    expect(parseRange(header, size)).toEqual({ offsetBytes, lengthBytes });
  });

  it.for([
    ["bytes=100-", 100],
    ["bytes=100-200", 100],
    ["bytes=-0", 100],
    ["bytes=0-0", 0],
    ["bytes=-5", 0],
    ["bytes=99999999999999999999-", 100],
  ] as const)("%s of %i bytes cannot be satisfied", ([header, size], { expect }) => {
    expect(parseRange(header, size)).toBe("unsatisfiable");
  });

  it.for([
    null,
    "",
    "bytes=",
    "bytes=-",
    "bytes=5-4",
    "bytes=0-1,3-4",
    "items=0-1",
    "bytes=a-b",
    "bytes=0x1-",
    "bytes 0-1",
  ])("%s is no range: the whole is answered", (header, { expect }) => {
    expect(parseRange(header, 100)).toBeUndefined();
  });
});
