// The map of overlaps of singular vectors of the weights with those of an update.
function overlapsChart(element, bar, chosen) {
  const raw = bytes(chosen.b), colours = ramp(palette.ramp), level = (column, row) => raw[row * chosen.size + column];
  const picture = pictureOf(chosen.size, chosen.size, (column, row) => (level(column, row) === 255 ? null : colours(level(column, row) / 254)));
  const past = chosen.ranks.filter(([, rank]) => rank < chosen.size).map(([of, rank]) => "past the rank of " + of + ", " + rank);
  const range = [0.5, chosen.size + 0.5];
  chart(element, {
    title: chosen.name + ", largest " + show(chosen.max, 3) + (chosen.largest ? " (by chance " + show(chosen.largest, 3) + ")" : "") + (past.length ? "; empty " + past.join(", ") : ""), height: Math.min(element.clientWidth, 420), layers: [{ kind: "cells", picture }],
    x: { title: "direction of M", range, bare: true }, y: { title: "direction of W", range, bare: true, downward: true },
    at(across, down) {
      const column = Math.floor(across * chosen.size), row = Math.floor(down * chosen.size);
      if (!(column >= 0 && row >= 0 && column < chosen.size && row < chosen.size)) return null;
      const value = level(column, row);
      return { text: "direction " + (row + 1) + " of W, " + (column + 1) + " of M\n" + (value === 255 ? "past the rank" : show(10 ** (4 * value / 254 - 4), 2)) };
    },
  });
  const chance = [["mean", chosen.mean], ["largest", chosen.largest]].filter(([, value]) => value).map(([word, value]) => [1 + Math.log10(value) / 4, "▴ by chance, " + word]);
  const plain = [-4, -2, 0].map((power) => [1 + power / 4, tidy(10 ** power)]).filter(([share]) => chance.every(([at]) => Math.abs(at - share) > 0.12));
  colourBar(bar, "overlap", colours, [...chance, ...plain].sort((a, b) => a[0] - b[0]));
}
