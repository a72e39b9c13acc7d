// The board of the queue: dragging a row to its place, and proposals that are shown without leaving the page.

const form = () => document.getElementById("queue-form");
const order = () => [...document.querySelectorAll(".queue tbody tr")].map((row) => row.dataset.key);

// Ask what the proposal would do, put the answer in place, and give the focus back to where it was.
const show = async (submitter) => {
  const board = document.getElementById("board");
  const sent = new FormData(form());
  if (submitter?.name) { sent.append(submitter.name, submitter.value); }
  board.setAttribute("aria-busy", "true");
  const text = await fetch(form().action, { method: "POST", body: sent }).then((answer) => answer.text()).catch(() => "");
  board.removeAttribute("aria-busy");
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("board");
  if (!fresh) { form().submit(); return; } // the browser says itself what is wrong
  const focused = document.activeElement?.id;
  board.replaceChildren(...fresh.childNodes);
  const again = focused ? document.getElementById(focused) : null;
  (again?.disabled ? again.closest("tr")?.querySelector("button:not([disabled])") : again)?.focus();
};

document.addEventListener("submit", (event) => {
  if (event.target === form() && !event.submitter?.hasAttribute("formaction")) {
    event.preventDefault();
    show(event.submitter);
  }
});

let dragged = null;
document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".grip");
  if (!grip || event.button !== 0) { return; }
  event.preventDefault();
  dragged = { row: grip.closest("tr"), before: order().join(), pointer: event.pointerId };
  dragged.row.classList.add("dragging");
});
document.addEventListener("pointermove", (event) => {
  if (!dragged || event.pointerId !== dragged.pointer) { return; }
  const { row } = dragged;
  for (const other of row.parentElement.children) {
    const place = other.getBoundingClientRect();
    if (other === row || event.clientY < place.top || event.clientY > place.bottom) { continue; }
    const above = event.clientY < place.top + place.height / 2;
    row.parentElement.insertBefore(row, above ? other : other.nextSibling);
    break;
  }
});
const drop = (event) => {
  if (!dragged || event.pointerId !== dragged.pointer) { return; }
  dragged.row.classList.remove("dragging");
  const changed = order().join() !== dragged.before;
  dragged = null;
  if (changed && event.type === "pointerup") {
    form().elements.order.value = order().join();
    show();
  }
};
document.addEventListener("pointerup", drop);
document.addEventListener("pointercancel", drop);
