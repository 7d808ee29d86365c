import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";

/** Nothing but the page's own style may load. */
export const HOME_PAGE_CSP =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE = `
:root {
  color-scheme: light dark;
  --accent: #00789a;
}
body {
  font:
    1rem/1.6 system-ui,
    sans-serif;
  max-width: 44rem;
  margin: 0 auto;
  padding: 3rem 1.25rem;
}
h1 {
  font-size: 1.75rem;
  margin: 0 0 0.25rem;
}
h1 + p {
  margin-top: 0;
}
h2 {
  font-size: 1.1rem;
  margin: 2rem 0 0.5rem;
}
pre {
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-left: 4px solid var(--accent);
  border-radius: 6px;
  padding: 0.75rem 1rem;
  /* A narrow screen must show the whole line: what is cut off looks like its end. */
  white-space: pre-wrap;
  overflow-wrap: anywhere;
  user-select: all;
}
code {
  font-family: ui-monospace, monospace;
}
a {
  color: var(--accent);
}
@media (prefers-color-scheme: dark) {
  :root {
    --accent: #5dc9e2;
  }
}
`;

/**
 * The page at `/`: the lines to copy, and where to read on.
 *
 * @param origin Scheme and host that the client used.
 */
export function renderHomePage(origin: string): HtmlEscapedString | Promise<HtmlEscapedString> {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>goproxy-edge</title>
        <style>
          ${raw(STYLE)}
        </style>
      </head>
      <body>
        <main>
          <h1>goproxy-edge</h1>
          <p>A private Go module proxy: byte-exact, verified, explained.</p>
          <h2>Use it</h2>
          <pre><code>go env -w GOPROXY=${origin}</code></pre>
          <p>
            The address stands alone: what this proxy does not have it fetches itself. For one
            command only:
          </p>
          <pre><code>GOPROXY=${origin} go build ./...</code></pre>
          <h2>From storage only</h2>
          <pre><code>GOPROXY=${origin}/cached-only go build ./...</code></pre>
          <h2>State</h2>
          <p>
            <a href="/-/healthz">alive</a> · <a href="/-/readyz">ready</a> ·
            <a href="https://go.dev/ref/mod#goproxy-protocol">protocol</a> ·
            <a href="https://go.dev/ref/mod#environment-variables">client settings</a>
          </p>
        </main>
      </body>
    </html>`;
}
