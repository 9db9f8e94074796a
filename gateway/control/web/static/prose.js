// Markdown as far as answers use it, made of nodes: nothing that a page wrote becomes HTML.

const MARKS = /(`[^`]+`)|(\*\*[^*]+\*\*)|(\*[^*\s][^*]*\*)|\[\^(\d+)\]|\[([^\]]+)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)/g;

export function safe(address) {
  return /^https?:\/\//i.test(address);
}

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function reference(count, place) {
  const raised = element("sup"), link = element("a", count);
  link.href = `#${place}-${count}`;
  raised.append(link);
  return raised;
}

function link(text, address) {
  if (!safe(address)) return document.createTextNode(text);
  const made = element("a", text);
  made.href = address;
  made.rel = "noreferrer";
  made.target = "_blank";
  return made;
}

function inline(into, text, place) {
  let at = 0;
  for (const found of text.matchAll(MARKS)) {
    into.append(text.slice(at, found.index));
    const [whole, code, strong, soft, count, words, address] = found;
    if (code) into.append(element("code", code.slice(1, -1)));
    else if (strong) into.append(element("strong", strong.slice(2, -2)));
    else if (soft) into.append(element("em", soft.slice(1, -1)));
    else if (count) into.append(reference(count, place));
    else into.append(link(words, address));
    at = found.index + whole.length;
  }
  into.append(text.slice(at));
  return into;
}

function block(lines, place) {
  const heading = /^(#{1,6})\s+(.*)$/.exec(lines[0]);
  if (heading && lines.length === 1) return inline(element(heading[1].length < 3 ? "h2" : "h3"), heading[2], place);
  const kind = /^[-*+]\s/.test(lines[0]) ? "ul" : /^\d+[.)]\s/.test(lines[0]) ? "ol" : "p";
  if (kind === "p") return inline(element("p"), lines.join(" "), place);
  const list = element(kind);
  for (const line of lines) {
    const point = /^(?:[-*+]|\d+[.)])\s+(.*)$/.exec(line.trim());
    if (point || !list.lastElementChild) list.append(inline(element("li"), point?.[1] ?? line, place));
    else inline(list.lastElementChild, ` ${line.trim()}`, place);
  }
  return list;
}

// `place` is the start of the ids that [^1] leads to.
export function prose(text, place) {
  const made = document.createDocumentFragment();
  const body = text.replace(/^\[\^\d+\]:.*$/gm, "");
  for (const [index, part] of body.split(/^```.*$/m).entries()) {
    if (index % 2) {
      const pre = element("pre");
      pre.append(element("code", part.replace(/^\n|\n$/g, "")));
      made.append(pre);
      continue;
    }
    const apart = part.replace(/^(#{1,6}\s.*)$/gm, "\n$1\n");
    for (const each of apart.split(/\n\s*\n/)) {
      const lines = each.split("\n").filter((line) => line.trim());
      if (lines.length) made.append(block(lines, place));
    }
  }
  return made;
}
