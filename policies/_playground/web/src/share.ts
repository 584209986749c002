/** Stores the whole state in the fragment of a link, which browsers do not send to the server. */

import type { Options } from "./shapes";

export interface State extends Options {
  text: string;
}

const NAME = "s=";
/** The maximum unpacked size of a state in bytes, because a link may come from anyone. */
const MOST = 4 * 1024 * 1024;
/** The maximum length of a link in characters, because longer links may be truncated or rejected. */
const LONGEST = 256 * 1024;

/** Packs a state into a fragment. Throws an error if the state is too large. */
export async function pack(state: State): Promise<string> {
  const json = new Blob([JSON.stringify(state)]);
  if (json.size > MOST) throw new Error(`the state is larger than ${MOST / 1024 / 1024} MiB`);
  const packed = json.stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  if (binary.length * (4 / 3) > LONGEST) throw new Error(`it would be longer than ${LONGEST / 1024} thousand characters`);
  return `#${NAME}${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** Whether a fragment contains a state, valid or not. */
export function isLink(fragment: string): boolean {
  return decoded(fragment).startsWith(NAME);
}

/** Decodes a fragment, because programs that pass links on may percent-encode them. */
function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment.replace(/^#/, ""));
  } catch {
    return fragment.replace(/^#/, "");
  }
}

/** Unpacks the state in a fragment; undefined if it has none. Throws an error with a message if it cannot be read. */
export async function unpack(fragment: string): Promise<State | undefined> {
  if (!isLink(fragment)) return undefined;
  let text: string;
  try {
    text = await inflated(decoded(fragment).slice(NAME.length));
  } catch (error) {
    throw error instanceof TooMuch ? error : new Error("it is damaged or truncated");
  }
  const state: unknown = JSON.parse(text);
  if (!isState(state)) throw new Error("it does not contain a state of this page");
  return state;
}

class TooMuch extends Error {}

/** Unpacks the JSON text. */
async function inflated(packed: string): Promise<string> {
  const binary = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > MOST) throw new TooMuch(`it unpacks to more than ${MOST / 1024 / 1024} MiB`);
    parts.push(value as Uint8Array<ArrayBuffer>);
  }
  const text = await new Blob(parts).text();
  JSON.parse(text);
  return text;
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
