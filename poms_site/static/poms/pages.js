// What pages do beyond links and forms: polling while looked at, keys, dialogs, ticking all, relative times.

const EVERY = 5000;
const body = document.body;

// --- Live parts: asked every 5 s while the page is visible, never while it is hidden. ---
const tick = () => { if (!document.hidden) { body.dispatchEvent(new Event("poms-tick")); } };
setInterval(tick, EVERY);
document.addEventListener("visibilitychange", tick);

// What a person has opened or chosen inside a live part stays as it is.
if (window.Idiomorph) {
  Object.assign(window.Idiomorph.defaults.callbacks, {
    beforeNodeMorphed: (old) => !(old.hasAttribute?.("data-keep")),
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.localName === "details") && name !== "checked",
  });
}

// Somebody whose session has ended is told, not left with a page that stands still.
body.addEventListener("htmx:responseError", (event) => {
  const live = event.target.closest("[data-live]");
  live?.setAttribute("data-stale", "");
});
body.addEventListener("htmx:sendError", (event) => event.target.closest("[data-live]")?.setAttribute("data-stale", ""));
body.addEventListener("htmx:afterOnLoad", (event) => event.target.closest?.("[data-live]")?.removeAttribute("data-stale"));

// --- Keys: "/" or Ctrl-K goes to the search box. ---
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  const find = document.getElementById("find");
  if (find && ((event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)))) {
    event.preventDefault();
    find.focus();
    find.select();
  }
});

// --- Verbs open in a dialog; without script they are pages. ---
const dialog = document.getElementById("dialog");
body.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === dialog && !dialog.open) {
    dialog.showModal();
    dialog.querySelector("textarea, input:not([type=hidden]), button")?.focus();
  }
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});
// A verb's refusal (409, 422) is shown in the dialog, with what was typed.
body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target === dialog && [403, 404, 409, 422, 503].includes(event.detail.xhr.status)) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

// --- Menus close when one leaves them. ---
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) { menu.open = false; }
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  }
});

// --- Ticking all rows of a page. ---
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-all]");
  if (all) {
    for (const box of all.form.querySelectorAll("input[name=ref]")) { box.checked = all.checked; }
  }
});

// --- Choosing a filter's value applies it. ---
document.addEventListener("change", (event) => {
  if (event.target.closest("select[data-apply]")) { event.target.form.requestSubmit(); }
});

// --- A log that is followed stays at its end. ---
const follow = () => {
  const log = document.querySelector("[data-follow]");
  if (log) { log.scrollTop = log.scrollHeight; }
};
follow();
body.addEventListener("htmx:afterSettle", follow);
