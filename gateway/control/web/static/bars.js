// A stacked bar chart as SVG: rows of {day, group, value}; no library, no inline style.

import { fill, number, texts } from "./calls.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 208, TOP = 10, FOOT = 24, SIDE = 52;

function part(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// 1, 2 or 5 times a power of ten, so that three lines are enough.
function step(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1) / 3));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each * 3 >= most);
}

export function days(count) {
  const today = Math.floor(Date.now() / 86400000);
  return Array.from({ length: count }, (_, index) =>
    new Date((today - count + 1 + index) * 86400000).toISOString().slice(0, 10));
}

function short(value) {
  const shape = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact" });
  return shape.format(value);
}

export function draw(target, rows, spread, name) {
  const groups = [...new Set(rows.map((row) => row.group))].sort();
  const sums = new Map(spread.map((day) => [day, 0]));
  for (const row of rows) if (sums.has(row.day)) sums.set(row.day, sums.get(row.day) + row.value);
  const most = Math.max(...sums.values(), 1), unit = step(most);
  const width = Math.max(target.clientWidth, 280);
  const high = (value) => ((HEIGHT - TOP - FOOT) * value) / Math.max(unit * 3, most);
  const total = [...sums.values()].reduce((sum, each) => sum + each, 0);
  const label = fill(texts.chart, { from: spread[0], to: spread.at(-1), total: number(total) });
  const svg = part("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  for (let line = 0; line <= 3; line += 1) {
    const y = HEIGHT - FOOT - high(line * unit);
    svg.append(part("line", { x1: SIDE, x2: width, y1: y, y2: y }));
    svg.append(part("text", { x: SIDE - 10, y: y + 4, "text-anchor": "end" }, short(line * unit)));
  }
  const slot = (width - SIDE) / spread.length, every = Math.ceil(64 / slot);
  const dates = new Intl.DateTimeFormat(document.documentElement.lang, { day: "numeric", month: "short", timeZone: "UTC" });
  spread.forEach((day, index) => {
    const x = SIDE + index * slot, from = HEIGHT - FOOT;
    if ((spread.length - 1 - index) % every === 0 && slot * (index + .5) > 24) {
      const last = index === spread.length - 1;
      svg.append(part("text", { x: last ? width : x + slot / 2, y: HEIGHT - 6, "text-anchor": last ? "end" : "middle" }, dates.format(new Date(day))));
    }
    stack(svg, rows, { day, groups, x: x + slot * .14, width: slot * .72, from, high, name });
  });
  target.replaceChildren(svg, legend(groups, name));
}

function stack(svg, rows, at) {
  let y = at.from;
  for (const row of rows) {
    if (row.day !== at.day || !row.value) continue;
    const height = Math.max(at.high(row.value), 1.5);
    y -= height;
    const bar = part("rect", { x: at.x, y, width: at.width, height, rx: Math.min(2, height / 2), class: `p${at.groups.indexOf(row.group) % 9}` });
    bar.append(part("title", {}, `${row.day} · ${at.name(row.group)}: ${number(row.value)}`));
    svg.append(bar);
  }
}

function legend(groups, name) {
  const list = document.createElement("ul");
  list.className = "legend";
  groups.forEach((group, index) => {
    const each = document.createElement("li"), dot = document.createElement("span");
    dot.className = `key-dot p${index % 9}`;
    each.append(dot, name(group));
    list.append(each);
  });
  return list;
}
