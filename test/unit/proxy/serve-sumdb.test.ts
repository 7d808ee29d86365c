import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import type { Sumdb } from "../../../src/proxy/ports.ts";
import { type SumdbOptions, SumdbServer } from "../../../src/proxy/serve-sumdb.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class FakeSumdb implements Sumdb {
  readonly name: string;
  readonly asked: string[] = [];
  body = "one";

  constructor(name: string) {
    this.name = name;
  }

  prove(): Promise<never> {
    return Promise.reject(new TypeError("not asked here"));
  }

  serve(path: string): Promise<Uint8Array> {
    this.asked.push(path);
    return Promise.resolve(Buffer.from(this.body));
  }
}

function make(...names: string[]) {
  const clock = new FakeClock();
  const databases = names.map((name) => new FakeSumdb(name));
  const server = new SumdbServer({ clock, times: { memorySeconds: 3600, listSeconds: 60 } });
  const options: SumdbOptions = {
    databases,
    cachedOnly: false,
    isHidden: (path) => path.startsWith("git.acme.test"),
  };
  const ask = async (path: string, more: Partial<SumdbOptions> = {}): Promise<string> => {
    try {
      const { body } = await server.serve(path, { ...options, ...more });
      return Buffer.from(body).toString();
    } catch (error) {
      return error instanceof ProxyError ? error.code : String(error);
    }
  };
  return { clock, databases, server, options, ask };
}

describe("SumdbServer", () => {
  it.for([
    ["db.test/sumdb/latest", ["db.test/sumdb"], [["latest"]]],
    ["db.test/other/latest", ["db.test/sumdb", "db.test/other"], [[], ["latest"]]],
    ["db.test/sumdb/latest", ["db.test", "db.test/sumdb"], [[], ["latest"]]],
    ["db.test/sumdb/latest", ["db.test/sumdb", "db.test"], [["latest"], []]],
  ] as const)(
    "asks for %s the one that it names, of %j",
    async ([path, names, asked], { expect }) => {
      const { ask, databases } = make(...names);
      expect(await ask(path)).toBe("one");
      expect(databases.map((database) => database.asked)).toEqual(asked);
    },
  );

  it.for([
    ["db.test"],
    ["db.test/sumdb"],
    ["db.test/sumdbx/latest"],
    ["x/db.test/sumdb/latest"],
    [""],
  ])("knows no database at %s", async ([path], { expect }) => {
    const { ask, databases } = make("db.test/sumdb");
    expect(await ask(path ?? "")).toBe("sumdb_not_found");
    expect(databases[0]?.asked).toEqual([]);
  });

  it("says supported of what it has, asking nobody", async ({ expect }) => {
    const { ask, databases } = make("db.test");
    expect(await ask("db.test/supported")).toBe("");
    expect(databases[0]?.asked).toEqual([]);
  });

  it.for([
    ["git.acme.test/m@v1.0.0", "sumdb_not_found"],
    ["git.acme.test/!m@v1.0.0", "sumdb_not_found"],
    ["git.acme.test/m", "malformed_version"],
    ["git.acme.test/m@v2.0.0", "malformed_version"],
    ["git.acme.test/M@v1.0.0", "malformed_path"],
    ["nonsense@v1.0.0", "malformed_path"],
    ["@v1.0.0", "malformed_path"],
    ["", "malformed_path"],
    ["a.test/m@v2.0.0", "malformed_version"],
    ["a.test/m/v2@v1.0.0", "malformed_version"],
    ["gopkg.in/yaml.v2@v3.0.0", "malformed_version"],
    ["a.test/m@v1.0.0+meta", "malformed_version"],
    ["a.test/m@v1.0.0@v1.0.0", "malformed_version"],
    [`a.test/m@v1.0.0-${"b".repeat(194)}`, "malformed_version"],
    [`a.test/m@v1.0.0-${"!b".repeat(97)}`, "malformed_version"],
    [`a.test/${"a".repeat(201)}@v1.0.0`, "malformed_path"],
    [`a.test/${"!a".repeat(101)}@v1.0.0`, "malformed_path"],
    [
      `a.test/${Array.from({ length: 4 }, () => "a".repeat(150)).join("/")}@v1.0.0`,
      "malformed_path",
    ],
  ] as const)("answers the lookup of %s itself", async ([escaped, code], { expect }) => {
    const { ask, databases } = make("db.test");
    expect(await ask(`db.test/lookup/${escaped}`)).toBe(code);
    expect(databases[0]?.asked).toEqual([]);
  });

  it.for([
    ["a.test/m/v2@v2.0.0"],
    ["a.test/m@v2.0.0+incompatible"],
    ["a.test/m@v0.0.0-20200102030405-0123456789ab"],
    ["a.test/m@v2.0.1-0.20200102030405-0123456789ab+incompatible"],
    ["gopkg.in/yaml.v2@v2.4.0"],
    ["gopkg.in/check.v1@v0.0.0-20200102030405-0123456789ab"],
    ["a.test/!m@v1.0.0-!r!c1"],
    [`a.test/${"a".repeat(200)}@v1.0.0-${"b".repeat(193)}`],
  ])("asks the database for %s", async ([escaped = ""], { expect }) => {
    const { ask, databases } = make("db.test");
    expect(await ask(`db.test/lookup/${escaped}`)).toBe("one");
    expect(databases[0]?.asked).toEqual([`lookup/${escaped}`]);
  });

  it("hides a name from a caller even after it was kept for another", async ({ expect }) => {
    const { ask, databases } = make("db.test");
    const path = "db.test/lookup/git.acme.test/m@v1.0.0";
    expect(await ask(path, { isHidden: () => false })).toBe("one");
    expect(await ask(path)).toBe("sumdb_not_found");
    expect(databases[0]?.asked).toHaveLength(1);
  });

  it("hides a database from a caller who has it not, even after it was kept for another", async ({
    expect,
  }) => {
    const { ask } = make("team.test/sumdb");
    expect(await ask("team.test/sumdb/tile/8/0/000")).toBe("one");
    expect(await ask("team.test/sumdb/tile/8/0/000", { databases: [] })).toBe("sumdb_not_found");
  });

  it("keeps full tiles long, lookups and partial tiles for a while, the newest head not", async ({
    expect,
  }) => {
    const { ask, clock, databases } = make("db.test");
    const paths = ["tile/8/0/000", "tile/8/0/000.p/3", "lookup/a.test/m@v1.0.0", "latest"];
    const askAll = async () => {
      for (const path of paths) await ask(`db.test/${path}`);
      return databases[0]?.asked.splice(0);
    };
    expect(await askAll()).toEqual(paths);
    expect(await askAll()).toEqual(["latest"]);
    clock.advance(60_000);
    expect(await askAll()).toEqual(paths.slice(1));
    clock.advance(3_600_000);
    expect(await askAll()).toEqual(paths);
  });

  it("says of which type an answer is and how long it may be kept", async ({ expect }) => {
    const { server, options } = make("db.test");
    const answers = [];
    for (const path of [
      "tile/8/0/000",
      "tile/8/1/x001/002",
      "tile/8/0/000.p/3",
      "tile/8/data/000",
      "latest",
    ]) {
      const { contentType, immutable, sizeBytes } = await server.serve(`db.test/${path}`, options);
      answers.push([contentType.split(";")[0], immutable, sizeBytes]);
    }
    expect(answers).toEqual([
      ["application/octet-stream", true, 3],
      ["application/octet-stream", true, 3],
      ["application/octet-stream", false, 3],
      ["application/octet-stream", true, 3],
      ["text/plain", false, 3],
    ]);
  });
});
