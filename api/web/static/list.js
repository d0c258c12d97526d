// The same as the matrix in words: every pair that is not ok, or that the chosen finding means.
import { isBad, markOf, worst } from './model.js';
import { KINDS, NONE, OK, READ, STATES, count, el, kindWords, mark, show } from './words.js';

const MOST = 200;

/** list fills the details element; open(from, to) is called for a pair that is clicked. */
export function list(root, model, light, open) {
  const rows = [];
  let pairs = 0, paths = 0;
  model.bad((i, j, cell) => {
    const shown = light ? cell & light.mask(i, j) : cell; // a path without light becomes ok
    if (!isBad(shown)) return;
    pairs++;
    for (let k = 0; k < 4; k++) if (markOf(shown, k) !== OK && markOf(shown, k) !== NONE) paths++;
    rows.push([i, j, shown]);
  });
  root.hidden = !pairs;
  root.querySelector('summary').textContent = `${count(paths, 'path')} of ${count(pairs, 'pair')} ${light ? 'that the chosen finding explains' : 'not ok'}, as a list`;
  root.dataset.paths = paths;
  if (!root.open || !pairs) return;
  rows.sort((a, b) => worst(b[2]) - worst(a[2]));
  show(root.querySelector('div'), JSON.stringify([model.nodes.length, rows.slice(0, MOST), pairs]), () => [
    el('table', {},
      el('thead', {}, el('tr', {}, ['from', 'to', ...READ.map(k => kindWords(KINDS[k]))].map(t => el('th', { scope: 'col' }, t)))),
      el('tbody', {}, rows.slice(0, MOST).map(([i, j, cell]) => row(model.nodes[i].name, model.nodes[j].name, cell, open)))),
    pairs > MOST ? el('p', { class: 'note' }, `The first ${MOST} of ${pairs.toLocaleString('en')}. All of them: `, el('a', { href: 'api/v1/matrix?format=csv' }, 'CSV')) : null,
  ].filter(Boolean));
}

function row(from, to, cell, open) {
  return el('tr', {},
    el('td', {}, el('button', { type: 'button', class: 'link', onclick: () => open(from, to), 'aria-label': `Open ${from} to ${to}` }, from)), el('td', {}, to),
    READ.map(k => el('td', { class: STATES[markOf(cell, k)] }, markOf(cell, k) === NONE ? '' : [mark(STATES[markOf(cell, k)]), STATES[markOf(cell, k)]])));
}
