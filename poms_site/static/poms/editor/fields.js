// Fields of keys: what is inherited is the placeholder, with the layer that says it; what is emptied is inherited again.

import { el, onceLeft } from "./dom.js";
import { listEditor, PAIRS } from "./lists.js";

export const PARAMETERS = ["param_overrides", "test_param_overrides"];
const shown = (value) => (value === "" ? "nothing" : value);

const choice = (id, value, names, inherited, set) => {
  const all = value && !names.includes(value) ? [...names, value] : names;
  const options = [["", inherited], ...all.map((name) => [name, name])];
  return onceLeft(el("select", { class: "form-select", id }, ...options.map(([key, word]) => el("option", { value: key, selected: key === value }, word))),
    (word) => set(word || null));
};

// How the input is cut: a kind and its arguments.
const split = (id, value, kinds, inherited, set) => {
  const found = /^(\w+)\s*(?:\((.*)\))?$/s.exec(value);
  if (value && !found) { return onceLeft(el("input", { class: "form-control", id, value }), (text) => set(text || null)); }
  const [kind, given] = value ? [found[1], found[2] ?? ""] : ["", ""];
  const known = kinds.find(({ name }) => name === kind);
  const names = [...kinds.map(({ name }) => name), ...(kind && !known ? [kind] : [])];
  const options = [["", inherited], ...names.map((name) => [name, name])];
  const select = el("select", { class: "form-select", id }, ...options.map(([key, text]) => el("option", { value: key, selected: key === kind }, text)));
  const size = el("input", { class: "form-control", id: `${id}-size`, value: given, "aria-label": `Arguments of ${kind || "the split"}`, spellcheck: "false", autocomplete: "off", hidden: !known?.takes });
  // Another kind begins with the arguments of its example; what stands there otherwise is the person's.
  const leave = () => {
    if (select.value === kind) { return set(size.value ? `${kind}(${size.value})` : kind); }
    const to = kinds.find(({ name }) => name === select.value);
    return set(select.value === "" ? null : (to?.suchAs ?? select.value), to?.takes ? `${id}-size` : "");
  };
  onceLeft(select, leave);
  onceLeft(size, leave);
  return el("span", { class: "ed-split" }, select, size, known ? el("small", { class: "dim" }, `${known.says}; for instance ${known.suchAs}`) : null);
};

const input = (key, id, value, inherited, app, set) => {
  const { choices, splits } = app.also;
  const nothing = inherited === "" ? "none" : `inherited: ${inherited}`;
  if (key === "cs_split_type") { return split(id, value, splits, nothing, set); }
  const names = choices[key] ?? app.look.known[key];
  if (names) { return choice(id, value, names, nothing, set); }
  return onceLeft(el("input", { class: "form-control", id, value, placeholder: inherited, spellcheck: "false", autocomplete: "off" }), (text) => set(text === "" ? null : text));
};

// The fields of a stage, or of the campaign's defaults: `whys` say where each key comes from, `own` what is said here.
export const stageFields = (app, whys, own, layer, set) => el("div", { class: "fields ed-fields" }, ...whys.map((why) => {
  const id = `ed-f-${why.key}`;
  const said = why.key in own;
  const [under, value] = said && why.layer === layer ? (why.beneath[0] ?? ["", ""]) : [why.layer, why.value];
  const help = said ? (own[why.key] === "" ? "set to nothing here" : `here; ${under}: ${shown(value)}`) : `${under}: ${shown(value)}`;
  const again = said && own[why.key] === "" ? el("button", { class: "btn", type: "button", click: () => set(why.key, null) }, "Inherit", el("span", { class: "visually-hidden" }, ` ${why.key}`)) : null;
  return el("div", { class: `field${said ? " ed-own" : ""}` }, el("label", { for: id }, why.key), input(why.key, id, own[why.key] ?? "", value, app, (text, focus) => set(why.key, text, focus)), el("p", { class: "help" }, help, again));
}));

export const parameterLists = (own, set) => PARAMETERS.map((key) => listEditor({
  id: `ed-f-${key}`, label: key, kind: PAIRS, value: own[key], inherited: "Nothing is said here.", set: (text, focus) => set(key, text, focus),
  help: key === "param_overrides" ? "An equal key replaces the value that is inherited and keeps its place." : "At a test run they are laid over all others.",
}));

// Words with their blanks made visible.
const word = (text) => el("code", {}, ...text.split(/^( +)|( +)$/).filter(Boolean).map((piece) => (/^ +$/.test(piece)
  ? el("span", { class: "dim", title: "blank" }, "␣".repeat(piece.length)) : piece)));

// The parameters of the resulting command, with the reason of each.
export const why = (title, rows) => (rows.length ? el("div", { class: "ed-why" }, el("h3", {}, title), el("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": title },
  el("table", { class: "rows" }, el("thead", {}, el("tr", {}, ...["parameter", "from", "covers"].map((name) => el("th", {}, name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, el("th", { scope: "row" }, word(row.key), word(row.value)), el("td", { "data-th": "from" }, row.layer),
      el("td", { "data-th": "covers" }, ...(row.beneath.length ? row.beneath.flatMap(([layer, value], n) => [n ? "; " : "", `${layer}: `, word(value)]) : [el("span", { class: "dim" }, "nothing")])))))))) : null);

export const plainField = (id, label, value, set, { area = false, placeholder = "", help = "", list = "" } = {}) => {
  const at = { class: "form-control", id, placeholder, spellcheck: "false", autocomplete: "off", list: list || null };
  const field = area ? el("textarea", { ...at, rows: 2 }, value ?? "") : el("input", { ...at, value: value ?? "" });
  onceLeft(field, (text) => set(text === "" ? null : text));
  return el("div", { class: "field" }, el("label", { for: id }, label), field, help && el("p", { class: "help" }, help));
};
