/* The plane: real and fake points, what D says everywhere, what the best D would, how G folds its noise. */

const PLANE = DATA.plane && !DATA.plane.why ? DATA.plane : null;
const planeShown = {real: true, fake: true, arrows: true};

/* What an objective's D says of a raw output, the best it could say, and how that is shown. */
const OBJECTIVES = {
  logistic: {
    is: "D(x) = σ(s)",
    best: "D*(x) = p / (p + q)",
    of: p => p,
    ends: ["0: fake", "1: real"],
    middle: 0.5,
  },
  least_squares: {is: "D(x) = s", best: "D*(x) = p / (p + q)", ends: ["0: fake", "1: real"], middle: 0.5},
  hinge: {is: "D(x) = s", best: "D*(x) = sign(p − q)", ends: ["−1: fake", "1: real"], middle: 0},
  wasserstein: {is: "D(x) = s", best: null, middle: null},
};
const objective = () =>
  OBJECTIVES[{saturating: "logistic", non_saturating: "logistic"}[PLANE.best] ?? PLANE.best] ??
  OBJECTIVES.wasserstein;

function surfaces() {
  const raw = decode(PLANE, "raw"),
    p = decode(PLANE, "p"),
    q = decode(PLANE, "q"),
    kind = objective();
  const logistic = kind.of !== undefined;
  const now = raw.map(s => (logistic && !PLANE.probabilities ? sigma(s) : s));
  const keep = 1 - PLANE.smoothing;
  const best =
    kind.best === null
      ? null
      : raw.map((_, i) => {
          const share = p[i] + q[i] > 1e-12 ? p[i] / (p[i] + q[i]) : NaN;
          return PLANE.best === "hinge" ? Math.sign(p[i] - q[i]) : keep * share;
        });
  return {now, best, p, q};
}

function planeCanvas(title, note, paint) {
  const canvas = el("canvas", {className: "plane"});
  const reading = el("output", {className: "reading"});
  const [x0, y0, x1, y1] = PLANE.box;
  canvas.redraw = () => {
    const size = canvas.clientWidth || 400,
      dense = Math.min(3, devicePixelRatio || 1);
    canvas.width = canvas.height = size * dense;
    const context = canvas.getContext("2d");
    context.scale(dense, dense);
    context.fillStyle = colour("zero");
    context.fillRect(0, 0, size, size);
    paint(context, size, (x, y) => [((x - x0) / (x1 - x0)) * size, ((y1 - y) / (y1 - y0)) * size]);
  };
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  const caption = el("figcaption", {}, el("b", {}, title), el("span", {className: "soft small"}, note));
  return {figure: el("figure", {}, caption, canvas, reading), canvas, reading};
}

/* A surface of CELLS × CELLS values in the colours of fake, undecided and real. */
function paintSurface(context, size, values, low, high) {
  const cells = PLANE.cells,
    map = diverging("fake-fill", "zero", "real-fill"),
    small = new OffscreenCanvas(cells, cells);
  const image = new ImageData(cells, cells),
    plain = rgb("card");
  values.forEach((v, i) => {
    const rgb = Number.isNaN(v)
      ? plain
      : map(Math.max(-1, Math.min(1, (2 * (v - low)) / (high - low) - 1)));
    image.data.set([...rgb, 255], 4 * i);
  });
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, size, size);
}

/* The line where a surface crosses its middle: between which neighbours it changes sides. */
function paintContour(context, size, values, middle) {
  const n = PLANE.cells,
    step = size / n;
  context.strokeStyle = colour("ink");
  context.lineWidth = 1.1;
  context.setLineDash([4, 3]);
  context.beginPath();
  const v = (r, c) => values[r * n + c] - middle;
  for (let r = 0; r + 1 < n; r++)
    for (let c = 0; c + 1 < n; c++) {
      const corners = [
          [r, c],
          [r, c + 1],
          [r + 1, c + 1],
          [r + 1, c],
        ],
        cuts = [];
      corners.forEach(([y, x], k) => {
        const [y2, x2] = corners[(k + 1) % 4],
          a = v(y, x),
          b = v(y2, x2);
        if (a < 0 !== b < 0 && Number.isFinite(a) && Number.isFinite(b)) {
          const t = a / (a - b);
          cuts.push([(x + (x2 - x) * t + 0.5) * step, (y + (y2 - y) * t + 0.5) * step]);
        }
      });
      for (let k = 0; k + 1 < cuts.length; k += 2) {
        context.moveTo(...cuts[k]);
        context.lineTo(...cuts[k + 1]);
      }
    }
  context.stroke();
  context.setLineDash([]);
}

function paintPoints(context, at, points, name, radius) {
  context.fillStyle = colour(name);
  context.strokeStyle = colour("card");
  context.lineWidth = 0.8;
  for (let i = 0; i < points.length; i += 2) {
    context.beginPath();
    context.arc(...at(points[i], points[i + 1]), radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

/* −gradient at each fake, the longest `long` pixels. */
function paintArrows(context, at, long) {
  const points = decode(PLANE, "fake"),
    g = decode(PLANE, "gradients"),
    top = Math.max(...PLANE.norms) || 1;
  context.strokeStyle = colour("ink");
  context.lineWidth = 1.2;
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = at(points[i], points[i + 1]);
    const dx = (-g[i] / top) * long,
      dy = (g[i + 1] / top) * long,
      size = Math.hypot(dx, dy);
    if (size < 1) continue;
    const head = Math.min(4, size / 2),
      ux = dx / size,
      uy = dy / size;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + dx, y + dy);
    context.moveTo(x + dx - head * (ux + 0.6 * uy), y + dy - head * (uy - 0.6 * ux));
    context.lineTo(x + dx, y + dy);
    context.lineTo(x + dx - head * (ux - 0.6 * uy), y + dy - head * (uy + 0.6 * ux));
    context.stroke();
  }
}

function paintGrid(context, size, at, p) {
  const top = most(p),
    fill = rgb("real-fill"),
    zero = rgb("zero");
  const cells = PLANE.cells,
    image = new ImageData(cells, cells),
    small = new OffscreenCanvas(cells, cells);
  p.forEach((v, i) =>
    image.data.set([...[0, 1, 2].map(k => zero[k] + (fill[k] - zero[k]) * Math.sqrt(v / top)), 255], 4 * i),
  );
  small.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(small, 0, 0, size, size);
  const grid = decode(PLANE, "grid"),
    {lines, fine} = PLANE;
  context.strokeStyle = colour("fake");
  for (let way = 0; way < 2; way++)
    for (let line = 0; line < lines; line++) {
      context.lineWidth = line === (lines - 1) / 2 ? 1.8 : 0.8;
      context.globalAlpha = line === (lines - 1) / 2 ? 1 : 0.7;
      context.beginPath();
      for (let k = 0; k < fine; k++) {
        const i = 2 * ((way * lines + line) * fine + k),
          place = at(grid[i], grid[i + 1]);
        k ? context.lineTo(...place) : context.moveTo(...place);
      }
      context.stroke();
    }
  context.globalAlpha = 1;
}

function readout(made, what) {
  const [x0, y0, x1, y1] = PLANE.box,
    n = PLANE.cells;
  made.canvas.addEventListener("pointermove", event => {
    const box = made.canvas.getBoundingClientRect(),
      u = (event.clientX - box.left) / box.width,
      v = (event.clientY - box.top) / box.height;
    const c = Math.min(n - 1, Math.max(0, Math.floor(u * n))),
      r = Math.min(n - 1, Math.max(0, Math.floor(v * n)));
    made.reading.textContent =
      `at (${num(x0 + ((c + 0.5) / n) * (x1 - x0), 3)}, ` +
      `${num(y1 - ((r + 0.5) / n) * (y1 - y0), 3)}): ${what(r * n + c)}`;
  });
  made.canvas.addEventListener("pointerleave", () => {
    made.reading.textContent = "";
  });
}

function startPlane() {
  if (DATA.plane?.why) {
    $("plane").hidden = false;
    $("plane-lead").textContent = `Not shown: ${DATA.plane.why}.`;
    return;
  }
  if (!PLANE) return;
  $("plane").hidden = false;
  const {now, best, p, q} = surfaces(),
    kind = objective();
  const bounds = kind.middle === null ? [-most(now), most(now)] : kind.middle === 0 ? [-1, 1] : [0, 1];
  const real = decode(PLANE, "real"),
    fake = decode(PLANE, "fake");
  const points = (context, at) => {
    if (planeShown.real) paintPoints(context, at, real, "real", 2.6);
    if (planeShown.fake) paintPoints(context, at, fake, "fake", 2.6);
  };
  const made = [];
  const first = planeCanvas(
    "What D says now",
    kind.is + (PLANE.pack > 1 ? ` of ${PLANE.pack} copies of a point` : ""),
    (context, size, at) => {
      paintSurface(context, size, now, ...bounds);
      if (kind.middle !== null) paintContour(context, size, now, (bounds[0] + bounds[1]) / 2);
      points(context, at);
      if (planeShown.arrows) paintArrows(context, at, size / 9);
    },
  );
  readout(first, i => `D ${num(now[i])}, s ${num(decode(PLANE, "raw")[i])}`);
  made.push(first);
  if (best) {
    const second = planeCanvas("What the best D would say", kind.best, (context, size, at) => {
      paintSurface(context, size, best, ...bounds);
      paintContour(context, size, best, (bounds[0] + bounds[1]) / 2);
      points(context, at);
    });
    readout(second, i => `D* ${num(best[i])}, p ${num(p[i])}, q ${num(q[i])}`);
    made.push(second);
  }
  made.push(
    planeCanvas("How G folds its noise", `the grid: ${PLANE.slice}`, (context, size, at) =>
      paintGrid(context, size, at, p),
    ),
  );
  $("plane-lead").textContent =
    "Blue is real, orange is fake: the points, and the ground where D takes one for the other" +
    (kind.middle === null
      ? ". Only differences of this D's output mean something, so it has no best value to stand beside. "
      : "; the dashed line is where it is undecided. ") +
    "An arrow is minus the gradient of a fake point's own loss, the way in which G is pulled; the " +
    `longest stands for a gradient of norm ${num(Math.max(...PLANE.norms))}.`;
  const box = (key, text) => {
    const input = el("input", {type: "checkbox", checked: true});
    input.addEventListener("change", () => {
      planeShown[key] = input.checked;
      made.forEach(m => m.canvas.redraw());
    });
    return el("label", {}, input, ` ${text}`);
  };
  const key = kind.middle === null ? scaleBar(bounds[1]) : scaleBar(0, kind.ends);
  key.classList.add("plane-scale");
  $("plane-body").append(
    el(
      "div",
      {className: "row controls"},
      box("real", `real points (${real.length / 2})`),
      box("fake", `fake points (${fake.length / 2})`),
      box("arrows", "arrows"),
      key,
    ),
    el("div", {className: `planes of${made.length}`}, ...made.map(m => m.figure)),
    planeNotes(),
  );
  made.forEach(m => m.canvas.redraw());
  addEventListener("resize", () => made.forEach(m => m.canvas.redraw()));
}

function planeNotes() {
  const loss = 2 * Math.LN2 - 2 * PLANE.divergence,
    notes = el("ul", {className: "soft small"});
  notes.append(
    el("li", {}, `p, the density of the data: ${PLANE["p says"]}.`),
    el("li", {}, `q, G's density: ${PLANE["q says"]}.`),
  );
  notes.append(
    el(
      "li",
      {},
      "Bandwidths: Scott's rule times 1, ½, ¼, ⅛ or 1/16, whichever makes points that were left out " +
        `likeliest. Sums are over ${PLANE.cells} × ${PLANE.cells} cells of what is shown. ` +
        "Where p + q is under 10⁻¹², D* is left blank.",
    ),
  );
  notes.append(
    el(
      "li",
      {},
      `Jensen–Shannon divergence of p and q: ${num(PLANE.divergence, 3)} of at most ${num(Math.LN2, 3)} ` +
        "nats." +
        (objective().of
          ? " At D* the loss of D would be 2 log 2 − 2 JSD = " +
            `${num(loss, 3)}${PLANE.smoothing ? ", but for the smoothed labels" : ""}; it was ` +
            `${num(DATA.turns.findLast(t => t.player === "discriminator")?.loss)} on this step's batch.`
          : ""),
    ),
  );
  notes.append(
    el(
      "li",
      {},
      "D and G are as they stood in G's turn, in evaluation (no dropout). The surfaces and densities " +
        "were computed for this page; points, outputs and gradients were recorded.",
    ),
  );
  return notes;
}
