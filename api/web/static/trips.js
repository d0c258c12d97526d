// The round trips of a path over the last hour, drawn small.
import { clock, el, kindWords, millis, span } from './words.js';

const WIDE = 400, HIGH = 36, LEAST = 0.05; // the drawing's own units; ms between the ends of its scale at least

/** tripChart shows the round trips of a path p; at is the moment that is looked back at, '' for now. */
export function tripChart(trips, p, { from, to }, at) {
  const s = trips.series.find(o => o.path === p.path && o.family === p.family);
  if (!s || trips.times.length < 2) {
    const why = trips.note || (trips.times.length < 2 ? 'drawn once two are remembered' : 'none is known');
    return el('p', { class: 'note trips' }, `Round trips of the last hour: ${why}.`);
  }
  const times = trips.times.map(t => Date.parse(t)), known = s.rtt_ms.filter(v => v != null);
  const low = Math.min(...known), high = Math.max(...known);
  const range = !known.length ? 'none came back' : low === high ? millis(low) : `${millis(low)} to ${millis(high)}`;
  const lost = s.failing.length ? `, failing at ${s.failing.length} of ${times.length} moments` : '';
  const say = `${range} in the last ${span(times.at(-1) - times[0])}${lost}`;
  return el('figure', { class: 'trips' },
    el('figcaption', {}, `round trip: ${say}`),
    draw(times, s, Math.min(low, (low + high - LEAST) / 2), Math.max(high, (low + high + LEAST) / 2), trips.step_seconds * 1000, at && Date.parse(at),
      `Round trips from ${from} to ${to}, ${kindWords(p.path)}, from ${clock(times[0])} to ${clock(times.at(-1))}: ${say}.`));
}

function draw(times, s, low, high, step, at, label) {
  const first = times[0], whole = Math.max(1, times.at(-1) - first);
  const x = t => (4 + (WIDE - 8) * (t - first) / whole).toFixed(1), y = v => (HIGH - 4 - (HIGH - 8) * (v - low) / (high - low)).toFixed(1);
  const svg = shape('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label });
  for (const n of s.failing) svg.append(shape('line', { class: 'lost', x1: x(times[n]), x2: x(times[n]), y1: 0, y2: HIGH }));
  for (const line of lines(times, s.rtt_ms, step)) {
    const points = line.map(n => `${x(times[n])},${y(s.rtt_ms[n])}`);
    if (line.length === 1) points.unshift(`${x(times[line[0]]) - 4},${y(s.rtt_ms[line[0]])}`); // a point alone would not be seen
    svg.append(shape('polyline', { class: 'trip', points: points.join(' ') }));
  }
  if (at >= first && at <= times.at(-1)) svg.append(shape('line', { class: 'then', x1: x(at), x2: x(at), y1: 0, y2: HIGH }));
  return svg;
}

/** lines splits the moments where nothing is known: a line across a gap would claim to know. */
function lines(times, values, step) {
  const out = [];
  values.forEach((v, n) => {
    if (v == null) return;
    if (!n || values[n - 1] == null || times[n] - times[n - 1] > 2 * step) out.push([]);
    out.at(-1).push(n);
  });
  return out;
}

function shape(tag, attributes) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}
