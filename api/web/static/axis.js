// What stands along the two sides of the matrix, and in which order: nodes, or groups of them.
import { byName, isBad, markOf, merge, worst } from './model.js';
import { DEGRADED, FAILING, NONE, OK, UNKNOWN } from './words.js';

/** The finest matrix that is kept: of more items, several share a place. */
const FINEST = 2048;

/** arrange makes the items: { name, zone, nodes: [indexes], group }, where zone names the group that a
 * node belongs to and group says that the item is one. */
export function arrange(model, options) {
  const { q, bad, worstFirst, zones, closed } = options;
  const score = bad || worstFirst ? scores(model) : null;
  const needle = q.trim().toLowerCase();
  const found = n => needle && (n.name.toLowerCase().includes(needle) || n.zone.toLowerCase().includes(needle));
  let list = model.nodes.map((n, i) => ({ name: n.name, zone: n.group, nodes: [i], hit: found(n) }));
  if (bad) list = list.filter(item => score[item.nodes[0]] > 0);
  list.sort((a, b) => (b.hit || 0) - (a.hit || 0)
    || (zones ? byName(a.zone, b.zone) : 0)
    || (worstFirst ? score[b.nodes[0]] - score[a.nodes[0]] : 0)
    || byName(a.name, b.name));
  const items = [];
  for (const item of list) {
    if (!zones || item.hit || !closed.has(item.zone)) {
      items.push(item);
      continue;
    }
    const last = items.at(-1);
    if (last?.group && last.zone === item.zone) last.nodes.push(item.nodes[0]);
    else items.push({ name: item.zone || 'no zone', zone: item.zone, nodes: item.nodes, group: true });
  }
  return items;
}

/** labelOf is what stands beside an item. */
export const labelOf = item => (item.group ? `▸ ${item.name} (${item.nodes.length})` : item.name);

/** scores says of each node how bad it stands: failing counts more than anything else. */
function scores(model) {
  const score = new Float64Array(model.nodes.length), weigh = [0, 1, 3, 10, 0];
  model.bad((i, j, cell) => {
    let w = 0;
    for (let k = 0; k < 4; k++) w += weigh[markOf(cell, k)];
    score[i] += w;
    if (i !== j) score[j] += w;
  });
  return score;
}

/** Plane holds the cell of every pair of items, the worst where several pairs share a place, and counts the
 * paths where a group stands on either side. */
export class Plane {
  constructor(model, items) {
    this.model = model;
    this.items = items;
    this.step = Math.max(1, Math.ceil(items.length / FINEST));
    this.size = Math.ceil(items.length / this.step);
    this.place = new Int32Array(model.nodes.length).fill(-1);
    items.forEach((item, at) => item.nodes.forEach(i => { this.place[i] = at; }));
    this.cells = new Uint16Array(this.size * this.size);
    this.sums = new Map();
    this.coarser = null;
    this.fill();
    this.settle();
  }

  fill() {
    const { model, items, place } = this, times = new Uint32Array(items.length);
    for (let i = 0; i < model.rows.length; i++) {
      if (place[i] < 0) continue;
      const runs = model.rows[i], whole = items[place[i]].group;
      for (let r = 0; r < runs.length; r += 3) {
        const cell = runs[r + 2], met = [];
        for (let j = runs[r], end = j + runs[r + 1]; j < end; j++) {
          const to = place[j];
          if (to < 0) continue;
          if (whole || items[to].group) {
            if (!times[to]++) met.push(to);
          } else this.put(place[i], to, cell);
        }
        for (const to of met) {
          this.add(place[i], to, cell, times[to]);
          times[to] = 0;
        }
      }
    }
  }

  put(i, j, cell) {
    const { cells, step } = this, at = Math.floor(i / step) * this.size + Math.floor(j / step);
    if (step === 1) cells[at] = cell;
    else if (isBad(cell)) cells[at] = merge(cells[at], cell);
  }

  add(i, j, cell, times) {
    const key = i * this.items.length + j;
    let sum = this.sums.get(key);
    if (!sum) this.sums.set(key, sum = noPaths());
    for (let k = 0; k < 4; k++) sum[k][markOf(cell, k)] += times;
  }

  /** settle adds the pairs of which no row speaks, since all is ok, and shows of each sum the worst. */
  settle() {
    const { items } = this;
    this.sums.forEach((sum, key) => {
      const i = Math.floor(key / items.length), j = key % items.length;
      const rest = items[i].nodes.length * items[j].nodes.length - sum[0].reduce((a, b) => a + b);
      for (const counts of sum) counts[OK] += rest;
      this.put(i, j, worstOfSum(sum));
    });
  }

  /** sum counts the paths of a place where a group is, by kind and mark; undefined elsewhere, and where all are ok. */
  sum(i, j) { return this.sums.size ? this.sums.get(i * this.items.length + j) : undefined; }

  /** census counts the paths between two items: [kind][mark]. */
  census(a, b) {
    const known = this.sum(this.place[a.nodes[0]], this.place[b.nodes[0]]);
    if (known) return known;
    const sum = noPaths(), cell = a.group || b.group ? 0 : this.model.cell(a.nodes[0], b.nodes[0]);
    for (let k = 0; k < 4; k++) sum[k][markOf(cell, k)] = a.nodes.length * b.nodes.length;
    return sum;
  }

  /** cell is the cell of the items at row i and column j. */
  cell(i, j) {
    const a = this.items[i], b = this.items[j];
    if (this.step === 1) return this.cells[i * this.size + j];
    if (!a.group && !b.group) return this.model.cell(a.nodes[0], b.nodes[0]);
    const sum = this.sum(i, j);
    return sum ? worstOfSum(sum) : 0;
  }

  /** worst is the worst of step × step places. */
  worst(i, j, step) {
    const end = this.items.length;
    let cell = this.cell(i, j);
    for (let a = i; step > 1 && a < Math.min(i + step, end); a++) {
      for (let b = j; b < Math.min(j + step, end); b++) {
        if (this.cells[Math.floor(a / this.step) * this.size + Math.floor(b / this.step)]) cell = merge(cell, this.cell(a, b));
      }
    }
    return cell;
  }

  /** pooled is this plane with 2^level × 2^level places in one: one bad path in a thousand stays seen. */
  pooled(level) {
    if (level <= 0) return this;
    if (!this.coarser) {
      const size = Math.ceil(this.size / 2), cells = new Uint16Array(size * size);
      for (let i = 0; i < this.size; i++) {
        const row = (i >> 1) * size;
        for (let j = 0; j < this.size; j++) {
          const cell = this.cells[i * this.size + j];
          if (cell && isBad(cell)) cells[row + (j >> 1)] = merge(cells[row + (j >> 1)], cell);
        }
      }
      this.coarser = Object.assign(Object.create(Plane.prototype), { size, cells, coarser: null });
    }
    return this.coarser.pooled(level - 1);
  }
}

const noPaths = () => Array.from({ length: 4 }, () => [0, 0, 0, 0, 0]);

/** worstOfSum is the cell with the worst mark of each kind. */
function worstOfSum(sum) {
  return sum.reduce((cell, counts, k) => {
    const mark = [FAILING, DEGRADED, UNKNOWN, OK].find(m => counts[m]) ?? NONE;
    return cell | mark << (3 * k);
  }, 0);
}

export const worstOf = cell => (worst(cell) === NONE ? 'none' : ['ok', 'unknown', 'degraded', 'failing'][worst(cell)]);
