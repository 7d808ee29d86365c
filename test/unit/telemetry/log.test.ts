import { afterEach, describe, it, vi } from "vitest";
import { createLineBuffer } from "../../../src/telemetry/log.ts";

const FLUSH_MS = 100;

/** A buffer with everybody who waits for it, and what was written so far. */
function makeBuffer() {
  const written: string[] = [];
  vi.spyOn(console, "log").mockImplementation((text: string) => void written.push(text));
  const waits: (() => void)[] = [];
  const deferred: Promise<unknown>[] = [];
  const buffer = createLineBuffer(async (delayMs) => {
    if (delayMs !== FLUSH_MS) throw new RangeError(`waits for ${delayMs} ms`);
    await new Promise<void>((resolve) => waits.push(resolve));
  });
  return {
    written,
    waits,
    write: (text: string, nowMs: number) =>
      buffer.write(text, nowMs, (work) => void deferred.push(work)),
    /** The one who came `at`-th has waited. */
    wake: async (at: number): Promise<void> => {
      waits[at]?.();
      await deferred[at];
    },
  };
}

describe("createLineBuffer()", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("writes the lines of 100 ms at once and in their order", async ({ expect }) => {
    const { write, wake, written, waits } = makeBuffer();
    write("a", 1000);
    write("b", 1050);
    expect(written).toEqual([]);
    await wake(0);
    expect(written).toEqual(["a\nb"]);
    // A clock that has not moved on makes no difference.
    write("c", 1050);
    expect(waits).toHaveLength(2);
    await wake(1);
    expect(written).toEqual(["a\nb", "c"]);
  });

  it("has one request wait at a time, however often it is full before", async ({ expect }) => {
    const { write, wake, written, waits } = makeBuffer();
    const long = "x".repeat(20_000);
    for (let count = 0; count < 7; count++) write(long, 1000);
    expect(written).toHaveLength(3);
    expect(waits).toHaveLength(1);
    await wake(0);
    expect(written.join("\n").length).toBe(7 * long.length + 6);
  });

  it("loses no line when the request that waits is cut off", async ({ expect }) => {
    const { write, wake, written } = makeBuffer();
    write("a", 1000);
    write("b", 1000 + FLUSH_MS);
    await wake(1);
    expect(written).toEqual(["a\nb"]);
  });
});
