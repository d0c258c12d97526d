// What the page knows: the nodes and, of every pair of them, the marks of its four path kinds.
import { KINDS, NONE, OK } from './words.js';

const BLOCK = 100; // nodes of a group, in a mesh that has no zones
const ZONELESS = 300; // nodes from which on one without zones is grouped

/** Model holds one overview. A row holds runs of cells that are not all ok: start, length, cell. */
export class Model {
  version = 0;
  nodes = [];
  index = new Map();
  rows = [];
  findings = [];
  state = 'unknown';
  groups = [];
  zoned = false;
  agents = { expected: 0, reporting: 0, oldest_report: null };
  paths = {};
  generated = 0;
  /** drawn grows with every change of nodes or rows. */
  drawn = 0;

  /** take takes a message of the server; false when it builds on a version that is not ours. */
  take(message) {
    if (message.since != null && message.since !== this.version) {
      return message.version <= this.version; // old news need nothing; else something was missed
    }
    this.version = message.version;
    this.generated = Date.parse(message.generated_at);
    Object.assign(this, { state: message.state, agents: message.agents, paths: message.paths });
    if (message.findings) this.findings = message.findings;
    if (message.since == null) {
      this.rows = Array.from(message.nodes, () => []);
      this.drawn++;
    }
    if (message.nodes) {
      this.nodes = message.nodes;
      this.index = new Map(message.nodes.map((n, i) => [n.name, i]));
      this.group();
      this.drawn++;
    }
    for (const [i, runs] of Object.entries(message.rows)) {
      this.rows[i] = runs;
      this.drawn++;
    }
    return true;
  }

  /** cell is what is known of the pair from node i to node j: three bits a path kind. */
  cell(i, j) {
    const runs = this.rows[i];
    let lo = 0, hi = runs.length / 3;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (runs[3 * mid] + runs[3 * mid + 1] <= j) lo = mid + 1; else hi = mid;
    }
    return 3 * lo < runs.length && runs[3 * lo] <= j ? runs[3 * lo + 2] : 0;
  }

  /** bad calls yield with every pair that is not ok: source, destination, cell. */
  bad(yieldPair) {
    for (let i = 0; i < this.rows.length; i++) {
      const runs = this.rows[i];
      for (let r = 0; r < runs.length; r += 3) {
        if (!isBad(runs[r + 2])) continue;
        for (let j = runs[r], end = j + runs[r + 1]; j < end; j++) yieldPair(i, j, runs[r + 2]);
      }
    }
  }

  total() {
    const sum = { total: 0, ok: 0, degraded: 0, failing: 0, unknown: 0 };
    for (const counts of Object.values(this.paths)) for (const k in sum) sum[k] += counts[k];
    return sum;
  }

  /** group says of each node in which group it stands: its zone or, in a big mesh without zones, its
   * neighbours by name; and lists the groups. */
  group() {
    this.zoned = new Set(this.nodes.map(n => n.zone)).size > 1;
    if (this.zoned || this.nodes.length < ZONELESS) {
      for (const n of this.nodes) n.group = n.zone;
    } else {
      const sorted = [...this.nodes].sort((a, b) => byName(a.name, b.name));
      sorted.forEach((n, i) => {
        const first = i - i % BLOCK, last = Math.min(first + BLOCK, sorted.length) - 1;
        n.group = `${sorted[first].name} – ${sorted[last].name}`;
      });
    }
    this.groups = [...new Set(this.nodes.map(n => n.group))].sort(byName);
  }
}

export const markOf = (cell, kind) => (cell >> (3 * kind)) & 7;

/** isBad tells whether any of the four paths exists and is not ok. */
export function isBad(cell) {
  for (; cell; cell >>= 3) if ((cell & 7) !== OK && (cell & 7) !== NONE) return true;
  return false;
}

/** badBits has all three bits set of each path that exists and is not ok. */
export function badBits(cell) {
  let out = 0;
  for (let s = 0; s < 12; s += 3) {
    const m = (cell >> s) & 7;
    if (m !== OK && m !== NONE) out |= 7 << s;
  }
  return out;
}

/** worst is the worst mark of a cell's paths, NONE when it has none. */
export function worst(cell) {
  let w = -1;
  for (let k = 0; k < 4; k++) if (markOf(cell, k) !== NONE) w = Math.max(w, markOf(cell, k));
  return w < 0 ? NONE : w;
}

/** merge is the worse of two cells, path by path; a path that is none counts only where both are. */
export function merge(a, b) {
  if (a === b) return a;
  let out = 0;
  for (let s = 0; s < 12; s += 3) {
    const x = (a >> s) & 7, y = (b >> s) & 7;
    out |= (x === NONE ? y : y === NONE ? x : Math.max(x, y)) << s;
  }
  return out;
}

/** byName compares names as people do: node2 before node10. */
export const byName = new Intl.Collator('en', { numeric: true }).compare;

/** Light says which paths a set of selectors means: those of them that are not ok. Where all are ok, as
 * when only icmp is filtered, which decides nothing, it means all of them. */
export class Light {
  constructor(model, selectors) {
    this.all = 0;
    this.any = false;
    this.from = new Map();
    this.to = new Map();
    this.pairs = new Map();
    for (const s of selectors) {
      let kinds = 0;
      KINDS.forEach((name, k) => { if (!s.path || s.path === name) kinds |= 7 << (3 * k); });
      const i = s.source ? model.index.get(s.source) : -1, j = s.destination ? model.index.get(s.destination) : -1;
      if (i === undefined || j === undefined) continue;
      if (i < 0 && j < 0) this.all |= kinds;
      else if (j < 0) this.from.set(i, this.from.get(i) | kinds);
      else if (i < 0) this.to.set(j, this.to.get(j) | kinds);
      else this.pairs.set(`${i} ${j}`, this.pairs.get(`${i} ${j}`) | kinds);
    }
  }

  /** settle finds out whether any of the paths meant is not ok. */
  settle(model) {
    model.bad((i, j, cell) => { this.any ||= (this.mask(i, j) & badBits(cell)) !== 0; });
    return this;
  }

  /** of narrows a mask to what is lit in a cell. */
  of(mask, cell) { return this.any ? mask & badBits(cell) : mask; }

  /** mask has all three bits set of each path kind of the pair that is meant. */
  mask(i, j) {
    let m = this.all | this.from.get(i) | this.to.get(j);
    if (this.pairs.size) m |= this.pairs.get(`${i} ${j}`);
    return m;
  }

  /** onto is this light on items instead of nodes: place says where each node stands, -1 for nowhere. */
  onto(place, size) {
    const on = Object.assign(Object.create(Light.prototype), { all: this.all, from: new Uint16Array(size), to: new Uint16Array(size), pairs: new Map() });
    this.from.forEach((m, i) => { if (place[i] >= 0) on.from[place[i]] |= m; });
    this.to.forEach((m, j) => { if (place[j] >= 0) on.to[place[j]] |= m; });
    this.pairs.forEach((m, key) => {
      const [i, j] = key.split(' ').map(n => place[n]);
      if (i >= 0 && j >= 0) on.pairs.set(`${i} ${j}`, on.pairs.get(`${i} ${j}`) | m);
    });
    on.any = this.any;
    on.at = (i, j) => on.all | on.from[i] | on.to[j] | (on.pairs.size ? on.pairs.get(`${i} ${j}`) : 0);
    return on;
  }
}
