// The confusion matrix on a canvas: cells can be selected with the pointer or arrow keys.

const WIDEST = 1000; // CSS pixels
const SMALLEST = 14; // of a cell beside a name; a matrix that is too wide scrolls
const NAMED = 60; // classes up to which they are named

const NAME_FONT = "11px system-ui, sans-serif";

const brief = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);

class Confusion {
  constructor(canvas, told, chosen) {
    Object.assign(this, { canvas, told, chosen, row: 0, column: 0, counts: [], classes: [] });
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("click", (event) => this.point(event) && this.chosen(this.row, this.column));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  set(classes, counts) {
    Object.assign(this, { classes, counts });
    this.sums = classes.map((_, row) => classes.reduce((sum, _, column) => sum + this.count(row, column), 0));
    this.go(Math.min(this.row, classes.length - 1), Math.min(this.column, classes.length - 1));
  }

  count(row, column) {
    return this.counts[row * this.classes.length + column];
  }

  /** Pairs of different classes, most often confused first. */
  worst(most) {
    const cells = this.classes.flatMap((_, row) => this.classes.map((_, column) => [row, column, this.count(row, column)]));
    return cells.filter(([row, column, count]) => row !== column && count).sort((a, b) => b[2] - a[2]).slice(0, most);
  }

  go(row, column) {
    Object.assign(this, { row, column });
    this.told(row, column);
    this.draw();
  }

  layout() {
    const width = Math.min(this.canvas.closest(".confused").clientWidth, WIDEST);
    const named = this.classes.length <= NAMED;
    this.left = this.top = named ? this.longest() + 8 : 0;
    this.size = Math.min(30, Math.max((width - this.left - 2) / this.classes.length, named ? SMALLEST : 0));
    const side = this.size * this.classes.length;
    return [this.left + side + 2, this.top + side + 2];
  }

  draw() {
    const [width, height] = this.layout();
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    const draw = context(this.canvas, width, height);
    const size = this.size;
    if (this.left) this.names(draw);
    this.counts.forEach((count, index) => {
      const [row, column] = [Math.floor(index / this.classes.length), index % this.classes.length];
      const share = count / Math.max(this.sums[row], 1);
      const [x, y] = [this.left + column * size, this.top + row * size];
      draw.fillStyle = COLOURS.card;
      draw.fillRect(x + 0.5, y + 0.5, size - 1, size - 1);
      if (!count) return;
      draw.globalAlpha = 0.12 + 0.88 * share;
      draw.fillStyle = row === column ? COLOURS.accent : COLOURS.wrong;
      draw.fillRect(x + 0.5, y + 0.5, size - 1, size - 1);
      draw.globalAlpha = 1;
      if (size >= SMALLEST) this.number(draw, count, x + size / 2, y + size / 2, share > 0.5);
    });
    draw.strokeStyle = COLOURS.text;
    draw.lineWidth = 2;
    draw.strokeRect(this.left + this.column * size + 1, this.top + this.row * size + 1, size - 2, size - 2);
  }

  number(draw, count, x, y, dark) {
    draw.fillStyle = dark ? COLOURS.page : COLOURS.text;
    draw.font = `${Math.min(10.5, this.size * 0.62)}px system-ui, sans-serif`;
    draw.textAlign = "center";
    draw.textBaseline = "middle";
    draw.fillText(count, x, y + 0.5, this.size - 2);
  }

  /** Width of the longest name. */
  longest() {
    const draw = this.canvas.getContext("2d");
    draw.font = NAME_FONT;
    return Math.max(...this.classes.map((name) => draw.measureText(brief(name)).width));
  }

  names(draw) {
    draw.font = NAME_FONT;
    draw.textBaseline = "middle";
    this.classes.forEach((name, index) => {
      const text = brief(name);
      draw.fillStyle = index === this.row ? COLOURS.text : COLOURS.quiet;
      draw.textAlign = "right";
      draw.fillText(text, this.left - 6, this.top + (index + 0.5) * this.size);
      draw.save();
      draw.translate(this.left + (index + 0.5) * this.size, this.top - 6);
      draw.rotate(-Math.PI / 2);
      draw.fillStyle = index === this.column ? COLOURS.text : COLOURS.quiet;
      draw.textAlign = "left";
      draw.fillText(text, 0, 0);
      draw.restore();
    });
  }

  /** Select the cell under the pointer; returns whether there is one. */
  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [column, row] = [(event.clientX - box.left - this.left) / this.size, (event.clientY - box.top - this.top) / this.size].map(Math.floor);
    const inside = [row, column].every((place) => place >= 0 && place < this.classes.length);
    if (inside && (row !== this.row || column !== this.column)) this.go(row, column);
    return inside;
  }

  key(event) {
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] || [0, 0];
    if (event.key === "Enter" || event.key === " ") this.chosen(this.row, this.column);
    else if (down || right) this.go(...[this.row + down, this.column + right].map((place) => Math.min(Math.max(place, 0), this.classes.length - 1)));
    else return;
    event.preventDefault();
  }
}
