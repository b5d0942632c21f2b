/* Where boxes stand: inside a card in ranks from top to bottom, the cards in rows after what they depend on.
   Ranks are longest paths; the order within a rank follows the mean place of the neighbours (barycentres). */

const BOX = {width: 166, height: 38, gapX: 14, gapY: 15, pad: 12, head: 30};
const INNER = {width: 136, leaf: 108, height: 32, gap: 12, pad: 9, head: 40};

/* items: things with {id, width, height}; edges: [from id, to id], from before to. Returns id -> {x, y} and size. */
function ranked(items, edges, gapX, gapY) {
  const place = new Map(items.map((item, i) => [item.id, i]));
  const into = items.map(() => []), out = items.map(() => []);
  for (const [a, b] of edges) {
    const i = place.get(a), j = place.get(b);
    if (i === undefined || j === undefined || i >= j) continue;  // order of execution: no cycle
    into[j].push(i);
    out[i].push(j);
  }
  const rank = items.map(() => 0);
  items.forEach((_, j) => { for (const i of into[j]) rank[j] = Math.max(rank[j], rank[i] + 1); });
  for (let i = items.length - 1; i >= 0; i--)  // what nothing goes into stands next to what takes it
    if (!into[i].length && out[i].length) rank[i] = Math.min(...out[i].map(j => rank[j])) - 1;
  const rows = [];
  items.forEach((_, i) => (rows[rank[i]] ??= []).push(i));
  const at = items.map(() => 0);
  const spread = row => row.forEach((i, k) => { at[i] = k - (row.length - 1) / 2; });
  rows.forEach(spread);
  const mean = (list, i) => list.length ? list.reduce((sum, j) => sum + at[j], 0) / list.length : at[i];
  for (let sweep = 0; sweep < 4; sweep++) {
    const order = sweep % 2 ? [...rows].reverse() : rows;
    for (const row of order) {
      const key = new Map(row.map(i => [i, mean((sweep % 2 ? out : into)[i], i)]));
      row.sort((a, b) => key.get(a) - key.get(b) || a - b);
      spread(row);
    }
  }
  const found = new Map();
  const widths = rows.map(row => row.reduce((sum, i) => sum + items[i].width + gapX, -gapX));
  const width = Math.max(...widths, 0);
  let y = 0;
  rows.forEach((row, k) => {
    const tall = Math.max(...row.map(i => items[i].height));
    let x = (width - widths[k]) / 2;
    for (const i of row) {
      found.set(items[i].id, {x, y: y + (tall - items[i].height) / 2});
      x += items[i].width + gapX;
    }
    y += tall + gapY;
  });
  return {found, width, height: Math.max(0, y - gapY), rows: rows.map(row => row.map(i => items[i].id))};
}

const GROUPS = [];
DATA.cards.forEach((card, c) => card.groups.forEach(group => { GROUPS[group.id] = group; group.card = c; }));
const groupOf = number => NODES[number].group;

/* From group to group, along which inputs; [from, to]. Parameters of a layer that another phase also uses do not count. */
function groupEdges(card) {
  const seen = new Set(), found = [];
  for (const group of card.groups) for (const i of group.nodes) for (const x of NODES[i].inputs) {
    if (typeof x !== "number") continue;
    const from = groupOf(x);
    if (from === group.id || from === null || seen.has(`${from} ${group.id}`)) continue;
    if (NODES[x].op === "parameter" && GROUPS[from].nodes.length > 1) continue;
    seen.add(`${from} ${group.id}`);
    found.push([from, group.id]);
  }
  for (const group of card.groups) if (group.update !== undefined)  // the loss decides the update
    found.push([groupOf(DATA.passes[DATA.turns[group.update].pass].root), group.id]);
  return found;
}
const EDGES = DATA.cards.map(groupEdges);
const SOURCES = [];  // group -> the groups whose boxes a line comes from
for (const edges of EDGES) for (const [a, b] of edges) (SOURCES[b] ??= []).push(a);

/* What an open group shows: its nodes, and before them parameters that belong to another phase but are used here. */
const contents = group => {
  const shared = group.path ? group.nodes.flatMap(i => NODES[i].inputs).filter(x =>
    typeof x === "number" && NODES[x].op === "parameter" && groupOf(x) !== group.id) : [];
  return [...new Set(shared), ...group.nodes];
};

/* The inside of an open group: its leaves on the left, its operations from top to bottom. */
function openGroup(group) {
  const leaves = contents(group).filter(i => isLeaf(NODES[i])), steps = group.nodes.filter(i => !isLeaf(NODES[i]));
  const inside = new Set(steps), edges = [];
  for (const i of steps) for (const x of NODES[i].inputs) if (inside.has(x)) edges.push([x, i]);
  const laid = ranked(steps.map(id => ({id, width: INNER.width, height: INNER.height})), edges, INNER.gap, INNER.gap);
  const left = leaves.length ? INNER.leaf + 16 : 0, places = new Map();
  for (const [id, {x, y}] of laid.found)
    places.set(id, {x: INNER.pad + left + x, y: INNER.head + y, width: INNER.width, height: INNER.height});
  const high = Math.max(laid.height, leaves.length * (26 + 6) - 6);
  leaves.forEach((id, k) => places.set(id, {x: INNER.pad, y: INNER.head + k * 32, width: INNER.leaf, height: 26}));
  return {places, width: left + laid.width + 2 * INNER.pad, height: INNER.head + high + INNER.pad};
}

function groupSize(group, open) {
  if (group.update !== undefined) return {width: BOX.width, height: BOX.height};
  if (open.has(group.id)) return openGroup(group);
  return {width: BOX.width, height: BOX.height};
}

/* The whole picture of some turns: cards and boxes with absolute places. */
function layout(cards, open) {
  const boxes = new Map(), frames = [];
  const sized = cards.map(c => {
    const items = DATA.cards[c].groups.map(group => ({id: group.id, ...groupSize(group, open)}));
    const laid = ranked(items, EDGES[c], BOX.gapX, BOX.gapY);
    return {id: c, items, laid, width: Math.max(laid.width, BOX.width) + 2 * BOX.pad,
      height: laid.height + BOX.head + BOX.pad};
  });
  const between = [], cardOf = id => GROUPS[id].card;
  for (const c of cards) for (const [a, b] of EDGES[c]) if (cardOf(a) !== c) between.push([cardOf(a), c]);
  const rows = ranked(sized, between, 18, 30);
  const centre = new Map();
  const order = new Map(sized.map(card => [card.id, card]));
  for (let sweep = 0; sweep < 4; sweep++) alignRows(rows.rows, order, between, centre, sweep);
  let y = 0, right = 0, left = Infinity;
  for (const row of rows.rows) for (const id of row) left = Math.min(left, centre.get(id) - order.get(id).width / 2);
  for (const row of rows.rows) {
    const tall = Math.max(...row.map(id => order.get(id).height));
    for (const id of row) {
      const card = order.get(id), x = centre.get(id) - card.width / 2 - left;
      frames.push({id, x, y, width: card.width, height: card.height});
      const inset = (card.width - card.laid.width) / 2;
      for (const item of card.items) {
        const spot = card.laid.found.get(item.id);
        boxes.set(item.id, {x: x + inset + spot.x, y: y + BOX.head + spot.y, width: item.width, height: item.height,
          places: item.places});
      }
      right = Math.max(right, x + card.width);
    }
    y += tall + 30;
  }
  return {boxes, frames, width: right, height: y - 30};
}

/* Each row's cards near the middle of what they hang together with, without overlap. */
function alignRows(rows, order, between, centre, sweep) {
  for (const row of sweep % 2 ? [...rows].reverse() : rows) {
    const width = k => order.get(row[k]).width, apart = k => (width(k) + width(k + 1)) / 2 + 18;
    let x = 0;
    const packed = row.map((_, k) => { const middle = x + width(k) / 2; x += width(k) + 18; return middle; });
    const wishes = row.map((id, k) => {
      const near = between.filter(edge => edge.includes(id)).map(([a, b]) => centre.get(a === id ? b : a));
      const known = near.filter(place => place !== undefined);
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : centre.get(id) ?? packed[k];
    });
    const right = [...wishes], left = [...wishes];
    for (let k = 1; k < row.length; k++) right[k] = Math.max(right[k], right[k - 1] + apart(k - 1));
    for (let k = row.length - 2; k >= 0; k--) left[k] = Math.min(left[k], left[k + 1] - apart(k));
    row.forEach((id, k) => centre.set(id, (right[k] + left[k]) / 2));
  }
}
