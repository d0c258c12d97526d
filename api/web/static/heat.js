// Round trips as colours, fetched only while somebody wants to see them.

const EVERY = 10000;

/** Heat keeps the round trips of one path kind; changed() is called when they came. */
export class Heat {
  constructor(changed, failed) {
    Object.assign(this, { changed, failed, kind: '', nodes: null, rows: [], asked: 0 });
  }

  /** want chooses the path kind, '' for none. */
  want(kind) {
    if (kind !== this.kind) Object.assign(this, { kind, nodes: null, rows: [], asked: 0 });
    if (kind && Date.now() - this.asked > EVERY) this.ask(kind);
  }

  async ask(kind) {
    this.asked = Date.now();
    try {
      const answer = await fetch(`api/v1/latency?path=${encodeURIComponent(kind)}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
      const body = await answer.json();
      if (kind !== this.kind) return;
      if (!answer.ok) throw new Error(body.error);
      this.nodes = new Map(body.nodes.map((n, i) => [n, i]));
      this.rows = body.rows.map(atob);
      this.failed('');
    } catch (e) {
      if (kind === this.kind) this.failed(e.message);
    }
    this.changed();
  }

  /** at is the round trip between two items in ms, 0 when it is not known. */
  at(a, b) {
    const i = this.nodes?.get(a.name), j = this.nodes?.get(b.name);
    const v = i === undefined || j === undefined ? 0 : this.rows[i].charCodeAt(j);
    return v ? 2 ** ((v - 1) / 10.5) / 1000 : 0;
  }
}
