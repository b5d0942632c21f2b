/* Where boxes stand: inside a card in ranks from top to bottom, the cards in rows after what they depend on.
   Ranks are longest paths; the order within a rank follows the mean place of the neighbours (barycentres). */

const BOX = {width: 166, height: 38, gapX: 14, gapY: 15, pad: 12, head: 30};
const LONGEST = 40;
const INNER = {width: 136, leaf: 130, height: 32, gap: 12, pad: 9, head: 40};

/* items: things with {id, width, height} in the order of execution; edges: [from id, to id].
   ports: ids that a line leaves downwards out of the picture, or enters from above it.
   Returns id -> {x, y}, the size, and for long lines the places between boxes through which they go:
   lines.get("from to") is a list of {x, top, bottom}; "out" and "in" stand for the world outside. */
function ranked(items, edges, gapX, gapY, ports = {out: new Set(), in: new Set()}) {
  const place = new Map(items.map((item, i) => [item.id, i]));
  const links = edges.map(([a, b]) => [place.get(a), place.get(b)]).filter(([i, j]) => i < j); // so no cycle
  const rank = ranks(items.length, links);
  const last = Math.max(0, ...rank);
  const all = [...items],
    lines = new Map(),
    near = [];
  const join = (i, j) => {
    (near[i] ??= []).push(j);
    (near[j] ??= []).push(i);
  };
  const through = makeTrunks(all, rank, join);
  for (const [i, j] of links) lines.set(`${items[i].id} ${items[j].id}`, through(i, rank[j], j));
  for (const id of ports.out)
    if (place.has(id)) lines.set(`${id} out`, through(place.get(id), last + 1, null));
  for (const id of ports.in)
    if (place.has(id)) lines.set(`in ${id}`, through(null, rank[place.get(id)], place.get(id)));
  const rows = Array.from({length: last + 1}, () => []);
  all.forEach((_, i) => rows[rank[i]].push(i));
  order(rows, near, rank);
  const middle = settle(rows, all, near, rank, gapX);
  let left = Infinity,
    right = -Infinity,
    y = 0;
  all.forEach((item, i) => {
    left = Math.min(left, middle[i] - item.width / 2);
    right = Math.max(right, middle[i] + item.width / 2);
  });
  const found = new Map(),
    tops = [],
    bottoms = [];
  rows.forEach((row, r) => {
    const tall = Math.max(...row.map(i => all[i].height));
    for (const i of row)
      if (i < items.length)
        found.set(items[i].id, {
          x: middle[i] - items[i].width / 2 - left,
          y: y + (tall - items[i].height) / 2,
        });
    [tops[r], bottoms[r]] = [y, y + tall];
    y += tall + gapY;
  });
  for (const [key, way] of lines) {
    const stops = [];
    for (const i of way) {
      // straight parts are one stop
      const x = middle[i] - left,
        before = stops.at(-1);
      if (before && Math.abs(before.x - x) < 1) before.bottom = bottoms[rank[i]];
      else stops.push({x, top: tops[rank[i]], bottom: bottoms[rank[i]]});
    }
    lines.set(key, stops);
  }
  return {found, lines, width: items.length ? right - left : 0, height: Math.max(0, y - gapY)};
}

/* Longest paths from above; what nothing goes into stands just over what takes it first. */
function ranks(count, links) {
  const rank = Array(count).fill(0),
    into = Array.from({length: count}, () => []),
    out = into.map(() => []);
  for (const [i, j] of links) {
    into[j].push(i);
    out[i].push(j);
  }
  for (let j = 0; j < count; j++) for (const i of into[j]) rank[j] = Math.max(rank[j], rank[i] + 1);
  for (let i = count - 1; i >= 0; i--)
    if (!into[i].length && out[i].length) rank[i] = Math.min(...out[i].map(j => rank[j])) - 1;
  return rank;
}

/* Lines that pass rows go through narrow places of their own there; all lines of one source share them. Where
   one passes very many, it goes straight, behind the boxes. */
function makeTrunks(all, rank, join) {
  const trunks = new Map();
  return (from, until, to) => {
    const key = from ?? `in ${to}`;
    if (!trunks.has(key)) trunks.set(key, []);
    const trunk = trunks.get(key),
      begin = from === null ? 0 : rank[from] + 1;
    if (until - begin > LONGEST) return [];
    for (let r = begin + trunk.length; r < until; r++) {
      all.push({width: 10, height: 0});
      rank.push(r);
      const before = trunk.length ? trunk.at(-1) : from;
      if (before !== null) join(before, all.length - 1);
      trunk.push(all.length - 1);
    }
    const way = trunk.slice(0, Math.max(0, until - begin));
    const end = way.length ? way.at(-1) : from;
    if (to !== null && end !== null) join(end, to);
    return way;
  };
}

/* The order within the rows, by the mean place of the neighbours in the row before, down and up again. */
function order(rows, near, rank) {
  const at = [];
  const spread = row =>
    row.forEach((i, k) => {
      at[i] = k - (row.length - 1) / 2;
    });
  rows.forEach(spread);
  for (let sweep = 0; sweep < 4; sweep++) {
    const way = sweep % 2 ? -1 : 1;
    for (const row of way > 0 ? rows : [...rows].reverse()) {
      const key = new Map(
        row.map(i => {
          const some = (near[i] ?? []).filter(j => (rank[j] - rank[i]) * way < 0);
          return [i, some.length ? some.reduce((sum, j) => sum + at[j], 0) / some.length : at[i]];
        }),
      );
      row.sort((a, b) => key.get(a) - key.get(b) || a - b);
      spread(row);
    }
  }
}

/* Each thing near the middle of what it hangs together with, in the order of its row, without overlap. */
function settle(rows, all, near, rank, gap) {
  const middle = [];
  for (const row of rows) {
    let x = 0;
    const whole = row.reduce((sum, i) => sum + all[i].width + gap, -gap);
    for (const i of row) {
      middle[i] = x + all[i].width / 2 - whole / 2;
      x += all[i].width + gap;
    }
  }
  for (let sweep = 0; sweep < (all.length < 200 ? 100 : 8); sweep++)
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const apart = k => (all[row[k]].width + all[row[k + 1]].width) / 2 + gap;
      const wish = row.map(i => {
        const some = (near[i] ?? []).filter(j => rank[j] !== rank[i]);
        return some.length ? some.reduce((sum, j) => sum + middle[j], 0) / some.length : middle[i];
      });
      const right = [...wish],
        left = [...wish];
      for (let k = 1; k < row.length; k++) right[k] = Math.max(right[k], right[k - 1] + apart(k - 1));
      for (let k = row.length - 2; k >= 0; k--) left[k] = Math.min(left[k], left[k + 1] - apart(k));
      row.forEach((i, k) => {
        middle[i] = (right[k] + left[k]) / 2;
      });
    }
  return middle;
}

const GROUPS = [];
DATA.cards.forEach((card, c) =>
  card.groups.forEach(group => {
    GROUPS[group.id] = group;
    group.card = c;
  }),
);
const groupOf = number => NODES[number].group;

/* From group to group, along which inputs: [from, to]. Parameters of a layer that another phase uses too do
   not count. */
function groupEdges(card) {
  const seen = new Set(),
    found = [];
  for (const group of card.groups)
    for (const i of group.nodes)
      for (const x of NODES[i].inputs) {
        if (typeof x !== "number") continue;
        const from = groupOf(x);
        if (from === group.id || from === null || seen.has(`${from} ${group.id}`)) continue;
        if (NODES[x].op === "parameter" && GROUPS[from].nodes.length > 1) continue;
        seen.add(`${from} ${group.id}`);
        found.push([from, group.id]);
      }
  for (const group of card.groups)
    if (group.update !== undefined)
      // the loss decides the update
      found.push([groupOf(DATA.passes[DATA.turns[group.update].pass].root), group.id]);
  return found;
}
const EDGES = DATA.cards.map(groupEdges);
const SOURCES = []; // group -> the groups whose boxes a line comes from
for (const edges of EDGES) for (const [a, b] of edges) (SOURCES[b] ??= []).push(a);

/* What an open group shows: its nodes, and before them parameters of another phase that are used here too. */
const contents = group => {
  const shared = group.path
    ? group.nodes
        .flatMap(i => NODES[i].inputs)
        .filter(x => typeof x === "number" && NODES[x].op === "parameter" && groupOf(x) !== group.id)
    : [];
  return [...new Set(shared), ...group.nodes];
};

/* The inside of an open group: its leaves on the left, its operations from top to bottom. */
function openGroup(group) {
  const leaves = contents(group).filter(i => isLeaf(NODES[i])),
    steps = group.nodes.filter(i => !isLeaf(NODES[i]));
  const inside = new Set(steps),
    edges = [];
  for (const i of steps) for (const x of NODES[i].inputs) if (inside.has(x)) edges.push([x, i]);
  const laid = ranked(
    steps.map(id => ({id, width: INNER.width, height: INNER.height})),
    edges,
    INNER.gap,
    INNER.gap,
  );
  const left = leaves.length ? INNER.leaf + 16 : 0,
    places = new Map();
  for (const [id, {x, y}] of laid.found)
    places.set(id, {x: INNER.pad + left + x, y: INNER.head + y, width: INNER.width, height: INNER.height});
  const high = Math.max(laid.height, leaves.length * (26 + 6) - 6);
  leaves.forEach((id, k) =>
    places.set(id, {x: INNER.pad, y: INNER.head + k * 32, width: INNER.leaf, height: 26}),
  );
  return {places, width: left + laid.width + 2 * INNER.pad, height: INNER.head + high + INNER.pad};
}

function groupSize(group, open) {
  if (group.update !== undefined) return {width: BOX.width, height: BOX.height};
  if (open.has(group.id)) return openGroup(group);
  return {width: BOX.width, height: BOX.height};
}

/* The whole picture of some turns: cards and boxes with absolute places, and the way of each line. */
function layout(cards, open) {
  const boxes = new Map(),
    frames = [],
    ways = new Map(),
    cardOf = id => GROUPS[id].card,
    drawn = new Set(cards);
  const crossing = cards.flatMap(c => EDGES[c].filter(([a]) => cardOf(a) !== c && drawn.has(cardOf(a))));
  const ports = {out: new Set(crossing.map(([a]) => a)), in: new Set(crossing.map(([, b]) => b))};
  const sized = cards.map(c => {
    const items = DATA.cards[c].groups.map(group => ({id: group.id, ...groupSize(group, open)}));
    const laid = ranked(items, EDGES[c], BOX.gapX, BOX.gapY, ports);
    return {
      id: c,
      items,
      laid,
      width: Math.max(laid.width, BOX.width) + 2 * BOX.pad,
      height: laid.height + BOX.head + BOX.pad,
    };
  });
  const outer = ranked(
    sized,
    crossing.map(([a, b]) => [cardOf(a), cardOf(b)]),
    18,
    30,
  );
  const inside = new Map();
  for (const {id, items, laid, width, height} of sized) {
    const {x, y} = outer.found.get(id),
      inset = (width - laid.width) / 2;
    frames.push({id, x, y, width, height});
    const move = way =>
      way.map(p => ({x: p.x + x + inset, top: p.top + y + BOX.head, bottom: p.bottom + y + BOX.head}));
    for (const item of items) {
      const spot = laid.found.get(item.id);
      boxes.set(item.id, {
        x: x + inset + spot.x,
        y: y + BOX.head + spot.y,
        width: item.width,
        height: item.height,
        places: item.places,
      });
    }
    for (const [key, way] of laid.lines) inside.set(key, move(way));
  }
  for (const c of cards)
    for (const [a, b] of EDGES[c])
      if (boxes.has(a)) {
        const across =
          cardOf(a) === c
            ? inside.get(`${a} ${b}`)
            : [
                ...inside.get(`${a} out`),
                ...(outer.lines.get(`${cardOf(a)} ${c}`) ?? []),
                ...inside.get(`in ${b}`),
              ];
        ways.set(`${a} ${b}`, across ?? []);
      }
  return {boxes, frames, ways, width: outer.width, height: outer.height};
}
