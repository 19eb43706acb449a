
// One training run: phases of all layers over steps, and the spectrum of the one that is chosen. Text from files is text only.
const data = JSON.parse(byId("data").textContent);
const steps = data.steps, last = steps.length - 1;
// the chips and the hover say in words what they mean
const COLOURS = Object.fromEntries(Object.entries(palette.phases).map(([phase, look]) => [phase, look.colour]));
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly reads tags in labels
const logarithmic = () => byId("scale").value === "log";
const place = (step) => (logarithmic() ? Math.log10(step + 1) : step);
const chosen = () => ({ layer: Number(byId("layer").value), at: Number(byId("step").value) });
const narrow = () => innerWidth < 640;

// ticks of the axis of steps, which is drawn in places of our own so that step 0 fits on a logarithmic one
function stepAxis() {
  const axis = { title: { text: "step" }, zeroline: false };
  if (!logarithmic()) return axis;
  const nice = [0, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 1e7, 1e8].filter((s) => s >= steps[0] && s <= steps[last]);
  const apart = nice.filter((s, i) => i === 0 || nice.length < 9 || !String(s).startsWith("3"));
  return { ...axis, tickvals: apart.map(place), ticktext: apart.map((s) => (s >= 1e4 ? s.toExponential(0).replace("e+", "e") : String(s))) };
}

function edges() {
  const at = steps.map(place), span = Math.max(at[last] - at[0], 1);
  return [...at, at[last] + (last ? Math.max((at[last] - at[last - 1]) * 0.5, span * 0.03) : 1)];
}

function drawRibbon() {
  const kind = byId("shown").value, { layer, at } = chosen(), x = edges(), count = data.layers.length;
  const row = count < 20 ? 24 : Math.max(7, 440 / count), every = Math.ceil(11 / row); // all of 60 layers on one screen
  const label = (l, i) => (narrow() ? String(i + 1) : plain(l.name.length > 34 ? "…" + l.name.slice(-33) : l.name));
  const common = { type: "heatmap", x, y: data.layers.map((_, i) => i), ygap: row > 12 ? 1 : 0 };
  const text = data.layers.map((l) => steps.map((s, i) => plain(l.name) + "<br>step " + s + ": " + plain(data.phases[l.phases[i]]) +
    "<br>Hill " + show(l.series.pl_alpha_hill[i], 3) + " (z " + show(l.series.z_hill[i], 2) + "), KS " + show(l.series.pl_alpha_ks[i], 3) + " (z " + show(l.series.z_ks[i], 2) + ")"));
  let trace;
  if (kind === "phase") {
    const n = data.phases.length;
    const scale = data.phases.flatMap((p, i) => [[i / n, COLOURS[p]], [(i + 1) / n, COLOURS[p]]]);
    trace = { z: data.layers.map((l) => l.phases), zmin: -0.5, zmax: n - 0.5, colorscale: scale, showscale: false };
  } else {
    const z = data.layers.map((l) => l.series[kind]), far = Math.max(3, ...z.flat().map((v) => Math.min(Math.abs(v || 0), 30)));
    trace = { z, zmin: -far, zmax: far, colorscale: "RdBu", colorbar: { title: { text: "z" }, thickness: 12 } };
  }
  byId("chips").hidden = kind !== "phase";
  const box = { type: "rect", x0: x[at], x1: x[at + 1], y0: layer - 0.5, y1: layer + 0.5, line: { color: css("--ink"), width: 2.5 } };
  Plotly.react("ribbon", [{ ...common, ...trace, text, hovertemplate: "%{text}<extra></extra>" }], layout({
    height: Math.max(150, 75 + count * row), margin: { l: 30, r: 15, t: 10, b: 45 }, shapes: [box],
    xaxis: { ...stepAxis(), showgrid: false, range: [x[0], x[last + 1]] },
    yaxis: { autorange: "reversed", showgrid: false, zeroline: false, tickvals: common.y.filter((i) => i % every === 0), ticktext: data.layers.map(label).filter((_, i) => i % every === 0), tickfont: { size: row > 18 ? 12 : 10 } },
  }), options);
}

function nearest(at) {
  let best = 0;
  data.shown.forEach((s, i) => { if (Math.abs(s - at) < Math.abs(data.shown[best] - at)) best = i; });
  return best;
}

function drawSpectrum() {
  const { layer, at } = chosen(), l = data.layers[layer], linear = byId("axis").value === "linear";
  const slot = data.shown.length ? nearest(at) : -1, packed = slot >= 0 ? l.spectra[slot] : null;
  const here = slot >= 0 ? data.shown[slot] : at, title = { text: "spectrum of WᵀW, step " + steps[here] };
  if (!packed) {
    const why = data.shown.length ? plain(l.notes[here] || "no positive eigenvalue") : "the file has no spectra";
    Plotly.react("esd", [], layout({ title, annotations: [{ text: why, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
      xaxis: { visible: false }, yaxis: { visible: false } }), options);
    return;
  }
  const now = unpack(packed), first = here !== data.shown[0] && l.spectra[0] ? unpack(l.spectra[0]) : null;
  const top = (p) => p.values[p.values.length - 1], edge = l.series.bulk_edge[here];
  const both = first ? [first, now] : [now];
  const far = Math.max(...now.values.slice(0, Math.max(now.values.length - now.top, Math.ceil(now.values.length / 2))).map((v) => 10 ** v), edge || 0);
  const most = Math.max(...both.map(top)), span = most - Math.min(...both.map((p) => p.values[0]));
  const low = linear ? 0 : Math.min(...both.map((p) => p.values[0])) - 0.02 * span;
  const high = linear ? 1.04 * Math.min(far * 1.5, 10 ** most) : most + 0.02 * span + 1e-9;
  const bins = Math.max(15, Math.min(80, Math.round(2.5 * Math.sqrt(now.n)))), traces = [];
  const named = first ? [[first, "step " + steps[data.shown[0]], palette.first]] : [];
  for (const [p, name, colour] of [...named, [now, "step " + steps[here], palette.now]]) {
    const { centres, heights, width } = density(p, linear, low, high, bins);
    traces.push({ type: "bar", x: centres, y: heights, width, name, marker: { color: colour, line: { width: 0 } }, opacity: 0.6 });
  }
  const bars = traces[traces.length - 1].y.filter((v) => v > 0), floor = Math.min(...bars), height = Math.max(...traces.flatMap((t) => t.y));
  if (edge > 0) {
    const variance = edge / (Math.sqrt(l.rows) + Math.sqrt(l.cols)) ** 2;
    const law = marchenkoPastur({ h: l.rows, d: l.cols, variance }, linear);
    traces.push({ type: "scatter", mode: "lines", x: law.x, y: law.y, name: "Marchenko–Pastur", line: { color: css("--ink"), width: 1.5 } });
    const past = largest(now, l.series.n_spikes[here]).map((v) => (linear ? 10 ** v : v)).filter((v) => v <= high);
    if (past.length) traces.push({ type: "scatter", mode: "markers", x: past, y: past.map(() => (linear ? 0 : floor * 0.7)), name: "λ past the edge", marker: { symbol: "line-ns-open", size: 10, color: palette.marked } });
  }
  const alpha = l.series.pl_alpha_ks[here], xmin = l.series.ks_xmin[here], share = l.series.tail_size[here] / now.n;
  if (alpha !== null && xmin > 0) {
    const x = [], y = [], start = Math.log10(xmin);
    for (let i = 0; i <= 60; i++) {
      const log = start + ((top(now) - start) * i) / 60, value = 10 ** log, tail = ((share * (alpha - 1)) / xmin) * (value / xmin) ** -alpha;
      if (linear && value > high) break;
      x.push(linear ? value : log);
      y.push(linear ? tail : tail * value * Math.LN10);
    }
    traces.push({ type: "scatter", mode: "lines", x, y, name: "power law, α = " + show(alpha, 3), line: { color: palette.tail, dash: "dash", width: 2.5 } });
  }
  Plotly.react("esd", traces, layout({
    title, barmode: "overlay", legend: { orientation: "h", y: -0.27, yanchor: "top" },
    xaxis: { title: { text: linear ? "λ" : "log₁₀ λ" }, range: [low, high] },
    yaxis: linear ? { title: { text: "density" }, range: [0, height * 1.25] }
      : { title: { text: "density" }, type: "log", dtick: 1, exponentformat: "power", range: [Math.log10(floor * 0.55), Math.log10(height * 1.6)] },
  }), options);
}

function drawCurves() {
  const { layer, at } = chosen(), l = data.layers[layer], x = steps.map(place), ink = css("--ink"), grid = css("--line"), shapes = [], notes = [];
  const mode = steps.length > 60 ? "lines" : "lines+markers", axis = { gridcolor: grid, automargin: true, zeroline: false };
  const trace = (key, name, colour, yaxis, extra) => ({ type: "scatter", mode, x, y: l.series[key], name, yaxis, connectgaps: false, line: { color: colour, width: 2 }, marker: { size: 5 },
    text: steps.map((s, i) => "step " + s + ": " + plain(data.phases[l.phases[i]])), hovertemplate: "%{text}<br>" + name + " %{y:.4g}<extra></extra>", ...extra });
  const bars = { error_y: { type: "data", array: l.series.alpha_stderr, thickness: 0.8, width: 0, color: palette.series[4].colour } };
  const traces = [trace("pl_alpha_hill", "Hill α", palette.series[0].colour, "y"), trace("pl_alpha_ks", "KS α", palette.series[4].colour, "y2", bars), trace("spectral_gap", "λ₁/λ₊", palette.series[2].colour, "y3")];
  for (const [which, yref] of [["hill", "y"], ["ks", "y2"]]) {
    const null_ = l.nulls[which];
    if (!null_) continue;
    shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, yref, y0: null_[1], y1: null_[2], fillcolor: palette.band, line: { width: 0 }, layer: "below" });
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref, y0: null_[0], y1: null_[0], line: { color: ink, dash: "dot", width: 1.2 }, layer: "below" });
    notes.push({ xref: "paper", x: 1, xanchor: "right", yref, y: null_[0], yanchor: "bottom", text: "untrained " + show(null_[0], 3), showarrow: false, font: { size: 11 }, bgcolor: css("--paper"), opacity: 0.85 });
  }
  shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y3", y0: 1, y1: 1, line: { color: ink, dash: "dot", width: 1.2 }, layer: "below" });
  shapes.push({ type: "line", x0: x[at], x1: x[at], yref: "paper", y0: 0, y1: 1, line: { color: ink, dash: "dash", width: 1 } });
  const range = (key, null_, spread) => {
    const values = l.series[key].flatMap((v, i) => (v === null ? [] : [v + (spread ? spread[i] || 0 : 0), v - (spread ? spread[i] || 0 : 0)])).concat(null_ ? null_.slice(1) : []);
    const low = Math.min(...values), high = Math.max(...values), pad = 0.06 * (high - low) || 0.1;
    return values.length ? [low - pad, high + pad] : [1, 5];
  };
  const gaps = l.series.spectral_gap.filter((v) => v !== null && v > 0).concat([1]), wide = Math.max(...gaps) > 8;
  const span = x[last] - x[0] || 1;
  Plotly.react("curves", traces, layout({
    title: { text: "over steps" }, showlegend: false, shapes, annotations: notes,
    xaxis: { ...stepAxis(), gridcolor: grid, anchor: "y3", range: [x[0] - 0.03 * span, x[last] + 0.03 * span] },
    yaxis: { ...axis, domain: [0.68, 1], title: { text: "Hill α" }, range: range("pl_alpha_hill", l.nulls.hill) },
    yaxis2: { ...axis, domain: [0.34, 0.64], title: { text: "KS α" }, range: range("pl_alpha_ks", l.nulls.ks, l.series.alpha_stderr) },
    yaxis3: { ...axis, domain: [0, 0.3], title: { text: "λ₁/λ₊" }, ...(wide ? { type: "log", dtick: 1 } : {}) },
  }), options);
}

function redraw() {
  const { layer, at } = chosen(), l = data.layers[layer], s = l.series;
  drawRibbon();
  drawSpectrum();
  drawCurves();
  byId("step-shown").textContent = "step " + steps[at];
  byId("step").setAttribute("aria-valuetext", "step " + steps[at] + ", " + data.phases[l.phases[at]]);
  const signed = (z) => show(z, 3).replace("-", "−");
  byId("state").textContent = "step " + steps[at] + ": " + data.phases[l.phases[at]] + " · Hill " + show(s.pl_alpha_hill[at]) + " (z " + signed(s.z_hill[at]) + ") · KS " +
    show(s.pl_alpha_ks[at]) + " (" + (s.tail_size[at] === null ? 0 : s.tail_size[at]) + " in the tail, z " + signed(s.z_ks[at]) + ") · λ₁/λ₊ " + show(s.spectral_gap[at]) +
    " · stable rank " + show(s.stable_rank[at], 3) + (l.notes[at] ? " · " + l.notes[at] : "");
}

function go(layer, at) {
  if (layer !== null) byId("layer").value = layer;
  if (at !== null) byId("step").value = at;
  redraw();
}

function start() {
  byId("layer").replaceChildren(...data.layers.map((l, i) => new Option(i + 1 + ". " + l.name + " (" + l.rows + " × " + l.cols + (l.slices > 1 ? " × " + l.slices : "") + ")", i)));
  byId("step").max = last;
  byId("step").value = last;
  byId("chips").replaceChildren(...Object.keys(COLOURS).filter((p) => data.phases.includes(p)).map((p) => {
    const item = document.createElement("li"), square = document.createElement("i");
    square.style.background = COLOURS[p];
    item.append(square, p);
    return item;
  }));
  // even steps on a linear axis, others on a logarithmic one
  const gaps = steps.slice(1).map((s, i) => s - steps[i]);
  byId("scale").value = gaps.length > 2 && Math.max(...gaps) > 4 * Math.min(...gaps) ? "log" : "linear";
  // the layer that moved most is the first to look at
  const moved = data.layers.map((l) => l.phases.slice(1).filter((p, i) => p !== l.phases[i]).length);
  byId("layer").value = moved.indexOf(Math.max(...moved));
  for (const id of ["step", "axis", "layer", "shown", "scale"]) byId(id).addEventListener("input", redraw);
  for (const button of document.querySelectorAll("#events button, #layers td button")) {
    button.addEventListener("click", () => {
      go(button.dataset.layer, button.dataset.at === undefined ? null : button.dataset.at);
      byId("layer-section").scrollIntoView();
    });
  }
  sortable(byId("layers"));
  redraw();
  byId("ribbon").on("plotly_click", (event) => {
    const [layer, at] = event.points[0].pointIndex || event.points[0].pointNumber;
    go(layer, at);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", drawRibbon);
  document.documentElement.dataset.ready = "yes";
}
requestAnimationFrame(() => setTimeout(start, 0));
