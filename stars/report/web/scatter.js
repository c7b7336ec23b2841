// The map of clips on a canvas: one path per group, for speed with thousands of points; points glide when the map changes.

const GLIDE = 900; // ms
const REACH = 22; // CSS pixels around a point in which it is hit

/** How far points reach from the origin along x and along y. */
function reach(points) {
  return [0, 1].map((axis) => points.reduce((most, value, index) => (index % 2 === axis ? Math.max(most, Math.abs(value)) : most), 1e-6));
}

class Scatter {
  constructor(canvas) {
    Object.assign(this, { canvas, points: [], before: [], goal: [], began: null, box: [[1, 1], [1, 1]], share: 1, groups: [], alone: null, marked: null, focus: -1, kept: false, near: [] });
  }

  /** Move points to [x, y, …], gliding from the previous ones if their number is the same. The window shows all points. */
  place(points) {
    const glides = this.goal.length === points.length && !STILL.matches;
    this.before = glides ? this.points : points;
    this.goal = points;
    this.points = [...this.before];
    this.box = [reach(this.before), reach(points)];
    this.share = glides ? 0 : 1;
    this.began = glides ? performance.now() : null;
  }

  /** Move points to their places at a time in ms; returns whether they still move. */
  glide(now) {
    if (this.began === null) return false;
    const share = Math.min(1, (now - this.began) / GLIDE);
    this.share = share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2;
    this.points = this.before.map((from, index) => from + (this.goal[index] - from) * this.share);
    if (share === 1) this.began = null;
    return true;
  }

  measure() {
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    const [before, after] = this.box.map(([x, y]) => Math.min((this.width / 2 - 16) / x, (this.height / 2 - 16) / y));
    this.scale = before + (after - before) * this.share;
  }

  at(index) {
    return [this.width / 2 + this.scale * this.points[2 * index], this.height / 2 - this.scale * this.points[2 * index + 1]];
  }

  stands(index) {
    return (this.alone === null || this.groups[index] === this.alone) && (!this.marked || this.marked.has(index));
  }

  draw() {
    this.measure();
    const draw = context(this.canvas, this.width, this.height);
    const size = this.groups.length > 800 ? 2.8 : this.width < 480 ? 3.2 : 4;
    const dimmed = this.alone !== null || this.marked !== null;
    if (dimmed) this.fill(draw, size * 0.8, (index) => !this.stands(index), 0.13);
    this.fill(draw, size, (index) => this.stands(index), 0.88);
    if (this.focus >= 0) this.mark(draw, size);
  }

  fill(draw, size, chosen, alpha) {
    const members = new Map();
    this.groups.forEach((group, index) => {
      if (!chosen(index)) return;
      if (!members.has(group)) members.set(group, []);
      members.get(group).push(index);
    });
    draw.globalAlpha = alpha;
    for (const [group, indices] of members) {
      const shape = shapeOf(group);
      draw.fillStyle = colourOf(group);
      draw.beginPath();
      for (const index of indices) shape(draw, ...this.at(index), size);
      draw.fill();
    }
    draw.globalAlpha = 1;
  }

  /** The chosen point in a ring, with lines to its nearest clips. */
  mark(draw, size) {
    const [x, y] = this.at(this.focus);
    draw.strokeStyle = COLOURS.quiet;
    draw.lineWidth = 1;
    for (const other of this.near) {
      const [toX, toY] = this.at(other);
      draw.beginPath();
      draw.moveTo(x, y);
      draw.lineTo(toX, toY);
      draw.moveTo(toX + size + 3, toY);
      draw.arc(toX, toY, size + 3, 0, 7);
      draw.stroke();
    }
    draw.fillStyle = colourOf(this.groups[this.focus]);
    draw.beginPath();
    shapeOf(this.groups[this.focus])(draw, x, y, size + 1.5);
    draw.fill();
    draw.strokeStyle = COLOURS.text;
    draw.lineWidth = this.kept ? 2.5 : 1.5;
    draw.beginPath();
    draw.arc(x, y, size + 6, 0, 7);
    draw.stroke();
  }

  /** The point nearest to a place on the canvas, within reach; −1: none. */
  hit(x, y) {
    let [best, least] = [-1, REACH ** 2];
    this.groups.forEach((_, index) => {
      const [toX, toY] = this.at(index);
      const distance = (x - toX) ** 2 + (y - toY) ** 2;
      if (distance < least && this.stands(index)) [best, least] = [index, distance];
    });
    return best;
  }

  /** The point that an arrow key selects: the nearest mainly in that direction. */
  next(dx, dy) {
    const [x, y] = this.focus < 0 ? [this.width / 2, this.height / 2] : this.at(this.focus);
    let [best, least] = [-1, Infinity];
    this.groups.forEach((_, index) => {
      if (index === this.focus || !this.stands(index)) return;
      const [toX, toY] = this.at(index);
      const along = (toX - x) * dx + (toY - y) * dy;
      const aside = Math.abs((toX - x) * dy) + Math.abs((toY - y) * dx);
      if (along <= 0.5 || aside > along) return;
      if (along + 2 * aside < least) [best, least] = [index, along + 2 * aside];
    });
    return best;
  }
}
