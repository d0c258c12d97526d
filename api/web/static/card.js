// The card of one pair: its paths with four probes each, the way back, both ends, what was before.
import { pairNow, pairThen, pastOf } from './ask.js';
import { ends } from './ends.js';
import { pathSection } from './probes.js';
import { KINDS, READ, clock, el, kindWords, mark, percent, show } from './words.js';

const SOON = 2000, EVERY = 10000; // how old what is shown may be: the pair itself, what was before

/** Card shows a pair and keeps it fresh while it is open. */
export class Card {
  constructor(root, { close, turn, choose }) {
    Object.assign(this, { root, close, turn, choose, pair: null, at: '', asked: 0, askedPast: 0, past: null, opened: new Map() });
  }

  /** open shows the pair from one node to another, null nothing. at is the moment, '' for now. */
  open(pair, at) {
    const same = pair && this.pair && pair.from === this.pair.from && pair.to === this.pair.to && at === this.at;
    this.pair = pair;
    this.at = at;
    this.root.hidden = !pair;
    if (!pair) return this.root.replaceChildren();
    if (!same) {
      this.past = null;
      this.askedPast = 0;
      delete this.root.dataset.key;
      this.root.replaceChildren(this.head(), el('p', { class: 'note' }, 'Asking…'));
    }
    this.refresh();
  }

  /** freshen asks again if it is time to. */
  freshen() {
    if (this.pair && Date.now() - this.asked > SOON) this.refresh();
  }

  async refresh() {
    const { pair, at } = this;
    if (!pair || this.asking) return;
    this.asking = true;
    this.asked = Date.now();
    try {
      const asksPast = this.asked - this.askedPast > EVERY;
      const [known, past] = await Promise.all([at ? pairThen(pair, at) : pairNow(pair), asksPast ? pastOf(pair, at) : this.past]);
      if (this.pair === pair) {
        if (asksPast) Object.assign(this, { past, askedPast: this.asked });
        this.draw(known);
      }
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

  draw(known) {
    const { paths, back, findings, beside, generated } = known, now = Date.parse(generated), { changes, trips } = this.past;
    const several = paths.some(p => p.family !== paths[0].family);
    show(this.root, JSON.stringify([this.pair, { ...known, generated: Math.floor(now / 10000) }, this.past]), () => [
      this.head(),
      el('p', { class: 'note' }, this.at ? `As it was at ${clock(this.at)}.` : `As of ${clock(generated)}.`),
      this.found(findings),
      READ.flatMap(k => paths.filter(p => p.path === KINDS[k]).map(p => pathSection(p, this.pair, now, several, trips, this.at))),
      paths.length ? null : el('p', {}, 'There is no path between these two: an agent has none to itself, nor to one that is not there.'),
      wayBack(back, this.pair),
      beside.length ? el('section', { class: 'part' }, el('h4', {}, 'Also found, but not on these paths'), this.found(beside)) : null,
      ends(known, this.pair, now, (...a) => this.fold(...a)),
      changed(changes, (...a) => this.fold(...a)),
    ].flat().filter(Boolean));
  }

  found(list) {
    return list.length ? el('ul', { class: 'because' }, list.map(f => el('li', {},
      el('button', { type: 'button', class: 'link', onclick: () => this.choose(f.id) }, f.summary)))) : null;
  }

  /** fold makes a part that can be folded away; what the reader did to it survives a redraw. */
  fold(name, open, title, ...content) {
    return el('details', { class: 'ends', open: this.opened.get(name) ?? open, ontoggle: e => this.opened.set(name, e.target.open) }, el('summary', {}, title), ...content);
  }
}

/** wayBack is the opposite direction in a line a path: whether only one way is broken must be seen at once. */
function wayBack(paths, { from, to }) {
  if (!paths.length) return null;
  const udp = p => p.probes.udp, share = v => (v == null ? '–' : percent(v));
  return el('section', { class: 'part back' },
    el('h4', {}, `The way back, ${to} → ${from}`),
    el('table', {},
      el('thead', {}, el('tr', {}, ['path', 'state', 'lost', 'there', 'back'].map((t, i) => el('th', { scope: 'col', class: i > 1 ? 'n' : '' }, t)))),
      el('tbody', {}, READ.flatMap(k => paths.filter(p => p.path === KINDS[k])).map(p => el('tr', { class: p.state },
        el('th', { scope: 'row' }, kindWords(p.path)), el('td', {}, mark(p.state), p.state),
        [udp(p).loss, udp(p).forward_loss, udp(p).return_loss].map(v => el('td', { class: 'n' }, share(v))))))));
}

/** changed lists the last changes of the pair. */
function changed(changes, fold) {
  return changes.length ? fold('changes', false, `The last ${changes.length === 1 ? 'change' : `${changes.length} changes`}`,
    el('table', {}, el('tbody', {}, changes.map(c => el('tr', {}, el('td', {}, clock(c.at)), el('td', {}, kindWords(c.path)),
      el('td', {}, mark(c.from), c.from), el('td', {}, '→ ', mark(c.state), c.state)))))) : null;
}
