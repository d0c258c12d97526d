// Drawing one frame of the matrix. Its cost depends on what is in sight, not on how many nodes there
// are: large cells are copies of a few drawn ones, small ones are pixels.
import { labelOf } from './axis.js';
import { QUADRANTS } from './marks.js';
import { OK } from './words.js';

const FORMS = 12; // CSS pixels from which on a cell has room for forms
const FINE = 3; // below this, cells are pooled

let image; // the pixels of the last frame
const sheet = document.createElement('canvas'); // where pixels are made before they are enlarged

/** paint draws a Matrix. */
export function paint(m) {
  const g = m.canvas.getContext('2d', { alpha: false }), scale = devicePixelRatio || 1, p = m.palette;
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.fillStyle = p.sheet;
  g.fillRect(0, 0, m.canvas.width, m.canvas.height);
  g.setTransform(scale, 0, 0, scale, 0, 0);
  const n = m.items.length, s = m.size, wide = m.canvas.width / scale, high = m.canvas.height / scale;
  const sight = { i0: Math.floor(m.y / s), j0: Math.floor(m.x / s), i1: Math.min(n, Math.ceil((m.y + high - m.top) / s)), j1: Math.min(n, Math.ceil((m.x + wide - m.left) / s)) };
  g.save();
  g.beginPath();
  g.rect(m.left, m.top, wide - m.left, high - m.top);
  g.clip();
  if (s >= FORMS && !m.heat) forms(g, m, sight, scale);
  else pixels(g, m, sight);
  zones(g, m, sight);
  frame(g, m, m.cursor, p.accent, 2);
  g.restore();
  labels(g, m, sight);
}

function forms(g, m, sight, scale) {
  const s = m.size, side = Math.floor(s * scale) - (s > 24 ? Math.round(2 * scale) : Math.max(1, Math.round(scale)));
  for (let i = sight.i0; i < sight.i1; i++) {
    for (let j = sight.j0; j < sight.j1; j++) {
      const cell = m.plane.cell(i, j), x = m.left + j * s - m.x, y = m.top + i * s - m.y;
      g.drawImage(m.palette.sprite(cell, m.lit(i, j, cell), side, m.old, m.plane.sum(i, j)), x, y, side / scale, side / scale);
    }
  }
}

/** pixels draws each cell as 2 × 2 pixels on a small sheet, which is then enlarged. */
function pixels(g, m, sight) {
  const level = m.heat ? 0 : Math.max(0, Math.ceil(Math.log2(FINE / m.size))), step = 1 << level;
  const i0 = sight.i0 >> level, j0 = sight.j0 >> level, rows = Math.ceil(sight.i1 / step) - i0, cols = Math.ceil(sight.j1 / step) - j0;
  if (rows <= 0 || cols <= 0) return;
  const out = pixelsOf(2 * cols, 2 * rows), width = image.width;
  if (m.heat) heat(out, width, m, i0, j0, rows, cols);
  else states(out, width, m, level, i0, j0, rows, cols);
  if (sheet.width < width || sheet.height < image.height) Object.assign(sheet, { width, height: image.height });
  sheet.getContext('2d').putImageData(image, 0, 0, 0, 0, 2 * cols, 2 * rows);
  g.imageSmoothingEnabled = false;
  const s = m.size * step;
  g.drawImage(sheet, 0, 0, 2 * cols, 2 * rows, m.left + j0 * s - m.x, m.top + i0 * s - m.y, cols * s, rows * s);
  if (m.size >= 6) grid(g, m, sight);
}

/** pixelsOf returns the pixels of an image of at least so many, the last frame's if that will do. */
function pixelsOf(width, height) {
  const had = image ? image.width * image.height : 0;
  if (!had || image.width < width || image.height < height || had > 4 * width * height) image = new ImageData(width, height);
  return new Uint32Array(image.data.buffer);
}

function states(out, width, m, level, i0, j0, rows, cols) {
  const { palette, light, plane } = m, step = 1 << level, pool = plane.step === 1 ? plane.pooled(level) : null;
  const normal = m.old ? palette.old : palette.pixels, grouped = !level && plane.sums.size > 0, all = !!light || grouped;
  for (let i = 0; i < rows; i++) {
    const from = 2 * i * width, first = pool ? (i0 + i) * pool.size + j0 : 0;
    out.fill(normal[OK], from, from + 2 * cols); // most places are ok, and cost no more than this
    out.fill(normal[OK], from + width, from + width + 2 * cols);
    for (let j = 0; j < cols; j++) {
      const cell = pool ? pool.cells[first + j] : plane.worst((i0 + i) * step, (j0 + j) * step, step);
      if (!cell && !all) continue;
      const lit = light ? light.of(maskPooled(m, (i0 + i) * step, (j0 + j) * step, step), cell) : -1, at = from + 2 * j;
      const sum = grouped ? plane.sum(i0 + i, j0 + j) : undefined, mixed = sum && palette.mix(sum);
      for (let q = 0; q < 4; q++) {
        const shift = 3 * QUADRANTS[q], colours = lit === -1 || (lit >> shift) & 7 ? normal : palette.dim;
        out[at + (q >> 1) * width + (q & 1)] = mixed && colours === palette.pixels ? mixed[QUADRANTS[q]] : colours[(cell >> shift) & 7];
      }
    }
  }
}

function maskPooled(m, i, j, step) {
  let mask = 0;
  for (let a = i; a < Math.min(i + step, m.items.length); a++) {
    for (let b = j; b < Math.min(j + step, m.items.length); b++) mask |= m.light.at(a, b);
  }
  return mask;
}

/** heat draws round trips of one path kind; what is not ok keeps its state's colour. */
function heat(out, width, m, i0, j0, rows, cols) {
  const { palette, heat: { at, kind } } = m;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const mark = (m.plane.cell(i0 + i, j0 + j) >> (3 * kind)) & 7, ms = at(m.items[i0 + i], m.items[j0 + j]);
      const colour = mark === OK && ms > 0 ? palette.heatPixel(ms) : mark === OK ? palette.dim[1] : palette.pixels[mark], p = 2 * i * width + 2 * j;
      out[p] = out[p + 1] = out[p + width] = out[p + width + 1] = colour;
    }
  }
}

function grid(g, m, sight) {
  g.strokeStyle = m.palette.sheet;
  g.lineWidth = 1;
  g.beginPath();
  for (let i = sight.i0; i <= sight.i1; i++) { const y = Math.round(m.top + i * m.size - m.y) - 0.5; g.moveTo(m.left, y); g.lineTo(m.left + m.items.length * m.size, y); }
  for (let j = sight.j0; j <= sight.j1; j++) { const x = Math.round(m.left + j * m.size - m.x) - 0.5; g.moveTo(x, m.top); g.lineTo(x, m.top + m.items.length * m.size); }
  g.stroke();
}

/** zones draws a line where the zone changes. */
function zones(g, m, sight) {
  if (!m.byZone || m.size < 2) return;
  const { items, size: s } = m, end = items.length * s;
  g.strokeStyle = items.every(item => item.group) ? m.palette.line : m.palette.soft;
  g.lineWidth = 1;
  g.beginPath();
  for (let i = Math.max(1, Math.min(sight.i0, sight.j0)); i < Math.max(sight.i1, sight.j1); i++) {
    if (items[i].zone === items[i - 1].zone) continue;
    const y = Math.round(m.top + i * s - m.y) - 0.5, x = Math.round(m.left + i * s - m.x) - 0.5;
    g.moveTo(m.left, y); g.lineTo(m.left + end - m.x, y);
    g.moveTo(x, m.top); g.lineTo(x, m.top + end - m.y);
  }
  g.stroke();
}

function frame(g, m, at, colour, width) {
  if (!at) return;
  const side = Math.max(m.size, 5);
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.strokeRect(m.left + at.j * m.size - m.x - 1, m.top + at.i * m.size - m.y - 1, side + 1, side + 1);
}

/** labels writes the names along both sides, as many as there is room for. */
function labels(g, m, sight) {
  const { items, size: s, palette: p } = m, room = 13, every = Math.max(1, Math.ceil(room / s)), under = m.cursor || m.hovered;
  g.font = '12px system-ui, sans-serif';
  g.textBaseline = 'middle';
  const colour = (item, here) => (here ? p.accent : item.hit || item.group ? p.text : p.soft);
  g.textAlign = 'right';
  for (let i = Math.ceil(sight.i0 / every) * every; i < sight.i1; i += every) {
    const y = m.top + (i + 0.5) * s - m.y;
    if (y < m.top) continue;
    g.fillStyle = colour(items[i], under && under.i === i);
    g.fillText(title(g, items[i], m.left - 10), m.left - 6, y);
  }
  const scale = devicePixelRatio || 1, sin = Math.sin(Math.PI / 3), cos = Math.cos(Math.PI / 3);
  g.textAlign = 'left';
  for (let j = Math.ceil(sight.j0 / every) * every; j < sight.j1; j += every) {
    const x = m.left + (j + 0.5) * s - m.x;
    if (x < m.left) continue;
    g.setTransform(scale * cos, -scale * sin, scale * sin, scale * cos, scale * x, scale * (m.top - 6));
    g.fillStyle = colour(items[j], under && under.j === j);
    g.fillText(title(g, items[j], (m.top - 12) / sin), 0, 0);
  }
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.fillStyle = p.soft;
  g.font = '11px system-ui, sans-serif';
  g.fillText('from ↓ to →', 2, 9);
}

/** title is what there is room for of an item's label: how many nodes a group has can be left out. */
const title = (g, item, room) => clip(g, item.group && g.measureText(labelOf(item)).width > room ? item.name : labelOf(item), room);

const clipped = new Map(); // by the room there is, then by the text

/** clip shortens a name in its middle: names of nodes differ at either end. */
function clip(g, text, room) {
  let known = clipped.get(room);
  if (!known) {
    if (clipped.size > 8) clipped.clear();
    clipped.set(room, known = new Map());
  }
  let short = known.get(text);
  if (short === undefined) {
    short = text;
    if (g.measureText(text).width > room) {
      let keep = Math.max(2, Math.floor(room / 6.2) - 1);
      do short = `${text.slice(0, Math.ceil(keep / 2))}…${text.slice(text.length - Math.floor(keep / 2))}`; while (g.measureText(short).width > room && --keep > 1);
    }
    if (known.size > 20000) known.clear();
    known.set(text, short);
  }
  return short;
}
