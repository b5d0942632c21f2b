/* The head of the page, the guide, light and dark; then every part begins. */

function theme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "☀ light" : "☾ dark";
  tell("theme");
}

function startHead() {
  const about = DATA.about,
    row = about.row;
  const step = about.step
    ? `Every gradient of step ${about.step.toLocaleString("en")}`
    : "Every gradient of this recording";
  $("title").textContent = step;
  const facts = [
    about.recipe && `${about.recipe} on ${about.data}`,
    about.device,
    about.precision,
    plural(about.nodes, "node"),
    plural(about.passes, "backward pass", "backward passes"),
  ].filter(Boolean);
  if (!about.recipe && about.title) facts.unshift(about.title);
  if (row)
    for (const [key, name] of [
      ["d_loss", "D's loss"],
      ["g_loss", "G's loss"],
    ])
      if (typeof row[key] === "number") facts.push(`${name} ${num(row[key])}`);
  $("facts").append(...facts.map(text => el("span", {}, text)));
  if (about.as_trained === true)
    $("facts").append(
      el(
        "span",
        {
          className: "badge fine",
          title: "The losses and norms of the replayed step equal the run's history in every bit",
        },
        "✓ replayed bit for bit",
      ),
    );
  if (about.as_trained === false)
    $("facts").append(el("span", {className: "badge odd"}, "△ not as the run's history has it"));
  const seconds =
    "Finite differences and derivations were computed for this page, in float64, within " +
    `${num(about.seconds)} seconds; where there was no time left, it says so.`;
  const kept = about.dropped
    ? ` ${plural(about.dropped, "node")} had arrays that were not kept; of these only figures are shown.`
    : "";
  $("footer").textContent =
    "Every other number on this page is as it was recorded; hover over one to see all of its digits. " +
    seconds +
    kept;
}

const GUIDE = [
  [
    "The step",
    "One box is one layer at work, from top to bottom in the order of computing; cards are the phases " +
      "of the step. Blue cards deal with real data, orange ones with what G made. Press + on a box to " +
      "see the single operations in it.",
  ],
  [
    "Forward, then backward",
    "Press play. First every operation computes its value. Then the backward pass goes up again from " +
      "the loss: each operation takes the gradient of its output, ȳ, and hands a share to each of its " +
      "inputs. The pink lines are these shares; the thicker, the larger (a factor of 1,000 from the " +
      "thickest to the thinnest).",
  ],
  [
    "A bar over a letter",
    "x̄ means ∂L/∂x: how much the loss would rise if x rose by 1, per unit of change. It has the shape " +
      "of x. A formula such as x̄ = ȳ W says how the share is computed.",
  ],
  [
    "Shares and sums",
    "If several operations take the same x, its gradient is the sum of what they give. That is why a " +
      "weight of D, which is used on real and on fake data, gets two shares: the ledger shows how they " +
      "pull.",
  ],
  [
    "Maps of numbers",
    "Purple is below zero, green above, the page's own colour is zero. The scale under each map says " +
      "how much the deepest colour stands for. Point at a cell to read it.",
  ],
  [
    "Proof",
    "A gradient can be checked without any rule: change one number by h and see how the loss changes. " +
      "The panel shows both numbers, and under it the chain of derivatives that leads from one element " +
      "up to the loss.",
  ],
];

function startGuide() {
  $("guide-text").append(
    ...GUIDE.map(([title, text]) => el("div", {}, el("h4", {}, title), el("p", {}, text))),
    el(
      "div",
      {},
      el("h4", {}, "Keys"),
      el(
        "p",
        {},
        el("kbd", {}, "space"),
        " play or pause  ",
        el("kbd", {}, "←"),
        " ",
        el("kbd", {}, "→"),
        " step  ",
        el("kbd", {}, "Esc"),
        " whole step. With the focus on a box: arrows move, ",
        el("kbd", {}, "Enter"),
        " shows it, ",
        el("kbd", {}, "+"),
        " ",
        el("kbd", {}, "−"),
        " open and close.",
      ),
    ),
  );
}

function startLegend() {
  const key = (name, text) => el("span", {className: "key"}, el("i", {className: name}), text);
  const items = [key("line", "value, forward"), key("gradient", "gradient, backward; thicker is larger")];
  if (DATA.cards.some(card => card.kind === "real"))
    items.push(key("real", "real data"), key("fake", "what G made"));
  $("graph-legend").append(...items);
  $("step-lead").textContent = DATA.turns.length
    ? "What happened, in order. Click a box to see its numbers; press play to watch the values go " +
      "forward and the gradients come back."
    : "What was recorded, in order. Click a box to see its numbers.";
}

function startNav() {
  for (const section of document.querySelectorAll("main section:not([hidden])"))
    $("nav").append(el("a", {href: `#${section.id}`}, section.querySelector("h2").textContent));
  const links = new Map([...$("nav").children].map(a => [a.getAttribute("href").slice(1), a]));
  const watch = new IntersectionObserver(
    entries => {
      for (const entry of entries)
        if (entry.isIntersecting)
          for (const [id, a] of links) a.toggleAttribute("aria-current", id === entry.target.id);
    },
    {rootMargin: "-30% 0px -65% 0px"},
  );
  for (const id of links.keys()) watch.observe($(id));
}

/* What is looked at first: what G made, else the first operation that has a gradient. */
function firstChoice() {
  const made = NODES.findLastIndex(node => node.phase === "G makes examples" && !isLeaf(node) && node.grad);
  if (made >= 0) return made;
  const any = NODES.findIndex(node => node.grad && !isLeaf(node));
  return any >= 0 ? any : 0;
}

theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", event =>
  theme(event.matches ? "dark" : "light"),
);
$("theme").addEventListener("click", () =>
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
);
startHead();
startGuide();
if (NODES.length) {
  startLegend();
  startPanel();
  startPlayer();
  startGraph();
  choose(firstChoice());
  seek(null);
}
startPlane();
startExamples();
startLedger();
startLayers();
startDevices();
startNav();
