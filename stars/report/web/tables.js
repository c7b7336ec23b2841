// Sorting: descending, ascending, then the paper's order. Published and own rows are sorted together; differences stay below.

function sortable(table) {
  const heads = [...table.tHead.rows].at(-1).cells;
  const original = [...table.tBodies];
  const rows = original.flatMap((body) => ("ranked" in body.dataset ? [...body.rows].filter((row) => !row.classList.contains("group")) : []));
  const homes = new Map(rows.map((row) => [row, row.parentNode]));
  const merged = make("tbody", { className: "merged" });

  const restore = () => {
    merged.remove();
    for (const row of rows) homes.get(row).append(row);
    for (const body of original) body.hidden = false;
  };

  const sort = (column, kind, direction) => {
    const value = (row) => (kind === "number" ? parseFloat(row.cells[column].dataset.value) : row.cells[column].textContent.trim());
    const compare = (a, b) => {
      const [one, other] = [value(a), value(b)];
      if (kind === "text") return direction * one.localeCompare(other);
      if (isNaN(one) || isNaN(other)) return isNaN(one) - isNaN(other);
      return direction * (one - other);
    };
    merged.append(...[...rows].sort(compare));
    table.tHead.after(merged);
    for (const body of original) body.hidden = "ranked" in body.dataset;
  };

  [...heads].forEach((head, column) => {
    const kind = head.dataset.sort;
    if (!kind) return;
    const order = kind === "number" ? ["descending", "ascending"] : ["ascending", "descending"];
    const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const next = [...order, null][order.indexOf(head.getAttribute("aria-sort")) + 1];
      for (const other of heads) other.removeAttribute("aria-sort");
      restore();
      if (!next) return;
      head.setAttribute("aria-sort", next);
      sort(column, kind, next === "ascending" ? 1 : -1);
    });
  });
}
