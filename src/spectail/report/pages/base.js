"use strict";
// What the pages share: numbers out of the page, words for them, tables that sort, lists that arrow keys walk through.
const byId = (id) => document.getElementById(id);
const palette = JSON.parse(byId("palette").textContent);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const show = (number, digits) => (number === null ? "–" : Number(number).toPrecision(digits || 4).replace("-", "−"));
const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function bytes(text) {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

// The arrays that packing.py put together: deflated, each with the first bytes of all its numbers first.
const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array, f4: Float32Array };
async function unpackedArrays() {
  const stream = new Blob([bytes(byId("arrays").textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  return ({ at, n, type }) => {
    const size = TYPES[type].BYTES_PER_ELEMENT;
    if (size === 1) return raw.subarray(at, at + n);
    const whole = new Uint8Array(n * size);
    for (let byte = 0; byte < size; byte++) for (let i = 0, from = at + byte * n; i < n; i++) whole[i * size + byte] = raw[from + i];
    return new TYPES[type](whole.buffer);
  };
}

const jsonOf = (array) => JSON.parse(new TextDecoder().decode(array));

function sortable(table) {
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), down = head.getAttribute("aria-sort") === "ascending", column = head.cellIndex;
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].dataset.sort || row.cells[column].textContent.trim();
      const order = (a, b) => (a !== "" && b !== "" && isFinite(a) && isFinite(b) ? a - b : (a === "") - (b === "") || a.localeCompare(b, "en", { numeric: true }));
      for (const body of table.tBodies) { // each group by itself, below its head
        const rows = Array.from(body.rows).filter((row) => !row.matches(".group")).sort((a, b) => order(text(a), text(b)));
        body.append(...(down ? rows.reverse() : rows));
      }
    });
  }
}

// One stop of the Tab key for a whole list; the arrow keys, Home and End walk through it.
function walkable(list, selector) {
  const stops = () => Array.from(list.querySelectorAll(selector)).filter((one) => one.getClientRects().length);
  const only = (stop) => { for (const one of list.querySelectorAll(selector)) one.tabIndex = one === stop ? 0 : -1; };
  only(list.querySelector(selector));
  list.addEventListener("focusin", (event) => event.target.matches(selector) && only(event.target));
  list.addEventListener("keydown", (event) => {
    const all = stops(), at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  });
}

function save(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// a cell of a spreadsheet: quoted where it must be, and never a formula
function cell(value) {
  const text = String(value ?? ""), safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
}
const asTable = (lines) => lines.map((line) => line.map(cell).join(",") + "\n");
