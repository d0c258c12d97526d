// The matrix on its canvas: where things are, panning and zooming, the cursor, what is under it.
import { Plane, labelOf, worstOf } from './axis.js';
import { isBad } from './model.js';
import { Palette } from './marks.js';
import { paint } from './paint.js';

const LARGEST = 56; // CSS pixels of a cell that fits
const SMALLEST = 1.5;
const READABLE = 12; // down to which few nodes are not made smaller only to be seen without scrolling

/** Matrix draws the items of a plane. open(a, b) is called for a chosen pair, over(a, b, point) for the one under the pointer. */
export class Matrix {
  constructor(root, { open, over, moved }) {
    Object.assign(this, { root, open, over, moved, canvas: root.querySelector('canvas'), plane: null, light: null, old: false });
    this.cell = 0; // 0 fits
    this.x = this.y = 0; // what is scrolled away, in CSS pixels
    this.cursor = null;
    this.chosen = null;
    this.heat = null;
    this.frames = 0;
    new ResizeObserver(() => this.layout()).observe(root);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.repalette());
    this.palette = new Palette(root);
    this.listen();
  }

  repalette() {
    this.palette = new Palette(this.root);
    this.redraw();
  }

  /** set shows other items, or the same with new cells, and lights what a Light means; null lights all. */
  set(model, items, light) {
    this.plane = new Plane(model, items);
    this.light = light ? light.onto(this.plane.place, items.length) : null;
    if (this.cursor && (this.cursor.i >= items.length || this.cursor.j >= items.length)) this.cursor = null;
    this.layout();
  }

  get items() { return this.plane ? this.plane.items : []; }

  layout() {
    if (!this.plane || !this.root.clientWidth) return;
    const n = this.items.length, wide = this.root.clientWidth;
    const longest = this.items.slice(0, 400).reduce((m, item) => Math.max(m, labelOf(item).length), 3);
    this.left = Math.round(Math.min(Math.max(52, longest * 7 + 18), wide < 600 ? 84 : 190));
    this.top = Math.round(Math.min(Math.max(40, longest * 6.3 + 24), wide < 600 ? 70 : 120));
    const tallest = Math.max(240, Math.round(innerHeight * 0.74) - this.top);
    const across = (wide - this.left - 26) / Math.max(1, n), down = Math.max(tallest / Math.max(1, n), n > 60 ? 0 : READABLE);
    this.least = Math.max(SMALLEST, Math.min(LARGEST, across, down));
    if (n * 3 < wide - this.left) this.least = Math.max(this.least, 3);
    const size = this.size;
    this.wide = Math.min(wide, this.left + n * size + 26);
    this.high = Math.min(this.top + n * size + 8, this.top + Math.max(tallest, 240));
    const scale = devicePixelRatio || 1;
    this.canvas.style.width = `${wide}px`;
    this.canvas.style.height = `${this.high}px`;
    if (this.canvas.width !== Math.round(wide * scale) || this.canvas.height !== Math.round(this.high * scale)) {
      this.canvas.width = Math.round(wide * scale);
      this.canvas.height = Math.round(this.high * scale);
    }
    this.clamp();
    this.redraw();
  }

  get size() { return this.cell ? Math.max(this.cell, this.least) : this.least; }

  clamp() {
    const n = this.items.length;
    this.x = Math.max(0, Math.min(this.x, this.left + n * this.size + 26 - this.root.clientWidth));
    this.y = Math.max(0, Math.min(this.y, this.top + n * this.size + 8 - this.high));
    this.overflows = this.left + n * this.size > this.root.clientWidth + 1 || this.top + n * this.size > this.high + 1;
    this.root.classList.toggle('overflows', this.overflows);
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.frames++;
      if (this.plane) paint(this);
    });
  }

  /** zoom makes cells larger or smaller around a point of the canvas. */
  zoom(factor, px = this.left, py = this.top) {
    const before = this.size, i = (this.y + py - this.top) / before, j = (this.x + px - this.left) / before;
    this.cell = Math.max(this.least, Math.min(64, before * factor));
    if (this.cell <= this.least) this.cell = 0;
    this.layout();
    this.x = j * this.size - (px - this.left);
    this.y = i * this.size - (py - this.top);
    this.clamp();
    this.redraw();
    this.moved();
  }

  fit() {
    this.cell = this.x = this.y = 0;
    this.layout();
    this.moved();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.clamp();
    this.redraw();
  }

  /** at is the place under a point of the canvas: { i, j }, one of them -1 in a header; null outside. */
  at(px, py) {
    const n = this.items.length;
    const j = px < this.left ? -1 : Math.floor((px - this.left + this.x) / this.size), i = py < this.top ? -1 : Math.floor((py - this.top + this.y) / this.size);
    return i >= n || j >= n || (i < 0 && j < 0) ? null : { i, j };
  }

  /** go puts the cursor on a place and brings that into view. */
  go(i, j) {
    const n = this.items.length;
    if (!n) return;
    this.cursor = { i: Math.max(0, Math.min(n - 1, i)), j: Math.max(0, Math.min(n - 1, j)) };
    const s = this.size, w = this.root.clientWidth - this.left, h = this.high - this.top;
    this.x = Math.max((this.cursor.j + 1) * s - w, Math.min(this.x, this.cursor.j * s));
    this.y = Math.max((this.cursor.i + 1) * s - h, Math.min(this.y, this.cursor.i * s));
    this.clamp();
    this.redraw();
    this.over(this.items[this.cursor.i], this.items[this.cursor.j], null);
  }

  /** next finds the next place that is not ok, in reading order. */
  next(step) {
    const n = this.items.length, total = n * n;
    let at = this.cursor ? this.cursor.i * n + this.cursor.j : step > 0 ? -1 : total;
    for (let tried = 0; tried < total; tried++) {
      at = (at + step + total) % total;
      if (isBad(this.plane.cell(Math.floor(at / n), at % n))) return this.go(Math.floor(at / n), at % n);
    }
  }

  /** inspect says what is drawn at a place: the worst state, and whether it is lit. */
  inspect(i, j) {
    const cell = this.plane.cell(i, j), a = this.items[i], b = this.items[j];
    return { from: a.name, to: b.name, cell, state: worstOf(cell), lit: this.lit(i, j, cell) };
  }

  /** lit is the mask of the quadrants that the chosen finding means, -1 when none is chosen. */
  lit(i, j, cell) { return this.light ? this.light.of(this.light.at(i, j), cell) : -1; }

  listen() {
    const { root, canvas } = this, point = e => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    const held = new Map();
    let dragged = false, spread = 0;
    canvas.addEventListener('pointerdown', e => { held.set(e.pointerId, point(e)); dragged = false; spread = 0; });
    canvas.addEventListener('pointermove', e => {
      const [px, py] = point(e), from = held.get(e.pointerId);
      if (!from) return this.hover(px, py);
      if (held.size === 2) {
        held.set(e.pointerId, [px, py]);
        const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (spread) this.zoom(now / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
        spread = now;
        dragged = true;
      } else if (this.overflows && (dragged || Math.hypot(px - from[0], py - from[1]) > 4)) {
        if (!dragged) canvas.setPointerCapture(e.pointerId);
        dragged = true;
        this.pan(from[0] - px, from[1] - py);
        held.set(e.pointerId, [px, py]);
      }
    });
    const release = e => { held.delete(e.pointerId); if (dragged) this.moved(); };
    canvas.addEventListener('pointerup', release);
    canvas.addEventListener('pointercancel', release);
    canvas.addEventListener('pointerleave', () => this.over(null));
    canvas.addEventListener('click', e => { if (!dragged) this.click(this.at(...point(e))); });
    canvas.addEventListener('wheel', e => {
      if (!e.ctrlKey && !e.metaKey && !(e.shiftKey && this.overflows)) return;
      e.preventDefault();
      if (e.shiftKey) this.pan(e.deltaX || e.deltaY, 0);
      else this.zoom(Math.exp(-e.deltaY / 200), ...point(e));
    }, { passive: false });
    root.addEventListener('keydown', e => this.key(e));
  }

  hover(px, py) {
    const at = this.at(px, py);
    this.hovered = at;
    if (at && at.i >= 0 && at.j >= 0) this.over(this.items[at.i], this.items[at.j], [px, py]);
    else if (at) this.over(this.items[Math.max(at.i, at.j)], null, [px, py]);
    else this.over(null);
  }

  click(at) {
    if (!at) return;
    if (at.i >= 0 && at.j >= 0) {
      this.cursor = at;
      this.open(this.items[at.i], this.items[at.j]);
    } else this.open(this.items[Math.max(at.i, at.j)], null);
    this.redraw();
  }

  key(e) {
    const { i, j } = this.cursor || { i: 0, j: 0 }, n = this.items.length;
    const moves = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], Home: [i, 0], End: [i, n - 1], PageUp: [i - 10, j], PageDown: [i + 10, j] };
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (moves[e.key]) this.cursor ? this.go(...moves[e.key]) : this.go(0, 0);
    else if (e.key === 'Enter' || e.key === ' ') { if (this.cursor) this.open(this.items[i], this.items[j]); }
    else if (e.key === 'n') this.next(1);
    else if (e.key === 'p') this.next(-1);
    else if (e.key === '+' || e.key === '=') this.zoom(1.4, this.left + j * this.size - this.x, this.top + i * this.size - this.y);
    else if (e.key === '-') this.zoom(1 / 1.4, this.left + j * this.size - this.x, this.top + i * this.size - this.y);
    else if (e.key === '0') this.fit();
    else return;
    e.preventDefault();
  }
}
