
// A page that is served asks whether there is more to show, and loads itself anew; the address keeps what was chosen.
async function lookForMore() {
  try {
    const state = await (await fetch("state", { cache: "no-store" })).json();
    byId("live").textContent = state.sentence;
    if (state.version !== byId("live").dataset.version && !document.hidden) return location.reload();
  } catch {
    byId("live").textContent = "the server has ended; the page stays as it is";
  }
  setTimeout(lookForMore, 2000);
}
lookForMore();
