/** The part of vitest's JSON report that the summary needs. */
export interface TestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/** How one run of the gate went. */
export interface GateOutcome {
  /** What vitest reported, or `undefined` when it never got so far. */
  readonly report: TestReport | undefined;
  /** Whether the vitest process ended with zero. */
  readonly testsSucceeded: boolean;
  /** Steps that failed, vitest not counted. */
  readonly failedSteps: number;
}

/**
 * Count the run so that nothing that failed can add up to zero.
 *
 * A test file that cannot be loaded holds no failed test, and an error outside of any test fails
 * vitest without being in its report; each counts as one.
 */
export function countOutcome(outcome: GateOutcome): { passed: number; failed: number } {
  const { report, testsSucceeded, failedSteps } = outcome;
  const brokenFiles = (report?.testResults ?? []).filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  ).length;
  const failedTests = (report?.numFailedTests ?? 0) + brokenFiles;
  const unseen = failedTests === 0 && (!testsSucceeded || report === undefined) ? 1 : 0;
  return { passed: report?.numPassedTests ?? 0, failed: failedTests + unseen + failedSteps };
}
