// The playground: one product at a time, code that follows the form, the answer with what it cost.

import { fill, number, said, texts, withToken } from "./calls.js";
import { requestOf, snippet } from "./request.js";
import { view } from "./answers.js";

const MOST_SHOWN = 200_000;
const words = JSON.parse(document.getElementById("words").textContent);
const sections = [...document.querySelectorAll("section.play")];

function choose() {
  const wanted = sections.find((each) => `#${each.id}` === location.hash) ?? sections[0];
  for (const each of sections) each.hidden = each !== wanted;
  for (const link of document.querySelectorAll(".side a")) {
    if (link.getAttribute("href") === `#${wanted.id}`) {
      link.setAttribute("aria-current", "true");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  }
}

function write(section) {
  const kind = section.querySelector("[data-kind][aria-pressed=true]").dataset.kind;
  const code = section.querySelector("pre code");
  try {
    code.textContent = snippet(kind, section, requestOf(section));
  } catch (error) {
    code.textContent = `# ${error.message}`;
  }
}

function pressed(button, section) {
  for (const each of section.querySelectorAll("[data-kind]")) each.setAttribute("aria-pressed", String(each === button));
  write(section);
}

function tag(text, kind = "") {
  const made = document.createElement("span");
  made.className = `tag ${kind}`;
  made.textContent = text;
  return made;
}

// Long rows of numbers are told by their first ones.
function pretty(value) {
  const short = (_, each) => Array.isArray(each) && each.length > 8 && each.every(Number.isFinite)
    ? [...each.slice(0, 4), `... ${each.length}`] : each;
  return JSON.stringify(value, short, 2).replace(/\[\s+(-?[\d.e+-]+(?:,\s+(?:-?[\d.e+-]+|"\.\.\. \d+"))*)\s+\]/g,
    (_, list) => `[${list.replace(/\s+/g, " ")}]`);
}

function line(box, answer, started, tokens) {
  const kind = answer.ok ? "good" : "bad";
  const parts = [tag(fill(texts.status_line, { status: answer.status, seconds: ((performance.now() - started) / 1000).toFixed(2) }), `dot ${kind}`)];
  if (tokens !== null) parts.push(tag(Number(tokens) ? fill(texts.charged, { tokens: number(tokens) }) : texts.free, "tint"));
  const id = answer.headers.get("x-request-id");
  if (id) parts[0].title = `${texts.request_id}: ${id}`;
  box.querySelector("[data-line]").replaceChildren(...parts);
}

async function picture(answer) {
  const image = document.createElement("img");
  const bytes = await answer.blob();
  image.src = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(bytes);
  });
  image.alt = texts.picture;
  return image;
}

async function body(section, box, answer) {
  const type = answer.headers.get("content-type") ?? "";
  if (type.startsWith("image/")) {
    box.querySelector("[data-view]").append(await picture(answer));
    return null;
  }
  const text = await answer.text();
  let shown = text, tokens = null;
  if (type.includes("json")) {
    try {
      const told = JSON.parse(text);
      shown = pretty(told);
      tokens = told.usage?.total_tokens ?? null;
      const more = answer.ok ? view(section.id, told, requestOf(section).body, words, use) : problem(told, answer.status);
      if (more) box.querySelector("[data-view]").append(more);
    } catch {
      shown = text;
    }
  }
  box.querySelector("pre").hidden = false;
  box.querySelector("[data-body]").textContent = shown.slice(0, MOST_SHOWN) || "-";
  return tokens;
}

function problem(told, status) {
  const made = document.createElement("p");
  made.className = "problem gap";
  made.textContent = said(told, status);
  return made;
}

function use(classifier) {
  document.getElementById("trained-body-classifier_id").value = classifier;
  write(document.getElementById("trained"));
  history.replaceState(null, "", "#trained");
  choose();
  document.getElementById("trained-body-input").focus();
}

async function send(event, section) {
  event.preventDefault();
  const form = event.target, box = section.querySelector(".answer"), stopper = section.querySelector("[data-stop]");
  if (!form.reportValidity()) return;
  const started = performance.now(), stop = new AbortController(), button = section.querySelector("[data-send]");
  const halt = () => stop.abort();
  const empty = box.querySelector("[data-empty]");
  delete box.dataset.done;
  box.dataset.busy = "";
  button.disabled = true;
  stopper.hidden = false;
  stopper.addEventListener("click", halt);
  box.querySelector("[data-line]").textContent = "";
  box.querySelector("[data-view]").replaceChildren();
  box.querySelector("pre").hidden = true;
  empty.hidden = false;
  empty.textContent = texts.waiting;
  try {
    const asked = requestOf(section);
    const answer = await fetch(`/web/call${section.dataset.path}${asked.rest}`, {
      method: asked.method, headers: withToken(asked.headers), credentials: "same-origin", signal: stop.signal,
      body: asked.body === undefined ? undefined : JSON.stringify(asked.body),
    });
    const tokens = await body(section, box, answer);
    line(box, answer, started, answer.headers.get("x-usage-tokens") ?? (answer.ok ? tokens : "0"));
    empty.hidden = true;
  } catch (error) {
    empty.textContent = stop.signal.aborted ? texts.stopped : error instanceof TypeError ? texts.offline : error.message;
  }
  delete box.dataset.busy;
  box.dataset.done = "";
  stopper.hidden = true;
  stopper.removeEventListener("click", halt);
  button.disabled = false;
}

for (const section of sections) {
  section.querySelector("form").addEventListener("submit", (event) => send(event, section));
  section.addEventListener("input", () => write(section));
  for (const button of section.querySelectorAll("[data-kind]")) button.addEventListener("click", () => pressed(button, section));
  write(section);
}
// Choosing a product changes what is shown, not where one is on the page.
document.querySelector(".side").addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  history.replaceState(null, "", link.hash);
  choose();
});
addEventListener("hashchange", choose);
choose();
scrollTo(0, 0);
