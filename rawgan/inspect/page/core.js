/* What all parts share: the data, making elements, writing numbers, and who listens to what. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const NODES = DATA.nodes;
const $ = id => document.getElementById(id);

/* Text goes in as text, never as HTML; `html` is for the formulas that Python made. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "html") made.innerHTML = value;
    else if (name === "style") made.style.cssText = value;
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const RAISED = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};

/* A number with some digits; small and large ones as 1.234×10⁻⁵. Texts (NaN, inf) stay. */
function num(x, digits = 4) {
  if (x === null || x === undefined) return "–";
  if (typeof x !== "number") return String(x).replace("-", "−").replace("inf", "∞");
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1e6) return String(x).replace("-", "−");
  if (size >= 1e-3 && size < 1e5) return String(Number(x.toPrecision(digits))).replace("-", "−");
  const [mantissa, power] = x.toExponential(digits - 1).split("e");
  const raised = [...String(Number(power))].map(c => RAISED[c]).join("");
  return `${String(Number(mantissa)).replace("-", "−")}×10${raised}`;
}

/* A number on the page; the whole of it in its tooltip. */
const figure = (x, digits) =>
  el("span", {className: "n", title: x === null ? "" : String(x)}, num(x, digits));
const percent = x =>
  x === null || x === undefined ? "–" : x > 0 && x < 0.001 ? "<0.1%" : `${num(100 * x, 3)}%`;
const shape = s => (s.length ? s.join(" × ") : "one number");
const tight = s => (s.length ? s.join("×") : "1");
const brackets = index => (index.length ? `[${index.join(", ")}]` : "");
const plural = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const ratio = (x, most) => (most > 0 && typeof x === "number" ? Math.min(1, Math.abs(x) / most) : 0);

/* discriminator.3 in boxes is D.3; everywhere else the whole name stands. */
const short = name => name.replace(/^generator\b/, "G").replace(/^discriminator\b/, "D");
const named = node => node.name || (node.layer ? `${node.op} in ${node.layer}` : node.op);
const isLeaf = node => node.op === "parameter" || node.op === "input";
const numberOf = node => NODES.indexOf(node);

/* Colours of the theme, for what is drawn on canvas. */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
function rgb(name) {
  const hex = colour(name).slice(1);
  return [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16));
}

/* Parts of the page tell each other: "chosen" (a node), "theme". */
const listeners = {};
const on = (what, does) => (listeners[what] ??= []).push(does);
const tell = (what, ...details) => (listeners[what] ?? []).forEach(does => does(...details));

let chosen = null; // the number of the node in the panel
function choose(number, from = "") {
  chosen = number;
  tell("chosen", number, from);
}

/* A link to a node. */
function nodeLink(number, text = "") {
  const node = NODES[number];
  const made = el("button", {type: "button", className: "link"}, text || named(node));
  made.title = `node ${number}: ${named(node)}, ${shape(node.shape)}`;
  made.addEventListener("click", () => {
    choose(number, "link");
  });
  return made;
}

/* The gradient's flows by node, pass and consumer. */
const FLOWS = DATA.flows.map(([pass, consumer, position, node, size, part]) => ({
  pass,
  consumer,
  position,
  node,
  size,
  part,
}));
const sharesOf = NODES.map(() => []);
for (const flow of FLOWS) sharesOf[flow.node].push(flow);
const givenBy = NODES.map(() => []); // the same by who gives
for (const flow of FLOWS) if (flow.consumer !== null) givenBy[flow.consumer].push(flow);
const USERS = NODES.map(() => []);
NODES.forEach((node, i) =>
  node.inputs.forEach(x => {
    if (typeof x === "number") USERS[x].push(i);
  }),
);
const MOST_IN_PASS = DATA.passes.map(() => 0);
for (const flow of FLOWS)
  if (flow.consumer !== null && typeof flow.size === "number")
    MOST_IN_PASS[flow.pass] = Math.max(MOST_IN_PASS[flow.pass], flow.size);

/* 0 to 1 for a share: three powers of ten below the largest of the pass is 0. */
function weight(flow) {
  const most = MOST_IN_PASS[flow.pass];
  if (typeof flow.size !== "number" || !(flow.size > 0) || !most) return 0;
  return Math.max(0, Math.min(1, 1 + Math.log10(flow.size / most) / 3));
}
