// Colours and shapes of classes, as in the figures: every class has its own colour (stars/palette.py), and one of 7 shapes.

const SHAPES = [
  (draw, x, y, r) => { draw.moveTo(x + r, y); draw.arc(x, y, r, 0, 7); },
  (draw, x, y, r) => draw.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r),
  (draw, x, y, r) => polygon(draw, x, y, 1.25 * r, 3, 0),
  (draw, x, y, r) => polygon(draw, x, y, 1.25 * r, 4, 0),
  (draw, x, y, r) => polygon(draw, x, y, 1.25 * r, 3, Math.PI),
  (draw, x, y, r) => { draw.rect(x - 1.1 * r, y - 0.4 * r, 2.2 * r, 0.8 * r); draw.rect(x - 0.4 * r, y - 1.1 * r, 0.8 * r, 2.2 * r); },
  (draw, x, y, r) => cross(draw, x, y, 0.9 * r, 0.42 * r),
];

function polygon(draw, x, y, r, corners, turn) {
  for (let corner = 0; corner < corners; corner++) {
    const angle = turn - Math.PI / 2 + (2 * Math.PI * corner) / corners;
    draw[corner ? "lineTo" : "moveTo"](x + r * Math.cos(angle), y + r * Math.sin(angle));
  }
  draw.closePath();
}

/** An X: a plus turned by an eighth. */
function cross(draw, x, y, far, near) {
  const corners = [[far, near], [near, near], [near, far], [-near, far], [-near, near], [-far, near], [-far, -near], [-near, -near], [-near, -far], [near, -far], [near, -near], [far, -near]];
  corners.forEach(([right, down], corner) => draw[corner ? "lineTo" : "moveTo"](x + (right - down) * Math.SQRT1_2 * 1.2, y + (right + down) * Math.SQRT1_2 * 1.2));
  draw.closePath();
}

const COLOURS = { series: [], names: ["text", "quiet", "line", "page", "card", "accent", "left", "right", "centre", "wrong"] };

/** Read the colours of the current scheme. */
function readColours() {
  const style = getComputedStyle(document.documentElement);
  COLOURS.series = DATA.palette[DARK.matches ? "dark" : "light"];
  for (const name of COLOURS.names) COLOURS[name] = style.getPropertyValue(`--${name}`).trim();
}

const colourOf = (group) => COLOURS.series[group % COLOURS.series.length];
const shapeOf = (group) => SHAPES[group % 7];

/** One point, as in the map, for a legend. */
function glyph(group) {
  const canvas = make("canvas", { className: "glyph" });
  canvas.setAttribute("aria-hidden", "true");
  const draw = context(canvas, 14, 14);
  draw.fillStyle = colourOf(group);
  draw.beginPath();
  shapeOf(group)(draw, 7, 7, 4.5);
  draw.fill();
  return canvas;
}
