import { describe, it } from "vitest";
import { ProxyError } from "../../../src/errors/proxy-error.ts";
import { readAll, readChunks } from "../../../src/proxy/read-body.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function streamOf(...chunks: (Uint8Array | Error)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const next = chunks.shift();
      if (next === undefined) controller.close();
      else if (next instanceof Error) controller.error(next);
      else controller.enqueue(next);
    },
  });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return error instanceof ProxyError ? error.code : String(error);
  }
}

describe("readAll()", () => {
  const limits = { sizeBytes: undefined, maxBytes: 10 };

  it("joins the chunks", async ({ expect }) => {
    const read = await readAll(streamOf(bytes(1, 2), bytes(3)), limits, new FakeClock());
    expect(read).toEqual(bytes(1, 2, 3));
    expect(await readAll(streamOf(), limits, new FakeClock())).toEqual(bytes());
  });

  it.for([
    ["shorter than announced", [bytes(1, 2)], 3, "upstream_unavailable"],
    ["longer than announced", [bytes(1, 2, 3, 4)], 3, "upstream_unavailable"],
    [
      "longer than allowed",
      [bytes(1, 2, 3, 4, 5, 6), bytes(1, 2, 3, 4, 5, 6)],
      undefined,
      "upstream_invalid",
    ],
    ["broken off", [bytes(1), new Error("reset")], undefined, "upstream_unavailable"],
  ] as const)("fails on a body that is %s", async ([, chunks, sizeBytes, code], { expect }) => {
    const work = readAll(streamOf(...chunks), { sizeBytes, maxBytes: 10 }, new FakeClock());
    expect(await codeOf(work)).toBe(code);
  });

  it("stops reading a body that is too long", async ({ expect }) => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(4));
      },
    });
    expect(await codeOf(readAll(endless, limits, new FakeClock()))).toBe("upstream_invalid");
    expect(pulled).toBeLessThan(10);
  });
});

describe("readChunks()", () => {
  it("gives up on a body that stands still, and leaves no timer behind", async ({ expect }) => {
    const clock = new FakeClock();
    const never = new ReadableStream<Uint8Array>();
    const reader = readChunks(never, { sizeBytes: 5, maxBytes: 5 }, clock);
    const next = codeOf(reader.next());
    await Promise.resolve();
    clock.advance(30_000);
    expect(await next).toBe("upstream_timeout");
    await reader.cancel();
    expect(clock.pending).toBe(0);
  });

  it("is patient with one that moves", async ({ expect }) => {
    const clock = new FakeClock();
    const chunks = Array.from({ length: 5 }, () => bytes(1));
    const reader = readChunks(streamOf(...chunks), { sizeBytes: 5, maxBytes: 5 }, clock);
    for (let index = 0; index < 5; index++) {
      clock.advance(29_000);
      expect(await reader.next()).toEqual(bytes(1));
    }
    expect(await reader.next()).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});
