/** The whole state in the fragment of a link, which no browser sends to a server. */

import type { Asked } from "./shapes";

export interface State extends Asked {
  text: string;
}

const NAME = "s=";
/** How much a link may unpack to, in bytes: somebody else may have made it. */
const MOST = 4 * 1024 * 1024;

/** The fragment for a state. */
export async function pack(state: State): Promise<string> {
  const packed = new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return `#${NAME}${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** The state in a fragment; nothing if it has none. Throws what is to be said of one that cannot be read. */
export async function unpack(fragment: string): Promise<State | undefined> {
  const packed = fragment.replace(/^#/, "");
  if (!packed.startsWith(NAME)) return undefined;
  const binary = atob(packed.slice(NAME.length).replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > MOST) throw new Error(`it unpacks to more than ${MOST / 1024 / 1024} MiB`);
    parts.push(value as Uint8Array<ArrayBuffer>);
  }
  const state: unknown = JSON.parse(await new Blob(parts).text());
  if (!isState(state)) throw new Error("it holds something else");
  return state;
}

function isState(value: unknown): value is State {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return (
    isObject(value) &&
    typeof value["text"] === "string" &&
    typeof value["namespace"] === "string" &&
    isObject(value["policies"]) &&
    Object.values(value["policies"]).every(isObject)
  );
}
