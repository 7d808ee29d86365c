import { describe, it } from "vitest";
import { toListOf } from "../../../src/proxy/reindex.ts";

describe("toListOf()", () => {
  it("takes the pseudo-version of the latest commit, as a source's list does", ({ expect }) => {
    const [older, newer] = [
      "v1.2.1-0.20200101000000-aaaaaaaaaaaa",
      "v0.0.0-20220101000000-bbbbbbbbbbbb",
    ] as const;
    expect(toListOf([newer, older])).toEqual({ body: "", newestPseudo: newer });
    expect(toListOf([older, "v1.2.0", newer, "v1.10.0"])).toEqual({
      body: "v1.2.0\nv1.10.0\n",
      newestPseudo: newer,
    });
  });
});
