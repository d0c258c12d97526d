// The card of one pair: four paths, four probes each, in both directions.
import { evidence } from './findings.js';
import { KINDS, READ, clock, el, kindWords, mark, millis, percent, since, show, words } from './words.js';

const PROBES = ['udp', 'mtu', 'tcp', 'icmp'];

/** Card shows a pair and keeps it fresh while it is open. */
export class Card {
  constructor(root, { close, turn, choose }) {
    Object.assign(this, { root, close, turn, choose, pair: null, at: '', asked: 0 });
  }

  /** open shows the pair from one node to another, null nothing. at is the moment, '' for now. */
  open(pair, at) {
    const same = pair && this.pair && pair.from === this.pair.from && pair.to === this.pair.to && at === this.at;
    this.pair = pair;
    this.at = at;
    this.root.hidden = !pair;
    if (!pair) return this.root.replaceChildren();
    if (!same) {
      delete this.root.dataset.key;
      this.root.replaceChildren(this.head(), el('p', { class: 'note' }, 'Asking…'));
    }
    this.refresh();
  }

  async refresh() {
    const { pair, at } = this;
    if (!pair || this.asking) return;
    this.asking = true;
    try {
      const known = await ask(pair, at);
      if (this.pair === pair) this.draw(known);
    } catch (e) {
      if (this.pair === pair) this.fail(e.message);
    } finally {
      this.asking = false;
    }
    if (this.pair && this.pair !== pair) this.refresh();
  }

  fail(why) {
    delete this.root.dataset.key;
    this.root.replaceChildren(this.head(), el('p', { class: 'lost', role: 'alert' }, mark('unknown'), ` What is known of this pair cannot be shown: ${why}.`));
  }

  head() {
    const { from, to } = this.pair;
    return el('header', {},
      el('h3', {}, el('span', {}, from), ' → ', el('span', {}, to)),
      el('span', { class: 'buttons' },
        from !== to && el('button', { type: 'button', onclick: () => this.turn(), 'aria-label': `Show the way back, from ${to} to ${from}` }, '⇄ way back'),
        el('button', { type: 'button', onclick: () => this.close(), 'aria-label': 'Close' }, '✕')));
  }

  draw({ paths, findings, changes, generated }) {
    const now = Date.parse(generated);
    show(this.root, JSON.stringify([this.pair, paths, findings, changes, Math.floor(now / 10000)]), () => [
      this.head(),
      el('p', { class: 'note' }, this.at ? `As it was at ${clock(this.at)}.` : `As of ${clock(generated)}.`),
      findings.length ? el('ul', { class: 'because' }, findings.map(f => el('li', {},
        el('button', { type: 'button', class: 'link', onclick: () => this.choose(f.id) }, f.summary)))) : null,
      READ.flatMap(k => paths.filter(p => p.path === KINDS[k]).map(p => path(p, this.pair, now, paths.some(o => o.family !== p.family)))),
      paths.length ? null : el('p', {}, 'There is no path between these two: an agent has none to itself, nor to one that is not there.'),
      ends(findings, this.pair),
      past(changes),
    ].flat().filter(Boolean));
  }
}

/** ends is what is known of the two nodes themselves: the evidence of the findings that concern them. */
function ends(findings, { from, to }) {
  const facts = findings.flatMap(f => f.evidence || []).filter(e => e.node === from || e.node === to || !e.node);
  return facts.length ? el('details', { class: 'ends', open: true }, el('summary', {}, 'Evidence of both ends'),
    el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Evidence of both ends' }, evidence(facts))) : null;
}

/** past lists the last changes of the pair. */
function past(changes) {
  return changes.length ? el('details', { class: 'ends' }, el('summary', {}, `The last ${changes.length === 1 ? 'change' : `${changes.length} changes`}`),
    el('table', {}, el('tbody', {}, changes.map(c => el('tr', {}, el('td', {}, clock(c.at)), el('td', {}, kindWords(c.path)),
      el('td', {}, mark(c.from), c.from), el('td', {}, '→ ', mark(c.state), c.state)))))) : null;
}

/** changesOf are the last changes of a pair within an hour before a moment; none where no history is kept. */
async function changesOf({ from, to }, at) {
  const query = new URLSearchParams({ source: from, destination: to, limit: 1000 });
  if (at) query.set('until', at);
  try {
    const answer = await fetch(`api/v1/history?${query}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    return answer.ok ? (await answer.json()).changes.slice(-12).reverse() : [];
  } catch {
    return []; // the paths themselves are what matters; that nobody answers, they say
  }
}

async function ask({ from, to }, at) {
  const query = new URLSearchParams({ state: 'all', source: from, destination: to });
  if (at) query.set('at', at);
  const answer = await fetch(`api/v1/matrix?${query}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `the server answers ${answer.status}`);
  return { paths: body.pairs, findings: body.findings.filter(f => !f.closed_at && concerns(f, from, to)), changes: await changesOf({ from, to }, at), generated: body.generated_at };
}

function concerns(f, from, to) {
  return (f.paths || []).some(s => (!s.source || s.source === from) && (!s.destination || s.destination === to));
}

function path(p, pair, now, families) {
  const direction = way(p, pair);
  return el('section', { class: `path ${p.state}` },
    el('h4', {}, mark(p.state), el('span', {}, kindWords(p.path)), families && el('small', {}, p.family),
      el('small', { class: 'state' }, `${p.state} ${since(p.since, now)}`)),
    direction && el('p', { class: 'way' }, direction),
    el('table', {},
      el('thead', {}, el('tr', {}, ['probe', 'state', 'lost', 'there', 'back', 'round trip', 'note'].map((t, i) => el('th', { scope: 'col', class: i > 1 && i < 6 ? 'n' : '' }, t)))),
      el('tbody', {}, PROBES.map(name => probe(name, p.probes[name])))));
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
  const more = [s.error && words(s.error), s.max_bytes && name === 'mtu' && `up to ${s.max_bytes} bytes pass`, s.bad_flows && `${s.bad_flows} flows dead`].filter(Boolean).join('; ');
  return el('tr', { class: s.state },
    el('th', { scope: 'row' }, name), el('td', {}, mark(s.state), s.state),
    [share(s.loss), share(s.forward_loss), share(s.return_loss), s.rtt_ms == null ? '–' : millis(s.rtt_ms)].map(t => el('td', { class: 'n' }, t)),
    el('td', { class: 'more' }, more));
}

