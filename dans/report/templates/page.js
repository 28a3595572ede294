
"use strict";

// The text of the point nearest to the pointer, or of the one chosen by arrow keys.
const tip = document.getElementById("tip");
const hover = JSON.parse(document.getElementById("hover").textContent);
let place = () => {};
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, className) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.setAttribute("class", className);
  return element;
}

function watch(figure, { mode, stops }) {
  const canvas = figure.querySelector(".canvas");
  const svg = canvas.querySelector("svg");
  const overlay = shape("g", {}, "overlay");
  const off = new Set();
  let current = -1;
  svg.append(overlay);

  const shown = (i) => !off.has(stops[i][3]);

  // Marks of an embedding plot, each with its index among the stops: the topmost mark counts.
  const places = new Map();
  if (mode === "xy") {
    const groups = new Map();
    stops.forEach(([, , , group], i) => {
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(i);
    });
    for (const [group, own] of groups) {
      const marks = svg.querySelectorAll(`[data-group="${group}"] use`);
      marks.forEach((mark, i) => places.set(mark, own[i]));
    }
  }

  function nearest(event) {
    if (places.has(event.target)) return places.get(event.target);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      svg.getScreenCTM().inverse(),
    );
    let best = -1;
    let least = mode === "x" ? Infinity : 18 * 18;
    stops.forEach(([x, ys], i) => {
      const across = x - at.x;
      const distance = mode === "x" ? across * across : across * across + (ys[0] - at.y) ** 2;
      if (distance < least && shown(i)) [best, least] = [i, distance];
    });
    return best;
  }

  function show(i) {
    if (i < 0) return hide();
    current = i;
    const [x, ys, text] = stops[i];
    overlay.replaceChildren();
    if (mode === "x") {
      const { y, height } = svg.viewBox.baseVal;
      overlay.append(shape("line", { x1: x, x2: x, y1: y + 10, y2: height - 34 }, "guide"));
    }
    for (const y of ys) overlay.append(shape("circle", { cx: x, cy: y, r: mode === "x" ? 4 : 8 }, "ring"));
    tip.textContent = text;
    tip.hidden = false;
    place = () => put(x, Math.min(...ys));
    place();
  }

  function put(x, y) {
    const point = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
    const { width, height } = tip.getBoundingClientRect();
    const left = point.x + 14 + width > innerWidth ? point.x - 14 - width : point.x + 14;
    const top = point.y - 10 - height < 0 ? point.y + 14 : point.y - 10 - height;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }

  function hide() {
    current = -1;
    overlay.replaceChildren();
    tip.hidden = true;
    place = () => {};
  }

  function step(by) {
    let i = current;
    for (let tried = 0; tried < stops.length; tried += 1) {
      i = i < 0 ? (by > 0 ? 0 : stops.length - 1) : (i + by + stops.length) % stops.length;
      if (shown(i)) return show(i);
    }
  }

  canvas.addEventListener("pointermove", (event) => show(nearest(event)));
  canvas.addEventListener("pointerdown", (event) => show(nearest(event)));
  canvas.addEventListener("pointerleave", hide);
  canvas.addEventListener("blur", hide);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  for (const button of figure.querySelectorAll("button[data-group]")) {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group);
      const on = off.delete(group);
      if (!on) off.add(group);
      button.setAttribute("aria-pressed", on);
      svg.querySelector(`[data-group="${group}"]`).classList.toggle("off", !on);
      hide();
    });
  }
}

for (const [id, content] of Object.entries(hover)) watch(document.getElementById(id), content);
addEventListener("scroll", () => place(), { passive: true });

// Sortable tables: numbers by value, names alphabetically, missing values last.
function value(cell) {
  const text = cell.textContent.trim();
  const number = Number(text.replaceAll(",", "").replace("\u2212", "-"));
  return text === "\u2013" ? null : text !== "" && !Number.isNaN(number) ? number : text;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("n") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[column]), row]);
      rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : sign * compare(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

// Several runs become tabs; without a script, and on paper, they follow one another.
document.querySelectorAll(".tabs").forEach((tabs, number) => {
  const panels = [...tabs.querySelectorAll(".tab")];
  const list = document.createElement("div");
  list.className = "tablist";
  list.setAttribute("role", "tablist");
  const buttons = panels.map((panel, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tab${number}-${i}`;
    button.textContent = panel.querySelector(".tab-title").textContent;
    button.setAttribute("role", "tab");
    panel.id = `panel${number}-${i}`;
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    return button;
  });
  function choose(chosen) {
    panels.forEach((panel, i) => {
      panel.hidden = i !== chosen;
      buttons[i].setAttribute("aria-selected", i === chosen);
      buttons[i].tabIndex = i === chosen ? 0 : -1;
    });
  }
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => choose(i));
    button.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = (i + by + buttons.length) % buttons.length;
      choose(next);
      buttons[next].focus();
    });
  });
  list.append(...buttons);
  tabs.prepend(list);
  tabs.classList.add("tabbed");
  choose(0);
});
