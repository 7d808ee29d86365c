import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";

describe("fetch() in a test without network", () => {
  it.for(["https://example.com/", "http://127.0.0.1.example.com/", "http://10.0.0.1/"])(
    "refuses %s",
    async (address, { expect }) => {
      await expect(fetch(address)).rejects.toThrow("without network");
      await expect(fetch(new Request(address))).rejects.toThrow("without network");
    },
  );

  it("reaches a server on loopback", async ({ expect, onTestFinished }) => {
    const server = createServer((_, response) => response.end("here"));
    onTestFinished(() => void server.close());
    await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;

    const answer = await fetch(`http://127.0.0.1:${port}/`);

    expect(await answer.text()).toBe("here");
  });
});
