// Writes the report of a comparison from the data inside the page.
import { bars, element, lines, number, table } from "./draw.js";

const content = JSON.parse(document.getElementById("content").textContent);
const place = document.getElementById("report");
const CURVES = 6;
const percent = (v) => (v == null ? "-" : `${(100 * v).toFixed(1)} %`);
const digits = (v) => (v == null ? "-" : v.toFixed(3));
const title = (part) => `${part.target}, ${part.horizon} ahead`;
const panel = content.streams > 1;
const skill = (figures) => (figures.skill ? figures.skill[0] : null);
const pick = (all, names) => Object.fromEntries(names.filter((n) => n in all).map((n) => [n, all[n]]));

// The models of a part, the highest skill first.
const ranked = (part) => Object.entries(part.models)
  .sort(([, a], [, b]) => (skill(b) ?? -Infinity) - (skill(a) ?? -Infinity));

const verdict = (part) => {
  const [[name, best], [, next]] = [...ranked(part), [null, null]];
  if (!best || !best.skill) return "Too few scores to compare.";
  const apart = next && next.skill && best.skill[1] > next.skill[2];
  return `${name} forecasts best: skill ${digits(best.skill[0])}, 90 % interval ${digits(best.skill[1])} to ${digits(best.skill[2])}` +
    (apart ? "; no other model reaches it." : "; the next is not told apart from it.");
};

const one = (part) => {
  const rows = ranked(part), names = rows.map(([name]) => name);
  const few = names.slice(0, CURVES);
  return element("section", {}, element("h2", {}, title(part)), element("p", {}, verdict(part)),
    element("div", { class: "pair" },
      table(["model", "scored", "skill", "90 % interval", ...(panel ? ["median stream", "worst stream"] : []), "MAE", "coverage"], rows.map(([name, f]) => [name, number(f.scored), digits(skill(f)),
        f.skill ? `${digits(f.skill[1])} to ${digits(f.skill[2])}` : "-",
        ...(panel ? [digits(f.skill_median), digits(f.skill_worst)] : []), number(f.mae), percent(f.coverage)]), panel ? "wide" : ""),
      bars("skill: 1 - MSE / MSE of the last value", names, rows.map(([, f]) => skill(f)), digits),
      lines(`skill so far in the stream ${content.stream}, the best ${few.length} models`, part["so far"].time, pick(part["so far"].models, few), 0, "last value"),
      lines(`the last truths of the stream ${content.stream}, and the forecasts of the best two models`, part.last.time, { truth: part.last.truth, ...pick(part.last.models, few.slice(0, 2)) })));
};

place.append(
  element("h1", {}, content.name),
  element("p", { class: "faint" }, `The same ticks, the same rules: each forecast is made before its truth is seen. The interval of a skill comes from a block bootstrap of 50 stretches.${panel ? ` Figures are those of all ${number(content.streams)} streams, curves those of one, ${content.stream}.` : ""}`),
  ...content.parts.map(one),
  element("section", {}, element("h2", {}, "Pace"),
    table(["model", "ticks a second", "peak memory, MiB"], content.models.map((m) => [m.name, number(Math.round(m.ticks_per_s)), number(Math.round(m.peak_rss_mib))]))));
