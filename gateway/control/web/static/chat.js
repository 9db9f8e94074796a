// A conversation with DeepSearch: thoughts as they come, the answer, its sources, a way to stop.

import { fill, number, said, texts, withToken } from "./calls.js";
import { prose, safe } from "./prose.js";
import { say } from "./site.js";

const find = (selector) => document.querySelector(selector);
const talk = find("#talk"), question = find("#question"), stopper = find("#stop"), asker = find("#ask");
let messages = [], stop = null;

function element(name, text, classes = "") {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

// What one answer is shown in.
function turn() {
  const box = element("article", undefined, "turn fade"), details = element("details"), thoughts = element("div", undefined, "thoughts");
  const summary = element("summary", texts.thinking), answer = element("div", undefined, "prose");
  box.setAttribute("aria-busy", "true");
  box.setAttribute("aria-label", texts.answer);
  thoughts.tabIndex = 0;
  thoughts.setAttribute("aria-label", texts.thinking);
  details.open = true;
  details.append(summary, thoughts);
  box.append(details, answer);
  return { box, details, summary, thoughts, answer };
}

function thought(shown, delta) {
  const { thoughts } = shown;
  const follows = thoughts.scrollTop + thoughts.clientHeight >= thoughts.scrollHeight - 24;
  if (delta.query) thoughts.append(element("p", fill(texts.searching, { query: delta.query }), "step"));
  else if (delta.url) thoughts.append(element("p", fill(texts.reading, { url: delta.url }), "step"));
  const text = (delta.content ?? "").replace(/<\/?think>/g, "");
  if (text.trim()) {
    if (thoughts.lastElementChild?.className !== "") thoughts.append(element("p"));
    thoughts.lastElementChild.append(text);
  }
  if (follows) thoughts.scrollTop = thoughts.scrollHeight;
}

function sources(list, place) {
  const made = element("ol", undefined, "sources");
  list.forEach(({ url_citation: found }, index) => {
    const each = element("li"), link = element("a", found.title || found.url);
    each.id = `${place}-${index + 1}`;
    if (safe(found.url)) link.href = found.url;
    link.rel = "noreferrer";
    link.target = "_blank";
    each.append(link);
    if (found.exactQuote) each.append(element("span", found.exactQuote, "soft"));
    made.append(each);
  });
  return made;
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

async function listen(answer, shown, place) {
  let text = "", usage = null, failed = null, cited = [];
  for await (const event of events(answer)) {
    usage = event.usage ?? usage;
    if (event.error) failed = event.error.message ?? texts.failed;
    const delta = event.choices?.[0]?.delta;
    if (!delta) continue;
    if (delta.type === "think") thought(shown, delta);
    else if (delta.type === "error") failed = delta.content;
    else if (delta.content) text += delta.content;
    if (delta.annotations) cited = delta.annotations;
  }
  if (failed) throw new Error(failed);
  shown.answer.replaceChildren(prose(text, place));
  if (cited.length) shown.box.append(element("h3", texts.sources), sources(cited, place));
  return { text, usage };
}

async function ask(text) {
  const place = `s${messages.length}`, started = performance.now(), shown = turn();
  find("#examples").hidden = true;
  find("#again").hidden = false;
  talk.append(element("p", text, "asked"), shown.box);
  shown.box.scrollIntoView({ block: "center" });
  messages.push({ role: "user", content: text });
  stop = new AbortController();
  busy(true);
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  try {
    const answer = await fetch(`/web/call${talk.dataset.path}`, {
      method: "POST", credentials: "same-origin", signal: stop.signal,
      headers: withToken({ "content-type": "application/json", accept: "text/event-stream" }),
      body: JSON.stringify({ model: "jina-deepsearch-v1", stream: true, reasoning_effort: find("#effort").value, messages }),
    });
    if (!answer.ok) throw new Error(said(await answer.json().catch(() => null), answer.status));
    const { text: told, usage } = await listen(answer, shown, place);
    messages.push({ role: "assistant", content: told });
    shown.summary.textContent = fill(texts.thought, { seconds: seconds() });
    shown.details.open = false;
    if (usage) shown.box.append(element("p", fill(texts.used, { tokens: number(usage.total_tokens), seconds: seconds() }), "foot"));
    find("#told").textContent = texts.done;
  } catch (error) {
    messages.pop();
    const ended = stop.signal.aborted;
    const words = ended ? texts.stopped : error instanceof TypeError ? texts.offline : error.message;
    shown.summary.textContent = fill(texts.thought, { seconds: seconds() });
    shown.answer.replaceChildren(element("p", words, ended ? "note warn" : "problem"));
    find("#told").textContent = words;
  }
  shown.box.setAttribute("aria-busy", "false");
  shown.box.dataset.done = "";
  busy(false);
}

function busy(is) {
  stopper.hidden = !is;
  asker.disabled = is;
  if (!is) question.focus();
}

find("#form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (!text || asker.disabled) return;
  question.value = "";
  say("");
  ask(text);
});
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find("#form").requestSubmit();
});
stopper.addEventListener("click", () => stop?.abort());
for (const each of document.querySelectorAll("[data-example]")) {
  each.addEventListener("click", () => {
    question.value = each.textContent;
    question.focus();
  });
}
find("#again").addEventListener("click", () => {
  stop?.abort();
  messages = [];
  talk.replaceChildren();
  find("#examples").hidden = false;
  find("#again").hidden = true;
  question.focus();
});
