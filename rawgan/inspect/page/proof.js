/* Proof of a gradient: a finite difference beside the recorded number, and the derivatives behind it. */

function checkRows(check) {
  const off = check.recorded === null ? null : Math.abs(check.recorded - check.exact);
  const row = (name, value, note) =>
    el(
      "tr",
      {},
      el("th", {scope: "row"}, name),
      el("td", {}, figure(value, 8)),
      el("td", {className: "soft"}, note),
    );
  const body = el(
    "table",
    {className: "check"},
    check.recorded === null ? null : row("recorded", check.recorded, `off by ${num(off, 2)}`),
    row("rules in float64", check.exact, ""),
    row("finite difference", check.numeric, `h = ${num(check.step)}, error ${num(check.error, 2)}`),
  );
  return body;
}

function verdict(check) {
  const corners = Object.entries(check.crossings);
  if (corners.length)
    return el(
      "p",
      {className: "verdict odd"},
      "△ At a corner: " +
        corners.map(([where, count]) => `${count} of ${where} change sides within the step`).join("; ") +
        ". There is no slope to compare with.",
    );
  return check.ok
    ? el(
        "p",
        {className: "verdict fine"},
        `✓ They agree (tolerance ${num(check.tolerance, 2)}; rounding of the recorded number up to ` +
          `${num(check.rounding, 2)}).`,
      )
    : el("p", {className: "verdict odd"}, `✗ They do not agree (tolerance ${num(check.tolerance, 2)}).`);
}

function derivation(levels) {
  const list = el("ol", {className: "derivation"});
  for (const level of levels) {
    const node = NODES[level.node],
      item = el("li", {});
    item.append(
      el(
        "div",
        {className: "head"},
        el(
          "span",
          {className: "what"},
          "∂L/∂",
          nodeLink(level.node, short(named(node))),
          brackets(level.index),
        ),
        " = ",
        figure(level.value, 6),
      ),
    );
    const table = el("table");
    for (const path of level.paths) {
      if (path.consumer === null) {
        table.append(
          el("tr", {}, el("td", {}, figure(path.part, 5)), el("td", {}, "the loss: the pass begins here")),
        );
        continue;
      }
      const to = NODES[path.consumer],
        rule = DATA.ops[to.op].rules[path.name.split("[")[0]];
      const product = el("span", {}, " = ", figure(path.gradient, 5), " · ", figure(path.slope, 5));
      table.append(
        el(
          "tr",
          {},
          el("td", {}, figure(path.part, 5)),
          el(
            "td",
            {},
            product,
            el(
              "div",
              {className: "soft small"},
              "through ",
              nodeLink(path.consumer, to.op),
              ` ${brackets(path.index)}`,
              el("div", {className: "rule", html: rule ?? ""}),
            ),
          ),
        ),
      );
    }
    if (level.count)
      table.append(
        el(
          "tr",
          {className: "other"},
          el("td", {}, figure(level.other, 5)),
          el("td", {className: "soft"}, `other: ${plural(level.count, "path")}`),
        ),
      );
    if (level.paths.length + (level.count > 0) > 1)
      table.append(
        el(
          "tr",
          {className: "total"},
          el("td", {}, figure(level.total, 5)),
          el("td", {className: "soft"}, "their sum"),
        ),
      );
    item.append(table);
    list.append(item);
  }
  return list;
}

function proofOf(number, node) {
  if (node.pass === null) return null;
  const made = el("div", {className: "proof"}),
    proof = node.proof;
  made.append(el("h4", {}, "Proof"));
  if (!proof || proof.none) {
    made.append(el("p", {className: "soft small"}, proof ? `Not checked: ${proof.none}.` : "Not checked."));
    return made;
  }
  const place = brackets(proof.index);
  const ask = what =>
    el(
      "p",
      {className: "soft small"},
      `Not computed within the page's ${num(DATA.about.seconds)} seconds; ask `,
      el(
        "code",
        {},
        `tape.${what}(${node.name ? JSON.stringify(node.name) : number}, ` +
          `(${proof.index.join(", ")}${proof.index.length === 1 ? "," : ""}))`,
      ),
      ".",
    );
  if (proof.check)
    made.append(
      el("p", {}, `The largest element${place ? `, at ${place}` : ""}:`),
      checkRows(proof.check),
      verdict(proof.check),
    );
  else made.append(ask("check"));
  if (proof.along)
    made.append(
      el("p", {}, "Along a random direction, all elements at once:"),
      checkRows(proof.along),
      verdict(proof.along),
    );
  if (proof.derivation) {
    const details = el(
      "details",
      {open: opened.derivation},
      el("summary", {}, `Where that element comes from, up to the loss`),
      derivation(proof.derivation),
    );
    details.addEventListener("toggle", () => {
      opened.derivation = details.open;
    });
    made.append(details);
  } else made.append(ask("explain"));
  return made;
}
