/* Generated examples: what G made, what D said, and which way G's loss pulls each of them. */

function startExamples() {
  const found = DATA.examples;
  if (!found || found.why) {
    if (found && DATA.cards.some(card => card.kind === "fake")) {
      $("examples").hidden = false;
      $("examples-lead").textContent = `Not shown: ${found.why}.`;
    }
    return;
  }
  $("examples").hidden = false;
  const factor = found.formula ? `the factor ${found.formula}` : "the factor ∂L/∂s";
  const mean = "Each example's own loss is looked at; the batch's loss is the mean of them. ";
  const pictures = found.items !== undefined;
  $("examples-lead").textContent =
    mean +
    (pictures
      ? "Beside each picture is the gradient of its loss with respect to its pixels: where it is above " +
        "zero, a brighter pixel would raise G's loss, so G is pulled to make it darker, and the other " +
        "way round. "
      : "") +
    `Under it D's output s, its probability σ(s) of being real, and ${factor} through which everything ` +
    "reaches G.";
  if (pictures) pictureExamples(found);
  else pointExamples(found);
}

const sigma = s => 1 / (1 + Math.exp(-s));

function pictureExamples(found) {
  const [C, H, W] = found.shape,
    size = C * H * W,
    items = decode(found, "items"),
    gradients = decode(found, "gradients");
  const order = found.norms.slice(0, found.count).map((_, i) => i);
  const top = most(gradients),
    zoom = Math.max(1, Math.floor(88 / Math.max(H, W)));
  const body = $("examples-body");
  const sorts = el(
    "select",
    {},
    el("option", {value: "order"}, "as in the batch"),
    el("option", {value: "sigma"}, "by D's belief"),
    el("option", {value: "norm"}, "by gradient norm"),
  );
  const common = el("input", {type: "checkbox", checked: true});
  const list = el("ul", {className: "examples"});
  const fill = () => {
    const sorted = [...order];
    if (sorts.value === "sigma") sorted.sort((i, j) => found.outputs[i] - found.outputs[j]);
    if (sorts.value === "norm") sorted.sort((i, j) => found.norms[j] - found.norms[i]);
    list.replaceChildren(...sorted.map(i => example(i)));
  };
  const canvas = (values, paint, columns, name) => {
    const made = el("canvas", {className: "pixels", width: W * columns, height: H});
    made.style.width = `${W * zoom * columns}px`;
    made.style.height = `${H * zoom}px`;
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", name);
    made.redraw = () => {
      const context = made.getContext("2d"),
        image = context.createImageData(W * columns, H),
        put = paint();
      for (let k = 0; k < columns; k++)
        for (let y = 0; y < H; y++)
          for (let x = 0; x < W; x++)
            image.data.set([...put(k, y * W + x), 255], 4 * (y * W * columns + k * W + x));
      context.putImageData(image, 0, 0);
    };
    made.redraw();
    return made;
  };
  const example = i => {
    const [low, high] = found.range,
      s = found.outputs[i];
    const pixels = items.subarray(i * size, (i + 1) * size),
      slopes = gradients.subarray(i * size, (i + 1) * size);
    const scale = common.checked ? top : most(slopes);
    const grey = () => (k, p) =>
      [0, 1, 2].map(
        c => 255 * Math.max(0, Math.min(1, (pixels[(C === 3 ? c : 0) * H * W + p] - low) / (high - low))),
      );
    const map = () => {
      const d = diverging();
      return (k, p) => d(scale ? slopes[k * H * W + p] / scale : 0);
    };
    return el(
      "li",
      {},
      el(
        "div",
        {className: "two"},
        canvas(pixels, grey, 1, `example ${i}`),
        canvas(slopes, map, C, `gradient of example ${i}`),
      ),
      belief(s),
      el(
        "dl",
        {},
        el("dt", {}, "s"),
        el("dd", {}, figure(s, 3)),
        el("dt", {}, "σ(s)"),
        el("dd", {}, figure(sigma(s), 3)),
        el("dt", {}, found.formula || "∂L/∂s"),
        el("dd", {}, figure(found.factors[i], 3)),
        el("dt", {}, "‖∂L/∂x‖"),
        el("dd", {}, figure(found.norms[i], 3)),
      ),
    );
  };
  sorts.addEventListener("change", fill);
  common.addEventListener("change", () => {
    fill();
    legend.replaceChildren(...legendParts());
  });
  const legendParts = () =>
    common.checked
      ? [scaleBar(top)]
      : [el("span", {className: "soft small"}, "each map to its own largest element")];
  const legend = el("span", {}, ...legendParts());
  body.append(
    el(
      "div",
      {className: "row controls"},
      el("label", {}, "Order ", sorts),
      el("label", {}, common, " one scale for all maps"),
      legend,
      el(
        "span",
        {className: "soft"},
        found.count < found.of ? `the first ${found.count} of ${found.of}` : `all ${found.of}`,
        C === 3 ? "; maps of red, green, blue" : "",
      ),
    ),
    list,
  );
  fill();
}

/* How sure D is: a bar from fake to real. */
function belief(s) {
  const p = sigma(s);
  return el("div", {className: "belief", title: `σ(s) = ${p}`}, el("span", {style: `left:${100 * p}%`}));
}

function pointExamples(found) {
  const name = found.formula || "∂L/∂s";
  const rows = found.norms
    .slice(0, 60)
    .map((norm, i) => ({
      example: i,
      s: found.outputs[i],
      "σ(s)": sigma(found.outputs[i]),
      [name]: found.factors[i],
      "‖∂L/∂x‖": norm,
    }));
  const details = el(
    "details",
    {},
    el(
      "summary",
      {},
      "The numbers, " +
        `${rows.length < found.of ? `the first ${rows.length} of ${found.of}` : `all ${found.of}`}`,
    ),
    sortable(Object.keys(rows[0]), rows),
  );
  $("examples-body").append(factorPlot(found, name), details);
}

/* Every example as a dot: D's raw output across, the factor down; the curve is the formula. */
function factorPlot(found, name) {
  const width = 520,
    height = 230,
    pad = 44,
    s = found.outputs,
    f = found.factors;
  const low = Math.min(...s, -2),
    high = Math.max(...s, 2),
    bottom = Math.min(...f, -1),
    top = Math.max(...f, 0);
  const X = v => pad + ((width - pad - 12) * (v - low)) / (high - low),
    Y = v => 14 + ((height - 14 - 34) * (top - v)) / (top - bottom || 1);
  const made = svg("svg", {
    class: "plot",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": `${name} by s`,
  });
  for (const v of [bottom, (bottom + top) / 2, top])
    made.append(
      svg("line", {class: "rule", x1: pad, x2: width - 12, y1: Y(v), y2: Y(v)}),
      svg("text", {x: pad - 8, y: Y(v) + 4, "text-anchor": "end"}, num(v, 2)),
    );
  for (const v of [low, 0, high])
    made.append(svg("text", {x: X(v), y: height - 18, "text-anchor": "middle"}, num(v, 2)));
  made.append(
    svg(
      "text",
      {x: (pad + width - 12) / 2, y: height - 2, "text-anchor": "middle"},
      "s, D's raw output: fake on the left, real on the right",
    ),
    svg("text", {x: pad, y: 10, class: "name"}, name),
  );
  if (found.formula) {
    const of = found.formula.includes("1 −") ? v => sigma(v) - 1 : v => -sigma(v);
    const line = Array.from({length: 80}, (_, k) => low + ((high - low) * k) / 79)
      .map((v, k) => `${k ? "L" : "M"}${X(v)} ${Y(of(v))}`)
      .join("");
    made.append(svg("path", {class: "curve", d: line}));
  }
  s.forEach((v, i) =>
    made.append(
      svg(
        "circle",
        {class: "fake", cx: X(v), cy: Y(f[i]), r: 3},
        svg("title", {}, `example ${i}: s ${num(v)}, factor ${num(f[i])}`),
      ),
    ),
  );
  return made;
}
