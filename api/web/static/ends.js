// What is known of the two nodes of a pair: their agents, and what they read of themselves.
import { evidence } from './findings.js';
import { count, el, mark, span } from './words.js';

const REPORTS = { reporting: 'ok', left: 'unknown', stale: 'failing', absent: 'failing' };

/** ends shows both ends; fold makes a part that can be folded away. */
export function ends({ findings, ends: e }, { from, to }, now, fold) {
  const facts = findings.flatMap(f => f.evidence || []).filter(f => f.node === from || f.node === to || !f.node);
  return [
    e && agents(e.agents, now),
    facts.length ? fold('evidence', true, 'Evidence of both ends', scroll('Evidence of both ends', evidence(facts))) : null,
    ...(e ? compared(e, fold) : [el('p', { class: 'note' }, 'What the nodes read of themselves is not kept: it is shown as of now alone.')]),
  ].filter(Boolean);
}

const scroll = (label, content) => el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': label }, content);

function agents(list, now) {
  const ago = (at, never) => (at ? `${span(now - Date.parse(at))} ago` : never);
  return el('section', { class: 'part' },
    el('h4', {}, 'Agents at both ends'),
    scroll('Agents at both ends', el('table', {},
      el('thead', {}, el('tr', {}, ['node', 'network', 'agent', 'last report', 'read its node'].map(t => el('th', { scope: 'col' }, t)))),
      el('tbody', {}, list.map(a => el('tr', {}, el('td', {}, a.node), el('td', {}, a.network),
        el('td', {}, mark(REPORTS[a.state] || 'unknown'), `${a.state}${a.address && ` at ${a.address}`}`, a.doubt && `, doubts itself: ${a.doubt}`),
        el('td', {}, ago(a.last_report, 'never'), a.via && ` through ${a.via}`),
        el('td', {}, ago(a.evidence_at, 'told nothing'), a.missing.length > 0 && ` but for ${a.missing.join('; ')}`)))))));
}

/** compared shows in what the two differ from healthy nodes, and what is as there. */
function compared(e, fold) {
  if (!e.compared) return [el('p', { class: 'note' }, 'There is nothing to compare: no healthy node, or none of these two, has told what it read of itself.')];
  const title = `Otherwise than on healthy nodes (${e.compared} compared): ${e.different.length || 'nothing'}`;
  const differ = e.different.length ? scroll('Otherwise than on healthy nodes', el('table', { class: 'evidence' },
    el('thead', {}, el('tr', {}, ['node', 'fact', 'is', 'elsewhere'].map(t => el('th', { scope: 'col' }, t)))),
    el('tbody', {}, e.different.map(d => el('tr', {}, [`${d.node}/${d.network}`, d.fact, d.value || 'not there', `${d.usual || 'not there'} (${d.have} of ${d.of})`].map(t => el('td', {}, t))))))) : null;
  const same = e.same.reduce((sum, s) => sum + s.facts, 0);
  return [
    differ ? fold('different', true, title, differ) : el('p', { class: 'note' }, `${title}.`),
    same ? fold('same', false, `As on healthy nodes: ${count(same, 'fact')}`, el('ul', { class: 'same' }, e.same.map(s =>
      el('li', {}, `${s.node}/${s.network}: ${s.facts} ${s.sort}: ${s.examples.join(', ')}${s.facts > s.examples.length ? ', …' : ''}`)))) : null,
  ];
}
