/* The ledger of gradients by terms, the summary by layer, the comparison of devices. */

const TERM_COLOURS = {
  real: "real",
  fake: "fake",
  adversarial: "fake",
  gradient_penalty: "penalty",
  r1: "penalty",
  conjugate: "other",
  l2: "quiet",
  kl: "other",
  reconstruction: "real",
};
const termColour = (name, i) => TERM_COLOURS[name] ?? ["real", "fake", "penalty", "other", "quiet"][i % 5];

/* Two terms as arrows at their true angle and lengths; their sum closes the parallelogram. */
function arrows(row) {
  const names = Object.keys(row.parts);
  if (names.length !== 2) return null;
  const [a, b] = names.map(name => row.parts[name]),
    cosine = row.cosines[0][2];
  if (!(a > 0 && b > 0)) return null;
  const sine = Math.sqrt(Math.max(0, 1 - cosine * cosine));
  let points = [
    [a, 0],
    [b * cosine, -b * sine],
  ];
  points.push([points[0][0] + points[1][0], points[0][1] + points[1][1]]);
  const xs = [0, ...points.map(p => p[0])],
    ys = [0, ...points.map(p => p[1])];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const width = 108,
    height = 62,
    pad = 7;
  const zoom = Math.min((width - 2 * pad) / (x1 - x0 || 1), (height - 2 * pad) / (y1 - y0 || 1e-9));
  const at = ([x, y]) => [
    pad + (width - 2 * pad - (x1 - x0) * zoom) / 2 + (x - x0) * zoom,
    pad + (height - 2 * pad - (y1 - y0) * zoom) / 2 + (y - y0) * zoom,
  ];
  const made = svg("svg", {
    class: "arrows",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `${names[0]} and ${names[1]} at cosine ${num(cosine, 3)}`,
  });
  const origin = at([0, 0]);
  const draw = (p, name) => {
    const [x, y] = at(p),
      dx = x - origin[0],
      dy = y - origin[1],
      long = Math.hypot(dx, dy) || 1;
    const head = Math.min(6, long),
      ux = dx / long,
      uy = dy / long;
    made.append(
      svg("path", {
        class: `arrow ${name}`,
        d:
          `M${origin[0]} ${origin[1]}L${x} ${y}` +
          `M${x - head * (ux + 0.5 * uy)} ${y - head * (uy - 0.5 * ux)}L${x} ` +
          `${y}L${x - head * (ux - 0.5 * uy)} ${y - head * (uy + 0.5 * ux)}`,
      }),
    );
  };
  const [p, q, s] = points.map(at);
  made.append(svg("path", {class: "aside", d: `M${p[0]} ${p[1]}L${s[0]} ${s[1]}L${q[0]} ${q[1]}`}));
  draw(points[2], "sum");
  draw(points[0], termColour(names[0], 0));
  draw(points[1], termColour(names[1], 1));
  made.append(svg("title", {}, `lengths and angle as recorded: cosine ${num(cosine)}`));
  return made;
}

function ledgerRow(row, shared) {
  const head = el(
    "th",
    {scope: "row"},
    nodeLink(row.node, short(row.parameter)),
    el("div", {className: "soft small"}, tight(NODES[row.node].shape)),
  );
  if (row.why)
    return el("tr", {}, head, el("td", {colSpan: 3, className: "soft"}, `Not split: ${row.why}`));
  const names = Object.keys(row.parts),
    sizes = [...Object.values(row.parts), row.whole];
  const top = shared ?? Math.max(...sizes.filter(x => typeof x === "number"));
  const bars = el("div", {className: "bars"});
  const bar = (name, size, kind, note = "") =>
    bars.append(
      el("span", {className: "barname"}, name),
      el(
        "span",
        {className: "barbox"},
        el("span", {className: `bar ${kind}`, style: `width:${100 * ratio(size, top)}%`}),
      ),
      figure(size),
      el("span", {className: "soft small"}, note),
    );
  names.forEach((name, i) =>
    bar(
      name.replaceAll("_", " "),
      row.parts[name],
      termColour(name, i),
      names.length > 1 ? `cos with sum ${num(row.along[name], 3)}` : "",
    ),
  );
  if (names.length > 1) bar("sum", row.whole, "sum", `parts add up, off by ${num(row.rest, 2)}`);
  const cut = row.clipped !== null && row.whole > 0 && Math.abs(row.clipped / row.whole - 1) > 1e-6;
  if (cut) bar("clipped", row.clipped, "clipped", `${percent(row.clipped / row.whole)} left`);
  const many = row.cosines.length > 1;
  const pairs = row.cosines.map(([a, b, cosine]) =>
    many
      ? el(
          "div",
          {className: "pair-row"},
          el("span", {className: "soft"}, words(`${a}, ${b}`)),
          figure(cosine, 3),
        )
      : el("div", {}, figure(cosine, 3), el("div", {className: "soft small"}, pulls(cosine))),
  );
  const last = many
    ? [el("td", {colSpan: 2}, ...pairs)]
    : [el("td", {className: "dial"}, arrows(row)), el("td", {className: "pairs"}, ...pairs)];
  return el("tr", {}, head, el("td", {}, bars), ...last);
}
const words = name => name.replaceAll("_", " ");
const pulls = cosine =>
  cosine < -0.5 ? "against each other" : cosine > 0.5 ? "the same way" : "nearly unrelated";

function startLedger() {
  if (!DATA.ledger.length) return;
  $("ledger").hidden = false;
  $("ledger-lead").textContent =
    "Each parameter's gradient, split by the terms of its player's loss. Bars are norms. " +
    "Where there are two terms, the arrows show them at their true lengths and angle: terms that pull " +
    "apart leave a short sum, the third arrow. Under the bars: how far the parts are from adding up to the " +
    "recorded gradient, as a share of its norm.";
  const body = $("ledger-body"),
    turns = [...new Set(DATA.ledger.map(row => row.turn))];
  for (const turn of turns) {
    const rows = DATA.ledger.filter(row => row.turn === turn),
      {player, terms, loss} = DATA.turns[turn];
    const clipped = rows.some(
      row => row.clipped !== null && row.whole > 0 && Math.abs(row.clipped / row.whole - 1) > 1e-6,
    );
    const said = Object.entries(terms)
      .map(([name, t]) => `${words(name)} ${num(t.value, 5)}`)
      .join(" + ");
    // With one term there is nothing to compare within a parameter: then the parameters are compared.
    const single = rows.every(row => row.parts && Object.keys(row.parts).length === 1);
    const shared = single
      ? Math.max(...rows.map(row => (typeof row.whole === "number" ? row.whole : 0)))
      : null;
    const table = el(
      "table",
      {className: `ledger ${single ? "single" : ""}`},
      el(
        "caption",
        {},
        el("b", {}, `${turns.length > 2 ? `turn ${turn + 1}, ` : ""}${player}`),
        el(
          "span",
          {className: "soft"},
          `  loss ${num(loss, 5)} = ${said}${clipped ? "" : "; nothing was clipped"}`,
        ),
      ),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ...[
            "parameter",
            single ? "norm, on one scale" : "norm of each part",
            "",
            single ? "" : "cosine",
          ].map(t => el("th", {scope: "col"}, t)),
        ),
      ),
      el("tbody", {}, ...rows.map(row => ledgerRow(row, shared))),
    );
    if (turns.length > 2)
      body.append(
        el(
          "details",
          {open: turn >= turns.at(-2)},
          el("summary", {}, `turn ${turn + 1}: ${player}`),
          table,
        ),
      );
    else body.append(table);
  }
}

/* A table whose columns sort; numbers right. cells(row, column) may give an element. */
function sortable(columns, rows, {caption = "", marks = new Map(), cell = null} = {}) {
  const table = el("table", {className: "sortable"}),
    head = el("tr"),
    body = el("tbody");
  if (caption) table.append(el("caption", {}, caption));
  let by = null,
    down = false;
  const fill = () => {
    const order = rows.map((_, i) => i);
    if (by !== null) order.sort((i, j) => compare(rows[i][by], rows[j][by]) * (down ? -1 : 1) || i - j);
    body.replaceChildren(
      ...order.map(i => {
        const tr = el("tr", {id: `row-${i}`});
        for (const column of columns) {
          const value = rows[i][column],
            mark = marks.get(`${i} ${column}`);
          const td = el("td", {
            className: `${typeof value === "string" ? "text" : ""} ${mark ? "odd" : ""}`.trim(),
            title: mark ?? (value === null || value === undefined ? "" : String(value)),
          });
          td.append(cell?.(rows[i], column) ?? (value === null || value === undefined ? "" : num(value)));
          tr.append(td);
        }
        return tr;
      }),
    );
  };
  columns.forEach(column => {
    const button = el("button", {type: "button"}, column),
      th = el("th", {scope: "col"}, button);
    button.addEventListener("click", () => {
      down = by === column ? !down : typeof rows.find(row => row[column] !== null)?.[column] === "number";
      by = column;
      for (const other of head.children) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      fill();
    });
    head.append(th);
  });
  fill();
  table.append(el("thead", {}, head), body);
  return el(
    "div",
    {className: "scroller", tabIndex: 0, role: "region", "aria-label": caption || "table"},
    table,
  );
}
function compare(a, b) {
  const none = x => x === null || x === undefined || x === "";
  if (none(a) || none(b)) return none(a) - none(b);
  return typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", {numeric: true});
}

function startLayers() {
  const {rows, findings, limits} = DATA.summary;
  if (!rows.length) return;
  $("layers").hidden = false;
  $("layers-lead").textContent =
    "One row for each layer and phase, in the order in which they ran; click a heading to sort. " +
    "Of parameters: norms of weights and gradient, what clipping left, and how far the update went.";
  const body = $("layers-body"),
    marks = new Map();
  for (const found of findings) marks.set(`${found.row} ${found.column}`, found.says);
  if (findings.length) {
    const list = el("ul", {}, ...findings.slice(0, 12).map(found => el("li", {}, found.says)));
    if (findings.length > 12)
      list.append(el("li", {className: "soft"}, `and ${findings.length - 12} more, marked in the table`));
    body.append(
      el(
        "div",
        {className: "findings"},
        el("h3", {}, "What stands out"),
        list,
        el("p", {className: "soft small"}, `Rules of thumb: ${limits}.`),
      ),
    );
  } else
    body.append(el("p", {className: "findings calm"}, `Nothing stands out. (Rules of thumb: ${limits}.)`));
  const columns = Object.keys(rows[0]).filter(name => rows.some(row => row[name] !== null)),
    shares = new Set(["dead", "saturated"]);
  const cell = (row, column) => {
    if (column === "layer") return layerLink(row);
    return shares.has(column) && row[column] !== null ? percent(row[column]) : null;
  };
  body.append(sortable(columns, rows, {marks, cell}));
}
function layerLink(row) {
  const number = NODES.findLastIndex(
    node => node.layer === row.layer && node.phase === row.phase && !isLeaf(node),
  );
  return number < 0 ? row.layer : nodeLink(number, short(row.layer));
}

function startDevices() {
  const found = DATA.comparison;
  if (!found || !found.rows.length) return;
  $("devices").hidden = false;
  $("devices-lead").textContent =
    `The step ran from the same state on ${found.devices.join(", ")}; the page above shows ` +
    `${found.devices[0]}. Per parameter: the gradients' norms, the largest difference of an element, ` +
    "and ‖a − b‖ / ‖a‖.";
  $("devices-body").append(sortable(Object.keys(found.rows[0]), found.rows));
}
