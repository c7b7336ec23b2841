// Runs when the page is loaded.

readColours();
for (const table of document.querySelectorAll("table.sortable")) sortable(table);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.from");
  if (button) showLineage(button);
  else if (event.target === byId("lineage")) byId("lineage").close();
});

if (DATA.explorers.length) {
  const explorer = new Explorer();
  byId("run-choice").hidden = DATA.explorers.length < 2;
  byId("run").addEventListener("change", (event) => explorer.open(DATA.explorers[event.target.selectedIndex]));
  explorer.open(DATA.explorers[0]);
  for (const button of document.querySelectorAll("button.behind")) button.addEventListener("click", () => showBehind(explorer, button));
}
