// One path of a pair: which way it is broken, what each probe says, its flows and round trips.
import { tripChart } from './trips.js';
import { el, kindWords, mark, millis, percent, since, words } from './words.js';

const PROBES = ['udp', 'mtu', 'tcp', 'icmp'];
const FLOWS = 16; // source ports of an agent

/** pathSection shows a path; families says that the pair has paths of both. */
export function pathSection(p, pair, now, families, trips, at) {
  const direction = way(p, pair);
  return el('section', { class: `path ${p.state}` },
    el('h4', {}, mark(p.state), el('span', {}, kindWords(p.path)), families && el('small', {}, p.family),
      el('small', { class: 'state' }, `${p.state} ${since(p.since, now)}`)),
    direction && el('p', { class: 'way' }, direction),
    el('table', { class: 'probes' },
      el('thead', {}, el('tr', {}, ['probe', 'state', 'lost', 'there', 'back', 'round trip', 'note'].map((t, i) => el('th', { scope: 'col', class: ['', '', 'n', 'n', 'n', 'n', 'more'][i] }, t)))),
      el('tbody', {}, PROBES.map(name => probe(name, p.probes[name])))),
    flows(p.probes.udp),
    tripChart(trips, p, pair, at));
}

/** way says in which direction the path is broken, where somebody knows. */
function way(p, { from, to }) {
  const u = p.probes.udp;
  if (u.state !== 'failing' && u.state !== 'degraded') return '';
  const there = u.forward_loss, back = u.return_loss;
  if (there >= 0.05 && !(back >= 0.05)) return `${there >= 0.995 ? 'All' : percent(there)} of the requests get lost on the way from ${from} to ${to}.`;
  if (back >= 0.05 && !(there >= 0.05)) return `${to} hears ${from}; ${back >= 0.995 ? 'all' : percent(back)} of the answers get lost on the way back.`;
  if (there >= 0.05 && back >= 0.05) return `${percent(there)} get lost on the way there, ${percent(back)} on the way back.`;
  return u.state === 'failing' ? `Nothing comes back; whether ${to} hears ${from} is not known.` : '';
}

function probe(name, s) {
  const share = v => (v == null ? '–' : percent(v));
  const size = name !== 'mtu' ? '' : s.max_bytes ? `up to ${s.max_bytes} bytes pass` : s.state === 'ok' ? 'full size passes' : '';
  const more = [s.error && words(s.error), size].filter(Boolean).join('; ');
  const trip = s.rtt_ms == null || s.state === 'failing' ? '–' : millis(s.rtt_ms); // of what fails it is of earlier
  return el('tr', { class: s.state },
    el('th', { scope: 'row' }, name), el('td', {}, mark(s.state), s.state),
    [share(s.loss), share(s.forward_loss), share(s.return_loss), trip].map(t => el('td', { class: 'n' }, t)),
    el('td', { class: 'more' }, more));
}

/** flows shows the source ports one by one where some of them lose everything and others nothing. */
function flows(udp) {
  const dead = new Set(udp.dead_flows);
  if (!dead.size || dead.size === FLOWS) return null;
  return el('p', { class: 'flows' }, 'Flows ',
    el('span', { role: 'img', 'aria-label': `by source port: ${[...dead].map(n => n + 1).join(', ')} of ${FLOWS} lose everything` },
      Array.from({ length: FLOWS }, (_, n) => mark(dead.has(n) ? 'failing' : 'ok', `flow ${n + 1}: ${dead.has(n) ? 'loses everything' : 'passes'}`))),
    ` ${dead.size} of ${FLOWS} source ports lose everything, always the same ones.`);
}
