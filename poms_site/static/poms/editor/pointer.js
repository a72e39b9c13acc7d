// Mouse, pen and finger on the drawing: choosing, dragging stages, connecting by their handles, a rectangle for many;
// with the middle button the whole drawing is pulled along.

import { draw } from "./dom.js";

const STEADY = 5; // a press that moves less is no dragging

export const listen = (drawing, app) => {
  const { svg } = drawing;
  let held = null;

  const begin = (event) => {
    if (held) { return; }
    if (event.button === 1) {
      held = { does: "pan", pointer: event.pointerId, px: event.clientX, py: event.clientY, left: drawing.box.scrollLeft, top: drawing.box.scrollTop };
      event.preventDefault();
      svg.setPointerCapture(event.pointerId);
      return;
    }
    if (event.button !== 0) { return; }
    const [x, y] = drawing.at(event);
    const name = event.target.closest(".ed-stage")?.dataset.name;
    const common = { pointer: event.pointerId, x, y, px: event.clientX, py: event.clientY, more: event.shiftKey || event.ctrlKey || event.metaKey };
    if (app.edits && event.target.closest(".ed-handle")) {
      held = { ...common, does: "connect", name, node: draw("path", { class: "ed-pull" }) };
      drawing.over.append(held.node);
    } else if (name) {
      held = { ...common, does: "press", name };
    } else if (event.target.closest(".ed-edge")) {
      const { from, to, pattern } = event.target.closest(".ed-edge").dataset;
      app.chooseEdge({ from, to, pattern });
      return;
    } else if (event.pointerType !== "touch") {
      held = { ...common, does: "lasso", node: draw("rect", { class: "ed-lasso" }) };
      drawing.over.append(held.node);
    } else { return; }
    svg.setPointerCapture(event.pointerId);
  };

  const go = (event) => {
    if (event.pointerId !== held?.pointer) { return; }
    if (held.does === "pan") {
      drawing.box.scrollTo(held.left + held.px - event.clientX, held.top + held.py - event.clientY);
      return;
    }
    const [x, y] = drawing.at(event);
    if (held.does === "press" && app.edits && Math.hypot(event.clientX - held.px, event.clientY - held.py) > STEADY) {
      held.does = "drag";
      held.names = app.chosen.has(held.name) ? new Set(app.chosen) : new Set([held.name]);
      svg.classList.add("dragging");
    }
    if (held.does === "drag") { drawing.shift(held.names, x - held.x, y - held.y); }
    if (held.does === "connect") {
      const from = drawing.stages.get(held.name);
      held.node.setAttribute("d", `M${from.x + drawing.width} ${from.y + drawing.height / 2}L${x} ${y}`);
      const under = drawing.under(event);
      for (const [name, { node }] of drawing.stages) { node.classList.toggle("aim", name === under); }
    }
    if (held.does === "lasso") {
      held.to = [x, y];
      const box = { x: Math.min(x, held.x), y: Math.min(y, held.y), width: Math.abs(x - held.x), height: Math.abs(y - held.y) };
      for (const [key, value] of Object.entries(box)) { held.node.setAttribute(key, value); }
    }
  };

  const end = (event) => {
    if (event.pointerId !== held?.pointer) { return; }
    const was = held;
    held = null;
    was.node?.remove();
    svg.classList.remove("dragging");
    for (const { node } of drawing.stages.values()) { node.classList.remove("aim"); }
    if (event.type === "pointercancel") {
      if (was.does === "drag") { drawing.shift(was.names, 0, 0); }
      return;
    }
    if (was.does === "press") { app.choose(was.more ? toggled(app.chosen, was.name) : [was.name]); drawing.focus(was.name); }
    if (was.does === "drag") { app.place(was.names); }
    if (was.does === "connect") {
      const to = drawing.under(event);
      if (to) { app.connect(was.name, to); }
    }
    if (was.does === "lasso") {
      const inside = was.to ? within(drawing, was) : [];
      app.choose(was.more ? [...app.chosen, ...inside] : inside);
    }
  };

  // A finger on a stage drags it and scrolls nothing; touch-action does not reach into a drawing.
  svg.addEventListener("touchstart", (event) => {
    if (app.edits && event.touches.length === 1 && event.target.closest(".ed-stage")) { event.preventDefault(); }
  }, { passive: false });
  svg.addEventListener("pointerdown", begin);
  svg.addEventListener("pointermove", go);
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
};

const toggled = (chosen, name) => (chosen.has(name) ? [...chosen].filter((one) => one !== name) : [...chosen, name]);

const within = (drawing, { x, y, to }) => {
  const [left, right, top, bottom] = [Math.min(x, to[0]), Math.max(x, to[0]), Math.min(y, to[1]), Math.max(y, to[1])];
  return drawing.inOrder.filter((s) => s.x < right && s.x + drawing.width > left && s.y < bottom && s.y + drawing.height > top).map((s) => s.name);
};

// The keyboard on a stage.
export const keys = (drawing, app) => {
  drawing.svg.addEventListener("keydown", (event) => {
    const name = event.target.closest(".ed-stage")?.dataset.name;
    if (!name || event.altKey || event.metaKey) { return; }
    if (event.key.startsWith("Arrow")) {
      const next = drawing.beside(name, event.key);
      if (next) { drawing.focus(next); }
    } else if (event.key === "Enter") {
      app.choose([name], "field");
    } else if (event.key === " ") {
      app.choose(toggled(app.chosen, name));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      app.remove(app.chosen.has(name) ? [...app.chosen] : [name]);
    } else if (event.key === "Escape") {
      app.choose([]);
    } else { return; }
    event.preventDefault();
  });
};
