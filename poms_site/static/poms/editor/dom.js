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

// Who comes to a field by Tab has it brought into sight by the browser, but only with its next picture; if the field is built
// anew before that, it is for us to do, unless somebody looks elsewhere since.
let elsewhere = false;
document.addEventListener("focusin", () => { if (!building) { elsewhere = false; } });
for (const scrolls of ["wheel", "touchmove", "pointerdown"]) {
  document.addEventListener(scrolls, () => { elsewhere = true; }, { capture: true, passive: true });
}

// Build what stands in `root` anew; the field that has the focus keeps it, and what was typed there so far. So do fields
// that say nothing yet but to the button beside them: `data-kept` names what they are about.
export const rebuild = (root, children) => {
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  const dirty = active && "was" in active.dataset && active.value !== active.dataset.was;
  const [start, end] = dirty && active.localName !== "select" ? [active.selectionStart, active.selectionEnd] : [null, null];
  const kept = [...root.querySelectorAll("[data-kept]")];
  building = true;
  root.replaceChildren(...children);
  building = false;
  for (const old of kept) {
    const anew = root.querySelector(`#${CSS.escape(old.id)}`);
    if (anew?.dataset.kept === old.dataset.kept) { anew.value = old.value; }
  }
  const again = active?.id ? root.querySelector(`#${CSS.escape(active.id)}`) : null;
  if (!again) { return; }
  if (dirty) { again.value = active.value; }
  building = true;
  again.focus({ preventScroll: true });
  building = false;
  if (!elsewhere) { again.scrollIntoView({ block: "nearest" }); }
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
