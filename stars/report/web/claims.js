// Claims: the clips behind a difference, shown in the explorer.

/** Show in the explorer the clips that only one of two methods classifies correctly, if a map contains them. */
function showBehind(explorer, button) {
  const { run, [button.dataset.side]: names } = DATA.claims[Number(button.dataset.claim)];
  const at = DATA.explorers.findIndex((one) => one.run === run);
  const places = at < 0 ? [] : names.map((name) => DATA.explorers[at].names.indexOf(name)).filter((index) => index >= 0);
  if (!places.length) {
    button.after(make("small", { className: "quiet" }, " not on a map of this page"));
    button.disabled = true;
    return;
  }
  byId("run").selectedIndex = at;
  explorer.open(DATA.explorers[at]);
  explorer.stand(places, button.title);
  byId("map").scrollIntoView({ block: "center", behavior: STILL.matches ? "auto" : "smooth" });
}
