// Search: clips whose name or action contains the text are highlighted on the map, and the first one plays.

class Finder {
  constructor(field, told, explorer) {
    Object.assign(this, { field, told, explorer });
    field.addEventListener("input", () => this.find());
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") explorer.release();
    });
  }

  find() {
    const { run } = this.explorer;
    const text = this.field.value.trim();
    const holds = (words) => words.toLowerCase().includes(text.toLowerCase());
    const found = run.names.flatMap((name, index) => (holds(`${name} ${run.classes[run.action[index]]}`) ? [index] : []));
    if (text && found.length) this.explorer.stand(found, `${found.length} of ${run.names.length} clips contain “${text}”`);
    else this.explorer.all();
    this.told.textContent = text ? `${found.length} found` : "";
  }

  clear() {
    this.field.value = this.told.textContent = "";
  }
}
