import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const NO_NETWORK = "./test/support/no-network.ts";

// The projects run one after the other, each in a group of its own. Groups begin at 1, for vitest
// puts group 0 last when the machine gives it a single worker.

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          setupFiles: [NO_NETWORK],
          sequence: { groupOrder: 1 },
        },
      },
      {
        plugins: [
          cloudflareTest({
            main: "./src/worker.ts",
            wrangler: { configPath: "./wrangler.toml" },
          }),
        ],
        test: {
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          setupFiles: [NO_NETWORK],
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          // Real servers and the go command: after everything else, so that nothing else has the
          // machine while they run.
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
