/* The step as SVG: cards for phases, boxes for layers, lines for what flows, forward and backward. */

const open = new Set(); // groups that show their operations
let shownTurns = new Set(); // the turns that are drawn
let drawn = null; // {boxes, nodes, edges} of elements

const VIEWS = (() => {
  const turns = [...new Set(DATA.cards.map(card => card.turn))];
  if (DATA.turns.length <= 2) return [{name: "all", turns}];
  const names = turns.map(t => ({
    name: t < DATA.turns.length ? `${t + 1}: ${DATA.turns[t].player}` : "afterwards",
    turns: [t],
  }));
  return NODES.length <= 400 ? [...names, {name: "all turns", turns}] : names;
})();

/* The cards of some turns, and those of other turns that made what they work on. */
function cardsOf(turns) {
  const wanted = new Set([...DATA.cards.keys()].filter(c => turns.has(DATA.cards[c].turn)));
  for (const c of [...wanted])
    for (const [from] of EDGES[c])
      if (!turns.has(DATA.cards[GROUPS[from].card].turn)) {
        const made = GROUPS[from].card;
        if (DATA.cards[made].kind === "fake" || DATA.cards[made].kind === "real") wanted.add(made);
      }
  return [...wanted].sort((a, b) => a - b);
}

function draw() {
  const cards = cardsOf(shownTurns),
    laid = layout(cards, open);
  const pad = 6,
    root = svg("svg", {
      class: "graph",
      width: laid.width + 2 * pad,
      height: laid.height + 2 * pad,
      viewBox: `${-pad} ${-pad} ${laid.width + 2 * pad} ${laid.height + 2 * pad}`,
      role: "group",
      "aria-label": "The graph of the step. Arrow keys move between boxes, Enter chooses, plus opens.",
    });
  const frames = svg("g", {}),
    lines = svg("g", {}),
    tops = svg("g", {});
  const boxes = new Map(),
    ops = [],
    places = [],
    edges = [];
  for (const frame of laid.frames) {
    const card = DATA.cards[frame.id];
    const made = svg("g", {class: `card ${card.kind}`, "data-card": frame.id});
    made.append(
      svg("rect", {x: frame.x, y: frame.y, width: frame.width, height: frame.height, rx: 10}),
      svg(
        "text",
        {x: frame.x + 13, y: frame.y + 20},
        fit(card.title || "the recording", frame.width - 24, 12),
      ),
    );
    frames.append(made);
  }
  for (const [id, box] of laid.boxes) {
    const group = GROUPS[id],
      made = drawBox(group, box);
    tops.append(made);
    boxes.set(id, made);
    if (box.places) tops.append(drawInside(group, box, places));
  }
  for (const id of laid.boxes.keys()) {
    const group = GROUPS[id],
      inside = new Set(group.nodes);
    const incoming = group.nodes.flatMap(i => givenBy[i]);
    for (const a of SOURCES[id] ?? [])
      if (laid.boxes.has(a)) {
        const flows = incoming.filter(flow => groupOf(flow.node) === a);
        drawEdge(
          laid.boxes.get(a),
          {...laid.boxes.get(id), ids: inside, update: group.update},
          flows,
          false,
          edges,
          lines,
          laid.ways.get(`${a} ${id}`),
        );
      }
  }
  const over = svg("g", {});
  const spots = new Map(places.map(([group, id, place]) => [`${group} ${id}`, place]));
  for (const [group, id, place] of places)
    for (const x of NODES[id].inputs) {
      const from = spots.get(`${group} ${x}`);
      if (!from) continue;
      const flows = givenBy[id].filter(flow => flow.node === x);
      drawEdge(from, {...place, ids: new Set([id])}, flows, isLeaf(NODES[x]), edges, over);
    }
  for (const made of tops.querySelectorAll(".op")) ops.push([Number(made.dataset.node), made]);
  root.append(frames, lines, tops, over);
  drawn = {boxes, ops, edges, root};
  $("canvas").replaceChildren(root);
  markChosen();
  tell("drawn");
}

/* What a player's position looks like; null: the whole step at once. */
function paint(state) {
  const all = state === null;
  drawn.root.classList.toggle("playing", !all);
  const classes = (made, ids) => {
    const some = test => ids.some(i => test.has(i));
    made.classList.toggle("now", !all && some(state.now));
    made.classList.toggle("future", !all && !some(state.done) && !some(state.now));
    made.classList.toggle("visited", !all && some(state.visited) && !some(state.now));
    made.classList.toggle("back", !all && state.backward !== null && some(state.now));
  };
  for (const [id, made] of drawn.boxes) {
    const group = GROUPS[id];
    if (group.update === undefined) classes(made, group.nodes);
    else {
      made.classList.toggle("now", !all && state.update === group.update);
      made.classList.toggle(
        "future",
        !all && !state.updated.has(group.update) && state.update !== group.update,
      );
    }
  }
  for (const [id, made] of drawn.ops) classes(made, [id]);
  for (const edge of drawn.edges) {
    const flows = edge.flows.filter(
      f => all || (f.pass === state.backward && state.visited.has(f.consumer)),
    );
    const best = flows.reduce((a, b) => (!a || weight(b) > weight(a) ? b : a), null);
    const flowing = !all && flows.some(f => state.now.has(f.consumer)) && state.backward !== null;
    const begun = all
      ? true
      : edge.update === null
        ? [...edge.to].some(i => state.done.has(i))
        : state.updated.has(edge.update);
    edge.line.classList.toggle("future", !begun);
    edge.line.classList.toggle(
      "now",
      !all && state.backward === null && [...edge.to].some(i => state.now.has(i)),
    );
    edge.back.classList.toggle("shown", best !== null);
    edge.back.classList.toggle("flowing", flowing);
    edge.back.classList.toggle("overview", all);
    if (best) {
      edge.back.style.strokeWidth = (1 + 6 * weight(best)).toFixed(2);
      const more = flows.length > 1 ? `, the largest of ${flows.length}` : "";
      edge.tip.textContent = `gradient to ${named(NODES[best.node])}: share of norm ${num(best.size)}${more}`;
    }
  }
}

const everyBox = () => [...drawn.boxes.values(), ...drawn.ops.map(([, made]) => made)];
const opOf = number => drawn.ops.find(([id]) => id === number)?.[1];

function markChosen() {
  if (!drawn) return;
  for (const [id, made] of drawn.boxes)
    made.classList.toggle("chosen", chosen !== null && groupOf(chosen) === id);
  for (const [id, made] of drawn.ops) made.classList.toggle("chosen", id === chosen);
  const holder = opOf(chosen) ?? drawn.boxes.get(chosen === null ? -1 : groupOf(chosen));
  const first = holder ?? drawn.boxes.values().next().value;
  for (const made of everyBox()) made.setAttribute("tabindex", -1);
  first?.setAttribute("tabindex", 0);
}
on("chosen", (number, from) => {
  const turn = DATA.cards[GROUPS[groupOf(number)].card].turn;
  if (from === "link" && !drawn.boxes.has(groupOf(number)))
    show(VIEWS.find(view => view.turns.includes(turn)));
  markChosen();
});

function toggle(id, opened = !open.has(id)) {
  if (contents(GROUPS[id]).length < 2) return;
  opened ? open.add(id) : open.delete(id);
  const focused = document.activeElement?.dataset?.group;
  draw();
  if (focused !== undefined) drawn.boxes.get(Number(focused))?.focus();
}
function toggleAll(opened) {
  for (const group of GROUPS)
    if (contents(group).length > 1 && shownTurns.has(DATA.cards[group.card].turn))
      opened ? open.add(group.id) : open.delete(group.id);
  draw();
}

function show(view) {
  shownTurns = new Set(view.turns);
  for (const button of $("views").querySelectorAll("button"))
    button.setAttribute("aria-pressed", button.dataset.view === view.name);
  draw();
}

function pick(made) {
  if (made.dataset.node !== undefined) choose(Number(made.dataset.node));
  else {
    const group = GROUPS[Number(made.dataset.group)];
    if (group.update !== undefined) tell("update", group.update);
    else choose(mainOf(group));
  }
}

/* The nearest box in a direction, by places on the screen. */
function neighbour(made, key) {
  const box = made.querySelector("rect").getBBox(),
    all = everyBox();
  const middle = b => [b.x + b.width / 2, b.y + b.height / 2],
    [x, y] = middle(box);
  const [ux, uy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[key];
  let best = null,
    least = Infinity;
  for (const other of all) {
    if (other === made) continue;
    const [ox, oy] = middle(other.querySelector("rect").getBBox());
    const along = (ox - x) * ux + (oy - y) * uy,
      aside = Math.abs((ox - x) * uy) + Math.abs((oy - y) * ux);
    if (along > 4 && along + 2.5 * aside < least) [best, least] = [other, along + 2.5 * aside];
  }
  return best;
}

function startGraph() {
  const canvas = $("canvas");
  canvas.addEventListener("click", event => {
    const sign = event.target.closest("[data-toggle]");
    if (sign) {
      toggle(Number(sign.dataset.toggle));
      return;
    }
    const made = event.target.closest(".op, .box");
    if (made) pick(made);
  });
  canvas.addEventListener("dblclick", event => {
    const made = event.target.closest(".box");
    if (made && !event.target.closest("[data-toggle]")) toggle(Number(made.dataset.group));
  });
  canvas.addEventListener("keydown", event => {
    const made = event.target.closest?.(".op, .box");
    if (!made || event.ctrlKey || event.metaKey || event.altKey) return;
    const group = Number(made.dataset.group ?? made.dataset.inside);
    if (event.key === "Enter") pick(made);
    else if (event.key === "+" || event.key === "-") toggle(group, event.key === "+");
    else if (event.key.startsWith("Arrow")) {
      const next = neighbour(made, event.key);
      made.setAttribute("tabindex", -1);
      (next ?? made).setAttribute("tabindex", 0);
      next?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  if (VIEWS.length > 1) {
    $("views").hidden = false;
    $("views").append(
      el("span", {className: "soft"}, "Turn:"),
      ...VIEWS.map(view => {
        const button = el("button", {type: "button"}, view.name);
        button.dataset.view = view.name;
        button.addEventListener("click", () => show(view));
        return button;
      }),
    );
  }
  const last = VIEWS.find(view => view.turns.includes(Math.max(...DATA.cards.map(card => card.turn))));
  show(VIEWS.length > 1 ? last : VIEWS[0]);
}
