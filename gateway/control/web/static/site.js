// Every page: forms that make a call (<form data-call="METHOD /path" data-then="...">), copying, times.

import { call, texts } from "./calls.js";

const box = document.getElementById("said"), LATER = "said";

export function say(text, kind = "bad") {
  box.className = `note ${kind}`;
  box.textContent = text;
  if (text) box.scrollIntoView({ block: "nearest" });
}

// Said on the page that comes next.
export function sayLater(text) {
  sessionStorage.setItem(LATER, text);
}

function fields(form) {
  const body = {};
  for (const input of form.elements) {
    if (!input.name || (input.type === "radio" && !input.checked)) continue;
    const text = input.value.trim();
    if (input.dataset.as === "number") body[input.name] = text === "" ? null : Number(text);
    else if (text !== "" || input.required || input.name === "name") body[input.name] = text;
  }
  return body;
}

function show(form, answer) {
  if (form.dataset.hide) document.getElementById(form.dataset.hide).hidden = true;
  document.getElementById("fresh").hidden = false;
  document.getElementById("fresh-key").textContent = answer.api_key;
  document.getElementById("fresh-title").focus();
}

function then(form, answer) {
  const next = form.dataset.then;
  if (form.dataset.said) sayLater(texts[form.dataset.said]);
  if (next === "reload") location.reload();
  else if (next === "url") location.assign(answer.url);
  else if (next === "say") say(form.dataset.say, "good");
  else if (next === "show") show(form, answer);
  else location.assign(next);
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const [method, path] = form.dataset.call.split(" ");
  const buttons = form.querySelectorAll("button");
  for (const each of buttons) each.disabled = true;
  say("");
  try {
    then(form, await call(method, path, fields(form)));
  } catch (error) {
    say(error.message);
  }
  for (const each of buttons) each.disabled = false;
}

for (const form of document.querySelectorAll("form[data-call]")) form.addEventListener("submit", send);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = texts.copied;
    setTimeout(() => { button.textContent = before; }, 1600);
  } catch {
    // Without the clipboard the text is at least marked, ready for the keyboard.
    getSelection().selectAllChildren(source);
  }
});

export function localTimes(root = document) {
  const shape = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const each of root.querySelectorAll("time[datetime]")) {
    each.title = each.dateTime;
    each.textContent = shape.format(new Date(each.dateTime));
  }
}
localTimes();

// On a narrow screen the pages are a row that scrolls.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const before = sessionStorage.getItem(LATER);
sessionStorage.removeItem(LATER);
if (before) say(before, "good");

// A sign-in link carries its ticket behind the #, which no server sees.
const ticket = document.querySelector("form[data-ticket] input[name=ticket]");
function takeTicket() {
  if (!ticket || location.hash.length < 2) return;
  ticket.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("with-link").hidden = false;
  document.getElementById("without-link").hidden = true;
}
addEventListener("hashchange", takeTicket);
takeTicket();
