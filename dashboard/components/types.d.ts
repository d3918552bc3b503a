// The shapes that come from Python, and what the page makes of them. dashboard/live: rows.py,
// hub.py and install_feed.py; pages/vocabulary.py write them; the rows themselves are read in store.js.

/** A board, as the rows of rows.py add up to it. */
interface Board {
  index: number;
  id: string;
  name: string;
  stack: number | null;
  slot: number | null;
  tags: string[];
  /** Number of its set in PageStore.abilities. */
  abilities: number;
  power: string | null;
  outlet: string;
  running: Running | null;
  lock: BoardLock | null;
  /** Why it cannot be asked to shut down; null if it can. */
  unasked: string | null;
  /** Place in PageSettings.states. */
  state: number;
  cpu: number;
  memory: number;
  temperature: number;
  /** Two bits a vital: rows.py, Levels.packed. */
  levels: number;
  working: number;
  words: string;
  since: number;
  reason: string;
  history: Uint8Array;
}

interface Running {
  id: string;
  verb: string;
  phase: string;
  by: string;
  word: string;
}

interface BoardLock {
  scope: string;
  by: string;
  until: number;
  reason: string;
}

interface Stack {
  number: number;
  name: string;
  x: number;
  y: number;
  slots: number;
  power?: string | null;
  wanted?: string | null;
  lock?: BoardLock | null;
  fault?: string;
  found: number[];
}

interface RackEvent {
  seq: number;
  ts: number;
  kind: string;
  text: string;
  node: string;
  stack: number | null;
  by: string;
  verb: string;
  incident: string;
  correlation: string;
}

/** hub.py, Connection. */
interface Connection {
  broker: boolean;
  since: number;
  why: string;
  master: string;
  frozen: string;
  slowed: boolean;
  ready: boolean;
  install: string;
  install_hint: string;
  install_trouble: boolean;
  home: string;
}

/** What one message changed. */
interface Change {
  rows: Set<Board>;
  snapshot?: boolean;
  structure?: boolean;
  match?: boolean;
  filter?: boolean;
  events?: boolean;
  connection?: boolean;
  sampled?: boolean;
  second?: boolean;
  install?: any;
  receipts?: Receipt[];
  sent?: { reference: number; id: string }[];
  refused?: { reference: number; text: string }[];
}

/** A command's answer so far: live/command_sender.py. */
interface Receipt {
  id: string;
  phase: string;
  complete: boolean;
  ok: boolean;
  error: string;
  rows: ReceiptRow[];
  events: RackEvent[];
  duration: number;
  verified: boolean;
}

/** What the server tells once: frame.py for the tab, vocabulary.py for all. */
interface PageSettings {
  user: string;
  role: string;
  rack: string;
  prefix: string;
  mosquittoPub: string;
  limits: { memory: number[]; temperature: number[]; disk: number[] };
  states: { key: string; label: string }[];
  /** States, the worst first. */
  severity: number[];
  /** States in the order of the filter. */
  filterOrder: number[];
  roles: string[];
  adminVerbs: string[];
  destructive: string[];
  waves: Record<string, number>;
  verbs: Record<string, VerbWords>;
  /** The words of the verb power. */
  power: Record<string, VerbWords>;
  commonVerbs: string[];
  lastVerbs: string[];
  /** What the master can do for every board. */
  masterVerbs: string[];
  /** Examples of a search, each with what it finds. */
  search: Record<string, string>;
  phases: Record<string, string>;
  phasesUnderWay: string[];
  kinds: Record<string, { title: string; label: string }>;
  throttleFlags: Record<string, string>;
  install: InstallVocabulary;
}

interface VerbWords {
  label: string;
  icon: string;
  note: string;
  doing: string;
  consequence: string;
}

/** The install run's closed sets, each with its words. */
interface InstallVocabulary {
  over: string[];
  stages: { name: string; steps: string[] }[];
  steps: Record<string, string[]>;
  ends: Record<string, string[]>;
  verdicts: Record<string, { mark: string; words: string }>;
  phases: Record<string, { mark: string; words: string }>;
}

interface PageStore {
  settings: PageSettings;
  loaded: boolean;
  rack: string;
  /** By the number the server gave them. */
  nodes: Map<number, Board>;
  ids: Map<string, Board>;
  stacks: Map<number, Stack>;
  /** Sets of verb, placeholders and note, by number. */
  abilities: Record<number, [string, string[], string][]>;
  events: RackEvent[];
  connection: Connection;
  /** Whether the tab is connected to the dashboard. */
  socket: boolean;
  /** Numbers of the boards the search found; null without a search. */
  match: Set<number> | null;
  query: { text: string; hint: string };
  filter: Set<string>;
  /** Id of the board whose sheet is open. */
  open: string;
  /** What rows.vitals and rows.details say of it. */
  node: any;
  rows: number;
  structure: number;
  seconds: number;
  revision: number;
  failure: string;
  say: (message: Record<string, unknown>) => void;
}

/** Whom a command means: the scope of its topic, what to call it, and the boards. */
interface Target {
  scope: string;
  title: string;
  nodes: Board[];
  lock: BoardLock | null;
}

interface Action {
  verb: string;
  args: string[];
  label: string;
  placeholders: string[];
  icon?: string;
  note?: string;
  consequence?: string;
  /** Whether it interrupts boards, so that it is asked first. */
  danger?: boolean;
  red?: boolean;
  /** Its page says what comes of it: the receipt needs no rows. */
  brief?: boolean;
  confirm?: string;
  /** Another target than the one whose actions are listed, and why. */
  target?: Target;
  where?: string;
}

/** install.py: the state of the run, and a stack of it. */
interface InstallState {
  run: string;
  step: string;
  backend: string;
  interface: string;
  only: number | null;
  stack: number | null;
  by: string;
  dry: boolean;
  done: number;
  total: number;
  share: number;
  heard: number;
  eta_s: number | null;
  problems: string[];
  forecast: string[];
  verdicts: Record<string, number>;
}

interface InstallBoard {
  slot: number | null;
  name: string;
  address: string;
  mac: string;
  serial: string;
  model: string;
  verdict: string;
  verified: boolean;
  node: string;
}

interface InstallStack {
  number: number;
  run: string;
  phase: string;
  boards: InstallBoard[];
}

interface Window {
  path_prefix?: string;
  did_handshake?: boolean;
  socket?: any;
}

/** What comes back of a command: its id, then receipts; or why it was not sent. */
interface Answer {
  id?: string;
  refused?: string;
  receipt?: Receipt;
}

interface ReceiptRow {
  node: string;
  name: string;
  phase: string;
  error: string;
  exit: number | null;
  output: string;
  duration: number | null;
  verified: boolean | null;
  code: string;
}

/** A command that this tab sent, as its receipt shows it. */
interface ReceiptCard {
  key: number;
  target: Target;
  action: Action;
  total: number;
  id: string;
  refused: string;
  rows: ReceiptRow[];
  answer: Receipt | null;
}
