// The page's data, and elements made from it. Texts from data become text nodes and attributes, never HTML.

const DATA = JSON.parse(document.getElementById("data-of-the-page").textContent);
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const DARK = matchMedia("(prefers-color-scheme: dark)");

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Numbers in base64 as bytes. */
function bytes(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** A canvas's context in CSS pixels, at the screen's own resolution. */
function context(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const drawing = canvas.getContext("2d");
  drawing.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawing.clearRect(0, 0, width, height);
  return drawing;
}

/** A row of buttons, one of them pressed; arrow keys move along it. */
function segments(box, titles, chosen, choose) {
  const buttons = titles.map(([title, note], index) =>
    make("button", { type: "button", role: "radio" }, title, ...(note ? [make("small", {}, note)] : [])));
  const press = (index) => {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-checked", at === index);
      button.tabIndex = at === index ? 0 : -1;
    });
    choose(index);
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => press(index));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (index + step + buttons.length) % buttons.length;
      buttons[next].focus();
      press(next);
    });
  });
  box.setAttribute("role", "radiogroup");
  box.replaceChildren(...buttons);
  press(chosen);
}
