// The list of streams, worst first: only the rows in sight exist, so ten thousand are few.
import { element, number } from "/page/draw.js";

const HEIGHT = 24, SPARE = 6;
const SHUT_OUT = 4, SILENT = 2; // and what lies between
const LOW = -99; // a skill that is worse says no more
const age = (s) => (s < 1 ? "now" : s < 100 ? `${s.toFixed(0)} s` : s < 6000 ? `${(s / 60).toFixed(0)} m` : s < 360000 ? `${(s / 3600).toFixed(0)} h` : `${(s / 86400).toFixed(0)} d`);

export class Streams {
  constructor(choose) {
    this.choose = choose;
    this.names = [];
    this.states = [];
    this.rows = new Map();
    this.order = [];
    this.chosen = "";
    this.text = "";
    this.list = document.getElementById("list");
    this.place = document.getElementById("rows");
    this.list.addEventListener("scroll", () => this.draw());
    this.list.addEventListener("keydown", (event) => this.key(event));
    document.getElementById("search").addEventListener("input", ({ target }) => {
      this.text = target.value.toLowerCase();
      this.sort();
    });
    document.getElementById("search").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.order.length) this.choose(this.names[this.order[0]]);
      if (event.key === "ArrowDown") { this.list.focus(); event.preventDefault(); }
      if (event.key === "Escape") { event.target.value = ""; this.text = ""; this.sort(); this.list.focus(); }
    });
  }

  greet(hello) { this.states = hello.states; this.names = []; }

  name(told) { this.names.length = told.from; this.names.push(...told.streams); }

  take(table) {
    const read = (column) => Array.from({ length: table.count }, (_, i) => column(i));
    this.skill = read(table.skill);
    this.cover = read(table.coverage);
    this.age = read(table.age);
    this.state = read(table.state);
    this.sort();
  }

  // Shut out and silent first, then by skill; those without one last.
  sort() {
    if (!this.skill) return;
    const rank = (i) => (this.state[i] >= SILENT ? -10 * this.state[i] : Number.isNaN(this.skill[i]) ? 9 : this.skill[i]);
    this.order = [...this.names.keys()].filter((i) => i < this.skill.length && this.names[i].toLowerCase().includes(this.text));
    this.order.sort((a, b) => rank(a) - rank(b) || a - b);
    const found = this.order.length === this.names.length ? "" : `${this.order.length.toLocaleString("en")} of `;
    document.getElementById("count").textContent = `${found}${this.names.length.toLocaleString("en")} streams`;
    this.draw();
  }

  draw() {
    this.place.style.height = `${this.order.length * HEIGHT}px`;
    const first = Math.max(Math.floor(this.list.scrollTop / HEIGHT) - SPARE, 0);
    const last = Math.min(first + Math.ceil(this.list.clientHeight / HEIGHT) + 2 * SPARE, this.order.length);
    const wanted = new Set();
    for (let at = first; at < last; at++) wanted.add(this.order[at]);
    for (const [i, row] of this.rows) if (!wanted.has(i)) { row.remove(); this.rows.delete(i); }
    for (let at = first; at < last; at++) this.drawRow(this.order[at], at);
  }

  drawRow(i, at) {
    let row = this.rows.get(i);
    if (!row) {
      row = element("div", { class: "row", role: "option", id: `stream-${i}` },
        ...Array.from({ length: 4 }, () => element("span")));
      row.addEventListener("click", () => this.choose(this.names[i]));
      this.rows.set(i, row);
      this.place.append(row);
    }
    const [name, skill, cover, old] = row.children;
    const has = !Number.isNaN(this.skill[i]);
    name.textContent = this.names[i];
    skill.textContent = !has ? "-" : this.skill[i] < LOW ? `<${LOW}` : this.skill[i].toFixed(2);
    skill.className = has && this.skill[i] < 0 ? "bad" : "";
    cover.textContent = Number.isNaN(this.cover[i]) ? "-" : `${(100 * this.cover[i]).toFixed(0)} %`;
    old.textContent = age(this.age[i]);
    row.style.top = `${at * HEIGHT}px`;
    row.className = `row ${this.state[i] === SHUT_OUT ? "bad" : this.state[i] >= SILENT ? "warn" : ""}`;
    row.title = [this.names[i], this.states[this.state[i]]].filter(Boolean).join(": ");
    const isChosen = this.names[i] === this.chosen;
    row.setAttribute("aria-selected", isChosen);
    if (isChosen) this.list.setAttribute("aria-activedescendant", row.id);
  }

  show(name) {
    this.chosen = name;
    const at = this.order.findIndex((i) => this.names[i] === name);
    if (at >= 0) {
      const top = at * HEIGHT;
      if (top < this.list.scrollTop) this.list.scrollTop = top;
      else if (top + HEIGHT > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + HEIGHT - this.list.clientHeight;
    }
    this.draw();
  }

  // The stream so many places below the chosen one.
  step(by) {
    const at = this.order.findIndex((i) => this.names[i] === this.chosen);
    const next = this.order[Math.min(Math.max(at + by, 0), this.order.length - 1)];
    if (next != null) this.choose(this.names[next]);
  }

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9 }[event.key];
    if (by) { this.step(by); event.preventDefault(); event.stopPropagation(); }
  }
}

export { age, number };
