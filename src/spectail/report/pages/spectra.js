"use strict";
// What the pages share: packed spectra, the Marchenko–Pastur law, the look of a plot, tables that sort.
const byId = (id) => document.getElementById(id);
const palette = JSON.parse(byId("palette").textContent);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function bytes(text) {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

// A spectrum is packed as log10 λ in 16 bits: some points that stand for many eigenvalues each, and the largest singly.
function unpack(packed) {
  if (!packed.values) {
    const raw = new Uint16Array(bytes(packed.b).buffer), span = (packed.hi - packed.lo) / 65535;
    packed.values = Array.from(raw, (v) => packed.lo + v * span);
    const rest = raw.length - packed.top;
    packed.weights = packed.values.map((_, i) => (i < rest ? (packed.n - packed.top) / rest : 1) / packed.n);
  }
  return packed;
}

// the largest eigenvalues, as log10 λ; those that a packed spectrum holds singly
const largest = (packed, count) => (count ? packed.values.slice(-Math.min(count, packed.top)) : []);

function density(packed, linear, low, high, bins) {
  const width = (high - low) / bins, heights = new Array(bins).fill(0), centres = [];
  packed.values.forEach((value, i) => {
    const place = Math.floor(((linear ? 10 ** value : value) - low) / width);
    if (place >= 0 && place < bins) heights[place] += packed.weights[i] / width;
  });
  for (let i = 0; i < bins; i++) centres.push(low + (i + 0.5) * width);
  return { centres, heights, width };
}

function marchenkoPastur(law, linear) {
  const b = Math.min(law.h, law.d), big = Math.max(law.h, law.d), unit = law.variance;
  const low = unit * (Math.sqrt(big) - Math.sqrt(b)) ** 2, high = unit * (Math.sqrt(big) + Math.sqrt(b)) ** 2;
  const x = [], y = [];
  for (let i = 1; i < 400; i++) {
    const start = linear ? low : Math.log10(Math.max(low, 1e-6 * high)), end = linear ? high : Math.log10(high);
    const at = start + ((end - start) * i) / 400, value = linear ? at : 10 ** at;
    const here = Math.sqrt(Math.max((high - value) * (value - low), 0)) / (2 * Math.PI * b * unit * value);
    x.push(at);
    y.push(linear ? here : here * value * Math.LN10);
  }
  return { x, y };
}

function layout(extra) {
  const ink = css("--ink"), grid = css("--line");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: ink, automargin: true };
  const { xaxis, yaxis, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 },
    margin: { l: 55, r: 15, t: 40, b: 45 }, legend: { orientation: "h", y: -0.2 }, bargap: 0,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}
const options = { displayModeBar: false, responsive: true };
const show = (number, digits) => (number === null ? "–" : Number(number).toPrecision(digits || 4));

function sortable(table) {
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), down = head.getAttribute("aria-sort") === "ascending", column = head.cellIndex;
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0], text = (row) => row.cells[column].dataset.sort || row.cells[column].textContent.trim();
      const order = (a, b) => (a !== "" && b !== "" && isFinite(a) && isFinite(b) ? a - b : a.localeCompare(b, "en", { numeric: true }));
      const sorted = Array.from(body.rows).sort((a, b) => order(text(a), text(b)));
      body.append(...(down ? sorted.reverse() : sorted));
    });
  }
}
