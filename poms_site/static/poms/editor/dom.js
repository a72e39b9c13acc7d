// Making elements, and building a part of the page anew without taking the keyboard from whoever types in it.

const SVG = "http://www.w3.org/2000/svg";

const filled = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) { continue; }
    if (typeof value === "function") { node.addEventListener(name, value); } else { node.setAttribute(name, value === true ? "" : value); }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

export const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);
export const mark = (name, attributes = {}) => draw("svg", { class: "mk", "aria-hidden": "true", ...attributes }, draw("use", { href: `#m-${name}` }));
export const several = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
export const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

let building = false;

// Build what stands in `root` anew; the field that has the focus keeps it, and what was typed there so far.
export const rebuild = (root, children) => {
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  const dirty = active && "was" in active.dataset && active.value !== active.dataset.was;
  const [start, end] = dirty && active.localName !== "select" ? [active.selectionStart, active.selectionEnd] : [null, null];
  building = true;
  root.replaceChildren(...children);
  building = false;
  const again = active?.id ? root.querySelector(`#${CSS.escape(active.id)}`) : null;
  if (!again) { return; }
  if (dirty) { again.value = active.value; }
  again.focus({ preventScroll: true });
  if (start !== null && again.setSelectionRange) { again.setSelectionRange(start, end); }
};

// Call `set` once a field has another value and is left, or Enter is pressed in it.
export const onceLeft = (input, set) => {
  input.dataset.was = input.value;
  const leave = () => {
    if (building || input.value === input.dataset.was) { return; }
    input.dataset.was = input.value;
    set(input.value);
  };
  if (input.localName === "select" || input.type === "checkbox") {
    input.addEventListener("change", leave);
    return input;
  }
  input.addEventListener("focusout", leave);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && input.localName !== "textarea") { event.preventDefault(); leave(); }
  });
  return input;
};
