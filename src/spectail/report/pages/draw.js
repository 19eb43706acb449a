// The drawer: charts as SVG, with pictures of many cells in them. It knows nothing of spectra, and no colour.
//
// chart(element, { title, height, x, y, layers, choose }) draws into an element, and draws anew when its width changes.
//   An axis is { title, range: [low, high], log, map, ticks: [[value, text], …], hidden }: linear, logarithmic, or by a map.
//   A layer has a kind (a key of LAYERS); with a name it stands in the legend, with text(i) it answers the pointer,
//   with pick(i) a click; enter(i) is called when the pointer comes to it. Values that are null leave gaps. Colours may be var(--…): they follow the page, and print.
const NS = "http://www.w3.org/2000/svg";
const ruler = document.createElement("canvas").getContext("2d");

function textWidth(text, size) {
  ruler.font = size + "px system-ui, sans-serif";
  return ruler.measureText(text).width;
}

function svg(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// --- axes

function placer(axis, from, to) {
  const map = axis.map || (axis.log ? Math.log10 : (value) => value), low = map(axis.range[0]), high = map(axis.range[1]);
  const place = (value) => (value === null || value === undefined ? null : from + ((map(value) - low) / (high - low || 1)) * (to - from));
  return Object.assign(place, { from, to });
}

const tidy = (value) => (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) ? Number(value.toPrecision(6)).toExponential().replace("e+", "e") : String(Number(value.toPrecision(6)))).replace("-", "−").replace("e-", "e−");

function ticksOf(axis, most) {
  const [low, high] = axis.range;
  if (axis.ticks) return axis.ticks.filter(([value]) => value >= low && value <= high);
  if (axis.log) {
    const decades = Math.log10(high / low), first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    if (decades < 0.7) return linearTicks(low, high, most);
    const every = Math.max(1, Math.ceil(decades / most)), steps = decades < 1.6 ? [1, 2, 5] : decades < 3 && most > 4 ? [1, 3] : [1], out = [];
    for (let power = first; power <= last; power += every) for (const step of steps) out.push(step * 10 ** power);
    return out.filter((value) => value >= low * 0.999 && value <= high * 1.001).map((value) => [value, tidy(value)]);
  }
  return linearTicks(low, high, most);
}

function linearTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1), power = 10 ** Math.floor(Math.log10(rough || 1)), step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const out = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step && out.length < 50; at++) out.push([at * step, tidy(at * step)]);
  return out;
}

// --- layers: each draws itself, and says where it answers the pointer

const SYMBOLS = {
  circle: (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  square: (r) => `m${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  diamond: (r) => `m0 ${-1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z`,
  "triangle-up": (r) => `m0 ${-1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z`,
  "triangle-down": (r) => `m0 ${1.2 * r}l${1.2 * r} ${-2.1 * r}h${-2.4 * r}z`,
  star: (r) => "m" + [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `${(i % 2 ? 0.55 : 1.35) * r * Math.sin(i * Math.PI / 5)} ${-(i % 2 ? 0.55 : 1.35) * r * Math.cos(i * Math.PI / 5)}`).reduce((path, point, i, all) => (i ? path + "l" + point.split(" ").map((v, k) => v - all[i - 1].split(" ")[k]).join(" ") : point), "") + "z",
  cross: (r) => `m${-0.4 * r} ${-1.2 * r}h${0.8 * r}v${0.8 * r}h${0.8 * r}v${0.8 * r}h${-0.8 * r}v${0.8 * r}h${-0.8 * r}v${-0.8 * r}h${-0.8 * r}v${-0.8 * r}h${0.8 * r}z`,
  x: (r) => `m${-r} ${-0.4 * r}l${0.6 * r} ${-0.6 * r}l${0.4 * r} ${0.4 * r}l${0.4 * r} ${-0.4 * r}l${0.6 * r} ${0.6 * r}l${-0.4 * r} ${0.4 * r}l${0.4 * r} ${0.4 * r}l${-0.6 * r} ${0.6 * r}l${-0.4 * r} ${-0.4 * r}l${-0.4 * r} ${0.4 * r}l${-0.6 * r} ${-0.6 * r}l${0.4 * r} ${-0.4 * r}z`,
};

// the path through points, broken where a value is missing
function through(xs, ys) {
  let path = "", pen = "M";
  for (let i = 0; i < xs.length; i++) {
    if (xs[i] === null || ys[i] === null || !isFinite(ys[i])) pen = "M";
    else { path += pen + xs[i].toFixed(1) + " " + ys[i].toFixed(1); pen = "L"; }
  }
  return path;
}

const clamp = (value, a, b) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), value));
const LAYERS = {
  bars({ edges, heights, colour }, x, y) {
    let path = "";
    heights.forEach((height, i) => { if (height > 0) path += `M${x(edges[i]).toFixed(1)} ${y.from}V${clamp(y(height), y.from, y.to).toFixed(1)}H${x(edges[i + 1]).toFixed(1)}V${y.from}z`; });
    return [svg("path", { d: path, style: `fill:${colour};fill-opacity:.6` })];
  },
  line(layer, x, y) {
    const dash = { dash: "7 5", dot: "2 4" }[layer.dash] || "none";
    return [svg("path", { d: through(layer.x.map(x), layer.y.map(y)), style: `fill:none;stroke:${layer.colour};stroke-width:${layer.width || 2};stroke-dasharray:${dash};stroke-linejoin:round` })];
  },
  band({ x: at, low, high, colour }, x, y) {
    const parts = [];
    for (let i = 0, start = -1; i <= at.length; i++) {
      const there = i < at.length && low[i] !== null && high[i] !== null;
      if (there && start < 0) start = i;
      if (!there && start >= 0) { parts.push([start, i]); start = -1; }
    }
    const edge = (of, from, to) => at.slice(from, to).map((value, k) => x(value).toFixed(1) + " " + clamp(y(of[from + k]), y.from, y.to).toFixed(1));
    return [svg("path", { d: parts.map(([from, to]) => "M" + [...edge(high, from, to), ...edge(low, from, to).reverse()].join("L") + "z").join(""), style: `fill:${colour}` })];
  },
  points(layer, x, y) {
    const mark = SYMBOLS[layer.symbol || "circle"](layer.size || 4);
    const path = layer.x.map((value, i) => (layer.y[i] === null ? "" : `M${x(value).toFixed(1)} ${y(layer.y[i]).toFixed(1)}${mark}`)).join("");
    return [svg("path", { d: path, style: `fill:${layer.colour};stroke:var(--ink);stroke-width:${layer.outline ?? 0.6}` })];
  },
  whiskers({ x: at, low, high, colour }, x, y) {
    return [svg("path", { d: at.map((value, i) => (low[i] === null ? "" : `M${x(value).toFixed(1)} ${clamp(y(low[i]), y.from, y.to).toFixed(1)}V${clamp(y(high[i]), y.from, y.to).toFixed(1)}`)).join(""), style: `stroke:${colour};stroke-width:1;fill:none` })];
  },
  rug({ x: at, colour }, x, y) {
    return [svg("path", { d: at.map((value) => `M${x(value).toFixed(1)} ${y.from}v-12`).join(""), style: `stroke:${colour};stroke-width:2` })];
  },
  stretch({ y: [low, high], colour }, x, y) {
    const [a, b] = [clamp(y(low), y.from, y.to), clamp(y(high), y.from, y.to)];
    return [svg("rect", { x: x.from, y: Math.min(a, b), width: x.to - x.from, height: Math.abs(a - b), style: `fill:${colour}` })];
  },
  rule(layer, x, y) {
    const across = layer.y !== undefined, at = across ? y(layer.y) : x(layer.x), dash = { dash: "7 5", dot: "2 4" }[layer.dash] || "none";
    const line = across ? { x1: x.from, x2: x.to, y1: at, y2: at } : { x1: at, x2: at, y1: y.from, y2: y.to };
    const out = [svg("line", { ...line, style: `stroke:${layer.colour || "var(--ink)"};stroke-width:1.2;stroke-dasharray:${dash}` })];
    const left = across || at > (x.from + x.to) / 2, lines = (layer.label || "").split("\n").filter(Boolean);
    lines.forEach((text, i) => out.push(svg("text", { x: across ? x.to - 3 : at + (left ? -4 : 4), y: across ? at - 4 : y.to + 12 + 14 * i, "text-anchor": left ? "end" : "start", style: "fill:var(--ink);font-size:11px;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round" }, text)));
    return out;
  },
  // cells of any colours: `picture` is a canvas with a row of pixels for each row of cells
  cells({ picture }, x, y) {
    return [svg("image", { href: picture.toDataURL(), x: x.from, y: Math.min(y.from, y.to), width: x.to - x.from, height: Math.abs(y.to - y.from), preserveAspectRatio: "none", style: "image-rendering:pixelated" })];
  },
  box({ x: [left, right], y: [low, high] }, x, y) {
    const [a, b, c, d] = [x(left), x(right), y(low), y(high)], height = Math.max(Math.abs(c - d), 4);
    return [svg("rect", { x: a, y: (c + d) / 2 - height / 2, width: Math.max(b - a, 4), height, style: "fill:none;stroke:var(--ink);stroke-width:2.5;paint-order:stroke" })];
  },
};

// --- a chart

const SWATCHES = {
  bars: (colour) => svg("rect", { width: 14, height: 10, y: -9, style: `fill:${colour};fill-opacity:.6` }),
  band: (colour) => svg("rect", { width: 14, height: 10, y: -9, style: `fill:${colour}` }),
  rug: (colour) => svg("path", { d: "M7 0v-10", style: `stroke:${colour};stroke-width:2` }),
  points: (colour, layer) => svg("path", { d: "M7 -4" + SYMBOLS[layer.symbol || "circle"](4), style: `fill:${colour};stroke:var(--ink);stroke-width:.6` }),
  line: (colour, layer) => svg("path", { d: "M0 -4h14", style: `stroke:${colour};stroke-width:${layer.width || 2};stroke-dasharray:${{ dash: "5 3", dot: "2 2" }[layer.dash] || "none"}` }),
};

function legendOf(layers, width) {
  const group = svg("g", { style: "fill:var(--ink);font-size:11px" });
  let left = 0, line = 0;
  for (const layer of layers.filter((one) => one.name && SWATCHES[one.kind])) {
    const size = 20 + textWidth(layer.name, 11) + 14;
    if (left && left + size > width) { left = 0; line += 1; }
    const entry = svg("g", { transform: `translate(${left} ${line * 17})` });
    entry.append(SWATCHES[layer.kind](layer.colour, layer), svg("text", { x: 20 }, layer.name));
    group.append(entry);
    left += size;
  }
  return { group, height: group.childNodes.length ? (line + 1) * 17 + 4 : 0 };
}

function chart(element, spec) {
  if (!element.spec) watchChart(element);
  element.spec = spec;
  drawChart(element);
}

function drawChart(element) {
  const { title, layers, x: xAxis, y: yAxis } = element.spec, width = element.clientWidth, height = element.spec.height;
  if (width < 100) return; // hidden, or about to be resized
  element.drawnWidth = width;
  const yTicks = yAxis.hidden ? [] : ticksOf(yAxis, Math.max(2, height / 45)), size = yAxis.size || 11;
  const widest = Math.max(0, ...yTicks.map(([, text]) => textWidth(text, size)));
  const left = (element.spec.left ?? 0) || Math.ceil(widest + 10 + (yAxis.title ? 18 : 0)), right = width - 12;
  const legend = legendOf(layers, right - left), top = title ? 26 : 8;
  const bottom = height - legend.height - (xAxis.hidden ? 4 : 20 + (xAxis.title ? 17 : 0));
  const x = placer(xAxis, left, right), y = yAxis.downward ? placer(yAxis, top, bottom) : placer(yAxis, bottom, top);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "system-ui, sans-serif", "font-size": 11, "aria-hidden": "true" });
  const grid = svg("g", { style: "stroke:var(--line);stroke-width:1" }), labels = svg("g", { style: "fill:var(--ink)" });
  for (const [value, text] of yTicks) {
    if (!yAxis.bare) grid.append(svg("line", { x1: left, x2: right, y1: y(value), y2: y(value) }));
    labels.append(svg("text", { x: left - 6, y: y(value) + size / 3, "text-anchor": "end", "font-size": size }, text));
  }
  let end = -Infinity;
  const xTicks = xAxis.hidden ? [] : ticksOf(xAxis, Math.max(2, (right - left) / 75));
  const roomOf = (k) => 2 * Math.min(...[k - 1, k + 1].map((other) => (xTicks[other] ? Math.abs(x(xTicks[other][0]) - x(xTicks[k][0])) / 2 : Infinity)), x(xTicks[k][0]) - left + 12, right - x(xTicks[k][0]) + 8) - 6;
  for (const [k, [value, whole]] of xTicks.entries()) {
    const text = xAxis.fit && isNaN(whole.replace("−", "-")) ? fitting(whole, roomOf(k), 11) : whole; // a number that was cut is another
    const half = textWidth(text, 11) / 2, at = clamp(x(value), left + half - 12, right - half + 8);
    if (!xAxis.bare) grid.append(svg("line", { x1: x(value), x2: x(value), y1: top, y2: bottom }));
    if (at - half < end + 6) continue;
    end = at + half;
    labels.append(svg("text", { x: at, y: bottom + 15, "text-anchor": "middle" }, text));
  }
  if (xAxis.title) labels.append(svg("text", { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle", "font-size": 12 }, fitting(xAxis.title, width, 12)));
  if (yAxis.title) labels.append(svg("text", { x: 0, y: 0, transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", "font-size": 12 }, fitting(yAxis.title, height, 12)));
  if (title) labels.append(svg("text", { x: left, y: 16, "font-size": 14, "font-weight": 600 }, fitting(title, right - left, 16, true)));
  const clip = svg("clipPath", { id: element.id + "-clip" }), body = svg("g", { "clip-path": `url(#${element.id}-clip)` }), above = svg("g", {});
  clip.append(svg("rect", { x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) }));
  for (const layer of layers) (layer.kind === "rule" || layer.kind === "box" ? above : body).append(...LAYERS[layer.kind](layer, x, y));
  if (element.spec.words) above.append(...element.spec.words(x, y));
  legend.group.setAttribute("transform", `translate(${left} ${height - legend.height + 13})`);
  root.append(clip, grid, body, svg("rect", { x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0), style: "fill:none;stroke:var(--line)" }), above, labels, legend.group);
  element.replaceChildren(root);
  Object.assign(element, { places: { x, y }, mark: null });
}

// a frame with a sentence in it, where there is nothing to draw
function emptyChart(element, title, why, height) {
  const said = (x, y) => [svg("text", { x: (x.from + x.to) / 2, y: (y.from + y.to) / 2, "text-anchor": "middle", style: "fill:var(--ink);font-size:13px" }, fitting(why, x.to - x.from - 10, 13))];
  chart(element, { title, height, layers: [], x: { range: [0, 1], hidden: true }, y: { range: [0, 1], hidden: true }, words: said, why });
}

// a text cut where there is no room for it: at its end, or at its beginning
function fitting(text, room, size, atFront) {
  let letters = text.length;
  const cut = () => (letters === text.length ? text : atFront ? "…" + text.slice(text.length - letters) : text.slice(0, letters) + "…");
  while (letters > 1 && textWidth(cut(), size) > room) letters--;
  return cut();
}

// --- the pointer

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

// the nearest of what answers: by both axes where there are points, by x alone where there are lines
function nearestTo(element, left, top) {
  const { x, y } = element.places;
  if (element.spec.at) return element.spec.at((left - x.from) / (x.to - x.from), (top - Math.min(y.from, y.to)) / Math.abs(y.to - y.from));
  let best = null, least = 40;
  for (const layer of element.spec.layers.filter((one) => one.text && one.x.length)) {
    for (let i = 0; i < layer.x.length; i++) {
      const at = x(layer.x[i]), value = y(layer.y[i]);
      if (value === null || !isFinite(value)) continue;
      const far = layer.kind === "line" ? Math.abs(at - left) + 0.01 * Math.abs(value - top) : Math.hypot(at - left, value - top);
      if (far < least) { least = far; best = { at, value, text: layer.text(i), choose: layer.pick && (() => layer.pick(i)), enter: layer.enter && (() => layer.enter(i)) }; }
    }
  }
  return best;
}

function watchChart(element) {
  const find = (event) => {
    const box = element.getBoundingClientRect();
    return nearestTo(element, event.clientX - box.left, event.clientY - box.top);
  };
  const away = () => { tip.hidden = true; element.mark?.remove(); };
  element.addEventListener("pointermove", (event) => {
    const near = find(event);
    away();
    element.style.cursor = near && near.choose ? "pointer" : "";
    if (near?.text !== element.under) near?.enter?.();
    element.under = near?.text;
    if (!near) return;
    if (near.at !== undefined) {
      element.mark = svg("circle", { cx: near.at, cy: near.value, r: 6, style: "fill:none;stroke:var(--ink);stroke-width:1.5" });
      element.firstChild.append(element.mark);
    }
    tip.textContent = near.text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = clamp(event.clientX + 14, 4, innerWidth - width - 4) + "px";
    tip.style.top = (event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18) + "px";
  });
  element.addEventListener("pointerleave", away);
  element.addEventListener("click", (event) => find(event)?.choose?.());
  new ResizeObserver(() => element.clientWidth !== element.drawnWidth && drawChart(element)).observe(element);
}

// on paper charts have the letters that they have on a screen: they are drawn anew, as wide as there, before it is laid out
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) addEventListener(event, () => {
  document.body.classList.toggle("printing", printing);
  for (const element of document.querySelectorAll(".chart")) if (element.spec) drawChart(element);
});

// --- pictures of cells

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// from 0 to 1 through some colours
function ramp(colours) {
  const stops = colours.map(rgb), last = stops.length - 1;
  return (share) => {
    const at = clamp(share, 0, 1) * last, i = Math.min(Math.floor(at), last - 1), part = at - i;
    return stops[i].map((value, k) => Math.round(value + part * (stops[i + 1][k] - value)));
  };
}

// a canvas with one pixel a cell; colour(column, row) is [red, green, blue], or null where nothing is
function pictureOf(columns, rows, colour) {
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows }), context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0, at = 0; row < rows; row++) for (let column = 0; column < columns; column++, at += 4) {
    const one = colour(column, row);
    if (one) { image.data[at] = one[0]; image.data[at + 1] = one[1]; image.data[at + 2] = one[2]; image.data[at + 3] = 255; }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// the colours of a picture, as a bar with numbers: marks are [share of the bar, text]
function colourBar(element, title, colours, marks) {
  const canvas = pictureOf(128, 1, (column) => colours(column / 127)), ticks = marks.map(([share, text]) => [share, text]);
  chart(element, { height: 52, left: 14, x: { range: [0, 1], ticks, title, bare: true }, y: { range: [0, 1], hidden: true }, layers: [{ kind: "cells", picture: canvas }] });
}

// --- to a file: what the page gives to a picture is written into it

function pictureText(element) {
  const copy = element.querySelector("svg").cloneNode(true);
  copy.setAttribute("xmlns", NS);
  copy.prepend(svg("rect", { width: "100%", height: "100%", style: "fill:var(--paper)" }));
  return new XMLSerializer().serializeToString(copy).replace(/var\((--\w+)\)/g, (_, name) => css(name));
}

async function savePicture(element, format, name) {
  const text = pictureText(element), file = name.replace(/[^\w.-]+/g, "_").slice(0, 80) + "." + format;
  if (format === "svg") return save(file, [text], "image/svg+xml");
  const image = new Image(), canvas = document.createElement("canvas");
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  Object.assign(canvas, { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((blob) => save(file, [blob], "image/png"), "image/png");
}
