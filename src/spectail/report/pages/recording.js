// Choosing matrix and step, searching, addresses and files. Text from files reaches the page as text only.

function tell() {
  const { i, at } = chosen, m = matrices[i], numbers = inTables.filter((name) => value(name, i, at) !== null).map((name) => {
    const null_ = m.nulls[name];
    return quantities[name].symbol + " " + number(quantities[name], value(name, i, at), 3) + (null_ ? " (" + quantities[name].chance + " " + show(null_[1], 3) + ")" : "");
  });
  const shape = m.kind + " " + m.rows + "×" + m.cols + (m.slices > 1 ? ", " + m.slices + " slices pooled" : "");
  const note = word("note", i, at), phase = document.createElement("b");
  phase.textContent = phaseOf(i, at);
  byId("state").replaceChildren(long ? "step " + steps[at] + ": " : "", phase, [" · " + shape, ...numbers].join(" · ") + (note ? " · note: " + note : ""));
  byId("step-shown").textContent = "step " + steps[at];
  byId("step").setAttribute("aria-valuetext", "step " + steps[at] + ", " + phaseOf(i, at));
}

// matrix and step are in the address: it can be kept, sent, and loaded anew; the last step is not, so that it stays the last
function keepAddress() {
  const address = new URLSearchParams({ matrix: matrices[chosen.i].name, ...(chosen.at < last ? { step: steps[chosen.at] } : {}) });
  history.replaceState(null, "", "#" + address);
}

// what the address names, if it is there
function addressed() {
  const address = new URLSearchParams(location.hash.slice(1)), i = weights.find((k) => matrices[k].name === address.get("matrix"));
  const at = address.has("step") ? steps.indexOf(Number(address.get("step"))) : last;
  return i === undefined ? null : { i, at: at < 0 ? last : at };
}

function fromAddress() {
  const place = addressed();
  if (place) go(place.i, place.at);
}

function redraw() {
  byId("step").value = chosen.at;
  byId("matrix").value = chosen.i;
  tell();
  keepAddress();
  drawSpectrum();
  if (long) { drawMap(); CURVES.forEach(drawCurve); }
  if (several) DEPTH.forEach(drawDepth);
  if (byId("beside")) drawBeside();
  for (const row of byId("rows").querySelectorAll("tr[data-index]")) row.setAttribute("aria-current", row.dataset.index === String(chosen.i));
}

function go(i, at) {
  Object.assign(chosen, { i, at: at ?? chosen.at });
  if (!chosen.matching.includes(i)) { byId("filter").value = ""; search(); } else redraw();
}

// the search leaves some matrices in the map, over depth, in the list and in the table; the chosen one stays if it is among them
function search() {
  const wanted = several ? words(byId("filter").value) : [];
  const matching = weights.filter((i) => wanted.every((w) => [matrices[i].name, matrices[i].kind, phaseOf(i, last)].join(" ").toLowerCase().includes(w)));
  if (matching.length && !matching.includes(chosen.i)) chosen.i = matching[0];
  chosen.matching = matching;
  const groups = new Map();
  for (const i of matching) groups.set(matrices[i].group, [...(groups.get(matrices[i].group) || []), new Option(i + 1 + ": " + matrices[i].name, i)]);
  const alone = groups.size === matching.length || groups.size < 2;
  byId("matrix").replaceChildren(...[...groups].flatMap(([name, options]) => {
    if (alone) return options;
    const group = Object.assign(document.createElement("optgroup"), { label: name });
    group.append(...options);
    return group;
  }));
  const visible = new Set(matching.map(String)), rows = byId("rows");
  for (const row of rows.querySelectorAll("tr[data-index]")) row.hidden = !visible.has(row.dataset.index);
  for (const head of rows.querySelectorAll("tr.group")) head.hidden = !flatOrVisible(head);
  if (several) byId("count").textContent = matching.length + " of " + weights.length;
  redraw();
}
const flatOrVisible = (head) => byId("grouped").checked && Array.from(head.parentNode.rows).some((row) => row !== head && !row.hidden);

// the rows of the table by kind and shape, or all in the order of definition
function regroup() {
  const bodies = Array.from(byId("rows").tBodies), rows = bodies.flatMap((body) => Array.from(body.querySelectorAll("tr[data-index]")));
  for (const head of byId("rows").querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
  rows.sort((a, b) => a.dataset.index - b.dataset.index);
  for (const row of rows) {
    row.dataset.body ??= bodies.indexOf(row.parentNode);
    bodies[byId("grouped").checked ? row.dataset.body : 0].append(row);
  }
  search();
}

function allNumbers() {
  const names = Object.keys(quantities), lines = [["matrix", "kind", "rows", "cols", "step", "phase", ...names, "note"]];
  matrices.forEach((m, i) => steps.forEach((step, at) => lines.push([m.name, m.kind, m.rows, m.cols, step, phaseOf(i, at), ...names.map((name) => { const v = value(name, i, at); return v === null ? null : Number(v.toPrecision(5)); }), word("note", i, at)])));
  return asTable(lines);
}

function offer(id, names, chosenOne) {
  const option = (name, q) => new Option(q.symbol + " – " + q.text, name);
  byId(id).replaceChildren(...names.map((name) => option(name, quantities[name])), ...(id.startsWith("of-curve") ? data.of_training.map((one) => option(one.name, one)) : []));
  if (chosenOne) byId(id).value = chosenOne;
}

function fillChoices() {
  const present = new Set(weights.flatMap((i) => steps.map((_, at) => phaseOf(i, at))));
  for (const list of document.querySelectorAll(".chips")) list.replaceChildren(...Object.keys(palette.phases).filter((phase) => present.has(phase)).map((phase) => {
    const item = document.createElement("li"), square = document.createElement("i");
    square.style.background = palette.phases[phase].colour;
    item.append(square, phase);
    return item;
  }));
  for (const square of document.querySelectorAll("i.phase")) square.style.background = palette.phases[square.dataset.phase]?.colour || "";
  byId("step").max = last;
  if (several && 2 * new Set(weights.map((i) => matrices[i].group)).size > weights.length) byId("order").value = "depth"; // few are of a kind
  if (several) DEPTH.forEach((slot) => offer("of-depth-" + slot, offered, inTables[slot] || offered[0]));
  const tensors = [...new Set(matrices.map((m) => m.tensor))].filter((tensor) => tensor !== "weights");
  if (byId("tensor")) {
    byId("tensor").replaceChildren(...["weights", ...tensors].map((tensor) => new Option(tensor, tensor)));
    byId("tensor").parentNode.hidden = !tensors.length;
  }
  if (byId("overlap")) byId("overlap").replaceChildren(...data.overlaps.filter((_, k) => k % 2 === 0).map((one, k) => new Option(one.name + " and right", k)));
  if (!long) return;
  const signs = offered.filter((name) => quantities[name].drawn === "signed"), measured = (tensor) => offered.filter((name) => matrices.some((m, i) => m.tensor === tensor && line(name, i).some((v) => v !== null)));
  const choices = (tensor, names) => names.map((name) => new Option(quantities[name].symbol + " – " + quantities[name].text, tensor === "weights" ? name : tensor + "/" + name));
  const ofWeights = measured("weights");
  byId("shown").replaceChildren(new Option("phase", "phase"), ...choices("weights", [...signs, ...ofWeights.filter((name) => !signs.includes(name))]));
  for (const tensor of tensors) {
    const group = Object.assign(document.createElement("optgroup"), { label: tensor });
    group.append(...choices(tensor, measured(tensor)));
    byId("shown").append(group);
  }
  const losses = data.of_training.filter((one) => one.head).map((one) => one.name), curves = [...inTables.filter((name) => quantities[name].drawn !== "signed" && !quantities[name].integer && quantities[name].of !== "between").slice(0, losses.length ? 2 : 3), ...losses];
  CURVES.forEach((slot) => offer("of-curve-" + slot, offered, curves[slot] || offered[0]));
  // even steps on a linear axis, others on a logarithmic one
  const gaps = steps.slice(1).map((s, k) => s - steps[k]);
  byId("scale").value = gaps.length > 2 && Math.max(...gaps) > 4 * Math.min(...gaps) ? "log" : "linear";
}

function listen() {
  const on = (id, name, action) => byId(id) && byId(id).addEventListener(name, action);
  addEventListener("hashchange", fromAddress);
  on("filter", "input", search);
  on("matrix", "input", () => go(Number(byId("matrix").value)));
  on("step", "input", () => go(chosen.i, Number(byId("step").value)));
  for (const id of ["axis", "tensor"]) on(id, "input", drawSpectrum);
  on("shown", "input", drawMap);
  for (const id of ["scale", "order"]) on(id, "input", redraw);
  on("overlap", "input", drawBeside);
  on("grouped", "input", regroup);
  for (const [draw, id, slots] of [[drawDepth, "of-depth-", DEPTH], [drawCurve, "of-curve-", CURVES]]) for (const slot of slots) on(id + slot, "input", () => draw(slot));
  for (const [id, by] of [["previous", -1], ["next", 1]]) on(id, "click", () => { const list = Array.from(byId("matrix").options, (option) => Number(option.value)); go(list[(list.indexOf(chosen.i) + by + list.length) % list.length]); });
  on("map", "keydown", (event) => {
    const { rows } = mapOrder(), [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
    if (!down && !right) return;
    event.preventDefault();
    go(rows[clamp(rows.indexOf(chosen.i) + down, 0, rows.length - 1)] ?? chosen.i, clamp(chosen.at + right, 0, last));
  });
  on("save-csv", "click", () => save("spectail.csv", allNumbers(), "text/csv"));
  for (const button of document.querySelectorAll("button[data-save]")) button.addEventListener("click", () => savePicture(byId(button.dataset.of), button.dataset.save, button.dataset.of === "spectrum" ? byId("spectrum").spec.title : button.dataset.of));
  for (const button of document.querySelectorAll("button[data-matrix]")) button.addEventListener("click", () => {
    go(Number(button.dataset.matrix), button.dataset.at === undefined ? undefined : Number(button.dataset.at));
    if (!button.closest("table")) byId("one-matrix").scrollIntoView({ block: "nearest" });
  });
  for (const button of document.querySelectorAll("button[aria-expanded]")) button.addEventListener("click", () => {
    button.nextElementSibling.hidden = button.ariaExpanded === "true";
    button.ariaExpanded = String(!button.nextElementSibling.hidden);
  });
  phone.addEventListener("change", redraw);
  sortable(byId("rows"));
  for (const id of ["events", "changes"]) if (byId(id)) walkable(byId(id), "button");
  walkable(byId("rows").querySelector("tbody").parentNode, "td.name button");
}

async function start() {
  unpackInto(await unpackedArrays());
  fillChoices();
  listen();
  // the matrix that changed most is the first to look at
  chosen.i = weights.reduce((best, i) => (matrices[i].change > matrices[best].change ? i : best), weights[0]);
  Object.assign(chosen, addressed());
  search();
  for (const element of document.querySelectorAll("svg.spark")) drawSpark(element);
  document.documentElement.dataset.ready = "yes";
}
const ready = start();
