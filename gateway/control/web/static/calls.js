// Calls of this site with the session's token, and what is said when one is refused.

export const texts = JSON.parse(document.getElementById("texts").textContent);
let token = document.querySelector('meta[name="csrf-token"]')?.content;

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value) {
  if (value === null || value === undefined) return "-";
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, texts.thousands);
}

export function withToken(headers) {
  return token ? { ...headers, "x-csrf-token": token } : headers;
}

export function said(problem, status) {
  return texts.errors[problem?.code ?? problem?.reason] ?? problem?.message ?? `${texts.failed} (${status})`;
}

export async function call(method, path, body) {
  const headers = withToken({ accept: "application/json" });
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error(texts.offline);
  }
  const told = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(said(told, answer.status));
  token = told?.session?.csrf ?? token;
  return told;
}
