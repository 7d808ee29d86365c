// Guarantee: what a coordinator owes to the outside, lists of the static tree and copies of answers,
// is written some time after the change, whatever happens in between.

import { env } from "cloudflare:workers";
import { describe, it } from "vitest";
import { type FileRequest, parseModuleRequest } from "../../src/module/request.ts";
import { PUBLIC_SCOPE, type Scope } from "../../src/proxy/ports.ts";
import { KvAnswerCopies } from "../../src/store/kv-answer-copies.ts";
import { withIndex } from "../support/with-index.ts";

const list = (module: string) => ({
  path: `${module}/@v/list`,
  escapedPath: module,
  kind: "list",
});
const file = (path: string): FileRequest => parseModuleRequest(path) as FileRequest;
const FILES = ["mod", "info", "zip"].map((kind) => file(`a.test/m/@v/v1.0.0.${kind}`));

describe("SqliteIndex", () => {
  it("numbers the revisions of an answer and keeps it over a restart", async ({ expect }) => {
    await withIndex(async ({ index, again }) => {
      expect(index.read(PUBLIC_SCOPE, "a.test/m/@v/list")).toBeUndefined();
      expect(index.write(PUBLIC_SCOPE, list("a.test/m"), { body: "v1\n", fetchedAtMs: 1 })).toEqual(
        {
          body: "v1\n",
          fetchedAtMs: 1,
          revision: 1,
        },
      );
      index.write(PUBLIC_SCOPE, list("a.test/m"), {
        body: "v2\n",
        fetchedAtMs: 2,
        newestPseudo: "v0.0.0-x",
      });
      expect(again().read(PUBLIC_SCOPE, "a.test/m/@v/list")).toEqual({
        body: "v2\n",
        fetchedAtMs: 2,
        revision: 2,
        newestPseudo: "v0.0.0-x",
      });
      expect(again().read("team/acme" as Scope, "a.test/m/@v/list")).toBeUndefined();
    });
  });

  it("pins the first value for good, for each scope by itself", async ({ expect }) => {
    await withIndex(async ({ index, again }) => {
      const acme = "team/acme" as Scope;
      expect(index.pin(acme, "p", "first")).toBe("first");
      expect(index.pin(acme, "p", "second")).toBe("first");
      expect(again().pin(acme, "p", "third")).toBe("first");
      expect(index.pin("team/beta" as Scope, "p", "other")).toBe("other");
    });
  });

  it("owes the tree's list a second after a zip is stored, and nothing for a go.mod alone", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock, storage }) => {
      await storage.deleteAlarm();
      for (const request of FILES.slice(0, 2)) index.noteStored(PUBLIC_SCOPE, request);
      expect(await storage.getAlarm()).toBeNull();
      for (const request of FILES.toReversed()) index.noteStored(PUBLIC_SCOPE, request);
      expect(await storage.getAlarm()).toBe(clock.nowMs + 1000);
      expect(index.listComplete(PUBLIC_SCOPE, "a.test/m", [])).toEqual(["v1.0.0"]);
      expect(index.listComplete("team/acme" as Scope, "a.test/m", [])).toBeUndefined();
      expect(index.listDue()).toEqual([]);
      clock.nowMs += 1000;
      const due = index.listDue();
      expect(due).toMatchObject([{ scope: PUBLIC_SCOPE, escapedPath: "a.test/m", what: "tree" }]);
      for (const item of due) index.finish(item);
      expect(index.listDue()).toEqual([]);
    });
  });

  it("owes the list from before a zip's commit on, and its commit costs no second write", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock, storage }) => {
      const zip = file("a.test/m/@v/v1.0.0.zip");
      const countChanges = (): number =>
        storage.sql.exec<{ changes: number }>("SELECT sum(changes) AS changes FROM outbox").one()
          .changes;
      index.noteBegun(PUBLIC_SCOPE, zip);
      expect(await storage.getAlarm()).toBe(clock.nowMs + 1000);
      expect(countChanges()).toBe(1);
      clock.nowMs += 900;
      index.noteStored(PUBLIC_SCOPE, zip);
      expect(await storage.getAlarm()).toBe(clock.nowMs + 100);
      expect(countChanges()).toBe(1);
    });
  });

  it("copies a list within a second, once more after a minute, and an unchanged one seldom", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock }) => {
      const write = (body: string): void =>
        void index.write(PUBLIC_SCOPE, list("a.test/m"), { body, fetchedAtMs: clock.nowMs });
      const copyAfter = (ms: number): number => {
        clock.nowMs += ms;
        const due = index.listDue();
        for (const item of due) if (index.finish(item)) index.noteCopied(item);
        return due.length;
      };
      write("v1\n");
      write("v2\n");
      expect([copyAfter(999), copyAfter(1)]).toEqual([0, 1]);
      expect([copyAfter(59_999), copyAfter(1), copyAfter(1_000_000)]).toEqual([0, 1, 0]);
      write("v3\n");
      expect([copyAfter(1000), copyAfter(60_000)]).toEqual([1, 1]);
      write("v3\n");
      expect(copyAfter(60_000)).toBe(0);
      clock.nowMs += 540_000;
      write("v3\n");
      expect(copyAfter(1000)).toBe(1);
    });
  });

  it("copies a change within a second although the repetition of the copy before still waits", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock, storage }) => {
      const write = (body: string): void =>
        void index.write(PUBLIC_SCOPE, list("a.test/m"), { body, fetchedAtMs: clock.nowMs });
      const copy = async (): Promise<number> => {
        const due = index.listDue();
        for (const item of due) if (index.finish(item)) index.noteCopied(item);
        await index.rearm();
        return due.length;
      };
      write("v1\n");
      clock.nowMs += 1000;
      expect(await copy()).toBe(1);
      expect(await storage.getAlarm()).toBe(clock.nowMs + 60_000);
      clock.nowMs += 2000;
      write("v2\n");
      expect(await storage.getAlarm()).toBe(clock.nowMs + 1000);
      clock.nowMs += 1000;
      expect(await copy()).toBe(1);
      // The change has a repetition of its own.
      clock.nowMs += 59_999;
      expect(await copy()).toBe(0);
      clock.nowMs += 1;
      expect(await copy()).toBe(1);
    });
  });

  it("copies what has changed while it was copied a second later, and once more after a minute", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock }) => {
      const write = (body: string): void =>
        void index.write(PUBLIC_SCOPE, list("a.test/m"), { body, fetchedAtMs: clock.nowMs });
      const finish = (due: ReturnType<typeof index.listDue>): number => {
        for (const item of due) if (index.finish(item)) index.noteCopied(item);
        return due.length;
      };
      write("v1\n");
      clock.nowMs += 1000;
      const due = index.listDue();
      write("v2\n");
      expect(finish(due)).toBe(1);
      clock.nowMs += 999;
      expect(finish(index.listDue())).toBe(0);
      clock.nowMs += 1;
      expect(finish(index.listDue())).toBe(1);
      clock.nowMs += 60_000;
      expect(finish(index.listDue())).toBe(1);
      clock.nowMs += 60_000;
      expect(finish(index.listDue())).toBe(0);
    });
  });

  it("never puts off an alarm that is set already", async ({ expect }) => {
    await withIndex(async ({ index, again, clock, storage }) => {
      index.write(PUBLIC_SCOPE, list("a.test/m"), { body: "v1\n", fetchedAtMs: 1 });
      const dueMs = clock.nowMs + 1000;
      clock.nowMs += 500;
      // An instance that has just begun knows of no alarm.
      again().write(PUBLIC_SCOPE, list("b.test/m"), { body: "v1\n", fetchedAtMs: 1 });
      expect(await storage.getAlarm()).toBe(dueMs);
    });
  });

  it("still owes what was begun and not finished when its object was killed", async ({
    expect,
  }) => {
    await withIndex(async ({ index, again, clock, storage }) => {
      index.write(PUBLIC_SCOPE, list("a.test/m"), { body: "v1\n", fetchedAtMs: 1 });
      clock.nowMs += 1000;
      expect(index.listDue()).toHaveLength(1);
      await storage.deleteAlarm();
      const restarted = again();
      expect(restarted.listDue()).toHaveLength(1);
      await restarted.rearm();
      expect(await storage.getAlarm()).not.toBeNull();
    });
  });

  it("owes once more what has changed while it was written, and later what failed", async ({
    expect,
  }) => {
    await withIndex(async ({ index, clock }) => {
      const write = (body: string): void =>
        void index.write(PUBLIC_SCOPE, list("a.test/m"), { body, fetchedAtMs: clock.nowMs });
      write("v1\n");
      clock.nowMs += 1000;
      const [first] = index.listDue();
      write("v2\n");
      if (first !== undefined) index.finish(first);
      clock.nowMs += 1000;
      const [second] = index.listDue();
      expect(second).toMatchObject({ what: "a.test/m/@v/list" });
      if (second !== undefined) index.postpone(second, 5000);
      clock.nowMs += 4999;
      expect(index.listDue()).toEqual([]);
      clock.nowMs += 1;
      expect(index.listDue()).toHaveLength(1);
    });
  });

  it("keeps only the latest queries of a module", async ({ expect }) => {
    await withIndex(async ({ index }) => {
      for (let at = 0; at < 250; at++) {
        const request = { path: `a.test/m/@v/b${at}.info`, escapedPath: "a.test/m", kind: "query" };
        index.write(PUBLIC_SCOPE, request, { body: "{}", fetchedAtMs: at });
      }
      const kept = Array.from({ length: 250 }, (_, at) =>
        index.read(PUBLIC_SCOPE, `a.test/m/@v/b${at}.info`),
      );
      expect(kept.filter((answer) => answer !== undefined)).toHaveLength(200);
      expect(kept[249]).toBeDefined();
      expect(kept[0]).toBeUndefined();
    });
  });
});

describe("KvAnswerCopies", () => {
  it("gives back what was written, by scope, and nothing of garbage", async ({ expect }) => {
    const copies = new KvAnswerCopies(env.INDEX);
    const answer = { body: "v1\n", fetchedAtMs: 5, revision: 2 };
    await copies.write(PUBLIC_SCOPE, "kv.test/m/@v/list", answer);
    expect(await copies.read(PUBLIC_SCOPE, "kv.test/m/@v/list")).toEqual(answer);
    expect(await copies.read("team/a" as Scope, "kv.test/m/@v/list")).toBeUndefined();
    for (const [name, garbage] of [
      ["a", "not json"],
      ["b", "{}"],
      ["c", '{"body":1}'],
      ["d", "null"],
    ] as const) {
      await env.INDEX.put(`list/public/${name}`, garbage);
      expect(await copies.read(PUBLIC_SCOPE, name)).toBeUndefined();
    }
  });

  it("takes paths that are longer than a key may be", async ({ expect }) => {
    const copies = new KvAnswerCopies(env.INDEX);
    const answer = { body: "long\n", fetchedAtMs: 5, revision: 1 };
    const path = (end: string) => `kv.test/${"x".repeat(490)}/${end}/@v/list`;
    await copies.write(PUBLIC_SCOPE, path("a"), answer);
    expect(await copies.read(PUBLIC_SCOPE, path("a"))).toEqual(answer);
    expect(await copies.read(PUBLIC_SCOPE, path("b"))).toBeUndefined();
  });
});
