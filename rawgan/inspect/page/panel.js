/* The panel: all that is known of one operation, parameter or input. */

const opened = {derivation: true};

function panelHeading(number, node) {
  const group = GROUPS[node.group],
    chips = el("div", {className: "chips"});
  const around = group ? contents(group) : [];
  if (around.length > 1)
    for (const i of around.slice(0, 40)) {
      const other = NODES[i],
        text = isLeaf(other) ? other.name.split(".").at(-1) || other.op : other.op;
      const chip = el("button", {type: "button", className: "chip"}, text);
      chip.setAttribute("aria-pressed", i === number);
      chip.addEventListener("click", () => choose(i));
      chips.append(chip);
    }
  const leaf = isLeaf(node),
    title = leaf ? node.name || node.op : node.op;
  const phase = GROUPS[node.group] ? DATA.cards[GROUPS[node.group].card].title : node.phase;
  const where = [leaf ? node.op : node.layer, phase, `node ${number}`].filter(Boolean).join(" · ");
  return [
    chips.childElementCount ? chips : null,
    el("h3", {}, title),
    el("p", {className: "soft"}, where),
    node.source ? el("p", {className: "source"}, el("code", {}, node.source)) : null,
  ];
}

function formulas(node) {
  const rules = DATA.ops[node.op];
  if (!rules) return null;
  const made = el("div", {className: "formulas"});
  made.append(el("div", {className: "formula", html: rules.value}));
  const wanted = new Set(node.names.filter((_, i) => node.flows[i]).map(name => name.split("[")[0]));
  for (const [name, rule] of Object.entries(rules.rules))
    if (wanted.has(name)) made.append(el("div", {className: "formula backward", html: rule}));
  const attributes = Object.entries(node.attrs)
    .map(([key, value]) => `${key} = ${value}`)
    .join(", ");
  if (attributes) made.append(el("p", {className: "soft small"}, attributes));
  return made;
}

function statistics(figures) {
  const rows = [
    ["norm", figures.norm],
    ["mean", figures.mean],
    ["least", figures.minimum],
    ["most", figures.maximum],
  ];
  const table = el(
    "table",
    {className: "stats"},
    ...rows.map(([name, value]) =>
      el("tr", {}, el("th", {scope: "row"}, name), el("td", {}, figure(value))),
    ),
  );
  table.append(el("tr", {}, el("th", {scope: "row"}, "zeros"), el("td", {}, percent(figures.zeros))));
  if (figures.nonfinite)
    table.append(
      el(
        "tr",
        {className: "odd"},
        el("th", {scope: "row"}, "not finite"),
        el("td", {}, String(figures.nonfinite)),
      ),
    );
  return table;
}

/* A value or a gradient: picture, histogram, figures. */
function arrayColumn(title, array, node, signed) {
  const {figures, picture} = array,
    column = el("div", {className: "column"});
  column.append(el("h4", {}, title));
  if (figures.why)
    column.append(
      el("p", {className: "soft small"}, `Not kept (${figures.why}): only its figures are known.`),
    );
  if (node.shape.length === 0 || node.shape.every(n => n === 1)) {
    column.append(el("p", {className: "single"}, figure(figures.mean, 6)));
    return column;
  }
  const range = picture?.image && !signed ? DATA.about.range : null;
  if (picture) column.append(arrayFigure(picture, {width: 196, height: 200, signed, range, name: title}));
  column.append(histogram(figures, {width: 196}), statistics(figures));
  return column;
}

function inputs(node) {
  if (!node.inputs.length) return null;
  const list = el("ul", {className: "plainlist"});
  node.inputs.forEach((x, i) => {
    const what =
      typeof x === "number"
        ? [nodeLink(x), el("span", {className: "soft"}, ` ${tight(NODES[x].shape)}`)]
        : [x.is === null ? "none" : num(x.is)];
    const stop =
      typeof x === "number" && !node.flows[i]
        ? el("span", {className: "soft"}, " · no gradient goes here")
        : null;
    list.append(el("li", {}, el("i", {}, node.names[i] ?? ""), " ← ", ...what, stop));
  });
  return el("div", {}, el("h4", {}, "From"), list);
}

/* Who gave what to the gradient. */
function shares(number, node) {
  if (node.pass === null) {
    const users = USERS[number].length;
    return el(
      "p",
      {className: "soft"},
      users
        ? "No gradient was asked for here: nothing that learns lies behind it, or it was cut off."
        : "Nothing takes this.",
    );
  }
  const found = sharesOf[number].filter(share => share.pass === node.pass);
  const most = Math.max(...found.map(share => (typeof share.size === "number" ? share.size : 0)));
  const table = el(
    "table",
    {className: "shares"},
    el(
      "thead",
      {},
      el("tr", {}, ...["given by", "norm", "", "part"].map(t => el("th", {scope: "col"}, t))),
    ),
  );
  const body = el("tbody");
  for (const {consumer, position, size, part} of found) {
    const who =
      consumer === null
        ? el("span", {}, "the loss itself (seed)")
        : el(
            "span",
            {},
            nodeLink(consumer),
            el(
              "span",
              {className: "soft small"},
              ` ${GROUPS[groupOf(consumer)] ? DATA.cards[GROUPS[groupOf(consumer)].card].title : ""}`,
            ),
          );
    body.append(
      el(
        "tr",
        {},
        el("td", {}, who),
        el("td", {}, figure(size)),
        el(
          "td",
          {className: "barcell"},
          el("span", {className: "bar grad", style: `width:${100 * ratio(size, most)}%`}),
        ),
        el("td", {}, percent(part)),
      ),
    );
  }
  table.append(body);
  const others = [...new Set(sharesOf[number].map(share => share.pass))].filter(pass => pass !== node.pass);
  const note =
    found.length > 1
      ? "The gradient is the sum of these shares. A part is a share's projection on the gradient; parts " +
        "add up to 100%."
      : "One consumer: the share is the whole gradient.";
  return el(
    "div",
    {},
    el("h4", {}, "The gradient's shares"),
    table,
    el("p", {className: "soft small"}, note),
    others.length
      ? el(
          "p",
          {className: "soft small"},
          `Shown is backward pass ${node.pass + 1}. Earlier ones came here too: ` +
            `${others.map(p => p + 1).join(", ")}.`,
        )
      : null,
  );
}

function showNode(number) {
  const node = NODES[number],
    signed = true;
  const [low, high] = DATA.about.range ?? [0, 1],
    {minimum, maximum} = node.value.figures;
  const isPicture =
    node.value.picture?.image && minimum >= low - 1e-6 && maximum <= high + 1e-6 && node.op !== "parameter";
  const columns = el("div", {className: "pair"}, arrayColumn("Value", node.value, node, !isPicture));
  if (node.grad) columns.append(arrayColumn("Gradient of the loss", node.grad, node, signed));
  $("panel").replaceChildren(
    ...[
      ...panelHeading(number, node),
      formulas(node),
      el(
        "p",
        {className: "small soft"},
        `${shape(node.shape)}${node.value.figures.dtype ? `, ${node.value.figures.dtype}` : ""}`,
      ),
      columns,
      shares(number, node),
      proofOf(number, node),
      inputs(node),
      usersOf(number),
    ].filter(Boolean),
  );
  $("panel").scrollTop = 0;
}

function usersOf(number) {
  const users = USERS[number];
  if (!users.length) return null;
  const list = el(
    "ul",
    {className: "plainlist"},
    ...users
      .slice(0, 12)
      .map(i =>
        el(
          "li",
          {},
          nodeLink(i),
          el("span", {className: "soft"}, ` ${DATA.cards[GROUPS[groupOf(i)].card].title}`),
        ),
      ),
  );
  if (users.length > 12) list.append(el("li", {className: "soft"}, `and ${users.length - 12} more`));
  return el("div", {}, el("h4", {}, "Taken by"), list);
}

function showUpdate(turn) {
  const {player, updates, loss, terms} = DATA.turns[turn];
  chosen = null;
  markChosen();
  const rows = Object.entries(updates).map(([name, u]) =>
    el(
      "tr",
      {},
      el("td", {}, u.node === null ? short(name) : nodeLink(u.node, short(name))),
      el("td", {}, figure(u.gradient, 3)),
      el("td", {}, figure(u.clipped, 3)),
      el("td", {}, figure(u.moved, 3)),
      el("td", {}, figure(u.weights ? u.moved / u.weights : null, 3)),
    ),
  );
  const rate = Object.values(updates)[0]?.rate;
  $("panel").replaceChildren(
    el("h3", {}, `update of ${player}`),
    el(
      "p",
      {className: "soft"},
      `loss ${num(loss, 6)}, the sum of ${Object.entries(terms)
        .map(([name, t]) => `${name} ${num(t.value, 5)}`)
        .join(" and ")}; learning rate ${num(rate)}`,
    ),
    el(
      "table",
      {className: "shares"},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ...["parameter", "‖gradient‖", "clipped", "‖update‖", "‖update‖ / ‖weights‖"].map(t =>
            el("th", {scope: "col"}, t),
          ),
        ),
      ),
      el("tbody", {}, ...rows),
    ),
    el(
      "p",
      {className: "soft small"},
      "Norms before and after the clipping of gradients; what Adam or another rule then made of them, " +
        "and what share of the weights that is.",
    ),
  );
}

function startPanel() {
  on("chosen", number => {
    showNode(number);
  });
  on("update", showUpdate);
}
