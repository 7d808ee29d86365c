import { describe, it } from "vitest";
import { LruCache } from "../../../src/proxy/lru-cache.ts";

describe("LruCache", () => {
  it("forgets what was used longest ago", ({ expect }) => {
    const cache = new LruCache<number>(80);
    for (let index = 0; index < 8; index++) cache.set(`k${index}`, index, 10);
    expect(cache.get("k0")).toBe(0);
    cache.set("k8", 8, 10);
    expect(cache.get("k0")).toBe(0);
    expect(cache.get("k1")).toBeUndefined();
    expect(cache.sizeBytes).toBe(80);
  });

  it("counts a value that is set again once", ({ expect }) => {
    const cache = new LruCache<number>(80);
    for (let index = 0; index < 100; index++) cache.set("k", index, 10);
    expect({ value: cache.get("k"), bytes: cache.sizeBytes }).toEqual({ value: 99, bytes: 10 });
    cache.delete("k");
    cache.delete("k");
    expect(cache.sizeBytes).toBe(0);
  });

  it("does not keep what would push out everything else, nor what it replaced", ({ expect }) => {
    const cache = new LruCache<number>(80);
    cache.set("small", 1, 10);
    cache.set("large", 2, 11);
    expect(cache.get("large")).toBeUndefined();
    expect(cache.get("small")).toBe(1);
    cache.set("small", 3, 11);
    expect(cache.get("small")).toBeUndefined();
  });

  it("stays within its bound whatever comes", ({ expect }) => {
    const cache = new LruCache<number>(1000);
    for (let index = 0; index < 10_000; index++) {
      cache.set(`k${(index * 7919) % 500}`, index, (index * 31) % 130);
      expect(cache.sizeBytes).toBeLessThanOrEqual(1000);
    }
  });
});
