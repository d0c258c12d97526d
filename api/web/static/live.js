// How the page hears of changes: a stream of events, and by asking where no stream comes through.

const SILENCE = 6000; // the server says something every two seconds
const ASK = 3000;

const STREAMS = 4; // a browser allows six connections to a server, for all its pages together: some must stay free
const ROUND = 1000; // how long pages of the same browser get to say that they hold a stream: those in the background are slow

/** Crowd counts the streams that other pages of this browser hold. holds() says whether this one does. */
class Crowd {
  constructor(holds) {
    Object.assign(this, { holds, id: Math.random(), wants: false, others: 0, channel: new BroadcastChannel('netchecker-streams') });
    this.channel.onmessage = ({ data: { asks, told } }) => {
      if (told === this.id) this.others++;
      // Of pages that want one at the same moment, those with the lesser number go first.
      else if (asks && (this.holds() || (this.wants && this.id < asks))) this.channel.postMessage({ told: asks });
    };
  }

  /** room says whether there is room for one more. */
  async room() {
    Object.assign(this, { wants: true, others: 0 });
    this.channel.postMessage({ asks: this.id });
    await new Promise(done => { setTimeout(done, ROUND); });
    this.wants = false;
    return this.others < STREAMS;
  }
}

/** Live keeps a model up to date. heard() is called after every message, lost(why) when none came. */
export class Live {
  constructor(model, heard, lost) {
    Object.assign(this, { model, heard, lost, source: null, last: 0, failures: 0, quiet: 0, streams: true, wanted: false, asking: false });
    this.crowd = new Crowd(() => !!this.source);
    document.addEventListener('visibilitychange', () => this.wake());
    addEventListener('online', () => this.wake());
    addEventListener('pageshow', () => this.wake());
    setInterval(() => this.watch(), 1000);
  }

  start() {
    this.wanted = true;
    this.wake();
  }

  stop() {
    this.wanted = false;
    this.close();
  }

  /** wake connects at once: after a sleep, or when somebody looks again. A page nobody sees holds no
   * stream: browsers allow six connections to a server, for all its pages together. */
  wake() {
    this.close();
    if (!this.wanted || document.hidden) return;
    this.last = Date.now();
    this.ask().then(() => this.open());
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  /** ask fetches what changed since our version. */
  async ask() {
    if (this.asking) return;
    this.asking = true;
    try {
      const since = this.model.version ? `?since=${this.model.version}` : '';
      const answer = await fetch(`api/v1/overview${since}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      this.take(await answer.json());
    } catch (e) {
      this.fail(e.name === 'TimeoutError' ? 'it does not answer within 10 s' : e.message);
    } finally {
      this.asking = false;
    }
  }

  take(message) {
    if (!this.wanted) return;
    if (!this.model.take(message)) {
      this.model.version = 0; // something was missed: begin anew
      this.ask();
      return;
    }
    this.last = Date.now();
    this.failures = 0;
    this.heard();
  }

  async open() {
    const may = () => this.wanted && !document.hidden && !this.source && this.streams && this.model.version;
    if (this.crowd.wants || !may() || !await this.crowd.room() || !may()) return;
    const source = new EventSource(`api/v1/events?since=${this.model.version}`);
    this.source = source;
    source.addEventListener('change', e => this.take(JSON.parse(e.data)));
    source.addEventListener('reload', () => this.ask());
    source.onerror = () => {
      if (source !== this.source) return;
      this.close(); // watch() decides what next
      this.fail('the connection broke');
    };
  }

  fail(why) {
    if (!this.wanted) return; // somebody looks back: what an old question came to is no matter
    this.failures++;
    this.lost(why);
  }

  /** watch looks once a second whether anything is heard; if not, it asks. */
  watch() {
    if (!this.wanted || document.hidden) return;
    const silent = Date.now() - this.last;
    if (this.source && silent > SILENCE) { // a proxy that holds events back, or a sleep
      this.close();
      if (++this.quiet > 2) this.streams = false;
    }
    if (!this.source && !this.asking && (silent > ASK || this.failures)) {
      this.ask().then(() => { if (!this.failures) this.open(); });
    }
    if (silent > SILENCE) this.lost(this.failures ? null : 'no news come');
  }
}
