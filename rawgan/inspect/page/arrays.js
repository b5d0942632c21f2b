/* Arrays as pictures: images, heat maps with a diverging scale, histograms. */

const decoded = new WeakMap();
function decode(picture, key = "data") {
  const known = decoded.get(picture) ?? {};
  if (!known[key]) {
    const bytes = Uint8Array.from(atob(picture[key]), c => c.charCodeAt(0));
    known[key] = new Float32Array(bytes.buffer);
    decoded.set(picture, known);
  }
  return known[key];
}

/* −1 … 1 to a colour: below zero, zero, above zero. */
function diverging(below = "below", middle = "zero", above = "above") {
  const [low, mid, high] = [rgb(below), rgb(middle), rgb(above)];
  return t => {
    if (!Number.isFinite(t)) return [255, 0, 0];
    const end = t < 0 ? low : high,
      s = Math.min(1, Math.abs(t));
    return [0, 1, 2].map(i => mid[i] + (end[i] - mid[i]) * s);
  };
}

function most(values) {
  let m = 0;
  for (const v of values) if (Math.abs(v) > m && Number.isFinite(v)) m = Math.abs(v);
  return m;
}

/* Square cells as large as fit; those of a very long matrix are stretched, up to 40 times as wide as high. */
function cellSize(wide, high, width, height, matrix) {
  const whole = zoom => (zoom >= 1 ? Math.floor(Math.min(zoom, 24)) : zoom);
  const zoom = whole(Math.min(width / wide, height / high));
  if (!matrix) return [zoom, zoom];
  const least = 110; // pixels of the shorter side
  return [
    Math.min(width / wide, 60, Math.max(zoom, Math.min(40 * zoom, least / wide))),
    Math.min(height / high, 60, Math.max(zoom, Math.min(40 * zoom, least / high))),
  ];
}

/* Draw a picture into at most width × height CSS pixels; returns a figure with scale and hover. */
function arrayFigure(picture, {width = 200, height = 200, signed = true, range = null, name = ""} = {}) {
  const values = decode(picture);
  const [rows, columns] = picture.tiles,
    [h, w] = picture.size,
    C = picture.channels;
  const grey = picture.image && !signed;
  const across = C === 3 && !grey ? columns * 3 : columns; // colours of a gradient lie side by side
  const gap = rows * across > 1 ? 1 : 0;
  const wide = across * (w + gap) - gap,
    high = rows * (h + gap) - gap;
  const row = rows === 1 && h === 1;
  let [cellWidth, cellHeight] = cellSize(wide, high, width, height, rows * columns === 1);
  if (row) [cellWidth, cellHeight] = [width / wide, 22];
  const canvas = el("canvas", {className: "pixels", width: wide, height: high});
  canvas.style.width = `${cellWidth * wide}px`;
  canvas.style.height = `${cellHeight * high}px`;
  const scale = most(values);
  const shown = picture.shown ?? rows * columns;
  const draw = () => {
    const context = canvas.getContext("2d"),
      image = context.createImageData(wide, high),
      map = diverging();
    const [low, top] = range ?? [0, 1];
    for (let tile = 0; tile < shown; tile++) {
      const r = Math.floor(tile / columns),
        c = tile % columns;
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) {
          const at = channel => values[((tile * C + channel) * h + y) * w + x];
          const put = (k, rgb) => {
            const place =
              4 * ((r * (h + gap) + y) * wide + (grey ? c : c * (across / columns) + k) * (w + gap) + x);
            image.data.set([...rgb, 255], place);
          };
          if (grey) {
            const light = v => 255 * Math.max(0, Math.min(1, (v - low) / (top - low || 1)));
            put(
              0,
              [0, 1, 2].map(k => light(at(C === 3 ? k : 0))),
            );
          } else for (let k = 0; k < C; k++) put(k, map(scale ? at(k) / scale : 0));
        }
    }
    context.putImageData(image, 0, 0);
  };
  draw();
  canvas.redraw = draw;
  const label = el("div", {className: "under"});
  const legend = grey
    ? el("span", {}, `black ${num((range ?? [0, 1])[0])}, white ${num((range ?? [0, 1])[1])}`)
    : scaleBar(scale);
  label.append(legend);
  const said = el("div", {className: "soft small"}, picture.said + ".");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name}: ${picture.said}`);
  const reading = el("output", {className: "reading"});
  canvas.addEventListener("pointermove", event => {
    const box = canvas.getBoundingClientRect();
    const px = Math.floor(((event.clientX - box.left) / box.width) * wide);
    const py = Math.floor(((event.clientY - box.top) / box.height) * high);
    const tr = Math.floor(py / (h + gap)),
      tc = Math.floor(px / (w + gap)),
      y = py % (h + gap),
      x = px % (w + gap);
    const k = C === 3 && !grey ? tc % 3 : 0,
      c = C === 3 && !grey ? Math.floor(tc / 3) : tc,
      tile = tr * columns + c;
    if (y >= h || x >= w || tile >= shown || tr >= rows || c >= columns) {
      reading.textContent = "";
      return;
    }
    const where = [];
    if (picture.shown) where.push(`${picture.image ? "picture" : "map"} ${tile}`);
    else if (rows > 1 || columns > 1) where.push(`map ${tr}, ${c}`);
    if (C === 3) where.push(grey ? "red" : ["red", "green", "blue"][k]);
    const [bh, bw] = picture.block,
      part = (i, b) => (b === 1 ? i : `${i * b}…${i * b + b - 1}`);
    where.push(row ? part(x, bw) : `row ${part(y, bh)}, column ${part(x, bw)}`);
    reading.textContent = `${where.join(", ")}: ${num(values[((tile * C + k) * h + y) * w + x], 6)}`;
  });
  canvas.addEventListener("pointerleave", () => {
    reading.textContent = "";
  });
  return el("div", {className: "array"}, canvas, label, reading, said);
}

/* −m … 0 … m in colour. */
function scaleBar(scale, ends = null) {
  const [low, high] = ends ?? [`−${num(scale, 2)}`, num(scale, 2)];
  return el("span", {className: "scalebar"}, el("span", {}, low), el("i"), el("span", {}, high));
}

/* The 32 counts of the recorded figures. */
function histogram(figures, {width = 200, height = 54} = {}) {
  const counts = figures.counts;
  if (!counts.length) return el("span");
  const top = Math.max(...counts) || 1,
    bar = width / counts.length;
  let [low, high] = [figures.minimum, figures.maximum];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const made = svg("svg", {
    class: "histogram",
    viewBox: `0 0 ${width} ${height + 13}`,
    width,
    height: height + 13,
    role: "img",
    "aria-label": `histogram from ${num(low)} to ${num(high)}`,
  });
  counts.forEach((count, i) => {
    const tall = count ? Math.max(1, (height * count) / top) : 0;
    const from = low + ((high - low) * i) / counts.length,
      to = low + ((high - low) * (i + 1)) / counts.length;
    made.append(
      svg(
        "rect",
        {x: i * bar + 0.5, y: height - tall, width: Math.max(0.5, bar - 1), height: tall},
        svg("title", {}, `${num(from)} to ${num(to)}: ${count.toLocaleString("en")}`),
      ),
    );
  });
  if (low < 0 && high > 0) {
    const x = (width * -low) / (high - low);
    made.append(svg("line", {x1: x, x2: x, y1: 0, y2: height, class: "zero"}));
    if (x > 45 && x < width - 45)
      made.append(svg("text", {x, y: height + 11, "text-anchor": "middle"}, "0"));
  }
  made.append(
    svg("text", {x: 0, y: height + 11}, num(low, 3)),
    svg("text", {x: width, y: height + 11, "text-anchor": "end"}, num(high, 3)),
  );
  return made;
}

on("theme", () => document.querySelectorAll("canvas").forEach(canvas => canvas.redraw?.()));
