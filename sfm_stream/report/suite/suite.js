// Writes the report of a suite from the data inside the page.
import { bars, element, lines, number, table } from "./draw.js";

const content = JSON.parse(document.getElementById("content").textContent);
const place = document.getElementById("report");
const CURVES = 6, LEAST = -1; // a curve far below would hide the others
const digits = (v) => (v == null ? "-" : v.toFixed(3));
const percent = (v) => (v == null ? "-" : `${(100 * v).toFixed(1)} %`);
const ends = (pair, text = digits) => (pair ? `${text(pair[0])} to ${text(pair[1])}` : "-");
const exact = (set) => (v) => (v == null ? "-" : v.toFixed(set.measure === "mse" ? 4 : 3));
const measures = { mse: "MSE of z-scores", skill: "skill", panel: "skill of the median stream" };
const less = (set) => (set.measure === "mse" ? 1 : -1);
const anchor = (set) => `set-${set.name}`;

// The models of a set, the best by its measure first.
const ranked = (set) => Object.entries(set.models)
  .sort(([, a], [, b]) => less(set) * ((a.value ?? less(set) * Infinity) - (b.value ?? less(set) * Infinity)));

const verdict = (set) => {
  const [[name, best], [other, next] = []] = ranked(set);
  if (best.value == null) return "Too few scores to compare.";
  const published = set.best == null ? "" : ` Best published: ${number(set.best)} (${set.source}).`;
  const told = `${name} is best: ${measures[set.measure]} ${exact(set)(best.value)}`;
  if (!next || next.value == null) return `${told}.${published}`;
  const apart = next.behind && next.behind[0] > 0;
  return `${told}; ${other}, the next, ${apart ? "is behind it, and the interval says so" : "is not told apart from it"}.${published}`;
};

// If skill is the measure, it needs no second column.
const own = (set, cell) => (set.measure === "skill" ? [] : [cell]);
const figures = (set) => table(
  ["model", ...own(set, measures[set.measure]), "skill, mean", "90 % interval", "behind the best", "right direction", "Winkler", "CRPS", "ticks a second", "MiB"],
  ranked(set).map(([name, f]) => [name, ...own(set, exact(set)(f.value)), digits(f.skill), ends(f.interval), f.behind && !f.behind[0] && !f.behind[1] ? "best" : ends(f.behind),
    percent(f.sign), digits(f.winkler), digits(f.crps), number(Math.round(f.ticks_per_s)), number(Math.round(f.peak_rss_mib))]));

const files = (set) => {
  const rows = ranked(set), runs = Object.keys(rows[0][1].values);
  if (runs.length < 2) return null;
  return element("div", {}, element("h3", {}, `${measures[set.measure]}, file by file`),
    table(["file", ...rows.map(([name]) => name)], runs.map((run) => [run, ...rows.map(([, f]) => exact(set)(f.values[run]))])));
};

const one = (set) => {
  const rows = ranked(set), curves = set["so far"];
  const few = rows.map(([name]) => name).filter((name) => curves.models[name].length && set.models[name].skill > LEAST).slice(0, CURVES);
  return element("section", { id: anchor(set) }, element("h2", {}, set.title), element("p", {}, verdict(set)), figures(set),
    element("div", { class: "pair" },
      bars(`${measures[set.measure]} (${set.measure === "mse" ? "lower" : "higher"} is better)`, rows.map(([name]) => name), rows.map(([, f]) => f.value), exact(set)),
      few.length ? lines(`skill so far, by percent of the set, the best ${few.length} of ${rows.length} models`, curves.share,
        Object.fromEntries(few.map((name) => [name, curves.models[name]])), 0, "last value", { time: false, unit: " %" }) : null),
    files(set));
};

const overview = (measure) => {
  const sets = content.sets.filter((set) => set.measure === measure);
  if (!sets.length) return null;
  const row = (set) => {
    const first = ranked(set)[0][0];
    const mark = (name) => `${exact(set)(set.models[name].value)}${name === first ? " *" : ""}`;
    return [set.title, ...(measure === "mse" ? [set.best == null ? "-" : `${number(set.best)} (${set.source})`] : []), ...content.models.map(mark)];
  };
  return element("div", {}, element("h3", {}, `${measures[measure]} (${measure === "mse" ? "lower" : "higher"} is better)`),
    table(["set", ...(measure === "mse" ? ["best published"] : []), ...content.models], sets.map(row)));
};

place.append(
  element("h1", {}, content.name),
  element("p", { class: "faint" }, "The same ticks, the same rules: each forecast is made before its truth is seen. A skill is 1 - MSE / MSE of the last value, the mean over files, targets and horizons; its interval comes from a block bootstrap of stretches."),
  element("nav", { "aria-label": "sets" }, ...content.sets.map((set) => element("a", { href: `#${anchor(set)}` }, set.title))),
  element("section", {}, element("h2", {}, "All sets (* the best model of each)"), ...["mse", "skill", "panel"].map(overview).filter(Boolean)),
  ...content.sets.map(one),
  element("section", {}, element("h2", {}, "Make it again"),
    element("p", { class: "faint" }, `Made at commit ${content.made.commit}.`), element("pre", {}, content.made.command)));
