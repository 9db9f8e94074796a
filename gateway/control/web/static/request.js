// A form of the playground as a request, and the request as code in three languages.

import { texts } from "./calls.js";

const SHAPES = {
  text: (text) => text,
  number: (text) => Number(text),
  lines: (text) => text.split("\n").map((line) => line.trim()).filter(Boolean),
  examples: (text) => SHAPES.lines(text).map(example),
};

function example(line) {
  const at = line.lastIndexOf("=>");
  if (at < 1) throw new Error(texts.bad_example);
  return { text: line.slice(0, at).trim(), label: line.slice(at + 2).trim() };
}

function read(control) {
  if (control.dataset.as === "flag") {
    if (!control.checked) return undefined;
    return control.dataset.at.startsWith("body") ? true : control.dataset.word;
  }
  const text = control.value.trim();
  return text === "" ? undefined : SHAPES[control.dataset.as](text);
}

// {method, rest, headers, body}: `rest` follows the product's path or address.
export function requestOf(section) {
  const found = { method: section.dataset.method, rest: "", headers: {}, body: undefined };
  const query = new URLSearchParams();
  if (section.dataset.slot === "body") found.body = {};
  for (const control of section.querySelectorAll("[data-at]")) {
    const value = read(control), [kind, name] = control.dataset.at.split(" ");
    if (value === undefined) continue;
    if (kind === "path") found.rest = String(value).replaceAll("#", "%23");
    else if (kind === "query") query.set(name, value);
    else if (kind === "header") found.headers[name] = String(value);
    else found.body[name] = value;
  }
  const asked = query.toString();
  if (asked) found.rest += `?${asked}`;
  if (found.body !== undefined) found.headers["Content-Type"] = "application/json";
  return found;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const json = (value) => JSON.stringify(value, null, 2);

function python(value, indent = "    ") {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[\n${value.map((each) => `${indent}    ${python(each, `${indent}    `)},\n`).join("")}${indent}]`;
  if (typeof value === "object") {
    const rows = Object.entries(value).map(([name, each]) => `${indent}    ${JSON.stringify(name)}: ${python(each, `${indent}    `)},\n`);
    return `{\n${rows.join("")}${indent}}`;
  }
  return JSON.stringify(value);
}

const WRITERS = {
  curl(url, asked) {
    const lines = [`curl ${asked.method === "GET" ? "" : `-X ${asked.method} `}${quoted(url)}`, '-H "Authorization: Bearer $SLUICE_API_KEY"'];
    for (const [name, value] of Object.entries(asked.headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
    if (asked.body !== undefined) lines.push(`-d ${quoted(json(asked.body))}`);
    return lines.join(" \\\n  ");
  },
  python(url, asked) {
    const own = Object.entries(asked.headers).filter(([name]) => name !== "Content-Type");
    const headers = ['"Authorization": f"Bearer {os.environ[\'SLUICE_API_KEY\']}",', ...own.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)},`)];
    const body = asked.body === undefined ? "" : `\n    json=${python(asked.body)},`;
    return `import os\n\nimport requests\n\nanswer = requests.${asked.method.toLowerCase()}(\n    ${JSON.stringify(url)},\n    headers={\n        ${headers.join("\n        ")}\n    },${body}\n)\nanswer.raise_for_status()\nprint(answer.text)`;
  },
  javascript(url, asked) {
    const headers = ["Authorization: `Bearer ${process.env.SLUICE_API_KEY}`,", ...Object.entries(asked.headers).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)},`)];
    const body = asked.body === undefined ? "" : `\n  body: JSON.stringify(${json(asked.body).replaceAll("\n", "\n  ")}),`;
    return `const answer = await fetch(${JSON.stringify(url)}, {\n  method: "${asked.method}",\n  headers: {\n    ${headers.join("\n    ")}\n  },${body}\n});\nconsole.log(await answer.text());`;
  },
};

export function snippet(kind, section, asked) {
  const url = `${location.protocol}//${section.dataset.address}${asked.rest}`;
  return WRITERS[kind](url, asked);
}
