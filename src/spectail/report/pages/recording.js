
// A recording: matrices over steps and over depth, and the spectrum of the one that is chosen. Text from files is text only.
const data = JSON.parse(byId("data").textContent);
const { steps, matrices, quantities } = data, last = steps.length - 1, long = last > 0, several = matrices.length > 1;
const index = matrices.map((_, i) => i), DEPTH = [0, 1], CURVES = [0, 1, 2];
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly reads tags in labels
const sub = (symbol) => plain(symbol).replace(/_(\w+)/g, "<sub>$1</sub>");
const number = (q, value, digits) => (q.integer && value !== null ? String(value) : show(value, digits)).replace("-", "−");
const chosen = () => ({ m: matrices[Number(byId("matrix").value)] || matrices[0], i: Number(byId("matrix").value), at: Number(byId("step").value) });
const phaseOf = (m, at) => data.phases[m.phases[at]];
const offered = Object.keys(quantities).filter((name) => quantities[name].symbol), inTables = offered.filter((name) => quantities[name].head);
const phone = matchMedia("(max-width: 639px)"), dark = matchMedia("(prefers-color-scheme: dark)");

// the axis of steps is drawn in places of our own, so that step 0 fits on a logarithmic one
const logarithmic = () => long && byId("scale").value === "log";
const place = (step) => (logarithmic() ? Math.log10(step + 1) : step);
function stepAxis(numbers) {
  const axis = { title: { text: "step" }, zeroline: false };
  if (!logarithmic()) return numbers[numbers.length - 1] - numbers[0] <= 10 ? { ...axis, dtick: 1 } : axis;
  const nice = [0, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 1e7, 1e8].filter((s) => s >= numbers[0] && s <= numbers[numbers.length - 1]);
  const apart = nice.filter((s, i) => i === 0 || nice.length < 9 || !String(s).startsWith("3"));
  return { ...axis, tickvals: apart.map(place), ticktext: apart.map((s) => (s >= 1e4 ? s.toExponential(0).replace("e+", "e") : String(s))) };
}

// values, axis and hover of a quantity, drawn as the table of quantities says
const squeeze = (v) => (v === null ? null : Math.asinh(v / 2));
function scaled(q, values, bounds) {
  const there = values.concat(bounds || []).filter((v) => v !== null), far = Math.max(...there.map(Math.abs), 0);
  const title = { title: { text: sub(q.symbol) } };
  if (q.drawn === "log" && there.every((v) => v > 0)) return { map: (v) => v, axis: { ...title, type: "log", ...(there.length && Math.max(...there) < 30 * Math.min(...there) ? { dtick: "D2" } : {}) } };
  if (q.drawn !== "signed" || far <= 100) return { map: (v) => v, axis: title };
  const marks = [-10000, -1000, -100, -10, -2, 0, 2, 10, 100, 1000, 10000].filter((v) => Math.abs(v) <= 3 * far);
  return { map: squeeze, axis: { ...title, tickvals: marks.map(squeeze), ticktext: marks.map((v) => String(v).replace("-", "−")) } };
}

function chips() {
  for (const list of document.querySelectorAll(".chips")) {
    list.replaceChildren(...Object.keys(palette.phases).filter((p) => data.phases.includes(p)).map((p) => {
      const item = document.createElement("li"), square = document.createElement("i");
      square.style.background = palette.phases[p].colour;
      item.append(square, p);
      return item;
    }));
  }
}

// --- over steps

function edges() {
  const at = steps.map(place), span = Math.max(at[last] - at[0], 1);
  return [...at, at[last] + Math.max((at[last] - at[last - 1]) * 0.5, span * 0.03)];
}

function drawRibbon() {
  if (!long) return;
  const kind = byId("shown").value, { i: row, at } = chosen(), x = edges(), count = matrices.length;
  const height = count < 20 ? 24 : Math.max(4, 400 / count), every = Math.ceil(11 / height); // all of 60 matrices on one screen
  const label = (m, i) => (phone.matches ? String(i + 1) : plain(m.name.length > 34 ? "…" + m.name.slice(-33) : m.name));
  const common = { type: "heatmap", x, y: index, ygap: height > 12 ? 1 : 0 };
  const said = kind === "phase" ? inTables.slice(0, 3) : [kind]; // of tens of thousands of cells only one is told of
  const text = matrices.map((m) => steps.map((s, i) => plain(m.name) + "<br>step " + s + ": " + plain(phaseOf(m, i)) + said.map((name) => "<br>" + sub(quantities[name].symbol) + " " + number(quantities[name], m.series[name][i], 3)).join("")));
  let trace;
  if (kind === "phase") {
    const n = data.phases.length, scale = data.phases.flatMap((p, i) => [[i / n, palette.phases[p].colour], [(i + 1) / n, palette.phases[p].colour]]);
    trace = { z: matrices.map((m) => m.phases), zmin: -0.5, zmax: n - 0.5, colorscale: scale, showscale: false };
  } else {
    const q = quantities[kind], signed = q.drawn === "signed", there = matrices.flatMap((m) => m.series[kind]).filter((v) => v !== null).sort((a, b) => a - b);
    const quantile = (share) => there[Math.round(share * (there.length - 1))], far = Math.max(3, Math.min(30, -there[0], 30), Math.min(there[there.length - 1], 30));
    const log = q.drawn === "log" && there[0] > 0, map = (v) => (v === null || !log ? v : Math.log10(v));
    const range = signed ? [-far, far] : [map(quantile(0.01)), map(quantile(0.99))]; // one that exploded does not hide all others
    trace = { z: matrices.map((m) => m.series[kind].map(map)), zmin: range[0], zmax: range[1], colorscale: signed ? "RdBu" : "Cividis", colorbar: { title: { text: (log ? "log₁₀ " : "") + sub(q.symbol) }, thickness: 12 } };
  }
  document.querySelector(".chips").hidden = kind !== "phase";
  const box = { type: "rect", x0: x[at], x1: x[at + 1], y0: row - 0.5, y1: row + 0.5, line: { color: css("--ink"), width: 2.5 } };
  Plotly.react("ribbon", [{ ...common, ...trace, text, hovertemplate: "%{text}<extra></extra>" }], layout({
    height: Math.max(140, 75 + count * height), margin: { l: 30, r: 15, t: 10, b: 45 }, shapes: [box],
    xaxis: { ...stepAxis(steps), showgrid: false, range: [x[0], x[last + 1]] },
    yaxis: { autorange: "reversed", showgrid: false, zeroline: false, tickvals: index.filter((i) => i % every === 0), ticktext: matrices.map(label).filter((_, i) => i % every === 0), tickfont: { size: height > 18 ? 12 : 10 } },
  }), options);
}

function drawCurve(slot) {
  const name = byId("of-curve-" + slot).value, { m, at } = chosen(), ofTraining = data.of_training.find((one) => one.name === name);
  const q = ofTraining || quantities[name], numbers = ofTraining ? ofTraining.x : steps, values = ofTraining ? ofTraining.y : m.series[name];
  const band = (!ofTraining && m.nulls[name]) || null, spread = !ofTraining && q.error && m.series[q.error], ink = css("--ink"), shapes = [], notes = [];
  const { map, axis } = scaled(q, values, band), x = numbers.map(place), look = palette.series[slot];
  const trace = { type: "scatter", mode: numbers.length > 60 ? "lines" : "lines+markers", x, y: values.map(map), connectgaps: false, line: { color: look.colour, width: 2 }, marker: { size: 6, symbol: look.symbol },
    text: numbers.map((s, i) => "step " + s + (ofTraining ? "" : ": " + plain(phaseOf(m, i))) + "<br>" + sub(q.symbol) + " " + number(q, values[i])), hovertemplate: "%{text}<extra></extra>" };
  const traces = [trace];
  if (ofTraining && ofTraining.band) {
    const common = { type: "scatter", mode: "lines", x, hoverinfo: "skip", connectgaps: false, line: { width: 0 } };
    traces.push({ ...common, y: ofTraining.band[0].map(map) }, { ...common, y: ofTraining.band[2].map(map), fill: "tonexty", fillcolor: palette.band }, { ...common, y: ofTraining.band[1].map(map), line: { color: ink, dash: "dot", width: 1.2 } });
    const typical = ofTraining.band[1][numbers.length - 1];
    if (typical !== null) notes.push({ xref: "paper", x: 1, xanchor: "right", y: map(typical), yanchor: "bottom", text: q.chance + " " + show(typical, 3), showarrow: false, font: { size: 11 }, bgcolor: css("--paper"), opacity: 0.85 });
  }
  if (spread) trace.error_y = { type: "data", array: spread, thickness: 0.8, width: 0, color: look.colour };
  const across = { xref: "paper", x0: 0, x1: 1, layer: "below" };
  const grey = (low, high) => shapes.push({ ...across, type: "rect", y0: low, y1: high, fillcolor: palette.band, line: { width: 0 } });
  if (q.drawn === "signed") grey(map(-2), map(2));
  if (band) {
    grey(band[0], band[2]);
    shapes.push({ ...across, type: "line", y0: band[1], y1: band[1], line: { color: ink, dash: "dot", width: 1.2 } });
    notes.push({ xref: "paper", x: 1, xanchor: "right", y: axis.type === "log" ? Math.log10(band[1]) : band[1], yanchor: "bottom", text: q.chance + " " + show(band[1], 3), showarrow: false, font: { size: 11 }, bgcolor: css("--paper"), opacity: 0.85 });
  }
  shapes.push({ type: "line", x0: place(steps[at]), x1: place(steps[at]), yref: "paper", y0: 0, y1: 1, line: { color: ink, dash: "dash", width: 1 } });
  const span = x[x.length - 1] - x[0] || 1;
  Plotly.react("curve-" + slot, traces, layout({ showlegend: false, shapes, annotations: notes, height: 150, margin: { l: 55, r: 15, t: 8, b: 40 },
    xaxis: { ...stepAxis(numbers), range: [x[0] - 0.03 * span, x[x.length - 1] + 0.03 * span] }, yaxis: { ...axis, zeroline: false } }), options);
  byId("curve-" + slot).setAttribute("aria-label", q.text + ", over steps");
}

// --- over depth

const counted = (i) => i + 1; // as in the table and in the list

// a band of each matrix's own, as bars between its bounds; a typical value in their middle
function bands(name) {
  const bounds = matrices.map((m) => m.nulls[name]), of = index.filter((i) => bounds[i]), middle = [];
  if (!of.length) return [];
  for (const i of index) middle.push([i + 0.5, bounds[i] ? bounds[i][1] : null], [i + 1.5, bounds[i] ? bounds[i][1] : null]);
  return [{ type: "bar", x: of.map(counted), base: of.map((i) => bounds[i][0]), y: of.map((i) => bounds[i][2] - bounds[i][0]), width: 1, name: quantities[name].chance + ", ± 2 sd", marker: { color: palette.band, line: { width: 0 } }, hoverinfo: "skip" },
    { type: "scatter", mode: "lines", x: middle.map((p) => p[0]), y: middle.map((p) => p[1]), hoverinfo: "skip", connectgaps: false, line: { color: css("--dim"), width: 1, dash: "dot" }, name: quantities[name].chance + ", typical" }];
}

function drawDepth(slot) {
  const name = byId("of-depth-" + slot).value, q = quantities[name], { i, at } = chosen(), size = matrices.length > 120 ? 6 : 9;
  const values = matrices.map((m) => m.series[name][at]), { map, axis } = scaled(q, values);
  const traces = bands(name), shapes = [];
  for (const [phase, look] of Object.entries(palette.phases)) {
    const of = index.filter((k) => phaseOf(matrices[k], at) === phase && values[k] !== null);
    if (of.length) traces.push({ type: "scatter", mode: "markers", x: of.map(counted), y: of.map((k) => map(values[k])), name: phase, customdata: of,
      text: of.map((k) => plain(matrices[k].name) + "<br>" + sub(q.symbol) + " " + number(q, values[k])), hovertemplate: "%{text}<extra>" + plain(phase) + "</extra>",
      marker: { color: look.colour, symbol: look.symbol, size, line: { width: 0.8, color: css("--ink") } } });
  }
  shapes.push({ type: "line", x0: counted(i), x1: counted(i), yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), dash: "dot", width: 1 } });
  if (q.drawn === "signed") shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: map(-2), y1: map(2), fillcolor: palette.band, line: { width: 0 }, layer: "below" });
  Plotly.react("depth-" + slot, traces, layout({ xaxis: { title: { text: "matrix, in the order of definition" }, range: [0.5, matrices.length + 0.5], zeroline: false, ...(matrices.length <= 10 ? { dtick: 1 } : {}) }, yaxis: axis, shapes, hovermode: "closest",
    height: 290, margin: { l: 55, r: 15, t: 8, b: 45 }, legend: { orientation: "h", y: -0.32, yanchor: "top", font: { size: 11 } } }), options);
  byId("depth-" + slot).setAttribute("aria-label", q.text + ", of each matrix over depth; the table below holds the numbers");
}

// --- one spectrum

// share of the Marchenko–Pastur law below λ, in closed form
function lawBelow(law, value) {
  const b = Math.min(law.h, law.d), big = Math.max(law.h, law.d);
  const low = law.variance * (Math.sqrt(big) - Math.sqrt(b)) ** 2, high = law.variance * (Math.sqrt(big) + Math.sqrt(b)) ** 2;
  const centre = (high + low) / 2, radius = (high - low) / 2, mean = Math.sqrt(high * low);
  const theta = Math.acos(Math.max(-1, Math.min(1, (centre - value) / radius)));
  const angle = Math.atan2(Math.sqrt(high) * Math.sin(theta / 2), Math.sqrt(low) * Math.cos(theta / 2));
  return (centre * theta + radius * Math.sin(theta) - 2 * mean * angle) / (2 * Math.PI * b * law.variance);
}

// Variance of the number of eigenvalues where `expected` lie (Mehta, Random Matrices, §16.1): they repel each other.
function numberVariance(expected) {
  return expected < 0.5 ? expected : Math.max(0.44, (2 / Math.PI ** 2) * (Math.log(2 * Math.PI * expected) + 1.5772 - Math.PI ** 2 / 8));
}

function gaussianBand(law, slices, n, linear, low, high, bins) {
  const width = (high - low) / bins, x = [], under = [], over = [], unit = n * width;
  const share = (at) => lawBelow(law, linear ? at : 10 ** at);
  for (let i = 0; i < bins; i++) {
    const expected = n * (share(low + (i + 1) * width) - share(low + i * width));
    if (expected < 1e-3) continue;
    const spread = 2 * Math.sqrt(slices * numberVariance(expected / slices));
    x.push(low + (i + 0.5) * width);
    under.push(Math.max(expected - spread, 0) / unit);
    over.push((expected + spread) / unit);
  }
  return { x, under, over };
}

function nearest(at) {
  return data.shown.reduce((best, s, slot) => (Math.abs(s - at) < Math.abs(data.shown[best] - at) ? slot : best), 0);
}

function nothingDrawn(title, why) {
  Plotly.react("spectrum", [], layout({ title, annotations: [{ text: why, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }], xaxis: { visible: false }, yaxis: { visible: false } }), options);
}

function drawSpectrum() {
  const { m, at } = chosen(), linear = byId("axis").value === "linear", slot = data.shown.length ? nearest(at) : -1;
  const here = slot >= 0 ? data.shown[slot] : at, title = { text: plain(m.name) + (long ? ", step " + steps[here] : "") };
  if (slot < 0 || !m.spectra[slot]) return nothingDrawn(title, slot < 0 ? "spectra were not kept" : "no spectrum: " + plain(m.notes[here] || "no positive eigenvalue"));
  const s = (name) => (m.series[name] ? m.series[name][here] : null), now = unpack(m.spectra[slot]), first = slot > 0 && m.spectra[0] ? unpack(m.spectra[0]) : null;
  const top = (p) => p.values[p.values.length - 1], both = first ? [first, now] : [now], bins = Math.min(90, Math.max(12, Math.round(2.5 * Math.sqrt(now.n))));
  const edge = s("bulk_edge"), law = edge > 0 ? { h: m.rows, d: m.cols, variance: edge / (Math.sqrt(m.rows) + Math.sqrt(m.cols)) ** 2 } : null;
  const ends = Math.abs(Math.sqrt(m.rows) - Math.sqrt(m.cols)) / (Math.sqrt(m.rows) + Math.sqrt(m.cols)), most = Math.max(...both.map(top));
  const foot = law ? Math.log10(edge) + 2 * Math.log10(Math.max(ends, 1e-3)) : most; // the law's lower edge, or far enough towards zero
  const least = Math.max(Math.min(...both.map((p) => p.values[0]), foot), most - 10); // what lies below is zero to rounding
  const reach = Math.max(edge || 0, ...now.values.slice(0, Math.max(now.values.length - now.top, Math.ceil(now.values.length / 2))).map((v) => 10 ** v));
  const low = linear ? 0 : least - 0.02, high = linear ? 1.03 * Math.min(10 ** most, 2.5 * reach) : Math.max(most, law ? Math.log10(edge) : most) + 0.03;
  const traces = [], shapes = [], notes = [], width = (high - low) / bins;
  if (law) {
    const { x, under, over } = gaussianBand(law, m.slices, now.n, linear, low, high, bins), line = { type: "scatter", mode: "lines", x, hoverinfo: "skip", line: { width: 0 } };
    const floor = 0.2 / (now.n * width);
    traces.push({ ...line, y: linear ? under : under.map((v) => Math.max(v, floor)), showlegend: false }, { ...line, y: over, fill: "tonexty", fillcolor: palette.band, name: "95 % of Gaussian matrices" });
  }
  const bars = (first ? [[first, "step " + steps[data.shown[0]], palette.first]] : []).concat([[now, long ? "step " + steps[here] : "eigenvalues", palette.now]]);
  const heights = bars.map(([p, name, color]) => {
    const { centres, heights: y } = density(p, linear, low, high, bins);
    traces.push({ type: "bar", x: centres, y, width, name, marker: { color, line: { width: 0 } }, opacity: 0.6, hovertemplate: "%{x:.4g}: %{y:.3g}<extra></extra>" });
    return y;
  }).flat().filter((v) => v > 0);
  const base = Math.min(...heights), height = Math.max(...heights), position = (value) => (linear ? value : Math.log10(value));
  if (law) {
    const curve = marchenkoPastur(law, linear), visible = s("visible_edge"), x = position(visible);
    traces.push({ type: "scatter", mode: "lines", x: curve.x, y: curve.y, name: "Marchenko–Pastur, fitted", line: { color: css("--ink"), width: 1.5 }, hoverinfo: "skip" });
    if (visible > 0) shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), dash: "dot", width: 1 } });
    if (visible > 0) notes.push({ x, y: 1, yref: "paper", text: "visible edge" + (m.taken_out[here] ? ",<br>" + m.taken_out[here] + " taken out" : ""), showarrow: false, xanchor: x > (low + high) / 2 ? "right" : "left", yanchor: "top", font: { size: 11 } });
  }
  const alpha = s("pl_alpha_ks"), xmin = s("ks_xmin"), tail = s("tail_size");
  if (alpha !== null && xmin > 0 && tail) {
    const x = [], y = [], start = Math.log10(xmin);
    for (let i = 0; i <= 60; i++) {
      const value = 10 ** (start + ((top(now) - start) * i) / 60), share = ((tail / now.n) * (alpha - 1)) / xmin * (value / xmin) ** -alpha;
      if (linear && value > high) break;
      x.push(position(value));
      y.push(linear ? share : share * value * Math.LN10);
    }
    traces.push({ type: "scatter", mode: "lines", x, y, name: "power law, α = " + show(alpha, 3) + " (" + tail + " eigenvalues)", line: { color: palette.tail, dash: "dash", width: 2.5 } });
  }
  const spikes = largest(now, s("n_spikes")).map((v) => (linear ? 10 ** v : v)), inside = spikes.filter((v) => v <= high), beyond = spikes.length - inside.length;
  if (inside.length) traces.push({ type: "scatter", mode: "markers", x: inside, y: inside.map(() => (linear ? 0 : base * 0.6)), name: "spikes", marker: { symbol: "line-ns", size: 9, line: { width: 2, color: palette.marked } } });
  if (beyond) title.text += " – " + beyond + (beyond > 1 ? " spikes lie" : " spike lies") + " beyond the right edge";
  Plotly.react("spectrum", traces, layout({
    title, shapes, annotations: notes, barmode: "overlay", height: 480, legend: { orientation: phone.matches ? "v" : "h", x: 0, y: -0.2, yanchor: "top" },
    xaxis: { title: { text: linear ? "λ, squared units of the weights" : "log₁₀ λ, λ in squared units of the weights" }, range: [low, high] },
    yaxis: { title: { text: linear ? "density per unit of λ" : "density per decade" }, ...(linear ? { range: [0, height * 1.2] } : { type: "log", dtick: 1, exponentformat: "power", range: [Math.log10(base * 0.4), Math.log10(height * 2)] }) },
  }), options);
  byId("spectrum").setAttribute("aria-label", "Spectrum of " + m.name + ": " + byId("state").textContent);
}

// --- choosing

function tell() {
  const { m, at } = chosen(), numbers = inTables.map((name) => {
    const null_ = m.nulls[name];
    return quantities[name].symbol + " " + number(quantities[name], m.series[name][at], 3) + (null_ ? " (" + quantities[name].chance + " " + show(null_[1], 3) + ")" : "");
  });
  const shape = m.kind + " " + m.rows + "×" + m.cols + (m.slices > 1 ? ", " + m.slices + " slices pooled" : "");
  byId("state").textContent = [...(long ? ["step " + steps[at] + ": " + phaseOf(m, at)] : [phaseOf(m, at)]), shape, ...numbers].join(" · ") + (m.notes[at] ? " · note: " + m.notes[at] : "");
  byId("step-shown").textContent = "step " + steps[at];
  byId("step").setAttribute("aria-valuetext", "step " + steps[at] + ", " + phaseOf(m, at));
}

// --- addresses and files

// matrix and step are in the address: it can be kept, sent, and loaded anew; the last step is not, so that it stays the last
function keepAddress() {
  const { m, at } = chosen(), words = new URLSearchParams({ matrix: m.name, ...(at < last ? { step: steps[at] } : {}) });
  history.replaceState(null, "", "#" + words);
}

function fromAddress() {
  const words = new URLSearchParams(location.hash.slice(1)), i = matrices.findIndex((m) => m.name === words.get("matrix"));
  const at = words.has("step") ? steps.indexOf(Number(words.get("step"))) : last;
  if (i >= 0) go(i, at < 0 ? last : at);
  return i >= 0;
}

function save(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// a cell of a spreadsheet: quoted where it must be, and never a formula
const cell = (value) => { const text = String(value ?? ""), safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text; return /[",\n\r]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe; };

function asTable() {
  const names = Object.keys(quantities), lines = [["matrix", "kind", "rows", "cols", "step", "phase", ...names, "note"]];
  for (const m of matrices) steps.forEach((step, at) => lines.push([m.name, m.kind, m.rows, m.cols, step, phaseOf(m, at), ...names.map((name) => m.series[name][at]), m.notes[at]]));
  return lines.map((line) => line.map(cell).join(",") + "\n");
}

async function savePicture(format) {
  const { m, at } = chosen(), url = await Plotly.toImage("spectrum", { format, width: 900, height: 600, scale: format === "png" ? 2 : 1 });
  const name = m.name.replace(/[^\w.-]+/g, "_").slice(0, 80) + (long ? "-step-" + steps[at] : "") + "." + format;
  const body = url.slice(url.indexOf(",") + 1);
  save(name, [format === "svg" ? decodeURIComponent(body) : bytes(body)], format === "svg" ? "image/svg+xml" : "image/png");
}

function redraw() {
  if (byId("matrix").value === "") return;
  tell();
  keepAddress();
  drawSpectrum();
  drawRibbon();
  if (long) CURVES.forEach(drawCurve);
  if (several) DEPTH.forEach(drawDepth);
  for (const row of byId("rows").tBodies[0].rows) row.setAttribute("aria-selected", row.dataset.index === byId("matrix").value);
}

function list() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean), kept = byId("matrix").value;
  const matching = index.filter((i) => words.every((w) => (matrices[i].name + " " + matrices[i].kind + " " + phaseOf(matrices[i], last)).toLowerCase().includes(w)));
  byId("matrix").replaceChildren(...matching.map((i) => new Option(i + 1 + ": " + matrices[i].name, i)));
  if (kept !== "" && matching.includes(Number(kept))) byId("matrix").value = kept;
  const visible = new Set(matching.map(String));
  for (const row of byId("rows").tBodies[0].rows) row.hidden = !visible.has(row.dataset.index);
  byId("count").textContent = matching.length + " of " + matrices.length + " matrices";
  redraw();
}

function go(i, at) {
  byId("filter").value = "";
  if (at !== undefined) byId("step").value = at;
  byId("matrix").replaceChildren(new Option("", i));
  list();
}

function offer(id, names, value) {
  const option = (name, q) => new Option(q.symbol + " – " + q.text, name);
  byId(id).replaceChildren(...names.map((name) => option(name, quantities[name])), ...(id.startsWith("of-curve") ? data.of_training.map((one) => option(one.name, one)) : []));
  if (value) byId(id).value = value;
}

function start() {
  chips();
  byId("step").max = last;
  byId("step").value = last;
  if (several) DEPTH.forEach((slot) => offer("of-depth-" + slot, offered, inTables[slot] || offered[0]));
  if (long) {
    const signs = offered.filter((name) => quantities[name].drawn === "signed");
    byId("shown").replaceChildren(new Option("phase", "phase"), ...[...signs, ...offered.filter((name) => !signs.includes(name))].map((name) => new Option(quantities[name].symbol + " – " + quantities[name].text, name)));
    const losses = data.of_training.filter((one) => one.head).map((one) => one.name), curves = [...inTables.filter((name) => quantities[name].drawn !== "signed" && !quantities[name].integer).slice(0, losses.length ? 2 : 3), ...losses];
    CURVES.forEach((slot) => offer("of-curve-" + slot, offered, curves[slot] || offered[0]));
    // even steps on a linear axis, others on a logarithmic one
    const gaps = steps.slice(1).map((s, i) => s - steps[i]);
    byId("scale").value = gaps.length > 2 && Math.max(...gaps) > 4 * Math.min(...gaps) ? "log" : "linear";
  }
  // the matrix that moved most is the first to look at
  const moved = matrices.map((m) => m.phases.slice(1).filter((p, i) => p !== m.phases[i]).length);
  if (!fromAddress()) go(moved.indexOf(Math.max(...moved)));
  addEventListener("hashchange", fromAddress);
  byId("save-csv").addEventListener("click", () => save("spectail.csv", asTable(), "text/csv"));
  for (const format of ["png", "svg"]) byId("save-" + format).addEventListener("click", () => savePicture(format));
  byId("filter").addEventListener("input", list);
  for (const id of ["matrix", "step", "axis", "shown", "scale"]) if (byId(id)) byId(id).addEventListener("input", redraw);
  for (const [draw, id, slots] of [[drawDepth, "of-depth-", DEPTH], [drawCurve, "of-curve-", CURVES]]) for (const slot of slots) if (byId(id + slot)) byId(id + slot).addEventListener("input", () => draw(slot));
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    byId(id).addEventListener("click", () => {
      const list_ = byId("matrix"), count = list_.options.length;
      if (count) list_.selectedIndex = (list_.selectedIndex + by + count) % count;
      redraw();
    });
  }
  for (const button of document.querySelectorAll("button[data-matrix]")) button.addEventListener("click", () => { go(button.dataset.matrix, button.dataset.at); byId("one-matrix").scrollIntoView(); });
  if (several) for (const slot of DEPTH) byId("depth-" + slot).on("plotly_click", (event) => event.points[0].customdata !== undefined && go(event.points[0].customdata));
  if (long) byId("ribbon").on("plotly_click", (event) => go(...(event.points[0].pointIndex || event.points[0].pointNumber)));
  for (const media of [dark, phone]) media.addEventListener("change", redraw);
  sortable(byId("rows"));
  document.documentElement.dataset.ready = "yes";
}
requestAnimationFrame(() => setTimeout(start, 0));
