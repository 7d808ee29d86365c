// Guarantee: a client who gets a zip while it is stored gets its last bytes only after the commit,
// and a broken body instead of a damaged one. Neither side waits for the other.

import { describe, it } from "vitest";
import { LiveStream } from "../../src/proxy/live-stream.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * 1024;

function chunk(sizeBytes: number, value: number): Uint8Array {
  return new Uint8Array(sizeBytes).fill(value);
}

async function noRest(): Promise<ReadableStream<Uint8Array>> {
  return await Promise.reject(new Error("nothing is owed"));
}

/** Read what comes until the body stands still, ends or breaks. */
function reading(body: ReadableStream<Uint8Array>): { bytes: number; end: Promise<string> } {
  const state = { bytes: 0, end: Promise.resolve("") };
  const reader = body.getReader();
  state.end = (async () => {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "whole";
        state.bytes += value.length;
      }
    } catch {
      return "broken";
    }
  })();
  return state;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await scheduler.wait(0);
}

describe("LiveStream", () => {
  it("keeps the last 64 KiB back until the commit", async ({ expect }) => {
    const live = new LiveStream(300 * KIBIBYTE);
    const client = reading(live.readable);
    live.offer(chunk(100 * KIBIBYTE, 1));
    live.offer(chunk(100 * KIBIBYTE, 2));
    await settle();
    // What is far from the end goes out at once.
    expect(client.bytes).toBe(200 * KIBIBYTE);
    live.offer(chunk(100 * KIBIBYTE, 3));
    await settle();
    expect(client.bytes).toBe(236 * KIBIBYTE);
    await live.complete(noRest);
    expect(await client.end).toBe("whole");
    expect(client.bytes).toBe(300 * KIBIBYTE);
  });

  it("keeps 64 KiB back of a body whose end nobody knows", async ({ expect }) => {
    const live = new LiveStream(undefined);
    const client = reading(live.readable);
    live.offer(chunk(100 * KIBIBYTE, 1));
    await settle();
    expect(client.bytes).toBe(36 * KIBIBYTE);
    await live.complete(noRest);
    expect(await client.end).toBe("whole");
    expect(client.bytes).toBe(100 * KIBIBYTE);
  });

  it("breaks the body when the file is refused, with bytes missing", async ({ expect }) => {
    for (const size of [300 * KIBIBYTE, undefined]) {
      const live = new LiveStream(size);
      const client = reading(live.readable);
      live.offer(chunk(300 * KIBIBYTE, 1));
      await settle();
      await live.fail(new Error("refused"));
      expect(await client.end).toBe("broken");
      expect(client.bytes).toBeLessThan(300 * KIBIBYTE);
    }
  });

  it("gives a client that lags the rest from storage, in the right order", async ({ expect }) => {
    const size = 12 * MEBIBYTE;
    const live = new LiveStream(size);
    for (let index = 0; index < 48; index++) live.offer(chunk(256 * KIBIBYTE, index));
    let owedFrom = 0;
    const completed = live.complete((offset) => {
      owedFrom = offset;
      const whole = new Uint8Array(size);
      for (let index = 0; index < 48; index++) {
        whole.fill(index, index * 256 * KIBIBYTE, (index + 1) * 256 * KIBIBYTE);
      }
      return Promise.resolve(new Blob([whole.subarray(offset)]).stream());
    });
    const read = new Uint8Array(await new Response(live.readable).arrayBuffer());
    await completed;
    expect(owedFrom).toBeGreaterThan(0);
    expect(owedFrom).toBeLessThanOrEqual(5 * MEBIBYTE);
    expect(read).toHaveLength(size);
    expect(Array.from({ length: 48 }, (_, index) => read[index * 256 * KIBIBYTE])).toEqual(
      Array.from({ length: 48 }, (_, index) => index),
    );
  });

  it("goes on without a client that has left", async ({ expect }) => {
    const live = new LiveStream(2 * MEBIBYTE);
    await live.readable.cancel();
    for (let index = 0; index < 8; index++) live.offer(chunk(256 * KIBIBYTE, 1));
    await live.complete(noRest);
    await live.fail(new Error("twice"));
    expect(true).toBe(true);
  });

  it("breaks the body of a client that lags when the rest cannot be read", async ({ expect }) => {
    const live = new LiveStream(12 * MEBIBYTE);
    for (let index = 0; index < 48; index++) live.offer(chunk(256 * KIBIBYTE, index));
    const completed = live.complete(noRest);
    const client = reading(live.readable);
    await completed;
    expect(await client.end).toBe("broken");
  });
});
