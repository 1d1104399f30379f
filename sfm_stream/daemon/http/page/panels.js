// What is told in figures: is it all right, how good are forecasts, where truths fell.
import { element, fixed, number as exact } from "/page/draw.js";

const number = (v) => (v == null ? "-" : exact(Math.abs(v) < 1e4 ? Number(v.toPrecision(4)) : v));
const SVG = "http://www.w3.org/2000/svg";
const BLOCKED_SHARE = 0.5;
const percent = (v) => (v == null ? "-" : `${(100 * v).toFixed(1)} %`);
const seconds = (s) => (s == null ? "-" : s < 0.0095 ? `${(1e3 * s).toFixed(1)} ms` : s < 1 ? `${(1e3 * s).toFixed(0)} ms`
  : s < 120 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : s < 7200 ? `${(s / 60).toFixed(0)} min` : `${(s / 3600).toFixed(0)} h`);
const level = (value, limit) => (value > limit ? "bad" : value > BLOCKED_SHARE * limit ? "warn" : "");

const items = (place, rows) => place.replaceChildren(...rows.map(([name, value, limit, kind]) =>
  element("div", { class: kind || "" }, element("dt", {}, name), element("dd", {}, value, limit ? element("small", {}, ` ${limit}`) : null))));

// The strip at the top: each figure beside the limit beyond which it is not all right.
export const showChecks = (process) => {
  const { limits, checkpoint, latency_us: latency } = process;
  const ages = process.feeds.map((feed) => feed.age).filter((a) => a != null);
  const age = ages.length ? Math.min(...ages) : null;
  const live = process.feeds.filter((feed) => feed.state === "live").length;
  items(document.getElementById("checks"), [
    ["feeds", `${live} of ${process.feeds.length} live`, "", live === process.feeds.length ? "" : live ? "warn" : "bad"],
    ["data", age == null ? "-" : `${seconds(age)} ago`, ""],
    ["lag", seconds(process.lag_s), `of ${seconds(limits.lag_s)}`, level(process.lag_s, limits.lag_s)],
    ["p99", latency ? seconds(latency.p99 / 1e6) : "-", ""],
    ["learning", process.learning ? "yes" : "paused", "", process.learning ? "" : "warn"],
    ["checkpoint", `${seconds(checkpoint.age_s)} ago`, `of ${seconds(limits.checkpoint_s)}`, checkpoint.waited_s > limits.checkpoint_s ? "bad" : ""],
    ["waiting", number(process.waiting), ""],
    ["gaps", number(process.gaps), ""],
    ["memory", `${number(Math.round(process.memory_mib))} MiB`, ""],
  ]);
  const alarms = [...process.unready.map((text) => [text, ""]),
    ...process.alarms.filter((text) => !process.unready.includes(text)).map((text) => [text, "warn"])];
  const shown = JSON.stringify(alarms);
  const place = document.getElementById("alarms");
  if (place.dataset.shown !== shown) { // a reader of the page's words is told once
    place.dataset.shown = shown;
    place.replaceChildren(...alarms.slice(0, 8).map(([text, kind]) => element("li", { class: kind }, text)));
  }
};

// A line of what was not taken, or not as it came; none where there is nothing.
export const showRefused = ({ refused: { count, of, loud, reasons } }) => {
  const place = document.getElementById("refused");
  place.hidden = !reasons.length;
  place.className = loud ? "bad" : "faint";
  const head = count ? `${number(count)} of ${number(of)} refused since the start` : "since the start";
  const told = reasons.map(({ where, why, count: often, first }) => {
    const one = element("span", {}, `${where ? `${where}: ` : ""}${why} ${number(often)}`);
    if (first) one.title = `first: ${first}`;
    return one;
  });
  place.replaceChildren(element("b", {}, head), ...told);
};

export const showFigures = (figures, hello, value) => {
  const f = figures;
  const kind = (v) => (v == null ? "" : v > 0 ? "good" : "bad");
  const need = f.scored < hello.few ? `of ${hello.few} needed` : "";
  items(document.getElementById("figures"), [
    ["scored", number(f.scored), need],
    ["skill", f.skill == null ? "-" : fixed(f.skill, 3), "since the start", kind(f.skill)],
    ["of late", f["skill lately"] == null ? "-" : fixed(f["skill lately"], 3), "", kind(f["skill lately"])],
    ["coverage", percent(f.coverage), `of ${percent(hello.level)}`],
    ["of late", percent(f["coverage lately"]), ""],
    ["MAE", number(f.mae), f["naive mae"] == null ? "" : `last value ${number(f["naive mae"])}`],
    ["Winkler", number(f.winkler), ""],
    ...(f.absurd ? [["left out", number(f.absurd), "with absurd values", "bad"]] : []),
  ]);
  document.getElementById("now").textContent = value == null ? "" : number(value);
};

const shape = (tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, v] of Object.entries(attributes)) made.setAttribute(name, v);
  if (text != null) made.textContent = text;
  return made;
};

const H = 118, FOOT = 16;

// Bars over a line of labels; `paint(i)` gives the colour, `line` a level to compare with.
const bars = (id, values, labels, summary, caption, { paint = () => "mean", line = null, each = 1 } = {}) => {
  const place = document.getElementById(id);
  const most = Math.max(...values.map((v) => v || 0), line || 0, 1e-300);
  const W = Math.max(place.clientWidth, 200), wide = W / values.length;
  const svg = shape("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": summary });
  values.forEach((v, i) => {
    const height = ((H - FOOT - 8) * (v || 0)) / most;
    svg.append(shape("rect", { x: i * wide + wide * 0.1, y: H - FOOT - height, width: wide * 0.8, height, fill: `var(--${paint(i)})`, rx: 1 }));
    if (i % each === 0) svg.append(label(i, (i + each / 2) * wide, labels[i], values.length));
  });
  if (line) {
    const y = H - FOOT - ((H - FOOT - 8) * line) / most;
    svg.append(shape("line", { x1: 0, x2: W, y1: y, y2: y, stroke: "var(--faint)", "stroke-dasharray": "4 3" }));
  }
  put(place, svg, caption);
};

// The first and the last label stay inside the picture.
const label = (i, x, text, count) => {
  const anchor = text.length > 4 && i === 0 ? "start" : text.length > 4 && i === count - 1 ? "end" : "middle";
  const at = anchor === "start" ? 0 : anchor === "end" ? "100%" : x;
  return shape("text", { x: at, y: H - 3, "text-anchor": anchor }, text);
};

const put = (place, picture, caption) => {
  const figure = element("figure", {}, picture, element("figcaption", { class: "faint" }, caption));
  place.querySelector("figure")?.remove();
  place.append(figure);
};

const tooFew = (id, few) => put(document.getElementById(id), element("p", { class: "faint" }, "-"), `after ${few} scores`);

// Errors beside those of the last value, per horizon.
export const showErrors = (all, few) => {
  const there = all.filter((f) => f.mae != null);
  if (!there.length) return tooFew("c-errors", few);
  const values = there.flatMap((f) => [f.mae, f["naive mae"]]);
  const labels = there.flatMap((f) => [`${f.horizon}`, ""]);
  bars("c-errors", values, labels, there.map((f) => `${f.horizon} ahead: MAE ${number(f.mae)}, last value ${number(f["naive mae"])}`).join("; "),
    `mean absolute error, by how far ahead; grey: the last value's; most ${number(Math.max(...values))}`,
    { paint: (i) => (i % 2 ? "line" : "mean"), each: values.length > 16 ? 2 * Math.ceil(values.length / 16) : 2 });
};

// Shares of truths below, in ten equal parts of, and above the interval.
export const showPlaces = (f, hello) => {
  const sum = f.places.reduce((a, b) => a + b, 0);
  if (sum < hello.few) return tooFew("c-places", hello.few);
  const shares = f.places.map((n) => n / sum), outside = (1 - hello.level) / 2;
  bars("c-places", shares, ["below", "", "", "", "", "interval", "", "", "", "", "", "above"],
    `${percent(shares[0])} below the interval, ${percent(shares.at(-1))} above, ${percent(outside)} wanted of each`,
    `of its interval; ${percent(shares[0])} below and ${percent(shares.at(-1))} above, where ${percent(outside)} each is right`,
    { paint: (i) => (i === 0 || i === 11 ? "fan" : "mean"), line: outside });
};

export const showLatency = ({ latencies, latency_us: latency }) => {
  const { bounds, counts } = latencies, sum = counts.reduce((a, b) => a + b, 0);
  if (!latency || sum < 20) return tooFew("c-latency", 20);
  const names = [...bounds.map((b, i) => (i % 2 ? "" : `${Number((1e3 * b).toPrecision(1))}`)), ""];
  bars("c-latency", counts.map((n) => n / sum), names,
    `half within ${seconds(latency.p50 / 1e6)}, 99 of 100 within ${seconds(latency.p99 / 1e6)}, longest ${seconds(latency.max / 1e6)}`,
    `ms from receipt to delivered forecast, since the start; p50 ${seconds(latency.p50 / 1e6)}, p99 ${seconds(latency.p99 / 1e6)}, longest of late ${seconds(latency.max / 1e6)}`,
    {});
};

export const showFlows = (process) => {
  const rows = [
    ...[...process.feeds].sort((a, b) => (a.state === "live") - (b.state === "live")).map((f) => [f.label, f.state, f.age == null ? "-" : `${seconds(f.age)} ago`]),
    ...process.sinks.map((s) => [s.name, s.error ? "failing" : s.blocked_s > 1 ? "slow" : "ok",
      `${number(s.written)} out${s.queued + s.spilled ? `, ${number(s.queued + s.spilled)} wait` : ""}${s.dropped ? `, ${number(s.dropped)} lost` : ""}`]),
  ];
  const table = element("table", {}, element("tbody", {}, ...rows.slice(0, 10).map(([name, state, rest]) => {
    const first = element("td", {}, name);
    first.title = name;
    return element("tr", {}, first, element("td", { class: ["live", "ok"].includes(state) ? "" : "bad" }, state), element("td", { class: "faint" }, rest));
  })));
  put(document.getElementById("c-flows"), table, rows.length > 10 ? `and ${rows.length - 10} more` : "");
};
