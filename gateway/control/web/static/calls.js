// Calls of this site with the session's token, and what is said when one is refused.

const token = document.querySelector('meta[name="csrf-token"]')?.content;

export async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (token) headers["x-csrf-token"] = token;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, {
    method,
    headers,
    credentials: "same-origin",
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.message ?? String(answer.status));
  return document;
}
