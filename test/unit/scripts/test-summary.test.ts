// Guarantee: whatever fails in a run is counted, so that the last line cannot claim success.
import { describe, it } from "vitest";
import { countOutcome, type TestReport } from "../../../scripts/test-summary.ts";

function report(passed: number, files: readonly (readonly [string, ...string[]])[]): TestReport {
  const testResults = files.map(([status, ...tests]) => ({
    status,
    assertionResults: tests.map((test) => ({ status: test })),
  }));
  const numFailedTests = files
    .flatMap(([, ...tests]) => tests)
    .filter((t) => t === "failed").length;
  return { numPassedTests: passed, numFailedTests, testResults };
}

describe("countOutcome()", () => {
  it("counts a clean run", ({ expect }) => {
    const outcome = {
      report: report(2, [["passed", "passed", "passed"]]),
      testsSucceeded: true,
      failedSteps: 0,
    };

    expect(countOutcome(outcome)).toEqual({ passed: 2, failed: 0 });
  });

  it("adds failed tests, files that did not load and failed steps", ({ expect }) => {
    const outcome = {
      report: report(1, [["failed", "passed", "failed"], ["failed"]]),
      testsSucceeded: false,
      failedSteps: 2,
    };

    expect(countOutcome(outcome)).toEqual({ passed: 1, failed: 4 });
  });

  it("counts an error outside of any test", ({ expect }) => {
    const outcome = {
      report: report(1, [["passed", "passed"]]),
      testsSucceeded: false,
      failedSteps: 0,
    };

    expect(countOutcome(outcome)).toEqual({ passed: 1, failed: 1 });
  });

  it("counts a run without a report as failed", ({ expect }) => {
    const outcome = { report: undefined, testsSucceeded: true, failedSteps: 0 };

    expect(countOutcome(outcome)).toEqual({ passed: 0, failed: 1 });
  });
});
