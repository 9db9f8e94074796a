// What an answer says at a glance: scores as bars, a new classifier with a way to test it.

const SVG = "http://www.w3.org/2000/svg";

function element(name, text, classes = "") {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

function bar(share) {
  const svg = document.createElementNS(SVG, "svg"), rect = document.createElementNS(SVG, "rect");
  svg.setAttribute("class", "meter");
  svg.setAttribute("viewBox", "0 0 1000 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  rect.setAttribute("class", "good");
  rect.setAttribute("height", "8");
  rect.setAttribute("width", String(Math.round(1000 * Math.min(1, Math.max(0, share)))));
  svg.append(rect);
  return svg;
}

function ranks(rows) {
  const list = element("ol", undefined, "ranks");
  for (const { text, score, share } of rows) {
    const each = element("li");
    each.append(element("span", text), element("strong", score.toFixed(3), "num"), bar(share ?? score));
    list.append(each);
  }
  return list;
}

function reranked(told) {
  const most = Math.max(...told.results.map((each) => each.relevance_score), 1e-9);
  return ranks(told.results.map((each) => ({
    text: each.document?.text ?? `#${each.index}`, score: each.relevance_score, share: each.relevance_score / Math.max(most, 1),
  })));
}

function classified(told, asked) {
  return ranks(told.data.filter((each) => typeof each.score === "number").map((each) => ({
    text: `${asked.input?.[each.index] ?? each.index} → ${each.prediction}`, score: each.score,
  })));
}

function trained(told, words, use) {
  const box = element("p", undefined, "row gap"), button = element("button", words.use_it);
  button.type = "button";
  button.addEventListener("click", () => use(told.classifier_id));
  box.append(element("code", told.classifier_id), button);
  return box;
}

export function view(id, told, asked, words, use) {
  if (id === "rerank" && Array.isArray(told.results)) return reranked(told);
  if ((id === "classify" || id === "trained") && Array.isArray(told.data)) return classified(told, asked);
  if (id === "train" && told.classifier_id) return trained(told, words, use);
  return null;
}
