import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { type ModuleRequest, parseModuleRequest } from "../../../src/module/request.ts";
import { checkInfo } from "../../../src/proxy/check-info.ts";

const PSEUDO = "v0.0.0-20210203040506-abcdefabcdef";
const EXACT = parseModuleRequest("example.com/m/@v/v1.0.0.info") as ModuleRequest;
const EXACT_PSEUDO = parseModuleRequest(`example.com/m/@v/${PSEUDO}.info`) as ModuleRequest;
const QUERY = parseModuleRequest("example.com/m/@v/main.info") as ModuleRequest;

const check = (text: string, request: ModuleRequest) =>
  checkInfo(new TextEncoder().encode(text), request);

describe("checkInfo()", () => {
  it.for([
    [EXACT, `{"Version":"v1.0.0"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2021-02-03T04:05:06Z","Unknown":[1]}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2021-02-03T04:05:06.123+02:00"}`],
    [EXACT, ` {"Version":"v1.0.0","Time":null}\n`],
    [EXACT_PSEUDO, `{"Version":"${PSEUDO}","Time":"2021-02-03T04:05:06Z"}`],
    [EXACT_PSEUDO, `{"Version":"${PSEUDO}","Time":"2021-02-03T06:05:06+02:00"}`],
    [EXACT_PSEUDO, `{"Version":"${PSEUDO}","Time":"2021-02-03T04:05:00Z"}`],
    [QUERY, `{"Version":"v1.2.3"}`],
    [QUERY, `{"Version":"${PSEUDO}"}`],
    // What the go command takes.
    [EXACT, `{"version":"v1.0.0"}`],
    [EXACT, `{"Ver\\u0073ion":"v1.0.0"}`],
    [EXACT, `{"Version":"v9.9.9","version":"v1.0.0"}`],
    [EXACT, `{"Version":"v9.9.9","version":"v9.9.8","Version":"v1.0.0"}`],
    [EXACT, `{"Version":"v1.0.0","Version":null}`],
    [EXACT, `{"Version":"v1.0.0","Name":1,"Short":[],"Other":{"Version":2}}`],
    [EXACT, `{"Version":"v1.0.0","Origin":null}`],
    [EXACT, `{"Version":"v1.0.0","Origin":{"VCS":null,"Other":1}}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-29T23:59:59.1234567891234+23:59"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T04:05:06+22:60"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T4:05:06,5Z"}`],
    [EXACT_PSEUDO, `{"Version":"${PSEUDO}","Time":"2021-02-03T04:05:06Z","Time":null}`],
  ] as const)("takes $1", ([request, text], { expect }) => {
    expect(check(text, request).version).toMatch(/^v/);
  });

  it("finds the commit of the origin", ({ expect }) => {
    const hash = "0123456789abcdef0123456789abcdef01234567";
    const origin = `{"Version":"v1.0.0","Origin":{"VCS":"git","Hash":"${hash}"}}`;
    expect(check(origin, EXACT).commit).toBe(hash);
    expect(check(`{"Version":"v1.0.0","Origin":{"Hash":"x"}}`, EXACT).commit).toBeUndefined();
    const twice = `{"Version":"v1.0.0","Origin":{"Hash":"${hash}"},"origin":{"Ref":"x"}}`;
    expect(check(twice, EXACT).commit).toBe(hash);
    const none = `{"Version":"v1.0.0","Origin":{"Hash":"${hash}"},"Origin":null}`;
    expect(check(none, EXACT).commit).toBeUndefined();
  });

  it.for([
    [EXACT, ""],
    [EXACT, "{}"],
    [EXACT, "null"],
    [EXACT, "[]"],
    [EXACT, `"v1.0.0"`],
    [EXACT, `{"Version":1}`],
    [EXACT, `{"Version":"v1.0.1"}`],
    [EXACT, `{"Version":"v1.0.0","version":"v9.9.9"}`],
    [EXACT, `{"Version":1,"Version":"v1.0.0"}`],
    [EXACT, `{"Version":"v1.0.0"} trailing`],
    [EXACT, `\ufeff{"Version":"v1.0.0"}`],
    [EXACT, `{"Version":"v1.0.0","x":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    [EXACT, `{"Version":"v1.0.0","Origin":5}`],
    [EXACT, `{"Version":"v1.0.0","Origin":"x"}`],
    [EXACT, `{"Version":"v1.0.0","Origin":[]}`],
    [EXACT, `{"Version":"v1.0.0","Origin":{"VCS":1}}`],
    [EXACT, `{"Version":"v1.0.0","origin":{"reposum":{}}}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-30T00:00:00Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2021-02-29T00:00:00Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T24:00:00Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2016-12-31T23:59:60Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03t04:05:06z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T04:05:06+25:00"}`],
    // The go command can read these and not write them.
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T04:05:06+24:00"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020-02-03T04:05:06-23:60"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2020\\u002d02-03T04:05:06Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":5,"Time":"2020-02-03T04:05:06Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2021-02-03"}`],
    [EXACT, `{"Version":"v1.0.0","Time":"2021-13-03T04:05:06Z"}`],
    [EXACT, `{"Version":"v1.0.0","Time":5}`],
    [EXACT_PSEUDO, `{"Version":"${PSEUDO}","Time":"2021-02-03T04:06:06Z"}`],
    [QUERY, `{"Version":"main"}`],
    [QUERY, `{"Version":"v1"}`],
    [QUERY, `{"Version":"v2.0.0"}`],
    [QUERY, `{"Version":"v1.0.0+meta"}`],
  ] as const)("refuses $1", ([request, text], { expect }) => {
    expect(() => check(text, request)).toThrow(ProxyError);
  });
});
