/* The step played: forward operations and the backward pass in the order in which they ran. */

const EVENTS = DATA.events.map(([kind, at, pass]) => ({kind, at, pass}));
const UNITS = ["operation", "layer", "phase"];
let position = null; // how many events are done; null shows the whole step
let unit = "operation",
  playing = null,
  pace = 450;

const cardOfEvent = event =>
  event.kind === "u"
    ? DATA.cards.findIndex(card => card.groups.some(group => group.update === event.at))
    : GROUPS[groupOf(event.at)].card;
const keyOf = {
  operation: (event, i) => i,
  layer: event => `${event.kind} ${event.pass} ${event.kind === "u" ? "u" : groupOf(event.at)}`,
  phase: event => `${event.kind === "p" ? "b" : event.kind} ${event.pass} ${cardOfEvent(event)}`,
};

/* For each unit the positions at which it ends, and where each begins. */
const STOPS = Object.fromEntries(
  UNITS.map(name => {
    const stops = [];
    EVENTS.forEach((event, i) => {
      const next = EVENTS[i + 1];
      if (!next || keyOf[name](event, i) !== keyOf[name](next, i + 1)) stops.push(i + 1);
    });
    return [name, stops];
  }),
);

/* What is done, what runs now, and where the gradient has come to. */
function stateAt(end) {
  const stops = STOPS[unit],
    begin = stops.findLast(stop => stop < end) ?? 0;
  const state = {
    now: new Set(),
    done: new Set(),
    visited: new Set(),
    backward: null,
    update: null,
    updated: new Set(),
  };
  for (let i = 0; i < end; i++) {
    const {kind, at, pass} = EVENTS[i],
      current = i >= begin;
    if (kind === "p") {
      state.visited.clear();
      state.backward = pass;
    }
    if (kind === "f") {
      if (state.backward !== null && !NODES[at].within) {
        state.visited.clear();
        state.backward = null;
      }
      state.done.add(at);
      for (const x of NODES[at].inputs) if (typeof x === "number" && isLeaf(NODES[x])) state.done.add(x);
    }
    if (kind === "b") state.visited.add(at);
    if (kind === "u") {
      state.updated.add(at);
      if (current) state.update = at;
    }
    if (current && kind !== "u") state.now.add(at);
  }
  return state;
}

function say(end) {
  const event = EVENTS[end - 1],
    node = NODES[event.at];
  if (event.kind === "u") {
    const turn = DATA.turns[event.at];
    return [
      `${turn.player}: update`,
      el("span", {}, `${plural(Object.keys(turn.updates).length, "parameter")} changed`),
    ];
  }
  const where = DATA.cards[cardOfEvent(event)].title;
  if (event.kind === "p")
    return [
      `backward pass ${event.pass + 1} begins`,
      el("span", {}, `at ${named(node)}, with the seed ${num(DATA.passes[event.pass].seed)}`),
    ];
  const rules = DATA.ops[node.op],
    said = el("span", {});
  if (event.kind === "f") said.innerHTML = rules.value;
  else {
    const wanted = node.names.filter((_, i) => node.flows[i]).map(name => rules.rules[name.split("[")[0]]);
    said.innerHTML = [...new Set(wanted)].join(" &nbsp; ");
  }
  const what = event.kind === "f" ? "forward" : "backward";
  return [`${what}: ${named(node)}${where ? `, ${where}` : ""}`, said];
}

function seek(to) {
  position = to === null ? null : Math.max(0, Math.min(EVENTS.length, to));
  if (position === 0) position = null;
  const event = position === null ? null : EVENTS[position - 1];
  if (event) {
    const turn = DATA.cards[cardOfEvent(event)].turn;
    if (!shownTurns.has(turn)) show(VIEWS.find(view => view.turns.includes(turn)));
  }
  paint(position === null ? null : stateAt(position));
  const slider = $("slider");
  slider.value = position ?? 0;
  const [what, said] = event
    ? say(position)
    : ["the whole step", el("span", {}, "press play, or step with the arrow keys")];
  slider.setAttribute("aria-valuetext", what);
  $("count").textContent = `${position ?? 0} / ${EVENTS.length}`;
  $("now").replaceChildren(
    el("b", {className: event ? ({f: "forward", u: "updated"}[event.kind] ?? "backward") : ""}, what),
    said,
  );
  if (!event) return;
  event.kind === "u" ? tell("update", event.at) : choose(event.at, "player");
  keepInView(event);
}

function keepInView(event) {
  const made =
    event.kind === "u"
      ? [...drawn.boxes].find(([id]) => GROUPS[id].update === event.at)?.[1]
      : (opOf(event.at) ?? drawn.boxes.get(groupOf(event.at)));
  if (!made) return;
  const box = made.querySelector("rect").getBoundingClientRect(),
    top = $("player").getBoundingClientRect().bottom + 12;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (box.top < top) scrollBy({top: box.top - top - innerHeight / 3, behavior: calm ? "auto" : "smooth"});
  else if (box.bottom > innerHeight - 24)
    scrollBy({top: box.bottom - innerHeight + innerHeight / 2.5, behavior: calm ? "auto" : "smooth"});
}

function next() {
  const stop = STOPS[unit].find(end => end > (position ?? 0));
  if (stop === undefined) {
    pause();
    return;
  }
  seek(stop);
}
function previous() {
  seek(STOPS[unit].findLast(end => end < (position ?? EVENTS.length + 1)) ?? null);
}
function pause() {
  clearInterval(playing);
  playing = null;
  label_play();
}
function play() {
  if (playing !== null) {
    pause();
    return;
  }
  if (position === EVENTS.length) seek(null);
  playing = setInterval(next, pace);
  label_play();
  next();
}
function label_play() {
  const button = $("play");
  button.textContent = playing === null ? "▶ Play" : "❚❚ Pause";
  button.classList.toggle("first", playing === null);
}

function startPlayer() {
  const button = (id, text, title, does) => {
    const made = el("button", {type: "button", id, title}, text);
    made.addEventListener("click", does);
    return made;
  };
  const slider = el("input", {type: "range", id: "slider", min: 0, max: EVENTS.length, value: 0, step: 1});
  slider.setAttribute("aria-label", "Place in the step");
  slider.addEventListener("input", () => {
    pause();
    seek(Number(slider.value));
  });
  const units = el("select", {id: "unit"}, ...UNITS.map(name => el("option", {value: name}, `by ${name}`)));
  units.setAttribute("aria-label", "How far a step goes");
  units.addEventListener("change", () => {
    unit = units.value;
    seek(position);
  });
  const speeds = el(
    "select",
    {id: "speed"},
    ...[
      ["slow", 1200],
      ["normal", 450],
      ["fast", 120],
    ].map(([name, ms]) => el("option", {value: ms, selected: ms === pace}, name)),
  );
  speeds.setAttribute("aria-label", "Speed");
  speeds.addEventListener("change", () => {
    pace = Number(speeds.value);
    if (playing !== null) {
      pause();
      play();
    }
  });
  $("player").append(
    el(
      "div",
      {className: "row"},
      button("previous", "◀", "Back (←)", () => {
        pause();
        previous();
      }),
      button("play", "▶ Play", "Play or pause (space)", play),
      button("next", "▶|", "On (→)", () => {
        pause();
        next();
      }),
      button("whole", "Whole step", "Show everything at once (Escape)", () => {
        pause();
        seek(null);
      }),
      slider,
      el("span", {id: "count", className: "n soft"}),
      units,
      speeds,
      button("open-all", "+ all", "Open all layers", () => toggleAll(true)),
      button("close-all", "− all", "Close all layers", () => toggleAll(false)),
    ),
    el("p", {id: "now", role: "status"}),
  );
  label_play();
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target,
      typing = at.closest?.("select, textarea, input:not([type=range]), .scroller");
    if (typing || (at.id === "slider" && event.key.startsWith("Arrow"))) return;
    if (event.key === " " && !at.closest?.("button, summary, a")) play();
    else if (event.key === "ArrowRight") {
      pause();
      next();
    } else if (event.key === "ArrowLeft") {
      pause();
      previous();
    } else if (event.key === "Escape" && position !== null) {
      pause();
      seek(null);
    } else return;
    event.preventDefault();
  });
  on("drawn", () => paint(position === null ? null : stateAt(position)));
}
