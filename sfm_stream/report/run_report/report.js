// Writes the report from the data inside the page.
import { band, bars, element, lines, number, spectrogram, stacked, table } from "./draw.js";

const content = JSON.parse(document.getElementById("content").textContent);
const place = document.getElementById("report");
const percent = (v) => (v == null ? "-" : `${(100 * v).toFixed(1)} %`);
const title = (part) => `${part.target}, ${part.horizon} ahead`;

const section = (name, id, ...children) =>
  element("section", { id }, element("h2", {}, name), ...children);
const code = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// If there are many horizons: the first, the middle and the last; the table has all.
const few = (parts) => (parts.length <= 6 ? parts
  : [parts[0], parts[Math.floor(parts.length / 2)], parts.at(-1)]);

const head = () => {
  const { about, summary } = content;
  const pace = summary.ticks == null ? "" :
    `${number(summary.ticks)} ticks in ${number(summary.seconds)} s, ${number(Math.round(summary.ticks_per_s))} a second, peak memory ${number(Math.round(summary.peak_rss_mib))} MiB`;
  return [
    element("h1", {}, about.name),
    element("p", { class: "faint" }, pace),
    ...(summary.remarks ?? []).map((line) => element("p", { class: "bad" }, line)),
    ...few(content.parts).map((part) => element("p", {},
      element("strong", {}, `${title(part)}: `),
      element("span", { class: part.skill && part.skill[1] > 0 ? "good" : part.skill && part.skill[2] < 0 ? "bad" : "" }, part.verdict))),
    element("p", { class: "faint" },
      `Curves show the stream ${about.stream}. Skill is 1 - MSE / MSE of the last value; the interval comes from a block bootstrap of 50 stretches.`),
    element("nav", { "aria-label": "parts of the report" },
      ...[["figures", "Figures"], ["curves", "Forecasts"], ["spectrogram", "Memory"], ["streams", "Streams"], ["faults", "What was left out"], ["about", "About"]]
        .map(([id, name]) => element("a", { href: `#${id}` }, name))),
  ];
};

const figures = () => section("Figures", "figures", element("div", { class: "pair" },
  table(["target", "ahead", "scored", "skill", "90 % interval", "MAE", "coverage"],
    content.parts.map((p) => [p.target, p.horizon, number(p.scored), p.skill ? p.skill[0].toFixed(3) : "-",
      p.skill ? `${p.skill[1].toFixed(3)} to ${p.skill[2].toFixed(3)}` : "-", number(p.mae), percent(p.coverage)])),
  content.parts.length > 1
    ? bars("skill by horizon", content.parts.map(title), content.parts.map((p) => (p.skill ? p.skill[0] : null)), digits)
    : null));

const digits = (v) => (v == null ? "-" : v.toFixed(3));
const hours = [...Array(24).keys()].map((h) => `${String(h).padStart(2, "0")}:00`);
const days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const known = (values) => values.filter((v) => v != null).length > 1;
const clock = (caption, labels, values) => {
  const there = [...labels.keys()].filter((i) => values[i] != null);
  return bars(caption, there.map((i) => labels[i]), there.map((i) => values[i]));
};

const one = (part) => element("section", {},
  element("h3", {}, title(part)),
  band(`${title(part)}: truth, forecast and interval of the whole run; each stretch shows its least and greatest truth`, part.curve),
  element("div", { class: "pair" },
    ...Object.entries(part.zooms).map(([name, curve]) => band(name, curve)),
    lines(`skill: over the last ${number(part.over_time.width)} scores, and since the start`,
      part.over_time.time, { "rolling skill": part.over_time["rolling skill"], "skill so far": part.over_time["skill so far"] }, 0, "last value"),
    lines("coverage over the same scores", part.over_time.time, { coverage: part.over_time.coverage }, 0.9, "90 %"),
    Object.keys(part.where).length
      ? bars("where the truth fell in the interval (5, 45, 45 and 5 % if its halves are right)", Object.keys(part.where), Object.values(part.where), percent) : null,
    known(part.by_hour) ? clock("skill by hour, UTC", hours, part.by_hour) : null,
    known(part.by_weekday) ? clock("skill by weekday, UTC", days, part.by_weekday) : null));

const repeats = () => Object.entries(content.summary.period ?? {})
  .filter(([, streams]) => content.about.stream in streams)
  .map(([target, streams]) => element("p", {}, `${target} repeats every ${number(streams[content.about.stream])} ticks.`));

const memory = () => {
  const { weights, spectrogram: seen } = content;
  return section("Memory and experts", "spectrogram",
    ...repeats(),
    weights.time ? stacked("weights of the experts, first target and horizon", weights.time, weights.experts) : null,
    seen.time ? spectrogram("amplitude of each frequency over time, by period in ticks, slowest below", seen.time, seen.periods, seen.shades, seen.top)
      : element("p", {}, "No amplitudes: no expert of this run uses the cell."));
};

const streams = () => section("Streams, the least skilled first", "streams",
  table(["stream", "scored", "skill", "MAE", "coverage"],
    content.streams.map((s) => [s.name, number(s.scored), s.skill == null ? "-" : s.skill.toFixed(3), number(s.mae), percent(s.coverage)])));

const counted = { voided: "forecasts without a score", rejected: "rejected ticks", updates: "updates of the weights", decisions: "decisions" };
const faults = () => {
  const rows = Object.entries(content.counts).flatMap(([kind, reasons]) =>
    Object.entries(reasons).map(([reason, count]) => [counted[kind], reason, number(count)]));
  return section("What was left out, and what was done", "faults",
    rows.length ? table(["records", "reason", "count"], rows) : element("p", {}, "Nothing was rejected or voided."));
};

const about = () => section("About this run", "about",
  element("h3", {}, "Settings that differ from the defaults"),
  table(["key", "value"], Object.entries(content.about.settings).map(([k, v]) => [k, code(v)])),
  element("h3", {}, "Where its figures come from"),
  table(["", ""], [...Object.entries(content.about.fingerprint), ...Object.entries(content.about.source)].map(([k, v]) => [k, code(v)])),
  element("h3", {}, "Make it again"),
  element("pre", {}, content.about.again));

place.append(...head(), figures(), section("Forecasts", "curves", ...content.parts.map(one)),
  memory(), streams(), faults(), about());
