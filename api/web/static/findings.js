// The findings as sentences, each of which can be chosen to light what it explains.
import { Light, isBad } from './model.js';
import { NONE, OK, count, el, mark, percent, since, show, words } from './words.js';

const SIGN = { critical: 'failing', warning: 'degraded', info: 'info' };

/** place says where a finding is. */
export function place(l) {
  if (l.scope === 'cluster') return 'the whole cluster';
  if (l.source && l.destination) return `${l.source} → ${l.destination}${l.culprit && l.culprit !== l.source && l.culprit !== l.destination ? `, look at ${l.culprit} first` : ''}`;
  if (l.scope === 'groups' && l.groups) return `${count(l.groups.length, 'group')} of nodes`;
  const nodes = l.nodes || [];
  return nodes.length > 3 ? `${nodes.slice(0, 3).join(', ')} and ${nodes.length - 3} more` : nodes.join(', ');
}

/** findings shows the list; choose(id) is called for the one that is clicked, '' when it is let go. */
export function findings(root, model, chosen, now, choose) {
  const open = model.findings.filter(f => !f.closed_at);
  const rest = unexplained(model, open), key = JSON.stringify([open, chosen, rest, Math.floor(now / 15000)]);
  show(root, key, () => {
    const list = open.map(f => one(f, f.id === chosen, now, choose));
    return [
      list.length ? el('ul', {}, list) : null,
      rest ? el('p', { class: 'rest' }, rest) : null,
    ].filter(Boolean);
  });
}

function one(f, chosen, now, choose) {
  const facts = [f.severity, words(f.kind), since(f.since, now), place(f.location), f.cause && `cause: ${words(f.cause)}`,
    `explains ${count(f.explains, 'path')}`, `${percent(f.confidence)} sure`];
  const id = `finding-${f.id}`;
  return el('li', { class: `finding ${f.severity}${chosen ? ' chosen' : ''}` },
    el('button', { type: 'button', class: 'say', 'aria-expanded': String(chosen), 'aria-controls': id, 'data-finding': f.id, onclick: () => choose(chosen ? '' : f.id) },
      mark(SIGN[f.severity] || 'info'),
      el('span', { class: 'summary' }, f.summary),
      el('span', { class: 'facts' }, facts.filter(Boolean).map(t => el('span', {}, t)))),
    el('div', { class: 'more', id, hidden: !chosen }, chosen ? more(f) : []));
}

function more(f) {
  return [
    f.check && el('p', { class: 'check' }, 'Check: ', el('code', {}, f.check), copy(f.check)),
    f.alternatives?.length && el('p', {}, 'It could also be: ', f.alternatives.join('; ')),
    f.evidence?.length && el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Evidence' }, evidence(f.evidence)),
    el('p', { class: 'note' }, 'The matrix shows what this explains; everything else is dimmed. ', el('a', { href: '#list' }, 'Its pairs as a list')),
  ].filter(Boolean);
}

/** evidence is a table of facts. */
export function evidence(facts) {
  return el('table', { class: 'evidence' },
    el('thead', {}, el('tr', {}, ['node', 'fact', 'is', 'should be'].map(t => el('th', { scope: 'col' }, t)))),
    el('tbody', {}, facts.map(e => el('tr', {}, [e.node, words(e.fact), e.value, e.expected].map(t => el('td', {}, t || '–'))))));
}

/** copy is a button that puts a text on the clipboard, where the browser allows it. */
function copy(text) {
  if (!navigator.clipboard) return null;
  const b = el('button', { type: 'button', class: 'copy', onclick: async () => { await navigator.clipboard.writeText(text); b.textContent = 'copied'; } }, 'copy');
  return b;
}

/** unexplained says how many bad paths no finding accounts for. */
function unexplained(model, open) {
  const light = new Light(model, open.flatMap(f => f.paths || []));
  let left = 0, from = '', to = '';
  model.bad((i, j, cell) => {
    const dark = cell & ~light.mask(i, j);
    if (!dark || !isBad(dark)) return;
    for (let k = 0; k < 12; k += 3) if (((dark >> k) & 7) !== OK && ((cell >> k) & 7) !== NONE) left++;
    from ||= model.nodes[i].name;
    to ||= model.nodes[j].name;
  });
  if (!left) return '';
  const what = `${count(left, 'path')} that ${left === 1 ? 'is' : 'are'} not ok`;
  return open.length ? `Besides, ${what} ${left === 1 ? 'is' : 'are'} explained by no finding, for instance from ${from} to ${to}.`
    : `${what[0].toUpperCase()}${what.slice(1)}, for instance from ${from} to ${to}; nothing has been found yet that explains ${left === 1 ? 'it' : 'them'}.`;
}
