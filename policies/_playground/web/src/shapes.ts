/** The types of the data exchanged with the policies. Those of the report are generated from the Rust types. */

export type { DocumentChange, LocatedMessage, ObjectEntry, Outcome, MapDiagram, PolicyResult, ReportedFinding, PlaygroundReport } from "./report";

/** A location in the text, with the range of the value if `start` and `end` are known. */
export interface Placed {
  line: number;
  start?: number;
  end?: number;
}

/** The policies to evaluate, with their settings. */
export interface Options {
  namespace: string;
  policies: Record<string, Settings>;
}

export type Settings = Record<string, unknown>;

export interface Case {
  name: string;
  why: string;
  text: string;
  settings: Settings;
}

export interface Policy {
  name: string;
  summary: string;
  /** How to fix a denial. */
  remediation: string;
  needsCluster: boolean;
  schema: Schema;
  cases: Case[];
}

/** The part of JSON Schema that the settings of policies use. */
export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  description?: string;
  default?: unknown;
  const?: string;
  oneOf?: Schema[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  minimum?: number;
  maximum?: number;
  [keyword: string]: unknown;
}
