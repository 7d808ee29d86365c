import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

/** What a request has beside its path. */
export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent | false;
}

/**
 * Send a request whose path goes out as it is spelled, and read the whole answer.
 *
 * @throws Error when the answer breaks off before its announced end.
 */
export async function ask(base: string, path: string, asking: Asking = {}): Promise<Answer> {
  const response = await open(base, path, asking);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  if (!response.complete) throw new Error("the answer broke off");
  const body = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    text: body.toString("utf8"),
  };
}

/** Send a request and wait for the head of its answer; the caller reads or destroys the rest. */
export async function open(
  base: string,
  path: string,
  asking: Asking = {},
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(base);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request(
    {
      host: hostname,
      port,
      path,
      method: asking.method ?? "GET",
      headers: asking.headers ?? {},
      agent: asking.agent ?? false,
    },
    resolve,
  );
  sent.once("error", reject);
  sent.end();
  return await promise;
}
