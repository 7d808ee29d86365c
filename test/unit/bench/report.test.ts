import { describe, it } from "vitest";
import { ManyFiles } from "../../../scripts/bench/many-files.ts";
import { readNginxConfig } from "../../../scripts/bench/nginx-config.ts";
import { readBenchOptions } from "../../../scripts/bench/options.ts";
import { Samples, toRatios, toSpread } from "../../../scripts/bench/samples.ts";
import { toFigure, toTable } from "../../../scripts/bench/table.ts";
import { parseWrk } from "../../../scripts/bench/wrk.ts";
import { COMPANY, PLATFORM, simulate } from "../../../scripts/bench/cost/simulate.ts";
import { toDollarsPerMillion } from "../../../scripts/bench/cost/prices.ts";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeTempFolder } from "../../support/temp-folder.ts";

describe("figures", () => {
  it("are the least, the middle and the greatest of the rounds", ({ expect }) => {
    expect(toSpread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
    expect(toSpread([4, 1, 2, 3])?.median).toBe(2.5);
    expect(toSpread([Number.NaN])).toBeUndefined();
  });

  it("are compared round by round", ({ expect }) => {
    expect(toRatios([2, 9], [1, 3])).toEqual([2, 3]);
  });

  it("are kept for each place and metric in the order of the rounds", ({ expect }) => {
    const samples = new Samples();
    const place = { step: "hits", point: "info", target: "edge" };
    samples.add(place, { p50Ms: 1 });
    samples.add(place, { p50Ms: 2 });
    expect(samples.values(place, "p50Ms")).toEqual([1, 2]);
    expect(samples.values({ ...place, target: "floor" }, "p50Ms")).toEqual([]);
  });

  it("have three digits, in columns of one width", ({ expect }) => {
    expect([1234.5, 12.345, 0.12345, 0].map(toFigure)).toEqual(["1235", "12.3", "0.123", "0"]);
    expect(toTable(["a", "b"], [["long", "1"]])).toBe("| a    | b |\n|------|---|\n| long | 1 |");
  });
});

describe("wrk", () => {
  it("is read with its units, failures and errors", ({ expect }) => {
    const text = `  Latency Distribution
     50%  850.00us
     99%    1.20s
  1000 requests in 2.00s, 1.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 7
Requests/sec:    500.00`;
    expect(parseWrk(text)).toEqual({
      requests: 1000,
      requestsPerSecond: 500,
      p50Ms: 0.85,
      p99Ms: 1200,
      failures: 7,
      socketErrors: 10,
    });
  });
});

describe("options", () => {
  it("name steps in the order of a run", ({ expect }) => {
    expect(readBenchOptions(["--only", "cold,hits"]).steps).toEqual(["hits", "cold"]);
    expect(readBenchOptions(["--quick"]).rounds).toBe(1);
  });

  it.for([
    ["--only", "nothing"],
    ["--rounds", "0"],
    ["--seconds", "x"],
  ])("refuse %s", (argv, { expect }) => {
    expect(() => readBenchOptions(argv)).toThrow(argv[0] ?? "");
  });
});

describe("made files", () => {
  it("lie in the documented layout, each with its record", ({ expect }) => {
    const folder = makeTempFolder("made");
    const many = new ManyFiles(folder);
    many.growTo(150);
    expect(many.versionCount).toBe(200);
    const { module, version } = many.pick(199);
    const file = join(folder, "public", module, "@v", `${version}.info`);
    expect(existsSync(file)).toBe(true);
    const record = JSON.parse(readFileSync(`${file}.record`, "utf8")) as { sizeBytes: number };
    expect(record.sizeBytes).toBe(readFileSync(file).length);
  });
});

describe("the documented nginx configuration", () => {
  it("can be put in another place", ({ expect }) => {
    const place = { listen: "127.0.0.1:1", edge: "127.0.0.1:2", folder: "/x", isRoot: false };
    const config = readNginxConfig(place);
    expect(config).toContain("listen 127.0.0.1:1 ");
    expect(config).toContain("server 127.0.0.1:2;");
    expect(config).not.toContain("/var/cache");
  });
});

describe("cost", () => {
  it("adds up operations at their prices", ({ expect }) => {
    const nothing = toDollarsPerMillion({}, 0);
    expect(toDollarsPerMillion({ r2B: 1 }, 0) - nothing).toBeCloseTo(0.36);
    expect(toDollarsPerMillion({}, 10) - nothing).toBeCloseTo(0.2);
  });

  it("sends every request of the model to exactly one tier", ({ expect }) => {
    const paths = [
      "/a.test/m/@v/v1.0.0.mod",
      "/a.test/m/@v/v1.0.0.zip",
      "/b.test/m/@v/v1.0.0.info",
    ];
    const outcome = simulate(paths, COMPANY, { ...PLATFORM, regions: 10, edgeKinds: ["zip"] });
    const { memory, edge, storage, source, listCopies } = outcome;
    expect(memory + edge + storage + source + listCopies).toBeCloseTo(outcome.requests, 0);
    expect(outcome.hottestPerSecond).toBeLessThan(500);
  });
});
