// The page: what comes from the server goes into the model, what people choose into the view, and
// render shows both.
import { arrange } from './axis.js';
import { Card } from './card.js';
import { findings } from './findings.js';
import { Heat } from './heat.js';
import { list } from './list.js';
import { Live } from './live.js';
import { Matrix } from './matrix.js';
import { Light, Model } from './model.js';
import { KINDS, READ, STATES, clock, count, kindWords, millis, span } from './words.js';
import { Past } from './time.js';
import { View } from './url.js';
import { legend, verdict } from './verdict.js';

const $ = id => document.getElementById(id);
const MANY = 1500; // nodes from which on groups begin closed

const model = new Model();
let lost = '', lostAt = 0, drawn = '', began = false, shown = null;
const view = new View(() => render());
const matrix = new Matrix($('matrix'), { open: openItems, over: point, moved: remember });
const card = new Card($('card'), {
  close: () => { view.set({ from: '', to: '' }); $('matrix').focus(); },
  turn: () => view.set({ from: view.to, to: view.from }),
  choose: id => view.set({ finding: id }),
});
const heat = new Heat(() => matrix.redraw(), why => { $('heatFailed').textContent = why; });
const past = new Past($('time'), at => view.set({ at }));
const live = new Live(model, heard, why => {
  if (why) lostWhy = why;
  if (Date.now() - live.last < (live.failures > 1 ? 2500 : 5000) && model.version) return; // a moment without a connection is no news
  if (!lost) lostAt = live.last;
  lost = lostWhy;
  render();
});
let lostWhy = '';
$('matrix').matrix = matrix; // for the console and for tests

/** travel shows how things stood at a moment, or goes on with what happens. */
async function travel() {
  const at = view.at;
  shown = at;
  if (!at) {
    model.version = 0; // what we have is old
    live.start();
    return;
  }
  live.stop();
  lost = lostWhy = '';
  try {
    const answer = await fetch(`api/v1/overview?at=${encodeURIComponent(at)}`, { cache: 'no-store', signal: AbortSignal.timeout(15000) });
    const body = await answer.json().catch(() => ({}));
    if (view.at !== at) return;
    if (!answer.ok) throw new Error(body.error || `the server answers ${answer.status}`);
    model.take(body);
    live.last = Date.now();
    if (!began) begin();
  } catch (e) {
    if (view.at !== at) return;
    lost = `how things stood at ${at} cannot be shown: ${e.message}`;
    lostAt = Date.now();
  }
  render();
}

function heard() {
  lost = lostWhy = '';
  if (!began) begin();
  render();
  card.freshen();
}

/** begin chooses what a big mesh opens with. */
function begin() {
  began = true;
  if (!view.zones && !view.view && model.nodes.length > MANY && model.groups.length > 1) view.set({ zones: '1', closed: 'all' }, true);
  if (view.view) {
    const [cell, x, y] = view.view.split(',').map(Number);
    if ([cell, x, y].every(Number.isFinite)) Object.assign(matrix, { cell, restore: [x, y] });
  }
}

/** grouped says whether nodes stand by group; 0 in the address is no, in a mesh that would be otherwise. */
const grouped = () => view.zones === '1' && model.groups.length > 1;

function closedZones() {
  const closed = view.closed === 'all' ? model.groups : view.closed.split(',');
  return new Set(view.closed ? closed : []);
}

function chosenFinding() { return model.findings.find(f => f.id === view.finding); }

function render() {
  if (shown !== null && shown !== view.at) travel();
  const now = model.generated + (live.last ? Date.now() - live.last : 0);
  document.body.classList.toggle('old', !!lost);
  verdict(model, { lost, at: view.at, now });
  findings($('findings'), model, view.finding, model.generated || now, id => view.set({ finding: id }));
  $('mesh').hidden = !model.nodes.length;
  tools();
  const finding = chosenFinding(), light = finding ? new Light(model, finding.paths || []).settle(model) : null;
  const key = JSON.stringify([model.drawn, view.q, view.bad, view.worst, view.zones, view.closed, finding?.paths, !!lost]);
  if (key !== drawn && model.nodes.length) {
    drawn = key;
    const items = arrange(model, { q: view.q, bad: view.bad, worstFirst: view.worst, zones: grouped(), closed: closedZones() });
    matrix.old = !!lost;
    matrix.byZone = grouped();
    matrix.set(model, items, light);
    if (matrix.restore) {
      [matrix.x, matrix.y] = matrix.restore.map(v => v * matrix.size);
      matrix.restore = null;
      matrix.clamp();
    }
    $('matrix').classList.toggle('empty', !items.length);
    list($('list'), model, light, (from, to) => view.set({ from, to }));
  }
  past.show(view.at ? momentOf(view.at) : 0, live.wanted ? model.generated : 0, model.version, matrix.palette);
  heat.want(view.at ? '' : view.colour);
  const kind = KINDS.indexOf(heat.kind);
  if ((matrix.heat?.kind ?? -1) !== kind) {
    matrix.heat = kind < 0 ? null : { kind, at: (a, b) => heat.at(a, b) };
    matrix.redraw();
    $('heatFailed').textContent = '';
  }
  legend($('legend'), matrix.palette, kind, matrix.items.some(item => item.group));
  const pair = view.from && view.to ? { from: view.from, to: view.to } : null;
  if (pair?.from !== card.pair?.from || pair?.to !== card.pair?.to || view.at !== card.at) {
    card.open(pair, view.at);
    if (pair && began && innerWidth < 1080) $('card').scrollIntoView({ block: 'nearest' });
  }
  gone();
}

function tools() {
  if (document.activeElement !== $('q')) $('q').value = view.q;
  $('bad').checked = !!view.bad;
  $('worst').checked = !!view.worst;
  $('zones').checked = grouped();
  $('zonesWord').textContent = model.zoned ? 'by zone' : 'by name';
  $('colour').value = view.colour;
  $('zonesLabel').hidden = model.groups.length < 2;
  $('zoneTools').hidden = !grouped();
}

/** momentOf reads a time of the address; the server says what is wrong with one that is none. */
const momentOf = text => Date.parse(text) || Date.now();

/** gone says loudly when nothing is known any more. */
function gone() {
  const text = lost && view.at ? `${lost[0].toUpperCase()}${lost.slice(1)}.` : lost ? `No news from the server for ${span(Date.now() - lostAt)} (${lost}). ${model.nodes.length ? `The matrix shows how things stood at ${clock(model.generated)}. ` : ''}This page goes on trying.` : '';
  $('gone').hidden = !lost;
  if ($('gone').textContent !== text) $('gone').textContent = text;
  $('live').className = `live ${lost ? 'lost' : view.at ? '' : 'on'}`;
  const said = view.at ? 'looking back' : lost ? 'no connection' : model.generated ? `live, ${live.source ? '' : 'asked '}${clock(model.generated)}` : '';
  if ($('live').textContent !== said) $('live').textContent = said;
}

/** openItems opens a pair of nodes, a group, or the worst pair of a whole row. */
function openItems(a, b) {
  for (const item of [a, b]) {
    if (!item?.group) continue;
    const closed = closedZones();
    closed.delete(item.zone);
    view.set({ closed: [...closed].join(',') });
    return;
  }
  if (b) view.set({ from: a.name, to: b.name });
  else view.set({ q: view.q === a.name ? '' : a.name });
}

/** point says what is under the pointer or the cursor. */
function point(a, b, at) {
  const tip = $('tip');
  if (!a) { tip.hidden = true; return; }
  const text = b ? describe(a, b) : a.group ? `${model.zoned ? 'zone ' : ''}${a.name}, ${count(a.nodes.length, 'node')}: click opens it` : `${a.name}: click brings it to the front`;
  if (!at) { $('spoken').textContent = text; tip.hidden = true; return; }
  tip.textContent = text;
  tip.hidden = false;
  const wide = $('matrix').clientWidth;
  tip.style.setProperty('--x', `${Math.min(at[0] + 14, Math.max(0, wide - tip.offsetWidth - 4))}px`);
  tip.style.setProperty('--y', `${at[1] + 18}px`);
}

function describe(a, b) {
  const sums = matrix.plane.census(a, b), many = a.group || b.group;
  const parts = READ.map(k => {
    const said = many ? shares(sums[k]) : STATES.slice(0, 4).find((s, m) => sums[k][m]);
    return said && `${kindWords(KINDS[k])}: ${said}${!many && matrix.heat?.kind === k && heat.at(a, b) ? `, ${millis(heat.at(a, b))}` : ''}`;
  });
  return [`${a.name} → ${b.name}`, ...parts.filter(Boolean)].join('\n');
}

/** shares says how many of the paths between groups are in which state. */
function shares(counts) {
  const total = counts.slice(0, 4).reduce((a, b) => a + b), bad = [3, 2, 1].filter(m => counts[m]);
  if (!total) return '';
  if (!bad.length) return `all ${count(total, 'path')} ok`;
  return bad.map((m, n) => `${counts[m].toLocaleString('en')}${n ? '' : ` of ${count(total, 'path')}`} ${STATES[m]}`).join(', ');
}

function remember() {
  view.set({ view: matrix.cell ? [matrix.cell.toFixed(2), (matrix.x / matrix.size).toFixed(1), (matrix.y / matrix.size).toFixed(1)].join(',') : '' }, true);
}

let typing;
$('q').addEventListener('input', e => { clearTimeout(typing); typing = setTimeout(() => view.set({ q: e.target.value }), 150); });
$('tools').addEventListener('submit', e => e.preventDefault());
for (const id of ['bad', 'worst']) $(id).addEventListener('change', e => view.set({ [id]: e.target.checked ? '1' : '' }));
$('zones').addEventListener('change', e => view.set({ zones: e.target.checked ? '1' : model.nodes.length > MANY ? '0' : '' }));
$('colour').addEventListener('change', e => view.set({ colour: e.target.value }));
$('collapse').addEventListener('click', () => view.set({ closed: 'all' }));
$('expand').addEventListener('click', () => view.set({ closed: '' }));
$('in').addEventListener('click', () => matrix.zoom(1.5));
$('out').addEventListener('click', () => matrix.zoom(1 / 1.5));
$('fit').addEventListener('click', () => matrix.fit());
$('list').addEventListener('toggle', () => { drawn = ''; render(); });
addEventListener('keydown', e => { if (e.key === 'Escape' && (view.from || view.finding)) view.set(view.from ? { from: '', to: '' } : { finding: '' }); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { $('legend').dataset.key = ''; render(); });
setInterval(() => { if (lost) gone(); }, 1000);
travel();
