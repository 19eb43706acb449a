// The explorer of runs and the table of verdicts. Text from files reaches the page as text only.
for (const small of document.querySelectorAll("img[data-of]")) small.src = document.getElementById(small.dataset.of).src;

function drawSpectrum(run, at, linear) {
  const now = spectrum(run.spectra[at]), first = spectrum(run.spectra[0]), s = (name) => run.series[name][at], title = "spectrum of WᵀW, step " + run.steps[at];
  if (!now) return emptyChart(byId("esd"), title, "no spectrum", 430);
  const rules = run.predicted !== null && run.steps[at] === 1 ? [{ x: run.predicted, label: "predicted λ₁", colour: palette.predicted }] : [];
  chart(byId("esd"), spectrumChart({
    title, now, first, nowName: "step " + run.steps[at], firstName: "step " + run.steps[0], height: 430, linear, rules,
    law: run.law, lawName: "Marchenko–Pastur, initial weights", spikes: s("n_spikes"), spikesName: "spikes, past the fitted bulk's edge",
    tail: s("pl_alpha_ks") !== null && s("ks_xmin") > 0 && s("tail_size") ? { alpha: s("pl_alpha_ks"), xmin: s("ks_xmin"), size: s("tail_size") } : null,
  }));
}

const CURVES = [
  ["losses", "loss", [["train_loss", "train loss", 0], ["test_loss_large", "test loss", 1], ["cross_entropy", "cross-entropy", 0], ["squared_error", "squared error", 0], ["test_squared_error", "held out", 1]], false],
  ["alignments", "alignment", [["kta", "KTA", 2], ["alignment", "sim", 3]], false],
  ["alignments", "accuracy", [["accuracy", "accuracy", 2], ["test_accuracy", "held out", 3]], false],
  ["exponents", "exponent", [["pl_alpha_hill", "Hill", 4], ["pl_alpha_ks", "KS", 5]], true],
];

// three charts over steps, one below the other; of a long run on a logarithmic axis, which step 0 is on too.
// What sim or KTA would be by chance: two standard deviations to both sides of the mean, in the colour of its curve.
function drawCurves(run, at) {
  const map = run.long ? (step) => Math.log10(step + 1) : (step) => step, steps = run.steps, last = steps[steps.length - 1];
  const ticks = run.long ? { ticks: [0, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 1e5, 1e6].map((step) => [step, tidy(step)]) } : {};
  const known = CURVES.map(([id, title, curves, log]) => [id, title, curves.filter(([key]) => run.series[key]), log]).filter(([, , curves]) => curves.length);
  for (const [id] of CURVES) byId(id).hidden = !known.some(([one]) => one === id);
  known.forEach(([id, title, curves, log], place) => {
    const lowest = place === known.length - 1, layers = [], values = [];
    for (const [key, name, look] of curves) {
      const y = run.series[key], colour = palette.series[look].colour, null_ = run.nulls[key];
      if (null_) {
        const bound = (sign) => null_.map((one) => (one ? Math.max(one[0] + sign * 2 * one[1], 0) : null));
        layers.push({ kind: "band", x: steps, low: bound(-1), high: bound(1), colour: colour + "38" }, { kind: "line", x: steps, y: bound(0), colour, dash: "dot", width: 1.2, name: name + " by chance, ± 2 sd" });
        values.push(...bound(-1), ...bound(1));
      }
      layers.push({ kind: "line", x: steps, y, colour, name, text: (k) => "step " + steps[k] + "\n" + name + " " + show(y[k]) });
      if (steps.length <= 60) layers.push({ kind: "points", x: steps, y, colour, symbol: palette.series[look].symbol, size: 3.5, outline: 0 });
      values.push(...y);
    }
    layers.push({ kind: "rule", x: steps[at], dash: "dot" });
    const there = values.filter((v) => v !== null), low = Math.min(...there), high = Math.max(...there), margin = 0.06 * (high - low) || 0.1;
    const y = there.length ? { range: log ? [low / 1.1, high * 1.1] : [low - margin, high + margin], log } : { range: [0, 1] };
    const [from, to] = [steps[0], Math.max(last, steps[0] + 1)].map(map), around = 0.02 * (to - from), back = run.long ? (at) => 10 ** at - 1 : (at) => at;
    chart(byId(id), { height: lowest ? 155 : 138, layers, x: { range: [back(from - around), back(to + around)], map, title: lowest ? "step" : "", ...ticks }, y: { ...y, title } });
  });
}

function drawOverlaps(run) {
  byId("overlap-panel").hidden = byId("overlap-choice").hidden = !run.overlaps.length;
  if (run.overlaps.length) overlapsChart(byId("overlaps"), byId("overlaps-bar"), run.overlaps[Math.min(byId("overlap").value || 0, run.overlaps.length - 1)]);
}

function byChance(key, at) {
  const null_ = run.nulls[key] && run.nulls[key][at];
  return null_ ? " (by chance " + show(null_[0]) + ")" : "";
}

function redraw() {
  if (!run) return;
  const at = Number(byId("step").value), linear = byId("axis").value === "linear", s = run.series;
  drawSpectrum(run, at, linear);
  drawCurves(run, at);
  byId("step-shown").textContent = "step " + run.steps[at];
  byId("step").setAttribute("aria-valuetext", "step " + run.steps[at]);
  const said = [["pl_alpha_hill", "Hill"], ["pl_alpha_ks", "KS"], ["spectral_gap", "λ₁/λ₊"], ["kta", "KTA"], ["alignment", "sim"], ["train_loss", "train"], ["test_loss_large", "test"], ["cross_entropy", "cross-entropy"], ["squared_error", "squared error"], ["test_squared_error", "held out"], ["accuracy", "accuracy"], ["test_accuracy", "held out"]];
  const words = said.filter(([key]) => s[key]).map(([key, name]) => name + " " + show(s[key][at]) + (key === "pl_alpha_ks" ? " (" + s.tail_size[at] + " in the tail)" : byChance(key, at)));
  byId("state").textContent = "step " + run.steps[at] + ": " + [run.phases[at], ...words].join(" · ");
}

function choose() {
  run = data.runs[Number(byId("run").value)];
  if (!run) return;
  const slider = byId("step");
  slider.max = run.steps.length - 1;
  slider.value = run.steps.length - 1;
  const list = byId("overlap");
  list.replaceChildren(...run.overlaps.map((o, i) => new Option(o.name, i)));
  byId("config").textContent = data.configs[run.config];
  redraw();
  drawOverlaps(run);
  if (data.axes.length && byId("grid-chart").spec) drawGrid();
}

// a run by its number, at one of its steps, as the grid asks for; it stands in the list from now on
function chooseRun(i, at) {
  const list = byId("run");
  if (!Array.from(list.options).some((one) => Number(one.value) === i)) list.prepend(new Option(data.runs[i].label, i));
  list.value = i;
  choose();
  byId("step").value = at;
  redraw();
}

const LISTED = 2000;
function listRuns() {
  const wanted = words(byId("run-filter").value), list = byId("run");
  const found = data.runs.map((r, i) => [r.label, i]).filter(([label]) => wanted.every((w) => label.toLowerCase().includes(w)));
  list.replaceChildren(...found.slice(0, LISTED).map(([label, i]) => new Option(label, i)));
  byId("run-count").textContent = found.length + " of " + data.runs.length + " runs" + (found.length > LISTED ? "; the first " + LISTED + " are listed" : "");
  choose();
}

function listen() {
  byId("run-filter").addEventListener("input", listRuns);
  byId("run").addEventListener("change", choose);
  for (const id of ["step", "axis"]) byId(id).addEventListener("input", redraw);
  byId("overlap").addEventListener("change", () => drawOverlaps(run));
  for (const button of document.querySelectorAll("button[data-save]")) button.addEventListener("click", () => savePicture(byId("esd"), button.dataset.save, run.label + " step " + run.steps[byId("step").value]));
}

async function start() {
  if (data.count) {
    const array = await unpackedArrays();
    Object.assign(data, jsonOf(array(data.of_runs)));
    spectrum = spectraOf(data.spectra, array);
    listen();
    listRuns();
    const longest = data.runs.reduce((best, r, i) => (r.steps.length > data.runs[best].steps.length ? i : best), 0);
    chooseRun(longest, data.runs[longest].steps.length - 1);
    startGrid();
  }
  document.documentElement.dataset.ready = "yes";
}
start();

// verdicts
const body = byId("verdict-rows");
function filterVerdicts() {
  const written = words(byId("verdict-filter").value), wanted = byId("verdict-kind").value;
  let shown = 0;
  for (const row of body.rows) {
    const kinds = [row.dataset.published, row.dataset.equations];
    const fits = !wanted || (wanted === "differ" ? kinds[0] && kinds[1] && kinds[0] !== kinds[1] : kinds.includes(wanted));
    row.hidden = !(fits && written.every((w) => row.textContent.toLowerCase().includes(w)));
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
