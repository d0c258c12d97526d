// How a cell looks: four quadrants, row for row host and pod as the sender, column for column host
// and pod as the receiver. Each state has a colour and a form of its own.
import { DEGRADED, FAILING, NONE, OK, UNKNOWN } from './words.js';

/** QUADRANTS are the path kinds from the top left to the bottom right: host → host, host → pod, pod → host, pod → pod. */
export const QUADRANTS = [3, 1, 2, 0];

/** Palette reads the colours that the style sheet chose for light or dark. */
export class Palette {
  constructor(element) {
    const style = getComputedStyle(element), read = name => style.getPropertyValue(name).trim();
    this.states = [read('--ok'), read('--unknown'), read('--degraded'), read('--failing'), read('--sheet')];
    this.signs = [read('--ok-sign'), read('--unknown-sign'), read('--degraded-sign'), read('--failing-sign'), read('--sheet')];
    this.sheet = read('--sheet');
    this.text = read('--text');
    this.soft = read('--soft');
    this.line = read('--line');
    this.accent = read('--accent');
    this.heat = [read('--cold'), read('--hot')].map(rgb);
    this.pixels = this.states.map(c => pixel(rgb(c)));
    const paper = rgb(this.sheet);
    this.dim = this.states.map(c => pixel(blend(rgb(c), paper, 0.78)));
    const grey = rgb(this.states[UNKNOWN]);
    this.old = this.states.map((c, s) => (s === NONE ? pixel(paper) : pixel(blend(rgb(c), grey, s === OK ? 0.75 : 0.4))));
    this.sprites = new Map();
  }

  /** sprite is a drawn cell of a size in device pixels. */
  sprite(cell, lit, size, old) {
    const key = `${cell} ${lit} ${size} ${old ? 1 : 0}`;
    let s = this.sprites.get(key);
    if (!s) {
      if (this.sprites.size > 4000) this.sprites.clear();
      s = document.createElement('canvas');
      s.width = s.height = size;
      this.draw(s.getContext('2d'), cell, lit, size, old);
      this.sprites.set(key, s);
    }
    return s;
  }

  draw(g, cell, lit, size, old) {
    const gap = size >= 20 ? Math.max(1, Math.round(size / 24)) : 1, half = Math.floor((size - gap) / 2), inner = size >= 40 ? 1 : 0;
    QUADRANTS.forEach((kind, q) => {
      const mark = (cell >> (3 * kind)) & 7, x = (q & 1) * half, y = (q >> 1) * half, side = half - inner;
      g.save();
      g.globalAlpha = lit === -1 || (lit >> (3 * kind)) & 7 ? 1 : 0.22;
      if (old && mark !== NONE) g.globalAlpha *= 0.75;
      this.quadrant(g, old && mark === OK ? UNKNOWN : mark, x, y, side);
      if (lit !== -1 && (lit >> (3 * kind)) & 7 && mark !== NONE && side > 7) {
        g.strokeStyle = this.text;
        g.lineWidth = Math.max(1, side / 12);
        g.strokeRect(x + g.lineWidth / 2, y + g.lineWidth / 2, side - g.lineWidth, side - g.lineWidth);
      }
      g.restore();
    });
  }

  quadrant(g, mark, x, y, side) {
    if (mark === NONE) return;
    g.fillStyle = this.states[mark];
    g.strokeStyle = this.signs[mark];
    g.lineWidth = Math.max(1, side / 7);
    g.beginPath();
    g.rect(x, y, side, side);
    g.clip();
    if (mark === DEGRADED) { // half of it
      g.globalAlpha *= 0.35;
      g.fillRect(x, y, side, side);
      g.globalAlpha /= 0.35;
      g.beginPath();
      g.moveTo(x, y);
      g.lineTo(x + side, y + side);
      g.lineTo(x, y + side);
      g.fill();
      return;
    }
    g.fillRect(x, y, side, side);
    const inset = side * 0.24;
    g.beginPath();
    if (mark === FAILING) {
      g.moveTo(x + inset, y + inset); g.lineTo(x + side - inset, y + side - inset);
      g.moveTo(x + side - inset, y + inset); g.lineTo(x + inset, y + side - inset);
    } else if (mark === UNKNOWN) {
      const step = Math.max(3, side / 3.5);
      g.lineWidth = Math.max(1, side / 12);
      for (let d = -side; d < side; d += step) { g.moveTo(x + d, y + side); g.lineTo(x + d + side, y); }
    }
    g.stroke();
  }

  /** heatPixel is the colour of a round trip in ms on a logarithmic scale from 0.02 ms to 300 ms. */
  heatPixel(ms) {
    const share = Math.min(1, Math.max(0, Math.log(ms / 0.02) / Math.log(300 / 0.02)));
    return pixel(blend(this.heat[0], this.heat[1], share));
  }
}

const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

/** rgb takes any colour that the browser knows. */
function rgb(colour) {
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

const blend = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));

/** pixel is a colour as ImageData holds it, read as one number. */
function pixel([r, g, b]) {
  const four = new Uint8Array([r, g, b, 255]);
  return new Uint32Array(four.buffer)[0];
}
