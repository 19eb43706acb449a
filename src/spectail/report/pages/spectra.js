// Spectra as pages have them, and what is drawn of one: bars, the Marchenko–Pastur law, the fitted tail, the spikes.

// the spectra that packing.py put together: number → { n, first, counts, largest, low, high }, exponents of ten; null for −1
function spectraOf(packed, array) {
  const of = Object.fromEntries(["first", "sizes", "lengths", "counts", "tops", "largest"].map((name) => [name, array(packed[name])]));
  const starts = (lengths) => lengths.reduce((all, length) => { all.push(all[all.length - 1] + length); return all; }, [0]);
  const cells = starts(Array.from(of.lengths)), tops = starts(Array.from(of.tops));
  return (number) => {
    if (number < 0) return null;
    const first = of.first[number], counts = of.counts.subarray(cells[number], cells[number + 1]), largest = Array.from(of.largest.subarray(tops[number], tops[number + 1]));
    return { n: of.sizes[number], first, counts, largest, cells: packed.cells, low: first / packed.cells, high: largest[largest.length - 1] };
  };
}

// Bars of area one in all, over log₁₀ λ or over λ: cells of the grid, put together until a bar is as wide as is asked for.
function density({ n, first, counts, cells }, linear, width) {
  const at = (cell) => (linear ? 10 ** (cell / cells) : cell / cells), step = linear ? 1 : Math.max(1, Math.round(width * cells));
  const start = Math.floor(first / step) * step, edges = [at(start)], heights = [];
  for (let from = start, inside = 0; from < first + counts.length; from += step) {
    for (let cell = Math.max(from, first); cell < Math.min(from + step, first + counts.length); cell++) inside += counts[cell - first];
    const right = at(from + step), left = edges[edges.length - 1];
    if (linear && right - left < width && from + step < first + counts.length) continue;
    edges.push(right);
    heights.push(inside / n / (right - left));
    inside = 0;
  }
  return { edges, heights };
}

const lawEdges = ({ rows, cols, variance }) => [-1, 1].map((sign) => variance * (Math.sqrt(Math.max(rows, cols)) + sign * Math.sqrt(Math.min(rows, cols))) ** 2);

function marchenkoPastur(law, linear) {
  const [low, high] = lawEdges(law), b = Math.min(law.rows, law.cols), x = [], y = [];
  for (let i = 1; i < 300; i++) {
    const start = linear ? low : Math.log10(Math.max(low, 1e-6 * high)), end = linear ? high : Math.log10(high);
    const at = start + ((end - start) * i) / 300, value = linear ? at : 10 ** at;
    const here = Math.sqrt(Math.max((high - value) * (value - low), 0)) / (2 * Math.PI * b * law.variance * value);
    x.push(at);
    y.push(linear ? here : here * value * Math.LN10);
  }
  return { x, y };
}

// share of the Marchenko–Pastur law below λ, in closed form
function lawBelow(law, value) {
  const [low, high] = lawEdges(law), centre = (high + low) / 2, radius = (high - low) / 2, mean = Math.sqrt(high * low);
  const theta = Math.acos(clamp((centre - value) / radius, -1, 1));
  const angle = Math.atan2(Math.sqrt(high) * Math.sin(theta / 2), Math.sqrt(low) * Math.cos(theta / 2));
  return (centre * theta + radius * Math.sin(theta) - 2 * mean * angle) / (2 * Math.PI * Math.min(law.rows, law.cols) * law.variance);
}

// Variance of the number of eigenvalues where `expected` lie (Mehta, Random Matrices, §16.1): they repel each other.
const numberVariance = (expected) => (expected < 0.5 ? expected : Math.max(0.44, (2 / Math.PI ** 2) * (Math.log(2 * Math.PI * expected) + 1.5772 - Math.PI ** 2 / 8)));

// where 95 % of Gaussian matrices have each bar
function gaussianBand(law, slices, n, linear, edges) {
  const x = [], low = [], high = [], share = edges.map((at) => lawBelow(law, linear ? at : 10 ** at));
  for (let i = 0; i + 1 < edges.length; i++) {
    const expected = n * (share[i + 1] - share[i]), unit = n * (edges[i + 1] - edges[i]);
    if (expected < 1e-3) continue;
    const spread = 2 * Math.sqrt(slices * numberVariance(expected / slices));
    x.push((edges[i] + edges[i + 1]) / 2);
    low.push(Math.max(expected - spread, linear ? 0 : 0.2) / unit);
    high.push((expected + spread) / unit);
  }
  return { x, low, high };
}

// A chart of one spectrum. `law` is { rows, cols, variance }, `tail` { alpha, xmin, size }, `rules` are drawn as they are.
function spectrumChart({ title, now, first, nowName, firstName, law, lawName, slices, tail, spikes, spikesName, rules, linear, height }) {
  const both = first ? [first, now] : [now], bins = clamp(Math.round(2 * Math.sqrt(now.n)), 12, 70), most = Math.max(...both.map((one) => one.high));
  const [lawLow, lawHigh] = law ? lawEdges(law) : [0, 0], foot = law ? Math.log10(lawHigh) + Math.max(Math.log10(Math.max(lawLow, 1e-300) / lawHigh), -6) : most;
  const least = Math.max(Math.min(...both.map((one) => one.low), foot), most - 10);
  const quantile = (share) => { let below = 0, cell = 0; while (cell < now.counts.length - 1 && below < share * now.n) below += now.counts[cell++]; return now.low + cell / now.cells; };
  const reach = Math.max(lawHigh, 10 ** quantile(0.97)); // the largest that is no outlier ends a linear axis
  const low = linear ? 0 : least - 0.02, high = linear ? 1.03 * Math.min(10 ** most, 2.5 * reach) : Math.max(most, law ? Math.log10(lawHigh) : most, ...(rules || []).map((one) => Math.log10(one.x))) + 0.06;
  const position = (value) => (linear ? value : Math.log10(value)), layers = [], width = (high - (linear ? 0 : quantile(0.05))) / bins, bars = density(now, linear, width);
  if (law && slices) layers.push({ kind: "band", ...gaussianBand(law, slices, now.n, linear, bars.edges), colour: palette.band, name: "95 % of Gaussian matrices" });
  const drawn = first ? [[density(first, linear, width), firstName, palette.first]] : [];
  drawn.push([bars, nowName, palette.now]);
  for (const [one, name, colour] of drawn) layers.push({ kind: "bars", ...one, name, colour });
  const heights = drawn.flatMap(([one]) => one.heights.filter((value, i) => value > 0 && one.edges[i] < high && one.edges[i + 1] > low)), base = Math.min(...heights), peak = Math.max(...heights);
  if (law) layers.push({ kind: "line", ...marchenkoPastur(law, linear), name: lawName, colour: "var(--ink)", width: 1.5 });
  if (tail) {
    const x = [], y = [], start = Math.log10(tail.xmin);
    for (let i = 0; i <= 60; i++) {
      const value = 10 ** (start + ((now.high - start) * i) / 60), here = ((tail.size / now.n) * (tail.alpha - 1)) / tail.xmin * (value / tail.xmin) ** -tail.alpha;
      if (linear && value > high) break;
      x.push(position(value));
      y.push(linear ? here : here * value * Math.LN10);
    }
    layers.push({ kind: "line", x, y, name: "power law, α = " + show(tail.alpha, 3) + " (" + tail.size + " eigenvalues)", colour: palette.tail, dash: "dash", width: 2.5 });
  }
  for (const rule of rules || []) if (position(rule.x) <= high) layers.push({ kind: "rule", dash: "dot", ...rule, x: position(rule.x) });
  const ticks = now.largest.slice(spikes ? -Math.min(spikes, now.largest.length) : now.largest.length).map((value) => (linear ? 10 ** value : value)), inside = ticks.filter((value) => value <= high);
  if (inside.length) layers.push({ kind: "rug", x: inside, colour: palette.marked, name: spikesName + (spikes > ticks.length ? ", the largest " + ticks.length + " of " + spikes : "") });
  const beyond = ticks.length - inside.length;
  return {
    title: title + (beyond ? " – " + beyond + (beyond > 1 ? " spikes lie" : " spike lies") + " beyond the right edge" : ""), height, layers,
    x: { title: linear ? "λ, squared units of the weights" : "log₁₀ λ, λ in squared units of the weights", range: [low, high] },
    y: linear ? { title: "density per unit of λ", range: [0, peak * 1.15] } : { title: "density per decade", log: true, range: [base * 0.5, peak * 2] },
  };
}
