// Unit and worker tests reach no network: whatever is neither loopback nor replaced by the test
// fails at once and says what it asked for.

const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|\[::1\])$/;

const realFetch = globalThis.fetch;

function addressOf(input: RequestInfo | URL): string {
  if (typeof input === "string") return input;
  return input instanceof URL ? input.href : input.url;
}

globalThis.fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
  const { hostname } = new URL(addressOf(input));
  if (!LOOPBACK.test(hostname)) {
    throw new TypeError(`a test without network asked for ${hostname}`);
  }
  return realFetch(input, init);
};

// oxlint-disable-next-line unicorn/require-module-specifiers -- makes this file a module
export {};
