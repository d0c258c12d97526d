// What is shown stands in the address, so that a view can be sent to a colleague.

const DEFAULTS = { finding: '', from: '', to: '', at: '', q: '', bad: '', worst: '', zones: '', closed: '', colour: '', view: '' };

/** View is what is shown; change it by set. */
export class View {
  constructor(changed) {
    this.changed = changed;
    this.read();
    addEventListener('hashchange', () => { this.read(); this.changed(); });
  }

  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const key in DEFAULTS) this[key] = given.get(key) ?? DEFAULTS[key];
  }

  /** set changes some words of the view. A new pair, finding or moment can be left by the browser's "back". */
  set(words, quiet) {
    Object.assign(this, words);
    const query = new URLSearchParams();
    for (const key in DEFAULTS) if (this[key] !== DEFAULTS[key]) query.set(key, this[key]);
    const hash = query.size ? `#${query}` : location.pathname + location.search;
    if (hash !== location.hash) {
      const step = ['finding', 'from', 'to'].some(key => key in words);
      history[step ? 'pushState' : 'replaceState'](null, '', hash);
    }
    if (!quiet) this.changed();
  }
}
