// The grid of runs: a map over any two axes, curves over one, a spectrum a cell; and the run under the cursor.
// Runs that the slices leave, and that differ in further axes, are repeats: their mean, or the phase of most of them.
const data = JSON.parse(document.getElementById("data").textContent); // and its runs, once they are unpacked
let spectrum, run = null; // a spectrum by its number, once they are unpacked; the run that the explorer shows
const MOST = 12; // rows and columns of small spectra
const grid = { across: "", up: "", slices: {} };
const axisNamed = (name) => data.axes.findIndex((axis) => axis.name === name);
const worded = (value, digits) => (Number.isInteger(value) ? String(value).replace("-", "−") : typeof value === "number" ? tidy(Number(value.toPrecision(digits))) : value === "" ? "none" : String(value));
for (const axis of data.axes) { // numbers in as few digits as tell them apart, whole ones in all of theirs
  for (let digits = 3; digits < 7; digits++) {
    axis.words = axis.values.map((value) => worded(value, digits));
    if (new Set(axis.words).size === axis.words.length) break;
  }
}
const evenly = (list, most) => (list.length <= most ? list : Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]));

// the place of a step in a run, or −1: of its last one
const placeOf = (run, step) => (step === "last" ? run.steps.length - 1 : run.steps.indexOf(Number(step)));

// the runs that the slices leave and that reached the step, by their places on two axes
function cellsOf(x, y, step) {
  const cells = new Map(), fixed = Object.entries(grid.slices).filter(([axis, value]) => value !== "" && Number(axis) !== x && Number(axis) !== y).map(([axis, value]) => [Number(axis), Number(value)]);
  data.runs.forEach((run, i) => {
    const at = placeOf(run, step);
    if (at < 0 || fixed.some(([axis, value]) => run.at[axis] !== value)) return;
    const key = run.at[x] + "," + (y < 0 ? 0 : run.at[y]);
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push([i, at]);
  });
  return (column, row) => cells.get(column + "," + row) || [];
}

function summary(members, name) {
  if (name === "phase") {
    const counts = {};
    for (const [i, at] of members) counts[data.runs[i].phases[at]] = (counts[data.runs[i].phases[at]] || 0) + 1;
    return Object.entries(counts).sort((a, b) => b[1] - a[1])[0];
  }
  const values = members.map(([i, at]) => data.runs[i].series[name][at]).filter((value) => value !== null);
  if (!values.length) return null;
  const mean = values.reduce((a, b) => a + b) / values.length;
  return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length), values.length];
}

const inWords = (found, name) => (found === null ? "–" : name === "phase" ? found[0] : show(found[0]) + (found[2] > 1 ? " ± " + show(found[1], 2) : ""));

// values of an axis at whole numbers, each with its word
function categories(axis, title) {
  const count = axis.values.length;
  return { title, range: [-0.5, count - 0.5], bare: true, fit: true, ticks: evenly(axis.words.map((word, i) => [i, word]), 24) };
}

function underCursor(members) {
  if (!members.length) return;
  const [i, at] = members[0], one = data.runs[i], now = spectrum(one.spectra[at]), title = one.label + ", step " + one.steps[at];
  if (!now) return emptyChart(byId("grid-run"), title, "no spectrum", 380);
  chart(byId("grid-run"), spectrumChart({
    title, now, first: spectrum(one.spectra[0]), nowName: "step " + one.steps[at], firstName: "step " + one.steps[0], height: 380, linear: false, rules: [],
    law: one.law, lawName: "Marchenko–Pastur, initial weights", spikes: one.series.n_spikes[at], spikesName: "spikes", tail: null,
  }));
}

function about(members, name, x, y, column, row) {
  const places = [[x, column], ...(y < 0 ? [] : [[y, row]])].map(([axis, at]) => data.axes[axis].name + " = " + data.axes[axis].words[at]).join(", ");
  if (!members.length) return { text: places + "\nno run" };
  const repeats = members.length > 1 ? members.length + " runs, the first in the explorer by a click" : data.runs[members[0][0]].label;
  const found = summary(members, name), share = name === "phase" && members.length > 1 ? " in " + found[1] + " of " + members.length : "";
  return { text: places + "\n" + inWords(found, name) + share + "\n" + repeats, choose: () => chooseRun(members[0][0], members[0][1]), enter: () => underCursor(members) };
}

function drawMap(q, x, y, of) {
  const across = data.axes[x], up = data.axes[y] || { values: [""], words: [""], title: "" }, columns = across.values.length, rows = up.values.length;
  const found = across.values.map((_, column) => up.values.map((_, row) => { const members = of(column, row); return members.length ? summary(members, q.name) : null; }));
  const numbers = q.name === "phase" ? [] : found.flat().filter(Boolean).map(([mean]) => mean), log = q.log && Math.min(...numbers) > 0, map = log ? Math.log10 : (v) => v;
  const low = map(Math.min(...numbers)), high = map(Math.max(...numbers)), colours = ramp(palette.ramp), share = (v) => (high > low ? (map(v) - low) / (high - low) : 0.5);
  const picture = pictureOf(columns, rows, (column, row) => {
    const one = found[column][rows - 1 - row];
    return one === null ? null : q.name === "phase" ? rgb((palette.phases[one[0]] || palette.phases.unknown).colour) : colours(share(one[0]));
  });
  const here = run && placeOf(run, byId("grid-step").value) >= 0 ? [run.at[x], y < 0 ? 0 : run.at[y]] : null;
  const layers = [{ kind: "cells", picture }, ...(here ? [{ kind: "box", x: [here[0] - 0.5, here[0] + 0.5], y: [here[1] - 0.5, here[1] + 0.5] }] : [])];
  chart(byId("grid-chart"), {
    title: q.title, height: Math.max(180, Math.min(380, 70 + 34 * rows)), layers, x: categories(across, across.title), y: y < 0 ? { range: [-0.5, 0.5], hidden: true } : categories(up, up.title),
    at(over, down) {
      const column = Math.floor(over * columns), row = rows - 1 - Math.floor(down * rows);
      return column >= 0 && row >= 0 && column < columns && row < rows ? about(of(column, row), q.name, x, y, column, row) : null;
    },
  });
  byId("grid-bar").hidden = !numbers.length;
  if (numbers.length) colourBar(byId("grid-bar"), q.title + (log ? ", logarithmic" : ""), colours, [0, 0.5, 1].map((part) => { const v = low + part * (high - low); return [part, show(log ? 10 ** v : v, 3)]; }));
}

function drawCurvesOver(q, x, y, of) {
  const across = data.axes[x], up = data.axes[y], numeric = across.values.every((v) => typeof v === "number"), log = numeric && across.values[0] > 0 && across.values[across.values.length - 1] / across.values[0] > 4;
  const place = (column) => (numeric ? across.values[column] : column), rows = evenly(up ? up.values.map((_, i) => i) : [0], 40), between = ramp(palette.ramp), all = [], layers = [];
  rows.forEach((row, k) => {
    const members = across.values.map((_, column) => of(column, row)), found = members.map((some) => (some.length ? summary(some, q.name) : null));
    const there = found.map((one, i) => [one, i]).filter(([one]) => one !== null), xs = there.map(([, i]) => place(i)), ys = there.map(([one]) => one[0]);
    if (!there.length) return;
    const look = palette.series[k % palette.series.length], colour = rows.length <= palette.series.length ? look.colour : "rgb(" + between(k / (rows.length - 1)).join(",") + ")";
    const spread = (sign) => there.map(([one]) => one[0] + sign * one[1]), name = up && rows.length <= palette.series.length ? up.name + " = " + up.words[row] : undefined;
    if (there.some(([one]) => one[2] > 1)) layers.push({ kind: "band", x: xs, low: spread(-1), high: spread(1), colour: colour.startsWith("#") ? colour + "30" : "transparent" });
    layers.push({ kind: "line", x: xs, y: ys, colour, name });
    layers.push({ kind: "points", x: xs, y: ys, colour, symbol: look.symbol, size: 3.5, text: (i) => about(members[there[i][1]], q.name, x, up ? y : -1, there[i][1], row).text, pick: (i) => chooseRun(...members[there[i][1]][0]), enter: (i) => underCursor(members[there[i][1]]) });
    all.push(...ys, ...spread(-1), ...spread(1));
  });
  if (!all.length) return emptyChart(byId("grid-chart"), q.title, "no run has it there", 380);
  const positive = Math.min(...all.filter((v) => v > 0)), logY = q.log && positive > 0, low = logY ? positive : Math.min(...all), high = Math.max(...all), margin = 0.06 * (high - low) || Math.abs(high) * 0.1 || 0.1;
  const bounds = numeric ? [across.values[0], across.values[across.values.length - 1]] : [-0.3, across.values.length - 0.7], wide = bounds[0] === bounds[1] ? 1 : 0;
  chart(byId("grid-chart"), {
    title: q.title + (rows.length > palette.series.length && up ? ": " + up.title + ", dark to light" : ""), height: 380, layers,
    x: { ...(numeric ? {} : categories(across)), title: across.title, log, range: log ? [bounds[0] / 1.1, bounds[1] * 1.1] : [bounds[0] - wide, bounds[1] + wide] },
    y: { title: q.title, log: logY, range: logY ? [low / 1.1, high * 1.1] : [low - margin, high + margin] },
  });
}

// one small spectrum a cell, all over the same log λ, in rows of the second axis
function drawMultiples(x, y, of) {
  const across = data.axes[x], up = data.axes[y], columns = evenly(across.values.map((_, i) => i), MOST), rows = evenly(up ? up.values.map((_, i) => i) : [0], MOST).reverse(), list = byId("grid-spectra");
  const shown = rows.map((row) => columns.map((column) => { const [one] = of(column, row); return one ? [one, spectrum(data.runs[one[0]].spectra[one[1]])] : null; }));
  const drawn = shown.flat().filter((one) => one && one[1]).map(([, now]) => now), least = Math.max(Math.min(...drawn.map((one) => one.low)), Math.max(...drawn.map((one) => one.high)) - 6), most = Math.max(...drawn.map((one) => one.high)) + 0.05;
  const width = 90, height = 48, to = (v) => (((v - least) / (most - least)) * width).toFixed(1);
  const picture = ([[i, at], now]) => {
    const one = data.runs[i], bars = density(now, false, (most - least) / clamp(Math.round(1.5 * Math.sqrt(now.n)), 8, 40)), law = one.law ? marchenkoPastur(one.law, false) : { x: [], y: [] }, peak = Math.max(...bars.heights, ...law.y) || 1, root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", "aria-hidden": "true" });
    const path = bars.heights.map((value, k) => (value > 0 ? `M${to(Math.max(bars.edges[k], least))} ${height}V${(height - 44 * value / peak).toFixed(1)}H${to(Math.max(bars.edges[k + 1], least))}V${height}z` : "")).join("");
    root.append(svg("path", { d: path, style: `fill:${(palette.phases[one.phases[at]] || palette.phases.unknown).colour};fill-opacity:.75` }), svg("path", { d: "M" + law.x.map((v, k) => to(v) + " " + (height - 44 * law.y[k] / peak).toFixed(1)).join("L"), style: "fill:none;stroke:var(--ink);stroke-width:1;vector-effect:non-scaling-stroke" }));
    return root;
  };
  list.style.gridTemplateColumns = `minmax(3rem, auto) repeat(${columns.length}, minmax(2.6rem, 9rem))`;
  const cells = [];
  rows.forEach((row, r) => {
    cells.push(Object.assign(document.createElement("span"), { textContent: up ? up.name + " = " + up.words[row] : "" }));
    columns.forEach((column, c) => {
      const button = Object.assign(document.createElement("button"), { type: "button", disabled: !shown[r][c] || !shown[r][c][1] });
      if (!button.disabled) {
        const said = about(of(column, row), "phase", x, up ? y : -1, column, row);
        button.append(picture(shown[r][c]));
        Object.assign(button, { title: said.text, onclick: said.choose });
        button.setAttribute("aria-label", said.text);
        button.addEventListener("pointerenter", said.enter);
        button.addEventListener("focus", said.enter);
      }
      cells.push(button);
    });
  });
  const foot = [across.name, ...columns.map((column) => across.words[column])];
  list.replaceChildren(...cells, ...foot.map((textContent) => Object.assign(document.createElement("span"), { textContent })));
}

function drawGrid() {
  if (!data.axes.length) return;
  const form = byId("grid-form").value, step = byId("grid-step").value, x = axisNamed(byId("grid-x").value), chosenUp = axisNamed(byId("grid-y").value), y = chosenUp === x ? -1 : chosenUp;
  const q = [{ name: "phase", title: "phase" }, ...data.quantities].find((one) => one.name === byId("grid-quantity").value), of = cellsOf(x, y, step), small = form === "spectra";
  byId("grid-spectra").hidden = !small;
  byId("grid-chart").hidden = small;
  byId("grid-phases").hidden = !(small || q.name === "phase");
  byId("grid-bar").hidden = true;
  byId("grid-slices").childNodes.forEach((label, i) => { label.hidden = i === x || i === y; });
  byId("grid-y-label").firstChild.textContent = form === "curves" ? "A line for each" : "Up";
  const others = data.axes.map((axis, i) => [axis, i]).filter(([, i]) => i !== x && i !== y && !grid.slices[i]).map(([axis]) => axis.name);
  byId("grid-said").textContent = (others.length ? (small ? "The first run of each cell; further ones differ in " : q.name === "phase" ? "The phase of most runs of a cell, which differ in " : "Mean of the runs of a cell, which differ in ") + others.join(", ") + ". " : "") + "Point at a run to see its spectrum; a click chooses it in the explorer.";
  if (small) drawMultiples(x, y, of);
  else if (form === "curves" && q.name !== "phase") drawCurvesOver(q, x, y, of);
  else drawMap(q, x, y, of);
}

function startGrid() {
  if (!data.axes.length) return;
  const axes = data.axes.map((axis) => axis.name), counts = data.axes.map((axis) => axis.values.length), longest = (but) => axes[counts.reduce((best, n, i) => (i !== but && axes[i] !== "seed" && (best < 0 || n > counts[best]) ? i : best), -1)];
  const first = axes.includes("lr") ? "lr" : longest(-1) || axes[0], second = longest(axisNamed(first)) || "";
  const offer = (id, options, value) => { byId(id).replaceChildren(...options.map(([name, text]) => new Option(text, name))); byId(id).value = value; };
  offer("grid-quantity", [["phase", "phase"], ...data.quantities.map((q) => [q.name, q.title])], "phase");
  offer("grid-x", data.axes.map((axis) => [axis.name, axis.title]), first);
  offer("grid-y", [["", "–"], ...data.axes.map((axis) => [axis.name, axis.title])], second);
  const steps = [...new Set(data.runs.flatMap((one) => one.steps))].sort((a, b) => a - b);
  offer("grid-step", [["last", "last step"], ...steps.map((step) => [step, "step " + step])], "last");
  const slices = data.axes.map((axis, i) => {
    const label = document.createElement("label"), list = document.createElement("select");
    list.append(new Option("all", ""), ...axis.words.map((word, at) => new Option(word, at)));
    list.addEventListener("input", () => { grid.slices[i] = list.value; drawGrid(); });
    if (axis.name === "matrix") list.value = grid.slices[i] = "0"; // a mean over matrices says little
    label.append(axis.name, list);
    return label;
  });
  byId("grid-slices").replaceChildren(...slices);
  byId("grid-phases").append(...Object.entries(palette.phases).filter(([name]) => data.runs.some((one) => one.phases.includes(name))).map(([name, look]) => { const entry = document.createElement("span"), swatch = document.createElement("i"); swatch.style.background = look.colour; entry.append(swatch, name); return entry; }));
  for (const id of ["grid-quantity", "grid-form", "grid-step", "grid-x", "grid-y"]) byId(id).addEventListener("input", drawGrid);
  underCursor([[data.runs.indexOf(run), run.steps.length - 1]]);
  drawGrid();
}
