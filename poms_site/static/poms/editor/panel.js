// The form of what is chosen: a stage, several, a dependency, the campaign, its defaults, job types or login set-ups.

import { el, rebuild, several } from "./dom.js";
import { PARAMETERS, parameterLists, plainField, stageFields, why } from "./fields.js";
import { listEditor, PAIRS, RECOVERIES, WORDS } from "./lists.js";

const button = (id, words, press, kind = "") => el("button", { class: `btn ${kind}`.trim(), type: "button", id, click: press }, words);
const select = (id, label, names, first, kept) => el("div", { class: "field" }, el("label", { for: id }, label),
  el("select", { class: "form-select", id, "data-kept": kept }, first !== undefined && el("option", { value: "" }, first), ...names.map((name) => el("option", { value: name }, name))));
const typed = (id) => document.getElementById(id).value;
const names = (app) => app.look.graph.stages.map((stage) => stage.name);
const section = (app, kind, name = "") => app.look.sections.find((one) => one.kind === kind && one.name === name)?.values ?? {};

const edgeWords = (edge) => [edge.pattern === "%" ? "all files" : edge.pattern, edge.gate === "all" ? "" : `gate ${edge.gate}`].filter(Boolean).join(", ");
const edgeButton = (app, edge, name, n) => el("li", {}, el("button", { class: "plain", type: "button", id: `ed-edge-${n}`, click: () => app.chooseEdge(edge, "field") },
  `${edge.from} → ${edge.to}`), " ", el("span", { class: "dim" }, edgeWords(edge)));

const oneStage = (app, name) => {
  const answer = app.look.stage?.name === name ? app.look.stage : null;
  const set = (key, value, focus) => app.set("campaign_stage", [name], key, value, focus);
  const edges = app.look.graph.edges.filter((edge) => edge.from === name || edge.to === name);
  const target = select("ed-target", "Connect it to", names(app), "choose a stage", name);
  const rename = plainField("ed-name", "Name", name, (to) => to && app.act({ verb: "rename", stage: name, to }, `${name} is called ${to} now.`, { choose: [to] }));
  return [
    el("h2", { tabindex: -1 }, `Stage ${name}`),
    el("p", { class: "verbs" }, button("ed-child", "Add a child…", () => app.adding({ parent: name })), button("ed-clone", "Clone…", () => app.adding({ like: name })),
      button("ed-remove", "Remove", () => app.remove([name]), "btn-bad")),
    rename,
    ...(answer ? [
      stageFields(app, answer.keys, answer.own, "stage", set), ...parameterLists(answer.own, set),
      why("The command's parameters", answer.parameters), answer.test.some((row) => row.layer === "test") ? why("At a test run", answer.test) : null,
    ] : [el("p", { class: "dim" }, "…")]),
    el("h3", {}, "Dependencies"),
    edges.length ? el("ul", { class: "bare" }, ...edges.map((edge, n) => edgeButton(app, edge, name, n))) : el("p", { class: "dim" }, "It is fed by no stage and feeds none."),
    el("div", { class: "ed-line" }, target, button("ed-connect", "Connect", () => app.connect(name, typed("ed-target")))),
  ].filter(Boolean);
};

const manyStages = (app) => {
  const chosen = [...app.chosen];
  const keys = app.also.keys.filter((key) => !PARAMETERS.includes(key));
  const key = select("ed-bulk-key", "Key", keys);
  key.lastChild.value = app.bulk ?? keys[0];
  key.lastChild.addEventListener("change", () => { app.bulk = key.lastChild.value; });
  const set = (value) => app.set("campaign_stage", chosen, typed("ed-bulk-key"), value);
  return [
    el("h2", {}, `${several(chosen.length, "stage")} chosen`),
    el("p", { class: "dim" }, chosen.slice(0, 12).join(", "), chosen.length > 12 ? ` and ${chosen.length - 12} more` : ""),
    el("div", { class: "ed-line" }, key, el("div", { class: "field" }, el("label", { for: "ed-bulk-value" }, "Value"), el("input", { class: "form-control", id: "ed-bulk-value" })),
      button("ed-bulk-set", "Set for all", () => (typed("ed-bulk-value") === "" ? app.tell("Type a value first, or take it from all.") : set(typed("ed-bulk-value")))),
      button("ed-bulk-clear", "Take it from all", () => set(null))),
    el("p", { class: "verbs" }, button("ed-bulk-remove", `Remove ${several(chosen.length, "stage")}`, () => app.remove(chosen), "btn-bad"), button("ed-bulk-none", "Choose none", () => app.choose([]))),
  ];
};

const oneEdge = (app, edge) => {
  const known = app.look.graph.edges.find((one) => ["from", "to", "pattern"].every((key) => one[key] === edge[key]));
  if (!known) { return [el("p", { class: "dim" }, "This dependency is gone.")]; }
  const change = (values, pattern) => app.act({ verb: "edge", ...edge, values }, "The dependency is changed.", { edge: { ...edge, pattern: pattern ?? edge.pattern } });
  return [
    el("h2", {}, `${edge.from} feeds ${edge.to}`),
    el("div", { class: "fields" },
      plainField("ed-pattern", "File pattern", edge.pattern, (text) => change({ pattern: text ?? "%" }, text ?? "%"), { help: "Which outputs: % stands for anything, _ for one character; several with commas." }),
      plainField("ed-gate", "Gate", known.gate === "all" ? "" : known.gate, (text) => change({ gate: text ?? "" }), { placeholder: "all", list: "ed-gates", help: "all: when it has ended; each: files as they come; or a share such as 90%." })),
    el("p", { class: "verbs" }, button("ed-disconnect", "Disconnect", () => app.act({ verb: "disconnect", from: edge.from, to: edge.to, pattern: edge.pattern }, `${edge.from} does not feed ${edge.to} any more.`, { edge: null, choose: [edge.to] }), "btn-bad"),
      button("ed-edge-from", `Stage ${edge.from}`, () => app.choose([edge.from], "head")), edge.to === edge.from ? "" : button("ed-edge-to", `Stage ${edge.to}`, () => app.choose([edge.to], "head"))),
  ];
};

const campaign = (app) => {
  const own = section(app, "campaign");
  const set = (key) => (value, focus) => app.set("campaign", "", key, value, focus);
  return [el("h2", {}, "The campaign"), el("div", { class: "fields" },
    plainField("ed-c-name", "Name", own.name, set("name")), plainField("ed-c-experiment", "experiment", own.experiment, set("experiment")),
    plainField("ed-c-role", "poms_role", own.poms_role, set("poms_role"), { placeholder: "production" })),
  listEditor({ id: "ed-c-words", label: "campaign_keywords", kind: WORDS, value: own.campaign_keywords, set: set("campaign_keywords"), help: "Words for %(…)s in parameters and scripts." })];
};

const defaults = (app) => {
  const own = section(app, "campaign_defaults");
  const set = (key, value, focus) => app.set("campaign_defaults", "", key, value, focus);
  const head = [el("h2", {}, "Campaign defaults"), el("p", { class: "dim" }, "What a stage does not say itself it has from here.")];
  const answer = app.look.stage?.name === "" ? app.look.stage : null;
  return answer ? [...head, stageFields(app, answer.keys, own, "campaign defaults", set), ...parameterLists(own, set)] : [...head, el("p", { class: "dim" }, "…")];
};

const sectionsOf = (app, kind, title, first, fields) => {
  const own = app.look.sections.filter((one) => one.kind === kind);
  const known = app.look.known[kind].filter((name) => !own.some((one) => one.name === name));
  const add = () => {
    const name = typed("ed-new-section").trim();
    document.getElementById("ed-new-section").value = "";
    if (name) { app.set(kind, name, first, "", `ed-${kind}-${own.length}-${first}`); }
  };
  return [
    el("h2", {}, title), known.length ? el("p", { class: "dim" }, `The experiment also has: ${known.join(", ")}.`) : null,
    ...own.map((one, n) => el("section", { class: "ed-section", "aria-label": one.name }, el("h3", {}, one.name),
      ...fields(one.values, `ed-${kind}-${n}`, (key) => (value, focus) => app.set(kind, one.name, key, value, focus)),
      el("p", { class: "verbs" }, button(`ed-${kind}-${n}-drop`, `Remove ${one.name}`, () => app.act({ verb: "drop", kind, name: one.name }, `${one.name} is removed.`), "btn-bad")))),
    el("div", { class: "ed-line" }, el("div", { class: "field" }, el("label", { for: "ed-new-section" }, "Name of a new one"), el("input", { class: "form-control", id: "ed-new-section", "data-kept": kind })), button("ed-section-add", "Add", add)),
  ].filter(Boolean);
};

const jobTypes = (app) => sectionsOf(app, "job_type", "Job types of this text", "launch_script", (own, id, set) => [
  plainField(`${id}-launch_script`, "launch_script", own.launch_script, set("launch_script")),
  plainField(`${id}-outputs`, "output_file_patterns", own.output_file_patterns, set("output_file_patterns"), { placeholder: "%" }),
  listEditor({ id: `${id}-parameters`, label: "parameters", kind: PAIRS, value: own.parameters, set: set("parameters") }),
  listEditor({ id: `${id}-recoveries`, label: "recoveries", kind: RECOVERIES, value: own.recoveries, set: set("recoveries") }),
]);

const setups = (app) => sectionsOf(app, "login_setup", "Login set-ups of this text", "host", (own, id, set) => [el("div", { class: "fields" },
  ...app.also.setup.map((key) => plainField(`${id}-${key}`, key, own[key], set(key), { area: key === "setup" })))]);

const stages = (app) => {
  if (app.edge) { return oneEdge(app, app.edge); }
  if (app.chosen.size === 1) { return oneStage(app, [...app.chosen][0]); }
  return app.chosen.size ? manyStages(app) : [el("h2", {}, "Nothing is chosen"), el("p", { class: "dim" }, "Choose a stage or a dependency to see its form. With Shift several are chosen.")];
};

const FORMS = { stages, campaign, defaults, job_type: jobTypes, login_setup: setups };

export class Panel {
  constructor(root, tabs, app) {
    Object.assign(this, { root, tabs, app, shown: "" });
    for (const tab of tabs.querySelectorAll("button")) { tab.addEventListener("click", () => app.open(tab.dataset.form)); }
  }

  show(focus = "") {
    for (const tab of this.tabs.querySelectorAll("button")) { tab.setAttribute("aria-pressed", tab.dataset.form === this.app.form); }
    const children = FORMS[this.app.form](this.app);
    const held = el("fieldset", { class: "ed-held", disabled: !this.app.edits }, ...children);
    rebuild(this.root, [el("datalist", { id: "ed-gates" }, ...["all", "each", "90%"].map((value) => el("option", { value }))),
      el("datalist", { id: "ed-recoveries" }, ...this.app.also.recoveries.map((value) => el("option", { value }))), held]);
    if (focus) { (this.root.querySelector(`#${CSS.escape(focus)}:not([disabled]):not([hidden])`) ?? null)?.focus(); }
  }

  // Go into the form: to its first field, or where that would open a keyboard on the screen, to its head.
  enter(where) { this.root.querySelector(where === "head" ? "h2" : "input:not([hidden]), select, textarea")?.focus(); }
}

