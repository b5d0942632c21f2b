/* The parts of the graph: a box for a layer, what is in it when it is open, a line with its gradient. */

/* A line from one box down to another, through the places that were kept free for it. */
function curve(x1, y1, x2, y2, way = []) {
  let d = `M${x1} ${y1}`,
    [x, y] = [x1, y1];
  for (const stop of [...way, {x: x2, top: y2, bottom: y2}]) {
    const bend = Math.max(7, Math.min(60, (stop.top - y) / 2));
    d +=
      Math.abs(x - stop.x) < 1 && stop.top >= y
        ? `L${stop.x} ${stop.top}`
        : `C${x} ${y + bend} ${stop.x} ${stop.top - bend} ${stop.x} ${stop.top}`;
    if (stop.bottom > stop.top) d += `V${stop.bottom}`;
    [x, y] = [stop.x, stop.bottom];
  }
  return d;
}

/* As much of a text as fits, by the usual width of its letters. */
function fit(text, width, size) {
  const room = Math.floor(width / (size * 0.56));
  return text.length > room ? text.slice(0, room - 1) + "…" : text;
}

function label(box, first, second, bold = true) {
  const half = second ? 16 : box.height / 2 + 4.5;
  const one = svg(
    "text",
    {x: box.x + 10, y: box.y + half, class: bold ? "name" : "plain"},
    fit(first, box.width - 34, 12.5),
  );
  const two = second
    ? [svg("text", {x: box.x + 10, y: box.y + 30, class: "detail"}, fit(second, box.width - 16, 10.5))]
    : [];
  return [one, ...two];
}

const outputOf = group => NODES[group.nodes.findLast(i => !isLeaf(NODES[i])) ?? group.nodes.at(-1)];
const mainOf = group => group.nodes.findLast(i => !isLeaf(NODES[i])) ?? group.nodes.at(-1);

function boxLabel(group) {
  if (group.update !== undefined) {
    const count = Object.keys(DATA.turns[group.update].updates).length;
    return [`update of ${short(group.label)}`, plural(count, "parameter")];
  }
  const detail = [group.path && short(group.path), tight(outputOf(group).shape)]
    .filter(Boolean)
    .join("  ·  ");
  return [short(group.label), detail];
}

function drawBox(group, box) {
  const card = DATA.cards[group.card],
    leaf = group.nodes.length === 1 && isLeaf(NODES[group.nodes[0]]);
  const made = svg("g", {
    class: `box ${leaf ? "leaf" : ""} ${group.update !== undefined ? "update" : ""}`,
    tabindex: -1,
    role: "button",
    "data-group": group.id,
  });
  const [first, second] = boxLabel(group);
  made.setAttribute("aria-label", `${first}, ${second}, in ${card.title}${box.places ? ", open" : ""}`);
  made.append(svg("rect", {x: box.x, y: box.y, width: box.width, height: box.height, rx: leaf ? 19 : 6}));
  made.append(...label({...box, height: BOX.height, x: box.x + (leaf ? 5 : 0)}, first, second, !leaf));
  made.append(svg("title", {}, group.update === undefined ? groupTitle(group) : first));
  if (contents(group).length > 1) {
    const sign = svg("g", {class: "sign", "data-toggle": group.id});
    sign.append(
      svg("rect", {x: box.x + box.width - 23, y: box.y + 4, width: 19, height: 19, rx: 4}),
      svg("path", {d: `M${box.x + box.width - 18} ${box.y + 13.5}h9` + (box.places ? "" : `m-4.5 -4.5v9`)}),
      svg("title", {}, box.places ? "close" : `open: ${plural(contents(group).length, "node")}`),
    );
    made.append(sign);
  }
  return made;
}

function groupTitle(group) {
  const node = outputOf(group);
  return [group.path ? `${group.label} ${group.path}` : group.label, `${shape(node.shape)}`, node.source]
    .filter(Boolean)
    .join("\n");
}

function drawInside(group, box, nodes) {
  const layer = svg("g", {});
  for (const [id, spot] of box.places) {
    const place = {...spot, x: box.x + spot.x, y: box.y + spot.y},
      node = NODES[id],
      leaf = isLeaf(node);
    nodes.push([group.id, id, place]);
    const made = svg("g", {
      class: `op ${leaf ? "leaf" : ""} ${groupOf(id) === group.id ? "" : "shared"}`,
      tabindex: -1,
      role: "button",
      "data-node": id,
      "data-inside": group.id,
      "aria-label": `${named(node)}, ${shape(node.shape)}`,
    });
    made.append(
      svg("rect", {
        ...Object.fromEntries(["x", "y", "width", "height"].map(k => [k, place[k]])),
        rx: leaf ? 13 : 5,
      }),
    );
    const name = leaf ? node.name.split(".").at(-1) : node.op;
    if (leaf)
      made.append(
        svg(
          "text",
          {x: place.x + 11, y: place.y + 17, class: "detail dark"},
          `${fit(name, 44, 11)}  ${fit(tight(node.shape), 54, 10.5)}`,
        ),
      );
    else
      made.append(
        svg("text", {x: place.x + 9, y: place.y + 14, class: "plain"}, fit(name, place.width - 14, 12)),
        svg("text", {x: place.x + 9, y: place.y + 26, class: "detail"}, tight(node.shape)),
      );
    made.append(svg("title", {}, `node ${id}: ${named(node)}\n${shape(node.shape)}\n${node.source}`));
    layer.append(made);
  }
  return layer;
}

/* One line: what goes forward along it, and above it the gradient that comes back. */
function drawEdge(from, to, flows, across, edges, layer, way) {
  let d;
  if (across) {
    // from a leaf on the left into an operation on its right
    const y1 = from.y + from.height / 2,
      y2 = to.y + to.height / 2,
      x1 = from.x + from.width;
    d = `M${x1} ${y1}C${x1 + 12} ${y1} ${to.x - 12} ${y2} ${to.x} ${y2}`;
  } else d = curve(from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y, way);
  const line = svg("path", {class: "edge", d});
  const back = svg("path", {class: "flow", d});
  layer.append(line, back);
  const tip = svg("title", {});
  back.append(tip);
  edges.push({line, back, flows, tip, to: to.ids, update: to.update ?? null});
}
