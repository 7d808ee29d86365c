/**
 * Two lint rules that oxlint has no counterpart for.
 *
 * - `no-ambient-date`: `new Date()` and `Date()` read the clock without naming it.
 * - `no-dynamic-import`: `import()` is not seen by `no-restricted-imports`.
 */

interface Node {
  readonly callee?: { readonly type: string; readonly name?: string };
  readonly arguments?: readonly unknown[];
}

interface Context {
  report(problem: { node: Node; message: string }): void;
}

function isDate(node: Node): boolean {
  return node.callee?.type === "Identifier" && node.callee.name === "Date";
}

const noAmbientDate = {
  create(context: Context) {
    const message = "take the time from the injected clock";
    return {
      NewExpression(node: Node): void {
        if (isDate(node) && node.arguments?.length === 0) context.report({ node, message });
      },
      CallExpression(node: Node): void {
        if (isDate(node)) context.report({ node, message });
      },
    };
  },
};

const noDynamicImport = {
  create(context: Context) {
    return {
      ImportExpression(node: Node): void {
        context.report({ node, message: "import statically, so that the layers can be checked" });
      },
    };
  },
};

export default {
  meta: { name: "ambient" },
  rules: { "no-ambient-date": noAmbientDate, "no-dynamic-import": noDynamicImport },
};
