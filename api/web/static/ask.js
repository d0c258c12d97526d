// Asking the server for the card of a pair.

/** answer is what a GET of a path with parameters is answered; an error says in words why there is none. */
async function answer(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '');
  let got, body;
  try {
    got = await fetch(`api/v1/${path}?${new URLSearchParams(given)}`, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    body = await got.json();
  } catch (e) {
    throw new Error(e.name === 'TimeoutError' ? 'the server does not answer within 10 s' : got ? `the server answers ${got.status}` : 'the server does not answer');
  }
  if (!got.ok) throw new Error(body.error || `the server answers ${got.status}`);
  return body;
}

/** pairNow is all that is known of a pair now: what `netcheck explain` shows. */
export async function pairNow({ from, to }) {
  const e = await answer('explain', { source: from, destination: to });
  const open = e.findings.filter(f => !f.closed_at);
  return {
    generated: e.generated_at,
    paths: e.pairs.filter(p => p.source === from && p.destination === to),
    back: e.pairs.filter(p => p.source === to && p.destination === from && from !== to),
    findings: open.filter(f => concerns(f, from, to)),
    beside: open.filter(f => !concerns(f, from, to)),
    ends: e,
  };
}

/** pairThen is what is remembered of a pair as of a moment. What nodes read of themselves is not kept. */
export async function pairThen({ from, to }, at) {
  const [there, back] = await Promise.all([[from, to], [to, from]].map(([source, destination]) => answer('matrix', { state: 'all', source, destination, at })));
  return {
    generated: there.generated_at,
    paths: there.pairs,
    back: from === to ? [] : back.pairs,
    findings: there.findings.filter(f => !f.closed_at && concerns(f, from, to)),
    beside: [],
    ends: null,
  };
}

/** pastOf is what changed between the two lately, and their round trips; what is not kept is empty. */
export async function pastOf({ from, to }, at) {
  const both = { source: from, destination: to };
  const [history, trips] = await Promise.all([
    answer('history', { ...both, limit: 1000, until: at }).catch(() => ({ changes: [] })), // the paths themselves are what matters:
    answer('latency/history', both).catch(e => ({ times: [], series: [], note: e.message })), // that nobody answers, they say
  ]);
  return { changes: history.changes.slice(-12).reverse(), trips };
}

function concerns(f, from, to) {
  return (f.paths || []).some(s => (!s.source || s.source === from) && (!s.destination || s.destination === to));
}
