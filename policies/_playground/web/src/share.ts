/** The whole state in the fragment of a link, which no browser sends to a server. */

import type { Options } from "./shapes";

export interface State extends Options {
  text: string;
}

const NAME = "s=";
/** How much a link may unpack to, in bytes: somebody else may have made it. */
const MOST = 4 * 1024 * 1024;
/** How long a link may be, in characters: longer ones are cut off or refused on their way. */
const LONGEST = 256 * 1024;

/** The fragment for a state. Throws why there can be none. */
export async function pack(state: State): Promise<string> {
  const json = new Blob([JSON.stringify(state)]);
  if (json.size > MOST) throw new Error(`what is to be in it is larger than ${MOST / 1024 / 1024} MiB`);
  const packed = json.stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  if (binary.length * (4 / 3) > LONGEST) throw new Error(`it would be longer than ${LONGEST / 1024} thousand characters`);
  return `#${NAME}${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** Whether a fragment is a state, or was one. */
export function isLink(fragment: string): boolean {
  return decoded(fragment).startsWith(NAME);
}

/** A fragment as it was made: what passes links on may encode them once more. */
function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment.replace(/^#/, ""));
  } catch {
    return fragment.replace(/^#/, "");
  }
}

/** The state in a fragment; nothing if it has none. Throws what is to be report of one that cannot be read. */
export async function unpack(fragment: string): Promise<State | undefined> {
  if (!isLink(fragment)) return undefined;
  let text: string;
  try {
    text = await inflated(decoded(fragment).slice(NAME.length));
  } catch (error) {
    throw error instanceof TooMuch ? error : new Error("it is damaged, or cut off");
  }
  const state: unknown = JSON.parse(text);
  if (!isState(state)) throw new Error("it holds something else");
  return state;
}

class TooMuch extends Error {}

/** What was packed. */
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
