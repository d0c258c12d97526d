// The first sentence: how things stand, of how much that is said, and how fresh it is.
import { KINDS, READ, clock, count, el, kindWords, mark, show, span } from './words.js';

/** verdict shows the headline and the counts. lost is why nothing is known now, '' while all is well with us. */
export function verdict(model, { lost, at, now }) {
  const sum = model.total(), n = model.nodes.length, state = lost ? 'unknown' : model.state;
  const head = document.getElementById('headline');
  show(head, JSON.stringify([state, lost, sum, n, at]), () => [mark(state), el('span', { class: 'words' }, headline(model, sum, state, lost, at))]);
  document.getElementById('verdict').dataset.state = state;
  document.getElementById('fresh').textContent = freshness(model, { lost, at, now });
  const table = document.getElementById('counts');
  table.hidden = !n;
  show(table.tBodies[0], JSON.stringify([model.paths, !!lost]), () => READ.map(k => {
    const c = model.paths[KINDS[k]] || {};
    return el('tr', {}, el('th', { scope: 'row' }, kindWords(KINDS[k])), ['ok', 'degraded', 'failing', 'unknown'].map(s =>
      el('td', { class: c[s] ? `some ${s}` : '' }, c[s] && s !== 'ok' ? mark(s) : null, (c[s] || 0).toLocaleString('en'))));
  }));
  document.title = `${sum.failing && !lost ? `${sum.failing} failing` : state} · netchecker`;
}

function headline(model, sum, state, lost, at) {
  const n = model.nodes.length;
  if (lost && at) return 'How things stood then is not known.';
  if (lost) return n ? 'How things stand is not known: the server does not answer.' : 'The server does not answer.';
  if (!n) return at ? 'No agent was known then.' : 'No agent has reported yet.';
  const between = n === 1 ? 'on the only node' : `between ${count(n, 'node')}`;
  const were = at ? 'were' : 'are';
  if (state === 'ok') return `All ${count(sum.total, 'path')} ${between} ${were} ok.`;
  const parts = [['failing', 'failing'], ['degraded', 'degraded'], ['unknown', 'unknown']].filter(([k]) => sum[k]).map(([k, word]) => `${sum[k].toLocaleString('en')} ${word}`);
  const bad = sum.failing + sum.degraded + sum.unknown;
  if (bad === sum.unknown) return bad === sum.total ? `The state of all ${count(sum.total, 'path')} ${between} is unknown: nobody reports.` : `${count(sum.unknown, 'path')} of ${sum.total.toLocaleString('en')} ${between} ${were} unknown, the others ok.`;
  const [first, ...rest] = parts, [n1, word] = first.split(' ');
  return `${n1} of ${count(sum.total, 'path')} ${between} ${were} ${word}${rest.length ? `, ${rest.join(', ')}` : ''}.`;
}

function freshness(model, { lost, at, now }) {
  const a = model.agents;
  if (lost || !model.generated) return '';
  if (!model.nodes.length) return at ? '' : 'Start the agents, or look at their logs: they report to this server. This page shows them as soon as they do.';
  if (at) return `As it was at ${clock(model.generated)}.`;
  const who = a.reporting === a.expected ? `All ${count(a.expected, 'agent')} report` : `${a.reporting.toLocaleString('en')} of ${count(a.expected, 'agent')} report`;
  const oldest = a.oldest_report ? `, the oldest report is ${span(model.generated - Date.parse(a.oldest_report))} old` : '';
  const relayed = model.nodes.reduce((sum, node) => sum + ['pod', 'host'].filter(k => node[k]?.via).length, 0);
  return `${who}${oldest}${relayed ? `; ${relayed} only through a peer` : ''}.`;
}

/** legend explains a cell, or round trips of a kind where heat names one, and how a group is filled. */
export function legend(root, palette, heat, groups) {
  show(root, `${heat} ${groups}`, () => [
    el('span', { class: 'cellnames' }, sample(palette, 56, 'A cell: above host to host and host to pod, below pod to host and pod to pod'),
      el('span', { class: 'q hh' }, 'host→host'), el('span', { class: 'q hp' }, 'host→pod'), el('span', { class: 'q ph' }, 'pod→host'), el('span', { class: 'q pp' }, 'pod→pod')),
    heat >= 0 && ramp(palette),
    el('span', { class: 'signs' }, ['ok', 'degraded', 'failing', 'unknown'].map(s => el('span', {}, mark(s), s))),
    groups && heat < 0 && el('span', { class: 'filled' },
      sample(palette, 40, 'A quadrant of a group, filled from below: a quarter failing, above it a quarter unknown, the rest ok', FILLED),
      'A group (▸): each quadrant is filled from below by the share of its paths in each state; here a quarter fails, a quarter is unknown, half is ok. What is rare is drawn larger than it is.'),
    el('span', { class: 'hint' }, 'Row: who sends. Column: who receives. Click a cell for its four paths. Ctrl + wheel or pinch zooms, drag pans.')].filter(Boolean));
}

const FILLED = Array(4).fill([2, 1, 0, 1, 0]);

/** sample draws a cell of a size in CSS pixels. */
function sample(palette, side, label, sum) {
  const scale = devicePixelRatio || 1, canvas = el('canvas', { class: 'sample', role: 'img', 'aria-label': label, width: side * scale, height: side * scale });
  palette.draw(canvas.getContext('2d'), 0, -1, side * scale, false, sum);
  return canvas;
}

/** ramp explains the colours of round trips. */
function ramp(palette) {
  const strip = document.createElement('canvas');
  strip.width = 120;
  strip.height = 1;
  strip.setAttribute('class', 'ramp');
  const g = strip.getContext('2d'), image = new ImageData(120, 1), out = new Uint32Array(image.data.buffer);
  for (let x = 0; x < 120; x++) out[x] = palette.heatPixel(0.02 * (300 / 0.02) ** (x / 119));
  g.putImageData(image, 0, 0);
  return el('span', { class: 'heat' }, '0.02 ms', strip, '300 ms');
}
