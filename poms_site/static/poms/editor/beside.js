// What stands beside the drawing: the list of stages with ticks, the complaints, the form that adds stages.

import { el, mark, rebuild, several } from "./dom.js";
import { signs } from "./graph.js";

// The list of stages: on a phone it stands for the drawing; its ticks choose several.
export class StageList {
  constructor(root, app) {
    Object.assign(this, { root, app, stages: [], names: [] });
    root.closest("details").addEventListener("toggle", () => { this.build(); app.mark(); });
    root.addEventListener("change", (event) => {
      const name = event.target.dataset.name;
      if (name !== undefined) { app.choose(event.target.checked ? [...app.chosen, name] : [...app.chosen].filter((one) => one !== name)); }
    });
    root.addEventListener("click", (event) => {
      const name = event.target.closest("button")?.dataset.name;
      if (name !== undefined) { app.choose([name], "head"); }
    });
  }

  show(stages) {
    this.stages = stages;
    this.build();
  }

  // It is built only where it is open: of five hundred stages nobody waits for a list that is not looked at.
  build() {
    const stages = this.root.closest("details").open ? this.stages : [];
    rebuild(this.root, stages.map((stage, n) => el("li", {},
      el("label", { class: "ed-tick" }, el("input", { type: "checkbox", id: `ed-tick-${n}`, "data-name": stage.name, "aria-label": `choose ${stage.name}` })),
      el("button", { class: "plain", type: "button", id: `ed-stage-${n}`, "data-name": stage.name }, stage.name),
      el("span", { class: "dim" }, [stage.job_type, stage.split === "None" ? "" : stage.split].filter(Boolean).join(" · ")),
      signs(stage) && el("span", { class: `st ${stage.errors ? "st-failed" : "st-person"}` }, mark(stage.errors ? "failed" : "person"), signs(stage)))));
    this.names = stages.map((stage) => stage.name);
  }

  tag(chosen, found) {
    [...this.root.children].forEach((line, n) => {
      line.querySelector("input").checked = chosen.has(this.names[n]);
      line.classList.toggle("chosen", chosen.has(this.names[n]));
      line.hidden = found !== null && !found.has(this.names[n]);
    });
  }
}

export const problemList = (root, head, problems, press) => {
  const errors = problems.filter((problem) => problem.level === "error").length;
  const counts = [errors && several(errors, "error"), problems.length > errors && several(problems.length - errors, "warning")].filter(Boolean);
  head.replaceChildren(mark(errors ? "failed" : problems.length ? "person" : "done"), counts.join(", ") || "nothing is missing");
  head.className = `st ${errors ? "st-failed" : problems.length ? "st-person" : "st-done"}`;
  rebuild(root, problems.map((problem, n) => el("li", {},
    el("span", { class: `st ${problem.level === "error" ? "st-failed" : "st-person"}` }, mark(problem.level === "error" ? "failed" : "person"), problem.level),
    el("button", { class: "plain", type: "button", id: `ed-problem-${n}`, click: () => press(problem) }, problem.where || "the text", problem.line ? ` (line ${problem.line})` : ""),
    el("span", {}, problem.message), problem.hint && el("span", { class: "dim" }, problem.hint))));
};

// The form that adds stages. name*3 makes three, *3 makes three like the one that is chosen.
export class Adding {
  constructor(form, app) {
    Object.assign(this, { form, app });
    form.addEventListener("submit", (event) => { event.preventDefault(); this.add(); });
    form.closest("details").addEventListener("toggle", () => this.build());
  }

  show(stages) {
    this.stages = stages;
    this.build();
  }

  build() {
    const stages = this.stages ?? [];
    if (!this.form.closest("details").open) { return; }
    for (const [field, first] of [["parent", "no stage"], ["like", "none: begin empty"]]) {
      const select = this.form.elements[field];
      const was = select.value;
      select.replaceChildren(el("option", { value: "" }, first), ...stages.map((stage) => el("option", { value: stage.name }, stage.name)));
      select.value = stages.some((stage) => stage.name === was) ? was : "";
    }
  }

  open({ parent = "", like = "" }) {
    this.form.closest("details").open = true;
    this.build();
    this.form.elements.parent.value = parent;
    this.form.elements.like.value = like;
    this.form.elements.name.focus();
  }

  add() {
    const { name, number, parent, like } = this.form.elements;
    const [, word, times] = /^(.*?)(?:\*(\d+))?$/.exec(name.value.trim());
    const count = Number(times ?? number.value) || 0;
    const model = word || !times ? like.value : like.value || [...this.app.chosen][0] || "";
    const called = word || model;
    if (!called) { this.app.tell("Type a name first."); name.focus(); return; }
    const many = Boolean(times) || count > 1;
    const op = { verb: "add", name: called, parent: parent.value, like: model, ...(many ? { number: count } : {}) };
    const before = new Set(this.app.look.graph.stages.map((stage) => stage.name));
    const typed = [name.value, number.value];
    [name.value, number.value] = ["", "1"];
    name.focus();
    this.app.act(op, many ? `${several(count, "stage")} added.` : `Stage ${called} added.`, many ? { fresh: before } : { choose: [called] }).then((done) => {
      if (!done && !name.value) { [name.value, number.value] = typed; }
    });
  }
}
