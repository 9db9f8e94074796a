// One key: its chart, what is left of its limits every few seconds, top-ups, transfer, revocation.

import { call, fill, number, texts } from "./calls.js";
import { days, draw } from "./bars.js";
import { localTimes, say, sayLater } from "./site.js";

const EVERY_MS = 4000;
const words = JSON.parse(document.getElementById("words").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const product = (name) => words.products[name] ?? name;

function chart() {
  const target = find("#chart");
  if (!target) return;
  const rows = [...document.querySelectorAll("#usage-table tr[data-day]")].map((row) => ({
    day: row.dataset.day, group: row.dataset.product, value: Number(row.dataset.tokens),
  }));
  draw(target, rows, days(30), product);
}

function balance(found, budget) {
  for (const name of ["total", "trial", "paid", "held"]) find(`[data-live=${name}]`).textContent = number(found[name]);
  find("[data-live=month]").textContent = number(budget.used_tokens);
  const whole = Math.max(found.total, 1), part = (value) => Math.round((1000 * (value ?? 0)) / whole);
  find("#balance-bar .trial").setAttribute("width", part(found.trial));
  find("#balance-bar .paid").setAttribute("x", part(found.trial));
  find("#balance-bar .paid").setAttribute("width", part(found.paid));
  find("#balance-bar .held").setAttribute("width", part(found.held));
}

function gauges(limits) {
  for (const box of document.querySelectorAll(".limits > div")) {
    const each = limits[box.dataset.product] ?? {};
    for (const gauge of box.querySelectorAll(".gauge")) {
      const left = each[`remaining_${gauge.dataset.kind}`];
      const most = gauge.dataset.kind === "tokens" ? each.tpm : each.rpm;
      find("b", gauge).textContent = number(left);
      const share = Math.round((1000 * (left ?? most)) / most), bar = find("rect", gauge);
      bar.setAttribute("width", share);
      bar.setAttribute("class", share < 100 ? "bad" : share < 300 ? "low" : "good");
    }
  }
}

function element(name, text, classes = "") {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

function requestRow(each) {
  const row = element("tr"), time = element("time"), end = element("td"), rule = element("span", each.rule, "soft small mono");
  row.dataset.id = each.request_id;
  time.dateTime = each.decided_at;
  rule.title = each.request_id;
  end.append(element("span", words.outcomes[each.outcome] ?? each.outcome, each.charged ? "soft" : ""), element("br"), rule);
  const first = element("td");
  first.append(time);
  row.append(first, element("td", product(each.product)), end, element("td", number(each.charged), "num"));
  return row;
}

function latest(rows) {
  const body = find("#recent-rows");
  if (!rows.length || rows[0].request_id === body.rows[0]?.dataset.id) return;
  body.replaceChildren(...rows.map(requestRow));
  localTimes(body);
}

async function refresh() {
  if (document.hidden) return;
  const told = await call("GET", "/web/overview?days=1&recent=25");
  balance(told.key.balance, told.budget);
  gauges(told.key.limits);
  latest(told.recent);
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium" });
  find("#updated").textContent = fill(texts.updated, { time: clock.format(new Date()) });
}

// One after the other; a refusal (signed out elsewhere) ends it.
async function live() {
  for (;;) {
    await new Promise((done) => setTimeout(done, EVERY_MS));
    try {
      await refresh();
    } catch (error) {
      find("#updated").textContent = error.message;
      await new Promise((done) => setTimeout(done, 5 * EVERY_MS));
    }
  }
}

// Back from Checkout: Stripe tells the server, this page waits until the ledger has it.
async function paid(order) {
  const note = find("#paid-note");
  note.hidden = false;
  note.textContent = texts.payment_waiting;
  for (let round = 0; round < 60; round += 1) {
    const told = await call("GET", "/web/orders");
    const found = told.items.find((each) => each.order_id === order);
    if (found?.state === "paid") {
      sayLater(fill(texts.payment_done, { tokens: number(found.granted_tokens) }));
      location.replace("/");
      return;
    }
    if (["failed", "expired"].includes(found?.state)) {
      note.className = "note bad spaced";
      note.textContent = texts.payment_failed;
      return;
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
  note.textContent = texts.payment_slow;
}

function currencies() {
  const choice = find("#currency");
  if (!choice) return;
  const show = () => {
    for (const each of document.querySelectorAll("[data-currency]")) each.hidden = each.dataset.currency !== choice.value;
  };
  choice.addEventListener("change", show);
  show();
}

function giving() {
  const form = find("#give-form"), sums = find("#give-preview"), move = find("#give-move");
  const hide = () => { sums.hidden = move.hidden = true; };
  const look = async () => {
    if (!form.reportValidity()) return;
    say("");
    const tokens = form.elements.tokens.value.trim();
    const body = { to_api_key: form.elements.to_api_key.value.trim(), tokens: tokens ? Number(tokens) : null };
    try {
      const told = await call("POST", "/web/transfer?preview=1", body);
      find("[data-sum=moved]").textContent = number(told.moved_tokens);
      find("[data-sum=from]").textContent = number(told.from.balance.total);
      find("[data-sum=to]").textContent = number(told.to.balance.total);
      sums.hidden = move.hidden = false;
    } catch (error) {
      hide();
      say(error.message);
    }
  };
  form.addEventListener("input", hide);
  find("#give-look").addEventListener("click", look);
  // Enter in a field looks first; it moves nothing that was not shown.
  form.addEventListener("submit", (event) => {
    if (!move.hidden) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    look();
  }, true);
}

function revoking() {
  const form = find("#revoke-form"), typed = form.elements.confirm, button = find("button", form);
  const look = () => { button.disabled = typed.value.trim() !== typed.dataset.match; };
  typed.addEventListener("input", look);
  look();
}

const order = new URLSearchParams(location.search).get("paid");
chart();
currencies();
giving();
revoking();
addEventListener("resize", chart);
if (order) paid(order).catch((error) => say(error.message));
live();
