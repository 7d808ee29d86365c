import { describe, it } from "vitest";
import { MemoryBudget } from "../../../src/proxy/memory-budget.ts";

describe("MemoryBudget", () => {
  it("lets in what fits and keeps the rest waiting, in the order of asking", async ({ expect }) => {
    const budget = new MemoryBudget(100);
    const entered: string[] = [];
    const enter = async (name: string, size: number): Promise<() => void> => {
      const release = await budget.acquire(size);
      entered.push(name);
      return release;
    };
    const first = await enter("first", 60);
    const second = enter("second", 60);
    const third = enter("third", 10);
    await settle();
    // The small one does not overtake: a large one would wait for ever.
    expect(entered).toEqual(["first"]);
    first();
    const releases = await Promise.all([second, third]);
    expect(entered).toEqual(["first", "second", "third"]);
    for (const release of releases) release();
    await budget.acquire(100);
  });

  it("lets in one that needs more than there is, alone", async ({ expect }) => {
    const budget = new MemoryBudget(100);
    const release = await budget.acquire(10_000);
    let isIn = false;
    const next = budget.acquire(1).then(() => {
      isIn = true;
    });
    await settle();
    expect(isIn).toBe(false);
    release();
    await next;
    expect(isIn).toBe(true);
  });

  it("never gives out more than it has", async ({ expect }) => {
    const budget = new MemoryBudget(100);
    let used = 0;
    let highest = 0;
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const size = 1 + ((index * 37) % 70);
        const release = await budget.acquire(size);
        used += size;
        highest = Math.max(highest, used);
        await settle();
        used -= size;
        release();
      }),
    );
    expect(used).toBe(0);
    expect(highest).toBeLessThanOrEqual(100);
    expect(highest).toBeGreaterThan(70);
  });
});

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
