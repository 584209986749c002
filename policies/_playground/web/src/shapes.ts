/** What goes between the page and the policies; policies/_playground/src has the same in Rust. */

export type Outcome = "allow" | "warn" | "patch" | "deny";

/** A place in the text, and the value there. */
export interface Place {
  /** From 1; 0 for the text as a whole. */
  line: number;
  /** In characters, from 1. */
  column: number;
  /** Where in the line the value begins and ends, in UTF-16 code units from 0. */
  start: number;
  end: number;
}

export interface Located extends Place {
  message: string;
}

export interface Found extends Located {
  field: string;
  control: string | null;
}

/** What one policy says of an object, or of the pods that it makes. */
export interface Row {
  policy: string;
  outcome: Outcome;
  ofPods: boolean;
  remediation: string;
  denials: Found[];
  warnings: Found[];
  audit: string | null;
}

export interface Judged extends Place {
  name: string;
  outcome: Outcome;
  rows: Row[];
  patches: { ofPods: boolean; operations: unknown[] }[];
}

/** A document that admission would change. */
export interface Changed {
  line: number;
  before: string;
  after: string;
}

export interface Picture {
  svg: string;
  flows: string[];
  notes: string[];
}

/** All that is said of a text. */
export interface Said {
  outcome: Outcome | null;
  isCase: boolean;
  objects: Judged[];
  summary: {
    objects: number;
    judged: number;
    denials: number;
    warnings: number;
    changed: number;
    objectsLeftOut: number;
    findingsLeftOut: number;
    changesLeftOut: number;
  };
  errors: Located[];
  notes: string[];
  settings: Record<string, string>;
  changed: Changed[];
  picture: Picture | null;
}

/** Which policies are asked: the settings of each. */
export interface Asked {
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
  needsCluster: boolean;
  schema: Schema;
  cases: Case[];
}

/** As much of JSON Schema as the settings of policies use. */
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
