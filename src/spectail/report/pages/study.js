"use strict";
// The explorer of runs and the table of verdicts. Text from files reaches the page as text only.
for (const small of document.querySelectorAll("img[data-of]")) small.src = document.getElementById(small.dataset.of).src;
const data = JSON.parse(document.getElementById("data").textContent);
const spectrum = (index) => unpack(data.spectra[index]);

function drawSpectrum(run, at, linear) {
  const now = spectrum(run.spectra[at]), first = spectrum(run.spectra[0]);
  const top = (packed) => packed.values[packed.values.length - 1];
  const far = Math.max(...now.values.slice(0, now.values.length - now.top).map((v) => 10 ** v), run.law.edge);
  const low = linear ? 0 : Math.min(now.values[0], first.values[0]);
  const predicted = run.predicted !== null && run.steps[at] === 1 ? Math.log10(run.predicted) : -Infinity;
  const most = Math.max(top(now), top(first), predicted);
  const high = linear ? 1.04 * Math.min(far * 1.5, 10 ** most) : most + 0.02;
  const traces = [], bins = 80;
  for (const [packed, name, colour] of [[first, "step " + run.steps[0], palette.first], [now, "step " + run.steps[at], palette.now]]) {
    const { centres, heights, width } = density(packed, linear, low, high, bins);
    traces.push({ type: "bar", x: centres, y: heights, width, name, marker: { color: colour }, opacity: 0.6 });
  }
  const law = marchenkoPastur(run.law, linear);
  traces.push({ type: "scatter", mode: "lines", x: law.x, y: law.y, name: "Marchenko–Pastur, initial weights", line: { color: css("--ink"), width: 1.5 } });
  const alpha = run.series.pl_alpha_ks[at], xmin = run.series.ks_xmin[at], share = run.series.tail_size[at] / now.n;
  if (alpha !== null && xmin > 0) {
    const x = [], y = [];
    for (let i = 0; i <= 60; i++) {
      const value = 10 ** (Math.log10(xmin) + ((top(now) - Math.log10(xmin)) * i) / 60);
      if (linear && value > high) break;
      const here = (share * (alpha - 1)) / xmin * (value / xmin) ** -alpha;
      x.push(linear ? value : Math.log10(value));
      y.push(linear ? here : here * value * Math.LN10);
    }
    traces.push({ type: "scatter", mode: "lines", x, y, name: "power law, α = " + show(alpha, 3), line: { color: palette.tail, dash: "dash" } });
  }
  const spikes = largest(now, run.series.n_spikes[at]).map((v) => (linear ? 10 ** v : v)).filter((v) => v <= high);
  const floor = Math.min(...traces[1].y.filter((v) => v > 0));
  traces.push({ type: "scatter", mode: "markers", x: spikes, y: spikes.map(() => (linear ? 0 : floor)), name: "spikes, past the fitted bulk's edge", marker: { symbol: "line-ns-open", size: 10, color: palette.marked } });
  const shapes = [], notes = [];
  if (predicted > -Infinity) {
    const x = linear ? run.predicted : Math.log10(run.predicted);
    if (x <= high) {
      shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: palette.predicted, dash: "dot", width: 2 } });
      notes.push({ x, y: 1, yref: "paper", text: "predicted λ₁", showarrow: false, xanchor: "right" });
    }
  }
  Plotly.react("esd", traces, layout({
    title: { text: "spectrum of WᵀW, step " + run.steps[at] }, barmode: "overlay", shapes, annotations: notes,
    xaxis: { title: { text: linear ? "λ" : "log₁₀ λ" }, range: [low, high] },
    yaxis: { title: { text: "density" }, type: linear ? "linear" : "log" },
  }), options);
}

// what sim or KTA would be by chance: two standard deviations to both sides of the mean, in the colour of its curve
function bandOf(run, key, name, yaxis, colour) {
  const null_ = run.nulls[key];
  if (!null_) return [];
  const at = (sign) => null_.map((one) => (one ? Math.max(one[0] + sign * 2 * one[1], 0) : null));
  const common = { type: "scatter", mode: "lines", x: run.steps.map((t) => t + (run.long ? 1 : 0)), yaxis, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
  return [{ ...common, y: at(-1) }, { ...common, y: at(1), fill: "tonexty", fillcolor: colour + "38" },
    { ...common, y: at(0), showlegend: true, name: name + " by chance, ± 2 sd", line: { color: colour, dash: "dot", width: 1.2 } }];
}

function drawCurves(run, at) {
  const rows = [["train_loss", "train loss", "y"], ["test_loss_large", "test loss", "y"], ["kta", "KTA", "y2"],
    ["alignment", "sim", "y2"], ["pl_alpha_hill", "Hill", "y3"], ["pl_alpha_ks", "KS", "y3"]];
  const traces = rows.map(([key, name, yaxis], i) => ({ type: "scatter", mode: "lines+markers", x: run.steps.map((t) => t + (run.long ? 1 : 0)),
    y: run.series[key], name, yaxis, line: { color: palette.series[i].colour }, connectgaps: false }));
  for (const [i, [key, name, yaxis]] of rows.entries()) traces.push(...bandOf(run, key, name, yaxis, palette.series[i].colour));
  const grid = css("--line"), axis = { gridcolor: grid, automargin: true };
  const x = run.steps[at] + (run.long ? 1 : 0);
  Plotly.react("curves", traces, layout({
    title: { text: "over steps" }, xaxis: { anchor: "y3", title: { text: run.long ? "step + 1" : "step" }, type: run.long ? "log" : "linear" },
    yaxis: { domain: [0.7, 1], title: { text: "loss" } }, yaxis2: { ...axis, domain: [0.36, 0.63], title: { text: "alignment" } },
    yaxis3: { ...axis, domain: [0, 0.29], title: { text: "exponent" }, type: "log", tickvals: [1, 2, 5, 10, 20, 50, 100] },
    shapes: [{ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), dash: "dot", width: 1 } }],
  }), options);
}

function drawOverlaps(run) {
  const place = byId("overlaps");
  place.hidden = byId("overlap-choice").hidden = !run.overlaps.length;
  if (!run.overlaps.length) return;
  const chosen = run.overlaps[Math.min(byId("overlap").value || 0, run.overlaps.length - 1)];
  const raw = bytes(chosen.b), z = [];
  for (let i = 0; i < chosen.size; i++) z.push(Array.from(raw.slice(i * chosen.size, (i + 1) * chosen.size), (v) => (v === 255 ? null : -4 + (4 * v) / 254)));
  const chance = [["mean", chosen.mean], ["largest", chosen.largest]].filter(([, v]) => v).map(([word, v]) => [Math.log10(v), "◂ by chance, " + word]);
  const ticks = [-4, -3, -2, -1, 0].filter((v) => chance.every(([at]) => Math.abs(at - v) > 0.22)).map((v) => [v, String(v).replace("-", "−")]).concat(chance);
  const past = chosen.ranks.filter(([, rank]) => rank < chosen.size).map(([of, rank]) => "past the rank of " + of + ", " + rank);
  Plotly.react("overlaps", [{ type: "heatmap", z, x0: 1, y0: 1, dx: 1, dy: 1, zmin: -4, zmax: 0, colorscale: "Cividis", hoverongaps: false, colorbar: { title: { text: "log₁₀" }, tickvals: ticks.map((t) => t[0]), ticktext: ticks.map((t) => t[1]) } }], layout({
    title: { text: chosen.name + ", largest " + show(chosen.max, 3) + (past.length ? "; empty " + past.join(", ") : "") }, xaxis: { title: { text: "direction of M" }, constrain: "domain" },
    yaxis: { title: { text: "direction of W" }, autorange: "reversed", scaleanchor: "x" },
  }), options);
}

let run = null;
function byChance(key, at) {
  const null_ = run.nulls[key] && run.nulls[key][at];
  return null_ ? " (by chance " + show(null_[0]) + ")" : "";
}

function redraw() {
  const at = Number(byId("step").value), linear = byId("axis").value === "linear", s = run.series;
  drawSpectrum(run, at, linear);
  drawCurves(run, at);
  byId("step-shown").textContent = "step " + run.steps[at];
  byId("step").setAttribute("aria-valuetext", "step " + run.steps[at]);
  byId("state").textContent = "step " + run.steps[at] + ": " + run.phases[at] + " · Hill " + show(s.pl_alpha_hill[at]) + " · KS " + show(s.pl_alpha_ks[at]) +
    " (" + s.tail_size[at] + " in the tail) · λ₁/λ₊ " + show(s.spectral_gap[at]) + " · KTA " + show(s.kta[at]) + byChance("kta", at) + " · sim " + show(s.alignment[at]) + byChance("alignment", at) + " · train " + show(s.train_loss[at]) + " · test " + show(s.test_loss_large[at]);
}

function choose() {
  run = data.runs[Number(byId("run").value)];
  if (!run) return;
  const slider = byId("step");
  slider.max = run.steps.length - 1;
  slider.value = run.steps.length - 1;
  const list = byId("overlap");
  list.replaceChildren(...run.overlaps.map((o, i) => new Option(o.name, i)));
  byId("config").textContent = run.config;
  redraw();
  drawOverlaps(run);
}

function listRuns() {
  const words = byId("run-filter").value.toLowerCase().split(/\s+/).filter(Boolean), list = byId("run");
  const found = data.runs.map((r, i) => [r.label, i]).filter(([label]) => words.every((w) => label.toLowerCase().includes(w)));
  list.replaceChildren(...found.slice(0, 500).map(([label, i]) => new Option(label, i)));
  byId("run-count").textContent = found.length + " of " + data.runs.length + " runs" + (found.length > 500 ? "; the first 500 are listed" : "");
  choose();
}

if (data.runs.length) {
  byId("run-filter").addEventListener("input", listRuns);
  byId("run").addEventListener("change", choose);
  for (const id of ["step", "axis"]) byId(id).addEventListener("input", redraw);
  byId("overlap").addEventListener("change", () => drawOverlaps(run));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redraw(); drawOverlaps(run); });
  const start = () => {
    listRuns();
    const longest = data.runs.reduce((best, r, i) => (r.steps.length > data.runs[best].steps.length ? i : best), 0);
    if (longest < byId("run").options.length) { byId("run").value = longest; choose(); }
    document.documentElement.dataset.ready = "yes";
  };
  requestAnimationFrame(() => setTimeout(start, 0));
} else {
  document.documentElement.dataset.ready = "yes";
}

// verdicts
const body = byId("verdict-rows");
function filterVerdicts() {
  const words = byId("verdict-filter").value.toLowerCase().split(/\s+/).filter(Boolean), wanted = byId("verdict-kind").value;
  let shown = 0;
  for (const row of body.rows) {
    const kinds = [row.dataset.published, row.dataset.equations];
    const fits = !wanted || (wanted === "differ" ? kinds[0] && kinds[1] && kinds[0] !== kinds[1] : kinds.includes(wanted));
    row.hidden = !(fits && words.every((w) => row.textContent.toLowerCase().includes(w)));
    shown += row.hidden ? 0 : 1;
  }
  byId("verdict-count").textContent = shown + " of " + body.rows.length + " claims";
}
if (body) {
  byId("verdict-filter").addEventListener("input", filterVerdicts);
  byId("verdict-kind").addEventListener("input", filterVerdicts);
  sortable(byId("verdict-table"));
  filterVerdicts();
}
