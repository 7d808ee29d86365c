import { describe, it } from "vitest";
import { mayRead, ROLES } from "../../../src/auth/role.ts";

describe("mayRead()", () => {
  it("lets every role read modules but the auditor", ({ expect }) => {
    expect(ROLES.filter(mayRead)).toEqual(["reader", "publisher", "admin"]);
  });
});
