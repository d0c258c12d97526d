// Looking back: a slider over the time that the server remembers, with the findings of that time.
import { clock, count, el, span } from './words.js';

const SPANS = [[15 * 60e3, '15 min'], [3600e3, '1 h'], [6 * 3600e3, '6 h'], [24 * 3600e3, '24 h']];
const EVERY = 15000, SOON = 3000;
const APART = 2500; // what changes within this is one change: agents report one after the other

/** Past is the slider. at(moment) is called for a chosen time, '' for now. */
export class Past {
  constructor(root, at) {
    Object.assign(this, { root, at, kept: null, findings: [], changes: [], steps: [], span: 3600e3, asked: 0, end: 0 });
    this.range = el('input', { type: 'range', min: 0, step: 1000, 'aria-label': 'Moment', oninput: () => this.slide(), onchange: () => this.choose() });
    this.marks = el('canvas', { height: 14, 'aria-hidden': 'true' });
    this.when = el('span', { class: 'when', role: 'status' });
    this.live = el('button', { type: 'button', onclick: () => this.at('') }, 'now');
    this.earlier = el('button', { type: 'button', onclick: () => this.step(-1) }, '‹ earlier change');
    this.later = el('button', { type: 'button', onclick: () => this.step(1) }, 'later change ›');
    this.spans = el('select', { 'aria-label': 'How far back', onchange: e => { this.span = +e.target.value; this.asked = 0; this.ask(); } },
      SPANS.map(([ms, text]) => el('option', { value: ms, selected: ms === this.span }, `last ${text}`)));
    root.append(this.when, el('div', { class: 'track' }, this.range, this.marks), el('span', { class: 'group' }, this.earlier, this.later, this.live), this.spans);
    new ResizeObserver(() => this.draw()).observe(this.marks);
  }

  /** show is called with every change: moment is the one shown, 0 for now; now is the server's clock. */
  show(moment, now, version, palette) {
    const news = version !== this.version;
    Object.assign(this, { moment, palette, version });
    if (!moment) this.end = now;
    if (!this.end) this.end = now || Date.now();
    if (Date.now() - this.asked > (news ? SOON : EVERY)) this.ask();
    this.place();
  }

  get start() { return Math.max(this.end - this.span, this.kept ? Date.parse(this.kept.since) : 0); }

  async ask() {
    this.asked = Date.now();
    try {
      const since = new Date(Math.min(this.end, Date.now()) - this.span).toISOString();
      const answer = await fetch(`api/v1/history?since=${since}&limit=5000`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
      if (!answer.ok) return; // no history is kept, or nobody answers: said elsewhere
      const body = await answer.json();
      this.kept = body.kept.since ? body.kept : null;
      this.findings = body.findings;
      this.changes = [...new Set([...body.changes, ...body.agents].map(c => Date.parse(c.at)))].sort((a, b) => a - b);
      this.steps = [];
      for (const t of this.changes) {
        const last = this.steps.at(-1);
        if (last && t - last.end < APART) last.end = t; else this.steps.push({ begin: t, end: t });
      }
      this.place();
    } catch {
      this.asked = Date.now();
    }
  }

  /** place shows where we are. */
  place() {
    const { root, range, moment, kept } = this;
    root.hidden = !kept && !moment;
    root.classList.toggle('past', !!moment);
    if (root.hidden) return;
    range.min = Math.floor(this.start / 1000) * 1000;
    range.max = Math.ceil(this.end / 1000) * 1000;
    if (document.activeElement !== range || !this.sliding) range.value = moment || range.max;
    this.say(moment);
    this.live.disabled = !moment;
    this.earlier.disabled = !this.steps.some(s => s.begin <= (moment || Infinity));
    this.later.disabled = !moment;
    this.draw();
  }

  say(moment) {
    const text = moment ? `As it was at ${clock(moment)}` : `Now; ${count(this.steps.length, 'change')} in the last ${span(this.end - this.start)}`;
    if (this.when.textContent !== text) this.when.textContent = text;
    this.range.setAttribute('aria-valuetext', moment ? `${clock(moment)}, ${span(this.end - moment)} ago` : 'now');
  }

  slide() {
    this.sliding = true;
    this.say(+this.range.value);
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.choose(), 250);
  }

  choose() {
    clearTimeout(this.soon);
    this.sliding = false;
    const value = +this.range.value;
    this.at(value >= +this.range.max ? '' : new Date(value).toISOString());
  }

  /** step goes to how things stood after the next change, or just before the one before. */
  step(way) {
    const here = this.moment || Infinity;
    const s = way < 0 ? this.steps.findLast(c => c.begin <= here) : this.steps.find(c => c.begin > here);
    if (!s || (way > 0 && s === this.steps.at(-1))) return this.at('');
    this.at(new Date(way < 0 ? s.begin - 1 : s.end).toISOString());
  }

  /** draw shows when findings were open and when anything changed. */
  draw() {
    const { marks, palette } = this, wide = marks.clientWidth, scale = devicePixelRatio || 1;
    if (!wide || !palette || this.root.hidden) return;
    if (marks.width !== Math.round(wide * scale)) marks.width = Math.round(wide * scale);
    marks.height = 14 * scale;
    const g = marks.getContext('2d'), from = this.start, px = t => 8 + (wide - 16) * (t - from) / Math.max(1, this.end - from);
    g.scale(scale, scale);
    g.fillStyle = palette.soft;
    for (const t of this.changes) if (t >= from) g.fillRect(px(t), 9, 1, 5);
    for (const f of this.findings) {
      const a = Math.max(px(Date.parse(f.since)), 8), b = Math.max(px(f.closed_at ? Date.parse(f.closed_at) : this.end), a + 2);
      g.fillStyle = palette.states[{ critical: 3, warning: 2 }[f.severity] ?? 1];
      g.fillRect(a, 1, b - a, 6);
    }
  }
}
