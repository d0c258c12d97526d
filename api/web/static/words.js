// What the page says: names of things, numbers with their units, times.

export const KINDS = ['pod-to-pod', 'host-to-pod', 'pod-to-host', 'host-to-host'];
// The order in which people read them: from the physical to the virtual network.
export const READ = [3, 1, 2, 0];
export const OK = 0, UNKNOWN = 1, DEGRADED = 2, FAILING = 3, NONE = 4;
export const STATES = ['ok', 'unknown', 'degraded', 'failing', 'none'];

export const kindWords = kind => kind.replace('-to-', ' → ');
export const words = text => text.replaceAll('_', ' ');
export const count = (n, one, many = one + 's') => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
export const percent = share => `${+(share * 100).toFixed(1)} %`;
export const millis = ms => `${ms >= 100 ? Math.round(ms) : +ms.toPrecision(3)} ms`;

/** ago says how long ago something was, in one unit. */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

/** clock is the time of day, with the date when it is not today. */
export function clock(at, now = Date.now()) {
  const d = new Date(at), time = d.toLocaleTimeString('en-GB');
  return d.toDateString() === new Date(now).toDateString() ? time : `${d.toLocaleDateString('en-CA')} ${time}`;
}

/** since says when something began and how long that is ago. */
export function since(text, now) {
  if (!text) return '';
  const at = Date.parse(text);
  return `since ${clock(at, now)} (${span(now - at)})`;
}

/** el makes an element: attributes, then children; strings become text, so nothing is ever markup. */
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c != null && c !== false && c !== ''));
  return e;
}

/** mark is the sign of a state: its form says the same as its colour. */
export function mark(state, title) {
  return el('span', { class: `mark ${state}`, 'aria-hidden': title ? null : 'true', title: title || null });
}

/** show replaces what an element holds, but only if that changes it: focus and selection survive. */
export function show(element, key, make) {
  if (element.dataset.key === key) return false;
  element.dataset.key = key;
  const nodes = make();
  element.replaceChildren(...(Array.isArray(nodes) ? nodes : [nodes]));
  return true;
}
