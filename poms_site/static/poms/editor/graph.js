// The drawing: stages as cards, dependencies as lines. Only what changed is drawn anew.

import { draw, several, shortened } from "./dom.js";

const ROOM = 46;
const MOST_IN_TAB_ORDER = 40;

export const signs = (stage) => [
  stage.errors ? several(stage.errors, "error") : "", stage.warnings ? several(stage.warnings, "warning") : "",
].filter(Boolean).join(", ");

export class Drawing {
  constructor(svg, box) {
    Object.assign(this, { svg, box, zoom: 0, stages: new Map(), lines: [], current: "" });
    this.edges = draw("g", { "aria-hidden": "true" });
    this.cards = draw("g");
    this.over = draw("g", { "aria-hidden": "true" });
    svg.append(this.edges, this.cards, this.over);
  }

  show(graph, edits) {
    [this.width, this.height] = graph.card;
    this.edits = edits;
    const names = new Set(graph.stages.map((stage) => stage.name));
    for (const [name, known] of this.stages) {
      if (!names.has(name)) { known.node.remove(); this.stages.delete(name); }
    }
    const feeds = new Map(), fed = new Map();
    for (const edge of graph.edges) {
      feeds.set(edge.from, [...(feeds.get(edge.from) ?? []), edge.to]);
      fed.set(edge.to, [...(fed.get(edge.to) ?? []), edge.from]);
    }
    this.inOrder = [...graph.stages].sort((a, b) => a.x - b.x || a.y - b.y);
    let before = null;
    for (const stage of this.inOrder) {
      const says = JSON.stringify([stage, feeds.get(stage.name), fed.get(stage.name)]);
      let known = this.stages.get(stage.name);
      if (!known) { known = { node: draw("g", { class: "ed-stage", role: "button", "data-name": stage.name }) }; this.stages.set(stage.name, known); }
      if (known.says !== says) { this.card(known.node, stage, feeds.get(stage.name) ?? [], fed.get(stage.name) ?? []); }
      Object.assign(known, { says, stage, x: stage.x, y: stage.y, feeds: feeds.get(stage.name) ?? [], fed: fed.get(stage.name) ?? [] });
      const next = before ? before.nextSibling : this.cards.firstChild;
      if (next !== known.node) { this.moved(known.node, next); }
      before = known.node;
    }
    this.drawEdges(graph.edges);
    this.bounds();
    this.tabs();
  }

  // Put a card at its place in the order of reading; what is moved in the document loses the focus, so it is given back.
  moved(node, next) {
    const focused = node === document.activeElement;
    this.cards.insertBefore(node, next);
    if (focused) { node.focus({ preventScroll: true }); }
  }

  card(node, stage, feeds, fed) {
    const wrong = signs(stage);
    node.setAttribute("transform", `translate(${stage.x} ${stage.y})`);
    const told = [`Stage ${stage.name}`, stage.job_type && `job type ${stage.job_type}`, wrong,
      fed.length ? `fed by ${shortened(fed.join(", "), 120)}` : "", feeds.length ? `feeds ${shortened(feeds.join(", "), 120)}` : ""];
    node.setAttribute("aria-label", told.filter(Boolean).join("; "));
    const about = [stage.job_type || "no job type", stage.split && stage.split !== "None" ? stage.split : ""].filter(Boolean).join(" · ");
    const last = wrong
      ? [draw("svg", { class: `mk ${stage.errors ? "st-failed" : "st-person"}`, x: 11, y: 42, width: 12, height: 12 }, draw("use", { href: stage.errors ? "#m-failed" : "#m-person" })),
        draw("text", { class: `ds ${stage.errors ? "bad" : "odd"}`, x: 27, y: 52 }, shortened(wrong, 25))]
      : [draw("text", { class: "ds", x: 12, y: 52 }, shortened(stage.dataset && stage.dataset !== "from_parent" ? stage.dataset : stage.type, 26))];
    node.replaceChildren(
      draw("title", {}, stage.name),
      draw("rect", { class: "box", width: this.width, height: this.height, rx: 9 }),
      draw("text", { class: "nm", x: 12, y: 20 }, shortened(stage.name, 21)),
      draw("text", { class: "ds", x: 12, y: 37 }, shortened(about, 25)),
      ...last,
      ...(this.edits ? [draw("g", { class: "ed-handle", transform: `translate(${this.width} ${this.height / 2})` },
        draw("title", {}, "Drag to the stage that it feeds"), draw("circle", { class: "reach", r: 15 }), draw("circle", { class: "knob", r: 6 }))] : []),
    );
  }

  drawEdges(edges) {
    const pairs = new Map();
    this.lines = edges.map((edge) => {
      const pair = `${edge.from}\n${edge.to}`;
      const nth = pairs.get(pair) ?? 0;
      pairs.set(pair, nth + 1);
      const says = [edge.pattern === "%" ? "" : edge.pattern, edge.gate === "all" ? "" : edge.gate].filter(Boolean).join(" · ");
      const node = draw("g", { class: "edge ed-edge", "data-from": edge.from, "data-to": edge.to, "data-pattern": edge.pattern },
        draw("title", {}, `${edge.from} feeds ${edge.to} with ${edge.pattern}`), draw("path", { class: "hit" }),
        draw("path", { "marker-end": "url(#tip)" }), draw("text", { class: "elab" }, shortened(says, 24)));
      return { edge, node, nth };
    });
    this.edges.replaceChildren(...this.lines.map((line) => line.node));
    for (const line of this.lines) { this.route(line); }
  }

  route({ edge, node, nth }) {
    const from = this.stages.get(edge.from), to = this.stages.get(edge.to);
    const { path, label } = this.between(from, to, nth, edge.from === edge.to);
    node.children[1].setAttribute("d", path);
    node.children[2].setAttribute("d", path);
    node.children[3].setAttribute("x", label[0]);
    node.children[3].setAttribute("y", label[1]);
  }

  between(from, to, nth, loop) {
    const x1 = from.x + this.width, y1 = from.y + this.height / 2;
    if (loop) {
      const up = from.y - 26 - nth * 14, middle = from.x + this.width / 2;
      return { path: `M${middle + 44} ${from.y}C${middle + 60} ${up} ${middle - 60} ${up} ${middle - 44} ${from.y}`, label: [middle, up + 4] };
    }
    const x2 = to.x, y2 = to.y + this.height / 2 + nth * 12;
    const bend = Math.max(36, Math.abs(x2 - x1) / 2);
    return { path: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, label: [(x1 + x2) / 2, (y1 + y2) / 2 - 7] };
  }

  // Move stages while they are dragged: their cards, and the lines that begin or end there.
  shift(names, dx, dy) {
    for (const name of names) {
      const known = this.stages.get(name);
      known.x = known.stage.x + dx;
      known.y = known.stage.y + dy;
      known.node.setAttribute("transform", `translate(${known.x} ${known.y})`);
    }
    for (const line of this.lines) {
      if (names.has(line.edge.from) || names.has(line.edge.to)) { this.route(line); }
    }
  }

  bounds() {
    const all = [...this.stages.values()];
    const least = (values) => Math.min(...values, Infinity), most = (values) => Math.max(...values, -Infinity);
    this.left = (all.length ? least(all.map((s) => s.x)) : 0) - ROOM / 2;
    this.top = (all.length ? least(all.map((s) => s.y)) : 0) - ROOM;
    this.wide = (all.length ? most(all.map((s) => s.x)) + this.width : 300) - this.left + ROOM;
    this.high = (all.length ? most(all.map((s) => s.y)) + this.height : 60) - this.top + ROOM / 2;
    this.scale(this.zoom || Math.max(0.5, this.fitting()));
  }

  fitting() { return Math.min(1, (this.box.clientWidth - 4) / this.wide, Math.max(320, this.box.clientHeight - 4) / this.high); }

  scale(zoom) {
    this.zoom = Math.min(2, Math.max(0.08, zoom));
    const width = Math.max(this.wide * this.zoom, this.box.clientWidth - 2), height = Math.max(this.high * this.zoom, this.box.clientHeight - 2);
    const wide = width / this.zoom, high = height / this.zoom; // room that is left over stands around the stages
    this.svg.setAttribute("viewBox", [this.left - (wide - this.wide) / 2, this.top - (high - this.high) / 2, wide, high].join(" "));
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
  }

  // Where on the drawing a pointer is.
  at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  under(event) {
    return document.elementFromPoint(event.clientX, event.clientY)?.closest(".ed-stage")?.dataset.name ?? null;
  }

  // Show what is chosen and what is looked for; nothing is drawn anew.
  tag(chosen, edge, found) {
    for (const [name, { node }] of this.stages) {
      node.classList.toggle("chosen", chosen.has(name));
      node.setAttribute("aria-pressed", chosen.has(name));
      node.classList.toggle("faint", found !== null && !found.has(name));
    }
    for (const line of this.lines) {
      line.node.classList.toggle("chosen", Boolean(edge) && ["from", "to", "pattern"].every((key) => edge[key] === line.edge[key]));
    }
    if (chosen.size === 1) { [this.current] = chosen; }
    this.tabs();
  }

  // Of many stages only one is a stop of Tab; the arrow keys lead to the others.
  tabs() {
    const all = this.stages.size <= MOST_IN_TAB_ORDER;
    if (!this.stages.has(this.current)) { this.current = this.inOrder?.[0]?.name ?? ""; }
    for (const [name, { node }] of this.stages) { node.setAttribute("tabindex", all || name === this.current ? 0 : -1); }
  }

  focus(name) {
    const known = this.stages.get(name);
    if (!known) { return; }
    this.current = name;
    this.tabs();
    known.node.focus();
  }

  // Bring a stage into sight within the box; the page stays where it is.
  reveal(name) {
    const node = this.stages.get(name)?.node.getBoundingClientRect(), box = this.box.getBoundingClientRect();
    if (!node || !box.width) { return; }
    if (node.left < box.left || node.right > box.right) { this.box.scrollLeft += (node.left + node.right - box.left - box.right) / 2; }
    if (node.top < box.top || node.bottom > box.bottom) { this.box.scrollTop += (node.top + node.bottom - box.top - box.bottom) / 2; }
  }

  begin() { if (this.inOrder.length) { this.reveal(this.inOrder[0].name); } }

  // The stage that an arrow key leads to: along the dependencies, or above and below.
  beside(name, key) {
    const known = this.stages.get(name);
    const near = (names) => names.map((one) => this.stages.get(one)).filter((one) => one && one !== known)
      .sort((a, b) => Math.abs(a.y - known.y) - Math.abs(b.y - known.y))[0]?.stage.name;
    if (key === "ArrowRight") { return near(known.feeds); }
    if (key === "ArrowLeft") { return near(known.fed); }
    const sign = key === "ArrowDown" ? 1 : -1;
    const far = (one) => Math.abs(one.y - known.y) + 2 * Math.abs(one.x - known.x);
    return [...this.stages.values()].filter((one) => (one.y - known.y) * sign > 0).sort((a, b) => far(a) - far(b))[0]?.stage.name;
  }
}
