// What stands along the two sides of the matrix, and in which order: nodes, or groups of them.
import { byName, isBad, markOf, merge, worst } from './model.js';
import { NONE } from './words.js';

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

/** Plane holds the cell of every pair of items, the worst where several pairs share a place. */
export class Plane {
  constructor(model, items) {
    this.model = model;
    this.items = items;
    this.step = Math.max(1, Math.ceil(items.length / FINEST));
    this.size = Math.ceil(items.length / this.step);
    this.place = new Int32Array(model.nodes.length).fill(-1);
    items.forEach((item, at) => item.nodes.forEach(i => { this.place[i] = at; }));
    this.cells = new Uint16Array(this.size * this.size);
    this.coarser = null;
    this.fill();
  }

  fill() {
    const { model, size, step, place, cells } = this;
    for (let i = 0; i < model.rows.length; i++) {
      if (place[i] < 0) continue;
      const row = Math.floor(place[i] / step) * size, runs = model.rows[i];
      const single = step === 1 && !this.items[place[i]].group;
      for (let r = 0; r < runs.length; r += 3) {
        const cell = runs[r + 2];
        if (!single && !isBad(cell)) continue; // that there is no path says nothing of a group
        for (let j = runs[r], end = j + runs[r + 1]; j < end; j++) {
          if (place[j] < 0) continue;
          const at = row + Math.floor(place[j] / step);
          cells[at] = single && !this.items[place[j]].group ? cell : merge(cells[at], cell);
        }
      }
    }
  }

  /** cell is the cell of the items at row i and column j. */
  cell(i, j) {
    const a = this.items[i], b = this.items[j];
    if (this.step > 1 && !a.group && !b.group) return this.model.cell(a.nodes[0], b.nodes[0]);
    return this.cells[Math.floor(i / this.step) * this.size + Math.floor(j / this.step)];
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

/** census counts the paths between two items by mark: [kind][mark]. */
export function census(model, a, b) {
  const sum = Array.from({ length: 4 }, () => [0, 0, 0, 0, 0]);
  for (const i of a.nodes) {
    for (const j of b.nodes) {
      const cell = model.cell(i, j);
      for (let k = 0; k < 4; k++) sum[k][markOf(cell, k)]++;
    }
  }
  return sum;
}

export const worstOf = cell => (worst(cell) === NONE ? 'none' : ['ok', 'unknown', 'degraded', 'failing'][worst(cell)]);
