// The API as /openapi.json describes it: everything from this server, nothing from a CDN.

import { asProblem, getJson } from "./api.js";
import { t, translate } from "./i18n.js";

const element = (id) => document.getElementById(id);
const make = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });
let schemas = {};

/** A schema without references. */
const resolved = (schema) => (schema?.$ref ? (schemas[schema.$ref.split("/").at(-1)] ?? {}) : (schema ?? {}));

function typeOf(schema) {
  const { type, format, enum: values, const: only, anyOf, items } = resolved(schema);
  if (anyOf) return [...new Set(anyOf.map(typeOf))].filter((name) => name !== "null").join(" or ");
  if (values) return values.map((value) => JSON.stringify(value)).join(" or ");
  if (only !== undefined) return JSON.stringify(only);
  if (type === "array") return `list of ${typeOf(items)}`;
  return format === "binary" ? "file" : (type ?? "any");
}

function table(title, rows) {
  if (rows.length === 0) return [];
  const list = make("table", "");
  for (const cells of rows) {
    const row = make("tr", "");
    row.append(...cells.map((text) => make("td", "", text)));
    list.append(row);
  }
  return [make("h3", "", title), list];
}

function fieldsOf({ properties = {}, required = [] }) {
  return Object.entries(properties).map(([name, schema]) => {
    const standard = schema.default === undefined || schema.default === null ? "" : `default ${JSON.stringify(schema.default)}`;
    const what = [typeOf(schema), required.includes(name) ? t("required") : standard].filter(Boolean).join(", ");
    return [name, what, schema.description ?? resolved(schema).description ?? ""];
  });
}

function operation(path, method, told) {
  const box = make("details", "operation");
  const head = make("summary", "");
  head.append(make("span", "method", method.toUpperCase()), make("code", "", path), make("span", "dim", (told.description ?? told.summary ?? "").split(/[.:;]\s|\n/)[0].replace(/\.$/, "")));
  const body = Object.assign(make("div", "body"), { tabIndex: 0 }); // on a phone its tables are scrolled sideways
  body.append(make("p", "", told.description ?? ""));
  const parameters = (told.parameters ?? []).map(({ name, schema, required, description }) => [
    name,
    [typeOf(schema), required ? t("required") : ""].filter(Boolean).join(", "),
    description ?? schema?.description ?? "",
  ]);
  body.append(...table(t("In the address"), parameters));
  for (const [type, { schema }] of Object.entries(told.requestBody?.content ?? {})) {
    body.append(...table(t("Body: {type}", { type }), fieldsOf(resolved(schema))));
  }
  const answers = Object.entries(told.responses ?? {});
  body.append(...table(t("Answers"), answers.map(([status, answer]) => [status, Object.keys(answer.content ?? {}).join(", "), answer.description])));
  box.append(head, body);
  return box;
}

async function start() {
  const { info, paths, components } = await getJson("/openapi.json");
  schemas = components?.schemas ?? {};
  element("about").textContent = `${info.description} ${t("Version")} ${info.version}.`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const tag = told.tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, [make("h2", "", tag)]);
      groups.get(tag).push(operation(path, method, told));
    }
  }
  element("operations").replaceChildren(...[...groups.values()].flat());
}

translate(document);
start().catch((error) => {
  element("failed").textContent = asProblem(error).message;
  element("failed").hidden = false;
});
