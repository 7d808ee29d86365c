import { once } from "node:events";
import { connect } from "node:net";

/** Send host and header lines as they are, several of one name included, and read the answer. */
export async function askRaw(
  url: string,
  path: string,
  headers: readonly string[],
  host = "localhost",
): Promise<{ status: number; text: string }> {
  const { port } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  await once(socket, "connect");
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...headers];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  return { status: Number(text.split(" ", 2)[1]), text };
}
