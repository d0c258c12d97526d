// How a cell looks: four quadrants, row for row host and pod as the sender, column for column host
// and pod as the receiver. Each state has a colour and a form of its own.
import { DEGRADED, FAILING, NONE, OK, UNKNOWN } from './words.js';

/** QUADRANTS are the path kinds from the top left to the bottom right: host → host, host → pod, pod → host, pod → pod. */
export const QUADRANTS = [3, 1, 2, 0];

const PILE = [FAILING, DEGRADED, UNKNOWN, OK]; // from the bottom up

/** strips says how many of the pixels of a quadrant each state of PILE gets: its share of the paths, but some
 * where there is any path at all. */
export function strips(counts, side) {
  const total = PILE.reduce((sum, mark) => sum + counts[mark], 0), least = Math.max(side < 8 ? 1 : 2, Math.round(side / 6));
  const out = PILE.map(mark => counts[mark] && Math.max(least, Math.round(side * counts[mark] / total)));
  out[out.indexOf(Math.max(...out))] += side - out.reduce((a, b) => a + b); // the largest gives what the small ones got
  return out;
}

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
    this.mixed = new WeakMap();
  }

  /** sprite is a drawn cell of a size in device pixels; sum counts its paths where a group stands. */
  sprite(cell, lit, size, old, sum) {
    const key = `${cell} ${lit} ${size} ${old ? 1 : 0} ${sum ? sum.map(counts => strips(counts, size)).join() : ''}`;
    let s = this.sprites.get(key);
    if (!s) {
      if (this.sprites.size > 4000) this.sprites.clear();
      s = document.createElement('canvas');
      s.width = s.height = size;
      this.draw(s.getContext('2d'), cell, lit, size, old, sum);
      this.sprites.set(key, s);
    }
    return s;
  }

  draw(g, cell, lit, size, old, sum) {
    const gap = size >= 20 ? Math.max(1, Math.round(size / 24)) : 1, half = Math.floor((size - gap) / 2), inner = size >= 40 ? 1 : 0;
    QUADRANTS.forEach((kind, q) => {
      const mark = (cell >> (3 * kind)) & 7, x = (q & 1) * half, y = (q >> 1) * half, side = half - inner;
      g.save();
      g.globalAlpha = lit === -1 || (lit >> (3 * kind)) & 7 ? 1 : 0.22;
      if (old && mark !== NONE) g.globalAlpha *= 0.75;
      if (sum && mark !== NONE) this.pile(g, sum[kind], x, y, side, old);
      else this.quadrant(g, old && mark === OK ? UNKNOWN : mark, x, y, side);
      if (lit !== -1 && (lit >> (3 * kind)) & 7 && mark !== NONE && side > 7 && !sum) { // a frame would hide what is low
        g.strokeStyle = this.text;
        g.lineWidth = Math.max(1, side / 12);
        g.strokeRect(x + g.lineWidth / 2, y + g.lineWidth / 2, side - g.lineWidth, side - g.lineWidth);
      }
      g.restore();
    });
  }

  /** pile draws of many paths each state as high as its share. */
  pile(g, counts, x, y, side, old) {
    let bottom = y + side;
    strips(counts, side).forEach((high, n) => {
      if (!high) return;
      g.save();
      this.quadrant(g, old && PILE[n] === OK ? UNKNOWN : PILE[n], x, bottom -= high, side, high);
      g.restore();
    });
  }

  quadrant(g, mark, x, y, wide, high = wide) {
    if (mark === NONE) return;
    const side = Math.min(wide, high);
    g.fillStyle = this.states[mark];
    g.strokeStyle = this.signs[mark];
    g.lineWidth = Math.max(1, side / 7);
    g.beginPath();
    g.rect(x, y, wide, high);
    g.clip();
    if (mark === DEGRADED) { // half of it
      g.globalAlpha *= 0.35;
      g.fillRect(x, y, wide, high);
      g.globalAlpha /= 0.35;
      g.beginPath();
      g.moveTo(x, y);
      g.lineTo(x + wide, y + high);
      g.lineTo(x, y + high);
      g.fill();
      return;
    }
    g.fillRect(x, y, wide, high);
    g.beginPath();
    if (mark === FAILING && (side > 5 || wide === high)) {
      const arm = side * 0.26, cx = x + wide / 2, cy = y + high / 2;
      g.moveTo(cx - arm, cy - arm); g.lineTo(cx + arm, cy + arm);
      g.moveTo(cx + arm, cy - arm); g.lineTo(cx - arm, cy + arm);
    } else if (mark === UNKNOWN) {
      const step = Math.max(3, wide / 3.5);
      g.lineWidth = Math.max(1, wide / 12);
      for (let d = -high; d < wide; d += step) { g.moveTo(x + d, y + high); g.lineTo(x + d + high, y); }
    }
    g.stroke();
  }

  /** mix is the colour of each kind of a sum of paths, where a place is too small to be filled by share:
   * the mean of all, drawn towards the worst, so that one path in a thousand is still seen. */
  mix(sum) {
    let out = this.mixed.get(sum);
    if (!out) {
      out = sum.map(counts => {
        const worst = PILE.find(mark => counts[mark]);
        if (worst === undefined) return this.pixels[NONE];
        const total = PILE.reduce((n, mark) => n + counts[mark], 0), colours = PILE.map(mark => rgb(this.states[mark]));
        const mean = [0, 1, 2].map(c => PILE.reduce((v, mark, n) => v + colours[n][c] * counts[mark] / total, 0));
        return pixel(blend(mean, rgb(this.states[worst]), 0.35));
      });
      this.mixed.set(sum, out);
    }
    return out;
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
