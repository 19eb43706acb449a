// The charts of a recording: matrices over steps and over depth, and the spectrum of the one that is chosen.
const data = JSON.parse(byId("data").textContent);
const { steps, matrices, quantities } = data, last = steps.length - 1, long = last > 0;
const weights = matrices.map((_, i) => i).filter((i) => matrices[i].tensor === "weights"), several = weights.length > 1, DEPTH = [0, 1], CURVES = [0, 1, 2], BESIDE = [0, 1], TURNED = ["leading_overlap_left", "leading_overlap_right"];
const number = (q, value, digits) => (q.integer && value !== null ? String(value) : show(value, digits)).replace("-", "−");
const offered = Object.keys(quantities).filter((name) => quantities[name].symbol), inTables = offered.filter((name) => quantities[name].head);
const phone = matchMedia("(max-width: 639px)");
const chosen = { i: weights[0], at: last, matching: weights }; // the matrix, the step's place, and what the search leaves
let stored, spectrum; // the numbers and the spectra, once they are unpacked

function unpackInto(array) {
  const series = Object.fromEntries(Object.entries(data.series).map(([name, place]) => [name, array(place)]));
  const words = Object.fromEntries(["phase", "note", "taken_out"].map((name) => [name, array(data[name].of)])), numbers = array(data.spectra.of), read = spectraOf(data.spectra, array);
  stored = { series, words };
  spectrum = (i, slot) => read(numbers[i * data.shown.length + slot]);
}

// a number of matrix i at a place of the steps, or null; of all its steps
function value(name, i, at) {
  const one = stored.series[name] ? stored.series[name][i * steps.length + at] : NaN;
  return isFinite(one) ? one : null;
}
const line = (name, i) => steps.map((_, at) => value(name, i, at));
const word = (name, i, at) => data[name].texts[stored.words[name][i * steps.length + at]];
const phaseOf = (i, at) => word("phase", i, at);
const companions = (i) => matrices.map((_, k) => k).filter((k) => k !== i && matrices[k].of === i);

// --- axes

const logarithmic = () => long && byId("scale").value === "log";
const place = (step) => (logarithmic() ? Math.log10(step + 1) : step); // so that step 0 fits
function stepAxis(numbers, range) {
  const axis = { title: "step", map: place, range };
  if (!logarithmic()) return axis;
  const nice = [0, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 1e7, 1e8];
  return { ...axis, ticks: nice.map((step) => [step, tidy(step)]) };
}

// the axis of a quantity as the table of quantities says: logarithmic, or squeezed around zero where it goes far
const squeeze = (v) => Math.asinh(v / 2);
function axisOf(q, values, bounds) {
  const there = values.concat(bounds || []).filter((v) => v !== null), low = Math.min(...there), high = Math.max(...there), title = q.symbol;
  if (!there.length) return { title, range: [0, 1] };
  if (q.drawn === "log" && low > 0) { const margin = (high / low) ** 0.09 || 1; return { title, log: true, range: low === high ? [low / 1.5, high * 1.5] : [low / margin, high * margin] }; }
  const margin = 0.09 * (high - low) || Math.abs(high) * 0.1 || 1, range = [low - margin, high + margin];
  if (q.drawn !== "signed" || Math.max(-low, high) <= 100) return { title, range };
  return { title, range, map: squeeze, ticks: [-10000, -1000, -100, -10, 0, 10, 100, 1000, 10000].map((v) => [v, tidy(v)]) };
}

// --- over steps

function mapOrder() {
  const order = several ? byId("order").value : "depth", rows = chosen.matching.slice();
  if (order === "change") rows.sort((a, b) => matrices[b].change - matrices[a].change);
  const groups = [...new Set(weights.map((i) => matrices[i].group))];
  if (order === "group") rows.sort((a, b) => groups.indexOf(matrices[a].group) - groups.indexOf(matrices[b].group) || a - b);
  return { rows, grouped: order === "group" && groups.length > 1 && groups.length < weights.length };
}

// the kinds among rows that stand by kind: where each begins, its middle, its name in short
function groupsOf(rows) {
  const short = distinct([...new Set(rows.map((i) => matrices[i].group))]), groups = [];
  for (let from = 0; from < rows.length;) {
    let to = from;
    while (to < rows.length && matrices[rows[to]].group === matrices[rows[from]].group) to++;
    groups.push({ from, middle: (from + to - 1) / 2, name: short(matrices[rows[from]].group), count: to - from });
    from = to;
  }
  return groups;
}

// names without what all of them begin and end with
function distinct(names) {
  if (names.length < 2) return (name) => name;
  const parts = names.map((name) => name.split(".")), shared = (from) => { let n = 0; while (parts.every((one) => one.length > n + 1 && from(one, n) === from(parts[0], n))) n++; return n; };
  const head = shared((one, n) => one[n]), tail = shared((one, n) => one[one.length - 1 - n]);
  return (name) => { const one = name.split("."); return one.length > head + tail ? one.slice(head, one.length - tail).join(".") : name; };
}

// bounds between the columns of steps, in steps; a measurement holds until the next one
function edges() {
  const at = steps.map(place), span = Math.max(at[last] - at[0], 1), end = at[last] + Math.max((at[last] - at[last - 1]) * 0.5, span * 0.03);
  return [...steps, logarithmic() ? 10 ** end - 1 : end];
}

// what of the map is shown, of the weights or of what belongs to them: "phase", a quantity, or "updates/…"
function shownOnMap() {
  const [tensor, name] = byId("shown").value.includes("/") ? byId("shown").value.split("/") : ["weights", byId("shown").value];
  const row = (i) => (tensor === "weights" ? i : companions(i).find((k) => matrices[k].tensor === tensor));
  return { name, row, q: quantities[name] };
}

let drawnMap = {}; // its picture, as long as nothing but the chosen cell changes
function drawMap() {
  const { name, row, q } = shownOnMap(), { rows, grouped } = mapOrder(), bounds = edges();
  const height = clamp(rows.length * 22, 66, 270), each = height / Math.max(rows.length, 1), what = [byId("shown").value, byId("scale").value, rows.join()].join("|");
  if (drawnMap.what !== what) drawnMap = { what, ...pictureOfMap(name, row, q, rows, bounds) };
  const short = distinct(rows.map((i) => matrices[i].name)), ticks = [];
  if (grouped && each < 11) {
    for (const { from, middle, name, count } of groupsOf(rows)) ticks.push([middle, name + " (" + count + ")", from]);
  } else {
    const every = Math.ceil(11 / each);
    rows.forEach((i, k) => k % every === 0 && ticks.push([k, short(matrices[i].name)]));
  }
  const longest = phone.matches ? 90 : 220, labels = [];
  for (const [at, text] of ticks) if (!labels.length || (at - labels[labels.length - 1][0]) * each >= 11) labels.push([at, fitting(text, longest, 11)]);
  const column = (share) => { const from = place(bounds[0]), at = from + share * (place(bounds[last + 1]) - from); return steps.findLastIndex((step) => place(step) <= at); };
  const box = rows.indexOf(chosen.i), lines = ticks.filter(([, , from]) => from > 0).map(([, , from]) => ({ kind: "rule", y: from - 0.5, colour: "var(--paper)" }));
  chart(byId("map"), {
    height: height + 50, x: { ...stepAxis(steps, [bounds[0], bounds[last + 1]]), bare: true }, y: { range: [-0.5, rows.length - 0.5], ticks: labels, downward: true, bare: true },
    layers: [{ kind: "cells", picture: drawnMap.picture }, ...lines, ...(box < 0 ? [] : [{ kind: "box", x: [bounds[chosen.at], bounds[chosen.at + 1]], y: [box - 0.5, box + 0.5] }])],
    at(across, down) {
      const i = rows[Math.floor(down * rows.length)], at = column(across);
      if (i === undefined || at < 0 || across > 1 || across < 0) return null;
      const shown = name === "phase" ? inTables.slice(0, 3) : [name], of = row(i);
      const numbers = of === undefined ? ["not measured"] : shown.map((one) => quantities[one].symbol + " " + number(quantities[one], value(one, of, at), 3));
      return { text: [matrices[i].name, "step " + steps[at] + ": " + phaseOf(i, at), ...numbers].join("\n"), choose: () => go(i, at) };
    },
  });
  document.querySelector(".chips").hidden = name !== "phase";
  byId("map-bar").hidden = name === "phase";
  if (name !== "phase") colourBar(byId("map-bar"), q.text, drawnMap.colours, drawnMap.marks);
}

function pictureOfMap(name, row, q, rows, bounds) {
  const width = 1200, from = place(bounds[0]), to = place(bounds[last + 1]), column = [];
  for (let x = 0, at = 0; x < width; x++) { while (at < last && place(steps[at + 1]) <= from + ((x + 0.5) / width) * (to - from)) at++; column.push(at); }
  if (name === "phase") {
    const colours = data.phase.texts.map((phase) => rgb((palette.phases[phase] || palette.phases.unknown).colour));
    return { picture: pictureOf(width, Math.max(rows.length, 1), (x, y) => (rows.length ? colours[stored.words.phase[rows[y] * steps.length + column[x]]] : null)) };
  }
  const there = rows.map(row).filter((i) => i !== undefined).flatMap((i) => line(name, i)).filter((v) => v !== null).sort((a, b) => a - b);
  const quantile = (share) => there[Math.round(share * (there.length - 1))] ?? 0, log = q.drawn === "log" && there[0] > 0, signed = q.drawn === "signed";
  const far = clamp(Math.max(-there[0] || 0, there[there.length - 1] || 0), 3, 30), map = log ? Math.log10 : (v) => v;
  const [low, high] = signed ? [-far, far] : [map(quantile(0.01)), map(quantile(0.99))], colours = ramp(signed ? palette.diverging : palette.ramp); // one that exploded does not hide all others
  const share = (v) => (high > low ? (map(v) - low) / (high - low) : 0.5);
  const marks = [0, 0.25, 0.5, 0.75, 1].map((one) => { const at = low + one * (high - low); return [one, tidy(Number((log ? 10 ** at : at).toPrecision(2)))]; });
  const picture = pictureOf(width, Math.max(rows.length, 1), (x, y) => { const i = rows.length ? row(rows[y]) : undefined, v = i === undefined ? null : value(name, i, column[x]); return v === null ? null : colours(share(v)); });
  return { picture, colours, marks };
}

// one quantity of the chosen matrix, or of the training
function drawCurve(slot) {
  const name = byId("of-curve-" + slot).value, { i, at } = chosen, ofTraining = data.of_training.find((one) => one.name === name);
  const q = ofTraining || quantities[name], numbers = ofTraining ? ofTraining.x : steps, values = ofTraining ? ofTraining.y : line(name, i), look = palette.series[slot];
  const band = (!ofTraining && matrices[i].nulls[name]) || null, layers = [], bounds = band ? [band[0], band[2]] : [];
  const typical = (v) => layers.push({ kind: "rule", y: v, dash: "dot", label: q.chance + " " + show(v, 3) });
  if (q.drawn === "signed") layers.push({ kind: "stretch", y: [-2, 2], colour: palette.band });
  if (band) layers.push({ kind: "stretch", y: [band[0], band[2]], colour: palette.band });
  if (ofTraining && ofTraining.band) layers.push({ kind: "band", x: numbers, low: ofTraining.band[0], high: ofTraining.band[2], colour: palette.band });
  layers.push({ kind: "rule", x: steps[at], dash: "dash" }); // below what is written at the edge, where it stands at first
  if (band) typical(band[1]);
  if (ofTraining && ofTraining.band && ofTraining.band[1][numbers.length - 1] !== null) typical(ofTraining.band[1][numbers.length - 1]);
  const error = !ofTraining && q.error && stored.series[q.error] ? line(q.error, i) : null;
  if (error) { // whiskers, or a band where they would stand too close
    const at = (sign) => values.map((v, k) => (v === null || error[k] === null ? null : v + sign * error[k]));
    layers.push(numbers.length > 60 ? { kind: "band", x: steps, low: at(-1), high: at(1), colour: look.colour + "40" } : { kind: "whiskers", x: steps, low: at(-1), high: at(1), colour: look.colour });
  }
  const text = (k) => "step " + numbers[k] + (ofTraining ? "" : ": " + phaseOf(i, k)) + "\n" + q.symbol + " " + number(q, values[k]), pick = ofTraining ? null : (k) => go(i, k);
  layers.push({ kind: "line", x: numbers, y: values, colour: look.colour, text, pick });
  if (numbers.length <= 60) layers.push({ kind: "points", x: numbers, y: values, colour: look.colour, symbol: look.symbol, size: 3.5, outline: 0 });
  chart(byId("curve-" + slot), { height: slot === CURVES.length - 1 ? 104 : 87, layers, x: { ...stepAxis(numbers, stepRange(numbers)), title: slot === CURVES.length - 1 ? "step" : "" }, y: axisOf(q, values, bounds) });
  byId("curve-" + slot).setAttribute("aria-label", q.text + ", over steps");
}

function stepRange(numbers) {
  const from = place(numbers[0]), to = place(numbers[numbers.length - 1]), back = (v) => (logarithmic() ? 10 ** v - 1 : v), margin = 0.02 * (to - from || 1);
  return [back(from - margin), back(to + margin)];
}

// --- over depth

// the matrices in the order of the map; where that is by kind, each kind has its name
function drawDepth(slot) {
  const name = byId("of-depth-" + slot).value, q = quantities[name], { at } = chosen, { rows, grouped } = mapOrder(), layers = [], x = [], low = [], high = [], middle = [];
  const values = rows.map((i) => value(name, i, at)), bounds = rows.map((i) => matrices[i].nulls[name] || [null, null, null]);
  bounds.forEach((three, k) => [k + 0.5, k + 1.5].forEach((edge) => { x.push(edge); low.push(three[0]); high.push(three[2]); middle.push(three[1]); }));
  if (q.drawn === "signed") layers.push({ kind: "stretch", y: [-2, 2], colour: palette.band });
  if (middle.some((v) => v !== null)) layers.push({ kind: "band", x, low, high, colour: palette.band, name: q.chance + ", ± 2 sd" }, { kind: "line", x, y: middle, colour: "var(--dim)", width: 1, dash: "dot", name: q.chance + ", typical" });
  for (const [phase, look] of Object.entries(palette.phases)) {
    const of = rows.map((_, k) => k).filter((k) => phaseOf(rows[k], at) === phase && values[k] !== null);
    if (of.length) layers.push({ kind: "points", x: of.map((k) => k + 1), y: of.map((k) => values[k]), name: phase, colour: look.colour, symbol: look.symbol, size: rows.length > 120 ? 3 : 4.5,
      text: (k) => matrices[rows[of[k]]].name + "\n" + q.symbol + " " + number(q, values[of[k]]) + ", " + phase, pick: (k) => go(rows[of[k]]) });
  }
  const here = rows.indexOf(chosen.i), groups = grouped ? groupsOf(rows) : [];
  for (const group of groups.slice(1)) layers.push({ kind: "rule", x: group.from + 0.5, colour: "var(--line)" });
  if (here >= 0) layers.push({ kind: "rule", x: here + 1, dash: "dot" });
  const ticks = grouped ? { fit: true, ticks: groups.map((group) => [group.middle + 1, group.name]) } : {};
  chart(byId("depth-" + slot), { height: long ? 180 : 160, layers, x: { title: grouped ? "" : "matrix, " + byId("order").selectedOptions[0].text, range: [0.5, Math.max(rows.length, 1) + 0.5], bare: true, ...ticks }, y: axisOf(q, values, low.concat(high)) });
  byId("depth-" + slot).setAttribute("aria-label", q.text + ", of each matrix over depth; the table below holds the numbers");
}

// --- one spectrum

const nearest = (at) => data.shown.reduce((best, s, slot) => (Math.abs(s - at) < Math.abs(data.shown[best] - at) ? slot : best), 0);

// the matrix whose spectrum is drawn: the chosen one, or what belongs to it
function withSpectrum() {
  const tensor = byId("tensor") ? byId("tensor").value : "weights";
  return tensor === "weights" ? chosen.i : companions(chosen.i).find((k) => matrices[k].tensor === tensor) ?? chosen.i;
}

function drawSpectrum() {
  const i = withSpectrum(), m = matrices[i], slot = data.shown.length ? nearest(chosen.at) : -1, at = slot >= 0 ? data.shown[slot] : chosen.at;
  const now = slot >= 0 ? spectrum(i, slot) : null, first = slot > 0 ? spectrum(i, 0) : null, s = (name) => value(name, i, at), title = m.name + (long ? ", step " + steps[at] : "");
  if (!now) {
    const why = slot < 0 ? "spectra were not kept" : "no spectrum: " + (word("note", i, at) || "no positive eigenvalue");
    emptyChart(byId("spectrum"), title, why, 366);
  } else {
    const edge = s("bulk_edge"), alpha = s("pl_alpha_ks"), xmin = s("ks_xmin"), size = s("tail_size"), visible = s("visible_edge"), out = word("taken_out", i, at);
    const law = edge > 0 ? { rows: m.rows, cols: m.cols, variance: edge / (Math.sqrt(m.rows) + Math.sqrt(m.cols)) ** 2 } : null;
    chart(byId("spectrum"), spectrumChart({
      title, now, first, nowName: long ? "step " + steps[at] : "eigenvalues", firstName: long ? "step " + steps[data.shown[0]] : "", law, lawName: "Marchenko–Pastur, fitted", slices: m.slices,
      tail: alpha !== null && xmin > 0 && size ? { alpha, xmin, size } : null, spikes: s("n_spikes"), spikesName: "spikes", height: 342, linear: byId("axis").value === "linear",
      rules: law && visible > 0 ? [{ x: visible, label: "visible edge" + (out ? ",\n" + out + " taken out" : "") }] : [],
    }));
  }
  byId("spectrum").setAttribute("aria-label", "Spectrum of " + m.name + ": " + byId("state").textContent);
}

// --- what belongs to the weights: updates, gradients, momentum; or overlaps with the updates

function drawBeside() {
  if (data.overlaps.length) {
    const pair = byId("overlap") ? Number(byId("overlap").value) : 0;
    BESIDE.forEach((side) => data.overlaps[2 * pair + side] && overlapsChart(byId("beside-" + side), byId("beside-bar-" + side), data.overlaps[2 * pair + side]));
    return;
  }
  const of = companions(chosen.i), x = stepAxis(steps, stepRange(steps)), here = { kind: "rule", x: steps[chosen.at], dash: "dash" };
  const across = stepRange(steps), constant = (v) => across.map(() => v);
  const draw = (slot, title, lines, q) => {
    const curves = [], chance = []; // and where each would lie by chance, in its colour
    lines.forEach(({ name, i, label }, k) => {
      const { colour, symbol } = palette.series[k % palette.series.length], y = line(name, i), band = matrices[i].nulls[name];
      curves.push({ kind: "line", x: steps, y, colour, name: label, text: (at) => "step " + steps[at] + "\n" + label + " " + show(y[at], 3) });
      if (steps.length <= 60) curves.push({ kind: "points", x: steps, y, colour, symbol, size: 3.5, outline: 0 });
      if (band) chance.push({ kind: "band", x: across, low: constant(band[0]), high: constant(band[2]), colour: colour + "38" }, { kind: "line", x: across, y: constant(band[1]), colour, dash: "dot", width: 1.2, name: label + " by chance, ± 2 sd" });
    });
    const values = [...curves.flatMap((one) => one.y), ...chance.flatMap((one) => one.low ? [...one.low, ...one.high] : one.y)];
    chart(byId("beside-" + slot), { title, height: 185, layers: [...chance, ...curves, here], x, y: { ...axisOf(q, values), title: "" } });
    byId("beside-" + slot).setAttribute("aria-label", title + " over steps");
  };
  const tensorOf = (i) => matrices[i].tensor, known = (name) => (i) => stored.series[name] && line(name, i).some((v) => v !== null);
  draw(0, "‖·‖_F, root of the sum of squares", of.filter(known("frobenius_norm")).map((i) => ({ name: "frobenius_norm", i, label: tensorOf(i) })), { drawn: "log" });
  const between = offered.filter((name) => quantities[name].of === "between").flatMap((name) => of.filter(known(name)).map((i) => ({ name, i, label: quantities[name].symbol })));
  if (between.length) draw(1, "directions shared with the update", between, { drawn: "linear" });
  if (byId("beside-2")) draw(2, "directions kept since the step before", TURNED.flatMap((name) => of.filter(known(name)).map((i) => ({ name, i, label: quantities[name].symbol }))), { drawn: "linear" });
  if (!between.length) draw(1, "effective rank", of.filter(known("effective_rank")).map((i) => ({ name: "effective_rank", i, label: tensorOf(i) })), { drawn: "log" });
}

// --- small ones beside names: what changed, over steps, with the phases below

function drawSpark(element) {
  const i = Number(element.dataset.of), names = ["effect_homogeneous", "effect", "pl_alpha_hill"].filter((one) => stored.series[one]), name = names.find((one) => line(one, i)[last] !== null) || names[0], values = name ? line(name, i) : [], there = values.filter((v) => v !== null);
  const width = element.width.baseVal.value, x = (at) => 1 + (at / Math.max(last, 1)) * (width - 2), low = Math.min(...there), high = Math.max(...there);
  const y = (v) => (v === null ? null : 16 - ((v - low) / (high - low || 1)) * 14), parts = [];
  for (let from = 0; from <= last;) {
    let to = from;
    while (to <= last && phaseOf(i, to) === phaseOf(i, from)) to++;
    parts.push(svg("rect", { x: x(from), y: 19, width: Math.max(x(Math.min(to, last)) - x(from), 1), height: 5, style: "fill:" + (palette.phases[phaseOf(i, from)] || palette.phases.unknown).colour }));
    from = to;
  }
  element.replaceChildren(...parts, svg("path", { d: through(values.map((_, at) => x(at)), values.map(y)), style: "fill:none;stroke:var(--ink);stroke-width:1.3" }));
}
