// Forms that make a call: <form data-call="METHOD /path" data-then="reload | url | show | say | /path">

import { call } from "./calls.js";

const said = document.getElementById("said");

function fields(form) {
  const body = {};
  for (const input of form.elements) {
    if (!input.name) continue;
    const text = input.value.trim();
    if (input.dataset.as === "number") body[input.name] = text === "" ? null : Number(text);
    else if (text !== "" || input.required || input.name === "name") body[input.name] = text;
  }
  return body;
}

function then(form, answer) {
  const next = form.dataset.then;
  if (next === "reload") location.reload();
  else if (next === "url") location.assign(answer.url);
  else if (next === "say") said.textContent = form.dataset.say;
  else if (next === "show") {
    document.getElementById("fresh").hidden = false;
    document.getElementById("fresh-key").textContent = answer.api_key;
  } else location.assign(next);
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const [method, path] = form.dataset.call.split(" ");
  try {
    then(form, await call(method, path, fields(form)));
  } catch (error) {
    said.textContent = error.message;
  }
}

for (const form of document.querySelectorAll("form[data-call]")) form.addEventListener("submit", send);

// A sign-in link carries its ticket behind the #, which no server sees.
const ticket = document.querySelector("form[data-ticket] input[name=ticket]");
if (ticket && location.hash.length > 1) {
  ticket.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("with-link").hidden = false;
  document.getElementById("without-link").hidden = true;
}
