// Writes the report from the data inside the page.
import { band, bars, element, lines, number, spectrogram, stacked, table } from "./draw.js";

const content = JSON.parse(document.getElementById("content").textContent);
const place = document.getElementById("report");
const percent = (v) => (v == null ? "-" : `${(100 * v).toFixed(1)} %`);
const digits = (v) => (v == null ? "-" : v.toFixed(3));
const title = (part) => `${part.target}, ${part.horizon} ahead`;
const panel = content.about.streams > 1;
// Curves are those of one stream, and their headings name it.
const shown = panel ? ` of the stream ${content.about.stream}, the longest of ${number(content.about.streams)}` : "";

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
      element("strong", {}, `${title(part)}${panel ? `, ${number(content.about.streams)} streams` : ""}: `),
      element("span", { class: part.skill && part.skill[1] > 0 ? "good" : part.skill && part.skill[2] < 0 ? "bad" : "" }, part.verdict))),
    element("p", { class: "faint" },
      `Skill is 1 - MSE / MSE of the last value${panel ? ", over the scores of all streams" : ""}; the interval comes from a block bootstrap of 50 stretches. The curves are those of ${panel ? "one stream," : "the stream"} ${about.stream}.`),
    element("nav", { "aria-label": "parts of the report" },
      ...[["figures", "Figures"], ["curves", "Forecasts"], ["spectrogram", "Memory"], ["streams", "Streams"], ["faults", "What was left out"], ["about", "About"]]
        .map(([id, name]) => element("a", { href: `#${id}` }, name))),
  ];
};

const figures = () => section("Figures", "figures", element("div", { class: "pair" },
  table(["target", "ahead", "scored", "skill", "90 % interval", ...(panel ? ["median stream", "worst stream"] : []), "MAE", "coverage"],
    content.parts.map((p) => [p.target, p.horizon, number(p.scored), p.skill ? p.skill[0].toFixed(3) : "-",
      p.skill ? `${p.skill[1].toFixed(3)} to ${p.skill[2].toFixed(3)}` : "-",
      ...(panel ? [digits(p.skill_median), digits(p.skill_worst)] : []), number(p.mae), percent(p.coverage)]), panel ? "wide" : ""),
  content.parts.length > 1
    ? bars("skill by horizon", content.parts.map(title), content.parts.map((p) => (p.skill ? p.skill[0] : null)), digits)
    : null));

const hours = [...Array(24).keys()].map((h) => `${String(h).padStart(2, "0")}:00`);
const days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const known = (values) => values.filter((v) => v != null).length > 1;
const clock = (caption, labels, values) => {
  const there = [...labels.keys()].filter((i) => values[i] != null);
  return bars(caption, there.map((i) => labels[i]), there.map((i) => values[i]));
};

const one = (part) => {
  const { whole, zooms, over_time: over, where, by_hour: hourly, by_weekday: daily } = part.curves;
  return element("section", {},
    element("h3", {}, title(part)),
    band(`${title(part)}: truth, forecast and interval of the whole run; each stretch shows its least and greatest truth`, whole),
    element("div", { class: "pair" },
      ...Object.entries(zooms).map(([name, curve]) => band(name, curve)),
      lines(`skill: over the last ${number(over.width)} scores, and since the start`,
        over.time, { "rolling skill": over["rolling skill"], "skill so far": over["skill so far"] }, 0, "last value"),
      lines("coverage over the same scores", over.time, { coverage: over.coverage }, 0.9, "90 %"),
      Object.keys(where).length
        ? bars("where the truth fell in the interval (5, 45, 45 and 5 % if its halves are right)", Object.keys(where), Object.values(where), percent) : null,
      known(hourly) ? clock("skill by hour, UTC", hours, hourly) : null,
      known(daily) ? clock("skill by weekday, UTC", days, daily) : null));
};

const repeats = () => Object.entries(content.summary.period ?? {})
  .filter(([, streams]) => content.about.stream in streams)
  .map(([target, streams]) => element("p", {}, `${target} repeats every ${number(streams[content.about.stream])} ticks.`));

const memory = () => {
  const { weights, spectrogram: seen } = content;
  return section(`Memory and experts${shown}`, "spectrogram",
    ...repeats(),
    weights.time ? stacked("weights of the experts, first target and horizon", weights.time, weights.experts) : null,
    seen.time ? spectrogram("amplitude of each frequency over time, by period in ticks, slowest below", seen.time, seen.periods, seen.shades, seen.top)
      : element("p", {}, "No amplitudes: no expert of this run uses the cell."));
};

const streams = () => section(content.streams.length < content.about.streams
  ? `Streams, the ${content.streams.length} least skilled of ${number(content.about.streams)}` : "Streams, the least skilled first", "streams",
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
  element("h3", {}, content.about.again.title),
  element("pre", {}, content.about.again.command));

place.append(...head(), figures(), section(`Forecasts${shown}`, "curves", ...content.parts.filter((part) => part.curves).map(one)),
  memory(), streams(), faults(), about());
