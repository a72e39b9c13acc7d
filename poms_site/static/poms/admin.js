// Suggests while one types, from the search behind the field; without it, the whole name is typed.
for (const box of document.querySelectorAll("input[data-suggest]")) {
  const list = document.createElement("datalist");
  list.id = `${box.id}_suggestions`;
  box.after(list);
  box.setAttribute("list", list.id);
  let timer = 0;
  let asked = 0;
  const ask = async () => {
    const mine = ++asked;
    const answer = await fetch(`${box.dataset.suggest}&term=${encodeURIComponent(box.value)}`);
    if (!answer.ok || mine !== asked) return;
    const { results } = await answer.json();
    list.replaceChildren(...results.map((row) => new Option(row.text, row.text)));
  };
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 150);
  });
  box.addEventListener("focus", ask, { once: true });
}
