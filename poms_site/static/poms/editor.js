// The editor of a campaign's definition. The text is the truth: all that is done in the drawing or in a form is a verb
// that the server does to the text; its answer replaces text, drawing and complaints.

import { Adding, problemList, StageList } from "./editor/beside.js";
import { several } from "./editor/dom.js";
import { Drawing } from "./editor/graph.js";
import { Panel } from "./editor/panel.js";
import { keys, listen } from "./editor/pointer.js";
import { Server } from "./editor/server.js";
import { Source } from "./editor/source.js";

const PAUSE = 400;
const by = (id) => document.getElementById(id);
const root = by("ed");
const form = by("ed-form");
const source = new Source(by("ed-text"), by("ed-lines"));
const server = new Server(root.dataset.look, form.elements.csrfmiddlewaretoken.value);
const drawing = new Drawing(by("ed-svg"), by("ed-box"));
const saved = root.dataset.saved === "yes" ? source.text : null;
let timer = 0;
let queue = Promise.resolve(true);
let waiting = 0; // verbs that are not done yet
let working = false; // a verb is under way: nothing else is asked, for its answer must not become stale
let leaving = false;
let found = null;
let enters = ""; // where the focus goes once the form of what was chosen is there

const app = {
  look: JSON.parse(by("ed-first").textContent),
  also: JSON.parse(by("ed-also").textContent),
  edits: root.dataset.edits === "yes",
  chosen: new Set(), edge: null, form: "stages",

  tell(words) { by("ed-told").textContent = words; },

  // Do a verb after those that are under way. `after`: what is to be chosen then, and what has the focus.
  act(op, said, after = {}) {
    waiting += 1;
    queue = queue.then(() => perform(op, said, after)).finally(() => { waiting -= 1; });
    return queue;
  },

  set(kind, names, key, value, focus) {
    const whom = kind === "campaign_stage" ? { stages: names } : { name: names };
    const many = Array.isArray(names) && names.length > 1 ? ` of ${several(names.length, "stage")}` : "";
    return app.act({ verb: "set", kind, ...whom, key, value }, `${key}${many} ${value === null ? "is inherited again" : "is set"}.`, { focus });
  },

  connect(from, to) {
    if (!to) { app.tell("Choose a stage first."); return; }
    if (from === to && !window.confirm(`${from} would feed itself. Is that meant?`)) { return; }
    app.act({ verb: "connect", from, to }, `${from} feeds ${to} now.`, { edge: { from, to, pattern: "%" } });
  },

  remove(names) {
    if (!app.edits || !names.length) { return; }
    app.act({ verb: "remove", stages: names }, `${several(names.length, "stage")} removed. Undo brings them back.`, { choose: [] });
  },

  // Keep where the stages that were dragged stand; the first time for all, so that the others stay where they are.
  place(names) {
    const all = app.look.graph.stages.some((stage) => !stage.placed);
    const places = {};
    for (const [name, at] of drawing.stages) {
      if (all || names.has(name)) { places[name] = [Math.round(at.x), Math.round(at.y)]; }
    }
    app.act({ verb: "move", places }, `${several(names.size, "stage")} moved.`);
  },

  mark() { mark(); },

  adding(how) { app.form = "stages"; adding.open(how); },

  choose(names, enter = "") {
    app.form = "stages";
    app.edge = null;
    app.chosen = new Set(names);
    if (names.length === 1 && !source.area.matches(":focus")) {
      const stage = app.look.graph.stages.find((one) => one.name === names[0]);
      if (stage) { source.line(stage.line); drawing.reveal(names[0]); }
    }
    app.tell(names.length === 1 ? `Stage ${names[0]} is chosen.` : `${several(names.length, "stage")} chosen.`);
    mark();
    panel.show();
    enters = enter;
    ask();
  },

  chooseEdge(edge, enter = "") {
    app.form = "stages";
    app.chosen = new Set();
    app.edge = { from: edge.from, to: edge.to, pattern: edge.pattern };
    mark();
    panel.show(enter ? "ed-pattern" : "");
  },

  open(name) {
    app.form = name;
    panel.show();
    ask();
  },
};

// Which stage's inheritance is wanted: the chosen one's, or with no name that of the campaign's defaults.
const wanted = () => {
  if (app.form === "defaults") { return ""; }
  return app.form === "stages" && !app.edge && app.chosen.size === 1 ? [...app.chosen][0] : null;
};

const mark = () => {
  drawing.tag(app.chosen, app.edge, found);
  list.tag(app.chosen, found);
};

const buttons = () => {
  by("ed-undo").disabled = !source.can(-1);
  by("ed-redo").disabled = !source.can(1);
};

// Show an answer: drawing, list, complaints, form.
const show = (look, focus = "") => {
  app.look = look;
  const names = new Set(look.graph.stages.map((stage) => stage.name));
  app.chosen = new Set([...app.chosen].filter((name) => names.has(name)));
  drawing.show(look.graph, app.edits);
  list.show(look.graph.stages);
  adding.show(look.graph.stages);
  problemList(by("ed-problems"), by("ed-counts"), look.problems, go);
  by("ed-empty").hidden = names.size > 0;
  seek();
  panel.show(focus);
  if (enters && (wanted() === null || look.stage?.name === wanted())) { panel.enter(enters); enters = ""; }
  buttons();
};

const trouble = (error) => { app.tell(`${error.message} Your text is still here.`); };

// Ask how the text looks now; what was asked before does not count any more.
const ask = async () => {
  if (working) { return; }
  clearTimeout(timer);
  try {
    const answer = await server.ask({ text: source.text, stage: wanted() });
    if (answer && answer.text === source.text) {
      source.step();
      show(answer);
    }
  } catch (error) { trouble(error); }
};

const perform = async (op, said, after) => {
  clearTimeout(timer);
  source.step();
  const { chosen, edge } = app;
  const focused = document.activeElement?.dataset?.name;
  source.area.readOnly = true;
  working = true;
  root.setAttribute("aria-busy", "true");
  try {
    const answer = await server.ask({ text: source.text, op, stage: after.choose?.length === 1 ? after.choose[0] : wanted() });
    if (answer.refused) {
      show(answer);
      app.tell([answer.refused.detail, ...answer.refused.problems.map((p) => `${p.message}${p.hint ? ` (${p.hint})` : ""}`)].join(" "));
      return false;
    }
    source.put(answer.text);
    source.step();
    if (app.chosen === chosen && app.edge === edge) { turnTo(after, answer); } // unless something else was chosen meanwhile
    show(answer, after.focus);
    if (focused && op.verb === "remove" && !document.activeElement?.dataset?.name) { drawing.focus(drawing.current); }
    app.tell(said);
    return true;
  } catch (error) {
    trouble(error);
    return false;
  } finally {
    working = false;
    source.area.readOnly = !app.edits;
    root.removeAttribute("aria-busy");
    if (wanted() !== null && app.look.stage?.name !== wanted()) { ask(); }
  }
};

const turnTo = (after, answer) => {
  if (after.fresh) { after.choose = answer.graph.stages.map((stage) => stage.name).filter((name) => !after.fresh.has(name)); }
  if (!after.choose && !after.edge) { return; }
  app.chosen = new Set(after.choose ?? []);
  app.edge = after.edge ?? null;
  app.form = "stages";
};

const turn = (direction, said) => {
  queue = queue.then(async () => {
    if (!source.go(direction)) { app.tell(direction < 0 ? "There is nothing to undo." : "There is nothing to redo."); return; }
    await ask();
    app.tell(said);
  });
};
const undo = () => turn(-1, "Undone.");
const redo = () => turn(1, "Done again.");

// A complaint leads to its stage and its line.
const go = (problem) => {
  if (problem.stage && app.look.graph.stages.some((stage) => stage.name === problem.stage)) { app.choose([problem.stage]); }
  if (problem.line) { source.line(problem.line, true); }
};

const seek = () => {
  const word = by("ed-find").value.trim().toLowerCase();
  found = word ? new Set(app.look.graph.stages.map((stage) => stage.name).filter((name) => name.toLowerCase().includes(word))) : null;
  by("ed-found").textContent = found ? `${found.size} of ${app.look.graph.stages.length}` : several(app.look.graph.stages.length, "stage");
  by("ed-choose-found").hidden = !found?.size;
  mark();
};

const list = new StageList(by("ed-list"), app);
const adding = new Adding(by("ed-add"), app);
const panel = new Panel(by("ed-panel"), by("ed-tabs"), app);

source.area.addEventListener("input", () => {
  source.number();
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE);
});
const PRESSED = {
  "ed-undo": undo, "ed-redo": redo,
  "ed-arrange": () => app.act({ verb: "arrange" }, "All stages are laid out anew."),
  "ed-in": () => drawing.scale(drawing.zoom * 1.25), "ed-out": () => drawing.scale(drawing.zoom / 1.25), "ed-fit": () => drawing.scale(drawing.fitting()),
  "ed-choose-found": () => app.choose([...found]),
};
for (const [id, press] of Object.entries(PRESSED)) { by(id).addEventListener("click", press); }
by("ed-find").addEventListener("input", seek);
by("ed-find").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && found?.size) { event.preventDefault(); app.choose([[...found][0]]); drawing.focus([...app.chosen][0]); }
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) { return; }
  const key = event.key.toLowerCase();
  if (key === "s") {
    event.preventDefault();
    if (app.edits) {
      document.activeElement?.blur(); // a field that is being typed in is taken, too
      form.requestSubmit(by("ed-save"));
    }
  } else if ((key === "z" || key === "y") && app.edits && !event.target.closest?.("textarea, input")) {
    event.preventDefault();
    (key === "y" || event.shiftKey ? redo : undo)();
  }
});
// What was done in a form a moment ago is done first; what was refused is read before anything is saved.
form.addEventListener("submit", (event) => {
  if (!waiting) { return; }
  event.preventDefault();
  queue.then((done) => { if (done) { form.requestSubmit(by("ed-save")); } });
});
document.addEventListener("submit", (event) => { leaving ||= event.target.method === "post" && !event.defaultPrevented; });
window.addEventListener("beforeunload", (event) => {
  if (app.edits && !leaving && source.text !== saved) { event.preventDefault(); }
});

listen(drawing, app);
keys(drawing, app);
for (const part of document.querySelectorAll(".ed-scripted")) { part.hidden = false; }
by("ed-all").open = window.matchMedia("(max-width: 760px)").matches;
show(app.look);
drawing.begin();
root.setAttribute("data-ready", "yes");
