// The text: its lines with numbers, and all its states since the page was opened, to go back to.

const MOST_STEPS = 200;

export class Source {
  constructor(area, gutter) {
    this.area = area;
    this.gutter = gutter;
    this.past = [area.value];
    this.at = 0;
    area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
    this.number();
  }

  get text() { return this.area.value; }

  number() {
    const lines = this.text.split("\n").length;
    if (lines === this.lines) { return; }
    this.lines = lines;
    this.gutter.textContent = Array.from({ length: lines }, (_, n) => n + 1).join("\n");
    this.gutter.scrollTop = this.area.scrollTop;
  }

  put(text) {
    if (text === this.text) { return; }
    const top = this.area.scrollTop;
    this.area.value = text;
    this.area.scrollTop = top;
    this.number();
  }

  // Keep the text as it is now as a step, if it is not the one that is kept already.
  step() {
    if (this.text === this.past[this.at]) { return; }
    this.past.splice(this.at + 1, Infinity, this.text);
    if (this.past.length > MOST_STEPS) { this.past.shift(); }
    this.at = this.past.length - 1;
  }

  // Go one step back (-1) or forth (1); false where there is none.
  go(by) {
    this.step();
    if (!this.can(by)) { return false; }
    this.at += by;
    this.put(this.past[this.at]);
    return true;
  }

  can(by) { return this.past[this.at + by] !== undefined; }

  // Bring a line into sight; with `take` also the focus, and the line chosen.
  line(number, take = false) {
    const before = this.text.split("\n").slice(0, number - 1).join("\n");
    const start = before.length + (number > 1 ? 1 : 0);
    const end = this.text.indexOf("\n", start);
    if (take) {
      this.area.focus();
      this.area.setSelectionRange(start, end < 0 ? this.text.length : end);
    }
    const height = parseFloat(getComputedStyle(this.area).lineHeight) || 18;
    this.area.scrollTop = Math.max(0, (number - 4) * height);
  }
}
