// Values that are lists: parameters, keywords, recoveries, as rows that are added, moved and taken away.

import { el, onceLeft } from "./dom.js";

const bare = (value) => {
  const found = JSON.parse(value);
  return typeof found === "string" ? JSON.parse(found) : found; // real files quote a whole list once more
};
const said = (pairs) => `[${pairs.map((pair) => `[${pair.map((word) => JSON.stringify(word)).join(", ")}]`).join(", ")}]`;

// How each kind of list is read from its text, and written; null where it cannot be read.
const attempt = (read) => (value) => {
  try { return value ? read(bare(value)) : []; } catch { return null; }
};
const listed = (found, make) => { if (!Array.isArray(found)) { throw new TypeError("no list"); } return found.map(make); };

export const PAIRS = {
  columns: [{ name: "key", blank: "after" }, { name: "value", blank: "before" }],
  read: attempt((found) => listed(found, ([key, value]) => [String(key), String(value)])),
  write: said,
};
export const WORDS = {
  columns: [{ name: "word" }, { name: "value" }],
  read: attempt((found) => listed(Object.entries(found), ([key, value]) => [key, String(value)])),
  write: (rows) => JSON.stringify(Object.fromEntries(rows)).replaceAll('","', '", "').replaceAll('":"', '": "'),
};
export const RECOVERIES = {
  columns: [{ name: "kind", list: "ed-recoveries" }, { name: "parameters", such: '[["--memory=", "4000MB"]]' }],
  read: attempt((found) => listed(found, (row) => (Array.isArray(row) ? [String(row[0]), said(row[1] ?? [])] : [String(row), "[]"]))),
  write: (rows) => `[${rows.map(([kind, list]) => `[${JSON.stringify(kind)}, ${said(PAIRS.read(list) ?? [])}]`).join(", ")}]`,
};

// One cell: the word without the blank at its end, and a tick that says whether it has one there.
const cell = (id, column, word, about, leave) => {
  const has = column.blank === "after" ? word.endsWith(" ") : column.blank === "before" && word.startsWith(" ");
  const shown = has ? (column.blank === "after" ? word.slice(0, -1) : word.slice(1)) : word;
  const input = el("input", { class: "form-control", id, value: shown, "aria-label": `${column.name} of ${about}`, list: column.list, placeholder: column.such ?? column.name, spellcheck: "false", autocomplete: "off" });
  onceLeft(input, leave);
  if (!column.blank) { return { node: input, get: () => input.value }; }
  const tick = el("input", { type: "checkbox", id: `${id}-blank`, change: leave, "aria-label": `blank ${column.blank} the ${column.name} of ${about}` });
  tick.checked = has;
  const word_ = el("label", { class: "ed-blank", for: `${id}-blank`, title: `a blank ${column.blank} the ${column.name}` }, tick, "␣");
  const get = () => (column.blank === "after" ? input.value + (tick.checked ? " " : "") : (tick.checked ? " " : "") + input.value);
  return { node: el("span", { class: "ed-cell" }, ...(column.blank === "after" ? [input, word_] : [word_, input])), get };
};

// The rows of a list. `set` gets its text, or null to say nothing here; `value` is undefined where nothing is said.
export const listEditor = ({ id, label, kind, value, inherited, set, help }) => {
  const rows = value === undefined ? [] : kind.read(value);
  if (rows === null) {
    const area = onceLeft(el("textarea", { class: "form-control", id, rows: 3, spellcheck: "false" }, value), (text) => set(text || null));
    return el("div", { class: "field" }, el("label", { for: id }, label), area, el("p", { class: "wrong" }, "This cannot be read as a list; mend it here."));
  }
  const lines = [];
  const body = el("div", { class: "ed-rows" });
  const text = () => lines.map((line) => line.cells.map((one) => one.get())).filter((row) => row.some(Boolean));
  const leave = () => {
    const fresh = text();
    if (fresh.length || value !== undefined) { set(kind.write(fresh)); }
  };
  const go = (order, focus) => {
    const was = lines.map((line) => line.cells.map((one) => one.get()));
    set(kind.write(order.map((n) => was[n]).filter((row) => row.some(Boolean))), focus);
  };
  const swap = (n, by) => {
    const order = lines.map((_, at) => at);
    [order[n], order[n + by]] = [order[n + by], order[n]];
    go(order, `${id}-${n + by}-${by < 0 ? "up" : "down"}`);
  };
  const add = (row) => {
    const n = lines.length;
    const about = `row ${n + 1} of ${label}`;
    const cells = kind.columns.map((column, c) => cell(`${id}-${n}-${c}`, column, row[c] ?? "", about, leave));
    const button = (name, word, press, off) => el("button", { class: "btn", type: "button", id: `${id}-${n}-${name}`, "aria-label": `${name}: ${about}`, title: name, click: press, disabled: off }, word);
    const up = button("up", "↑", () => swap(n, -1), n === 0);
    const down = button("down", "↓", () => swap(n, 1), n >= rows.length - 1);
    const drop = button("remove", "×", () => go(lines.map((_, at) => at).filter((at) => at !== n), `${id}-add`));
    lines.push({ cells });
    body.append(el("div", { class: "ed-row" }, ...cells.map((one) => one.node), el("span", { class: "ed-moves" }, up, down, drop)));
    return `${id}-${n}-0`;
  };
  rows.forEach(add);
  const more = el("button", { class: "btn", type: "button", id: `${id}-add`, click: () => body.querySelector(`#${CSS.escape(add([]))}`).focus() }, `Add a row`, el("span", { class: "visually-hidden" }, ` to ${label}`));
  const none = value !== undefined && inherited !== undefined
    ? el("button", { class: "btn", type: "button", id: `${id}-inherit`, click: () => set(null, `${id}-add`) }, "Say nothing here", el("span", { class: "visually-hidden" }, `: ${label}`)) : null;
  const told = value === undefined ? (inherited ?? "") : (rows.length ? "" : "an empty list");
  return el("fieldset", { class: "field ed-list-field" }, el("legend", {}, label), told && el("p", { class: "help" }, told), help && el("p", { class: "help" }, help), body,
    el("p", { class: "verbs" }, more, none));
};
