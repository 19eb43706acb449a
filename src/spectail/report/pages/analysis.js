
// Matrices over depth, and the spectrum of the one that is chosen. Text from files reaches the page as text only.
const matrices = JSON.parse(byId("data").textContent);
const BLUE = palette.now, ORANGE = palette.marked, BAND = palette.band;
const PHASES = palette.phases;
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly reads tags in labels
const index = matrices.map((_, i) => i);

// a band of each matrix's own, as bars between its bounds; a typical value in their middle
function band(bounds) {
  const of = index.filter((i) => bounds[i]), middle = [];
  for (const i of index) middle.push([i - 0.5, bounds[i] ? bounds[i][2] : null], [i + 0.5, bounds[i] ? bounds[i][2] : null]);
  return [{ type: "bar", x: of, base: of.map((i) => bounds[i][0]), y: of.map((i) => bounds[i][1] - bounds[i][0]), width: 1, name: "untrained, ± 2 sd",
      marker: { color: BAND, line: { width: 0 } }, hoverinfo: "skip" },
    { type: "scatter", mode: "lines", x: middle.map((p) => p[0]), y: middle.map((p) => p[1]), hoverinfo: "skip", connectgaps: false,
      line: { color: css("--dim"), width: 1, dash: "dot" }, name: "untrained, typical" }];
}

function points(key, colours) {
  return Object.keys(PHASES).map((phase) => {
    const of = index.filter((i) => matrices[i].phase === phase && matrices[i][key] !== null);
    return { type: "scatter", mode: "markers", x: of, y: of.map((i) => matrices[i][key]), name: phase, customdata: of,
      text: of.map((i) => plain(matrices[i].name)), hovertemplate: "%{text}<br>%{y:.4g}<extra>" + plain(phase) + "</extra>",
      marker: { color: PHASES[phase].colour, symbol: PHASES[phase].symbol, size: colours, line: { width: 0.5, color: css("--ink") } } };
  }).filter((trace) => trace.x.length);
}

const depth = { title: { text: "matrix, in the order of definition" }, range: [-0.5, matrices.length - 0.5] };
function overview(id, title, yaxis, traces, extra) {
  const at = Number(byId("matrix").value);
  const mark = { type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), dash: "dot", width: 1 } };
  Plotly.react(id, traces, layout({ title: { text: title }, xaxis: depth, yaxis, shapes: [mark, ...(extra || [])], hovermode: "closest", legend: { orientation: "h", y: -0.32, yanchor: "top", font: { size: 11 } } }), options);
}

function drawOverview() {
  const size = matrices.length > 120 ? 6 : 9;
  overview("hill", "α, Hill", { title: { text: "α Hill" }, type: "log" }, [...band(matrices.map((m) => m.null.hill)), ...points("pl_alpha_hill", size)]);
  overview("ks", "α, KS fit", { title: { text: "α KS" }, type: "log" }, [...band(matrices.map((m) => m.null.ks)), ...points("pl_alpha_ks", size)]);
  const scores = [["z_hill", "Hill", BLUE, "circle"], ["z_ks", "KS", ORANGE, "diamond"]].map(([key, name, color, symbol]) => ({
    type: "scatter", mode: "markers", x: index, y: matrices.map((m) => m[key]), customdata: index, name, marker: { color, symbol, size },
    text: matrices.map((m) => plain(m.name)), hovertemplate: "%{text}<br>z = %{y:.3g}<extra>" + name + "</extra>" }));
  const quiet = { type: "rect", xref: "paper", x0: 0, x1: 1, y0: -2, y1: 2, fillcolor: BAND, line: { width: 0 }, layer: "below" };
  const far = Math.max(...scores.flatMap((s) => s.y.map((v) => Math.abs(v))), 0);
  overview("z", "z: distance from an untrained matrix", { title: { text: far > 100 ? "z (signed log scale)" : "z" }, zeroline: true }, far > 100 ? scores.map(squeezed) : scores, [far > 100 ? { ...quiet, y0: -squeeze(2), y1: squeeze(2) } : quiet]);
  if (far > 100) {
    const marks = [-10000, -1000, -100, -10, -2, 0, 2, 10, 100, 1000, 10000].filter((v) => Math.abs(v) <= 3 * far);
    Plotly.relayout("z", { "yaxis.tickvals": marks.map(squeeze), "yaxis.ticktext": marks.map((v) => String(v).replace("-", "−")) });
  }
  overview("ranks", "stable rank ‖W‖²_F / ‖W‖²₂", { title: { text: "stable rank" }, type: "log" }, points("stable_rank", size));
}
const squeeze = (v) => (v === null ? null : Math.asinh(v / 2));
const squeezed = (trace) => ({ ...trace, y: trace.y.map(squeeze), meta: trace.name, text: trace.text.map((t, i) => t + "<br>z = " + show(trace.y[i], 3)), hovertemplate: "%{text}<extra>" + trace.name + "</extra>" });

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

function gaussianBand(m, linear, low, high, bins) {
  const width = (high - low) / bins, x = [], under = [], over = [], n = m.spectrum.n;
  const share = (at) => lawBelow(m.law, linear ? at : 10 ** at);
  for (let i = 0; i < bins; i++) {
    const expected = n * (share(low + (i + 1) * width) - share(low + i * width));
    if (expected < 1e-3) continue;
    const spread = 2 * Math.sqrt(m.slices * numberVariance(expected / m.slices)), unit = n * width;
    x.push(low + (i + 0.5) * width);
    under.push(Math.max(expected - spread, 0) / unit);
    over.push((expected + spread) / unit);
  }
  return { x, under, over };
}

function powerLaw(m, top, linear, high) {
  const x = [], y = [], share = m.tail_size / m.spectrum.n, start = Math.log10(m.ks_xmin);
  for (let i = 0; i <= 60; i++) {
    const value = 10 ** (start + ((top - start) * i) / 60);
    if (linear && value > high) break;
    const here = ((share * (m.pl_alpha_ks - 1)) / m.ks_xmin) * (value / m.ks_xmin) ** -m.pl_alpha_ks;
    x.push(linear ? value : Math.log10(value));
    y.push(linear ? here : here * value * Math.LN10);
  }
  return { type: "scatter", mode: "lines", x, y, name: "power law, α = " + show(m.pl_alpha_ks, 3) + " (" + m.tail_size + " eigenvalues)", line: { color: palette.tail, dash: "dash", width: 2.5 } };
}

function drawSpectrum(m) {
  const linear = byId("axis").value === "linear", place = byId("esd");
  if (!m.spectrum) {
    Plotly.react("esd", [], layout({ title: { text: "no spectrum: " + plain(m.note) } }), options);
    return;
  }
  const packed = unpack(m.spectrum), values = packed.values, top = values[values.length - 1], bins = Math.min(90, Math.max(12, Math.round(Math.sqrt(packed.n) * 2.5)));
  const inBulk = m.law.edge > 0;
  const edge = inBulk ? Math.log10(m.law.edge) : top, ends = Math.sqrt(m.law.h / m.law.d);
  const foot = edge + 2 * Math.log10(Math.max(Math.abs(ends - 1) / (ends + 1), 1e-3)); // the law's lower edge, or far enough towards zero
  const floor = Math.max(Math.min(values[0], inBulk ? foot : values[0]), top - 10); // what lies below is zero to rounding
  const low = linear ? 0 : floor - 0.02, high = linear ? Math.max(10 ** edge, Math.min(10 ** top, 2.5 * 10 ** edge)) * 1.03 : Math.max(top, edge) + 0.03;
  const { centres, heights, width } = density(packed, linear, low, high, bins), traces = [], shapes = [], notes = [];
  if (inBulk) {
    const { x, under, over } = gaussianBand(m, linear, low, high, bins), line = { type: "scatter", mode: "lines", x, hoverinfo: "skip", line: { width: 0 } };
    const least = 0.2 / (packed.n * width);
    traces.push({ ...line, y: linear ? under : under.map((v) => Math.max(v, least)), showlegend: false }, { ...line, y: over, fill: "tonexty", fillcolor: BAND, name: "95 % of Gaussian matrices" });
  }
  traces.push({ type: "bar", x: centres, y: heights, width, name: "eigenvalues", marker: { color: BLUE }, opacity: 0.75, hovertemplate: "%{x:.4g}: %{y:.3g}<extra></extra>" });
  if (inBulk) {
    const law = marchenkoPastur(m.law, linear);
    traces.push({ type: "scatter", mode: "lines", x: law.x, y: law.y, name: "Marchenko–Pastur", line: { color: css("--ink"), width: 1.5 }, hoverinfo: "skip" });
    const x = linear ? m.law.edge : Math.log10(m.law.edge);
    shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), dash: "dot", width: 1 } });
    notes.push({ x, y: 1, yref: "paper", text: "λ₊", showarrow: false, xanchor: "left", yanchor: "top" });
  }
  if (m.pl_alpha_ks !== null && m.tail_size) traces.push(powerLaw(m, top, linear, high));
  const drawn = heights.filter((v) => v > 0), base = drawn.length ? Math.min(...drawn) : 1;
  const past = m.n_spikes ? largest(packed, m.n_spikes).map((v) => (linear ? 10 ** v : v)).filter((v) => v <= high) : [];
  traces.push({ type: "scatter", mode: "markers", x: past, y: past.map(() => (linear ? 0 : base * 0.6)), name: "λ past the edge", marker: { symbol: "line-ns-open", size: 11, color: ORANGE } });
  const beyond = linear && m.n_spikes ? m.n_spikes - past.length : 0;
  Plotly.react("esd", traces, layout({
    title: { text: plain(m.name) + (beyond ? " – " + beyond + " eigenvalues lie beyond the right edge" : "") }, shapes, annotations: notes, barmode: "overlay",
    xaxis: { title: { text: linear ? "λ, squared units of the weights" : "log₁₀ λ, λ in squared units of the weights" }, range: [low, high] },
    yaxis: { title: { text: linear ? "density per unit of λ" : "density per decade" }, type: linear ? "linear" : "log", ...(linear ? {} : { range: [Math.log10(base * 0.4), Math.log10(Math.max(...heights) * 2)] }) },
  }), options);
  place.setAttribute("aria-label", "Spectrum of " + m.name + ": " + byId("state").textContent);
}

function tell(m) {
  const parts = [m.kind + " " + m.law.h + "×" + m.law.d + (m.slices > 1 ? ", " + m.slices + " slices pooled" : ""), m.phase,
    "Hill " + show(m.pl_alpha_hill) + " (untrained " + show(m.null_alpha_hill) + ", z " + show(m.z_hill, 3) + ")",
    "KS " + show(m.pl_alpha_ks) + " (untrained " + show(m.null_alpha_ks) + ", z " + show(m.z_ks, 3) + ")",
    "λ₁/λ₊ " + show(m.spectral_gap, 3), "stable rank " + show(m.stable_rank, 3)];
  byId("state").textContent = parts.join(" · ") + (m.note ? " · note: " + m.note : "");
}

function choose() {
  const at = byId("matrix").value;
  if (at === "") return;
  tell(matrices[at]);
  drawSpectrum(matrices[at]);
  for (const row of byId("rows").tBodies[0].rows) row.setAttribute("aria-selected", row.dataset.index === at);
  for (const id of ["hill", "ks", "z", "ranks"]) if (byId(id).layout) Plotly.relayout(id, { "shapes[0].x0": at, "shapes[0].x1": at });
}

function list() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean), kept = byId("matrix").value;
  const found = index.filter((i) => words.every((w) => (matrices[i].name + " " + matrices[i].kind + " " + matrices[i].phase).toLowerCase().includes(w)));
  byId("matrix").replaceChildren(...found.map((i) => new Option(i + ": " + matrices[i].name, i)));
  if (found.includes(Number(kept)) && kept !== "") byId("matrix").value = kept;
  const seen = new Set(found.map(String));
  for (const row of byId("rows").tBodies[0].rows) row.hidden = !seen.has(row.dataset.index);
  byId("count").textContent = found.length + " of " + matrices.length + " matrices";
  choose();
}

function go(at) {
  byId("filter").value = "";
  byId("matrix").value = "";
  list();
  byId("matrix").value = at;
  choose();
}

function start() {
  list();
  drawOverview();
  for (const id of ["hill", "ks", "z", "ranks"]) byId(id).on("plotly_click", (event) => event.points[0].customdata !== undefined && go(event.points[0].customdata));
  document.documentElement.dataset.ready = "yes";
}

byId("filter").addEventListener("input", list);
byId("matrix").addEventListener("change", choose);
byId("axis").addEventListener("input", choose);
for (const [id, step] of [["previous", -1], ["next", 1]]) {
  byId(id).addEventListener("click", () => {
    const chosen = byId("matrix"), count = chosen.options.length;
    if (!count) return;
    chosen.selectedIndex = (chosen.selectedIndex + step + count) % count;
    choose();
  });
}
for (const button of document.querySelectorAll("td.name button")) {
  button.addEventListener("click", () => { go(button.closest("tr").dataset.index); byId("spectrum").scrollIntoView(); });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { choose(); drawOverview(); });
sortable(byId("rows"));
requestAnimationFrame(() => setTimeout(start, 0));
