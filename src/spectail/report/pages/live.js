
// A page that is served asks whether there is more to show, and loads itself anew when nobody touches it for a moment.
// The address keeps matrix and step; what else was chosen, opened and scrolled to is kept for the next page.
const KEPT = "spectail", QUIET = 2500; // milliseconds without a touch
let touched = -QUIET;
for (const name of ["pointerdown", "keydown", "wheel", "input"]) addEventListener(name, () => { touched = performance.now(); }, { passive: true });
const chosenFields = () => document.querySelectorAll("main select[id]:not(#matrix), nav input, main input[type=checkbox]");
const scrolling = () => document.querySelectorAll(".list, .table-window, .notes");

function keepChoices() {
  const values = Array.from(chosenFields(), (field) => [field.id, field.type === "checkbox" ? field.checked : field.value]);
  const kept = { values, open: Array.from(document.querySelectorAll("details"), (one) => one.open), scrolled: Array.from(scrolling(), (one) => one.scrollTop), top: scrollY, focus: document.activeElement.id };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
}

function restoreChoices() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "null"), address = location.hash;
  if (!kept) return;
  for (const [id, value] of kept.values) {
    const field = byId(id);
    if (!field || (field.options && !Array.from(field.options).some((option) => option.value === value))) continue;
    if (field.type === "checkbox") field.checked = value; else field.value = value;
    field.dispatchEvent(new Event("input"));
  }
  history.replaceState(null, "", address);
  fromAddress(); // a search may have chosen another
  document.querySelectorAll("details").forEach((one, k) => { one.open = kept.open[k] ?? one.open; });
  scrolling().forEach((one, k) => { one.scrollTop = kept.scrolled[k] || 0; });
  byId(kept.focus)?.focus({ preventScroll: true });
  scrollTo(0, kept.top);
}

async function lookForMore() {
  try {
    const state = await (await fetch("state", { cache: "no-store" })).json();
    byId("live").textContent = state.sentence;
    if (state.version !== byId("live").dataset.version && !document.hidden && performance.now() - touched > QUIET) {
      keepChoices();
      return location.reload();
    }
  } catch {
    byId("live").textContent = "the server has ended; the page stays as it is";
  }
  setTimeout(lookForMore, 2000);
}
history.scrollRestoration = "manual";
ready.then(restoreChoices).then(lookForMore);
