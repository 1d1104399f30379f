// What is looked at, and how: pickers, keys, the link; hands frames on to the pictures.
import { element } from "/page/draw.js";
import { showChecks, showErrors, showFigures, showFlows, showLatency, showPlaces, showRefused } from "/page/panels.js";
import { Plots } from "/page/plots.js";
import { Points } from "/page/points.js";
import { Streams } from "/page/streams.js";
import { Wire, pointsOf, rowsOf } from "/page/wire.js";

const $ = (id) => document.getElementById(id);
const FRAME = 42; // ms between draws, at least: the third frame of a screen at 60 Hz
const STATES = { live: "good", "catching up": "warn", recovering: "warn", compiling: "warn", starting: "warn" };
const AHEAD = 0.22; // of the width, for what is forecast, at most

const see = { stream: "", target: "", horizon: "", span: 300, range: null };
let hello = null, points = null, layout = null, figures = [], isPaused = false, isNew = false, drawn = 0, awaySince = 0;

const link = () => {
  const told = { stream: see.stream, target: see.target, horizon: see.horizon, span: Math.round(see.span) };
  if (see.range) Object.assign(told, { from: Math.round(see.range[0]), to: Math.round(see.range[1]) });
  history.replaceState(null, "", `#${new URLSearchParams(Object.entries(told).filter(([, v]) => v !== ""))}`);
};
const restore = () => {
  const told = new URLSearchParams(location.hash.slice(1));
  for (const name of ["stream", "target", "horizon"]) see[name] = told.get(name) || "";
  see.span = Number(told.get("span")) || 300;
  const [from, to] = [Number(told.get("from")), Number(told.get("to"))];
  see.range = from && to ? [from, to] : null;
};

const plots = new Plots((range) => look(range));
const streams = new Streams((name) => choose({ stream: name }));

// Give the times that are shown: the newest ticks and what is forecast, or a fixed stretch.
const range = () => {
  if (see.range) return see.range;
  const last = points.last, fan = points.fan();
  const first = Math.max(last - Math.round(see.span) + 1, 0);
  const begin = points.time[first], now = points.time[last];
  const wide = Math.max(now - begin, 1);
  const ahead = fan.length ? Math.min(fan.at(-1).time - now, (wide * AHEAD) / (1 - AHEAD)) : 0;
  return [begin, now + Math.max(ahead * 1.04, wide * 0.01)];
};

const draw = () => {
  if (points && points.last >= 0) plots.draw(range());
};

const loop = (at) => {
  requestAnimationFrame(loop);
  if (!isNew || isPaused || at - drawn < FRAME) return;
  drawn = at;
  isNew = false;
  draw();
};

const look = (wanted) => {
  see.range = wanted;
  $("live").setAttribute("aria-pressed", wanted === null);
  link();
  draw();
};

const pan = (by) => {
  const [from, to] = range(), wide = to - from;
  const first = points.time[0], end = points.time[points.last];
  const start = Math.max(from + by * wide, first - wide / 2);
  if (by > 0 && start + wide >= end) look(null);
  else look([start, start + wide]);
};

const zoom = (factor) => {
  if (see.range) {
    const [from, to] = see.range, middle = (from + to) / 2, half = ((to - from) / 2) * factor;
    look([middle - half, middle + half]);
  } else {
    see.span = Math.min(Math.max(see.span * factor, 20), Math.max(points.last + 1, 60));
    look(null);
  }
};

const pause = () => {
  isPaused = !isPaused;
  $("pause").setAttribute("aria-pressed", isPaused);
  $("pause").textContent = isPaused ? "go on" : "pause";
  isNew = true;
};

const choose = (wanted) => {
  const isOther = ("stream" in wanted && wanted.stream !== see.stream) || "target" in wanted;
  Object.assign(see, wanted);
  if (isOther) {
    see.range = null;
    points = null;
    wire.wish({ view: "stream", stream: see.stream, target: see.target, hz: 20 });
    if ("target" in wanted) wire.wish({ view: "overview", target: see.target, hz: 1 });
  } else if (hello && points) {
    plots.show(points, place());
    showAll();
    draw();
  }
  streams.show(see.stream);
  $("live").setAttribute("aria-pressed", see.range === null);
  link();
};

const place = () => Math.max(hello.horizons.findIndex((h) => h.name === see.horizon), 0);

const options = (select, names, chosen) => {
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  select.value = chosen;
};

const greet = (told) => {
  // what was chosen before may still have been on its way
  if ((see.stream && told.stream !== see.stream) || (see.target && told.target !== see.target)) return;
  const isSame = points && hello.stream === told.stream && hello.target === told.target;
  hello = told;
  see.stream = told.stream;
  see.horizon = told.horizons[place()].name;
  $("name").textContent = told.stream;
  document.title = `${told.stream} - sfm-stream`;
  $("targets").hidden = told.targets.length < 2;
  options($("target"), told.targets, told.target);
  options($("horizon"), told.horizons.map((h) => h.name), see.horizon);
  if (isSame) points.hello = told;
  else points = new Points(told);
  plots.show(points, place());
  streams.show(see.stream);
  link();
};

const showAll = () => {
  const mine = figures.find((f) => f.horizon === see.horizon) || figures[0];
  if (!mine || !points) return;
  showFigures(mine, hello, points.value[points.last]);
  showErrors(figures, hello.few);
  showPlaces(mine, hello);
  plots.describe();
};

const state = (text, kind) => {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = `pill ${kind}`;
};

const heard = {
  open: () => { awaySince = 0; },
  away: () => {
    awaySince = awaySince || Date.now();
    state(`away for ${Math.round((Date.now() - awaySince) / 1000)} s`, "bad");
  },
  process: (told) => {
    state(told.unready.length && told.state === "live" ? "live, not ready" : told.state, told.unready.length || told.alarms.length ? "warn" : STATES[told.state] || "bad");
    showChecks(told);
    showRefused(told);
    showLatency(told);
    showFlows(told);
  },
  "hello overview": (told) => { layout = told.row; streams.greet(told); },
  streams: (told) => {
    streams.name(told);
    if (!see.stream && streams.names.length) choose({ stream: streams.names[0] });
  },
  table: (frame) => { if (layout) streams.take(rowsOf(frame, layout)); },
  "hello stream": greet,
  marks: (told) => { if (points) points.mark(told); isNew = true; },
  points: (frame) => {
    if (!points) return;
    points.add(pointsOf(frame, hello));
    isNew = true;
  },
  figures: (told) => { figures = told; showAll(); },
  error: (problem) => { $("name").textContent = problem; },
};

restore();
const wire = new Wire((kind, told) => heard[kind]?.(told));
wire.wish({ view: "overview", target: see.target, hz: 1 });
if (see.stream) wire.wish({ view: "stream", stream: see.stream, target: see.target, hz: 20 });

const next = (select) => {
  select.selectedIndex = (select.selectedIndex + 1) % select.length;
  select.dispatchEvent(new Event("change"));
};
const KEYS = {
  " ": pause, ArrowLeft: () => pan(-0.3), ArrowRight: () => pan(0.3), "+": () => zoom(1 / 1.6), "=": () => zoom(1 / 1.6),
  "-": () => zoom(1.6), End: () => look(null), "/": () => $("search").focus(), h: () => next($("horizon")), t: () => next($("target")),
  ArrowUp: () => streams.step(-1), ArrowDown: () => streams.step(1), "?": () => $("keys").showModal(),
};
document.addEventListener("keydown", (event) => {
  const isTyping = /INPUT|SELECT/.test(event.target.tagName);
  const isPressed = event.target.tagName === "BUTTON" && event.key === " ";
  if (isTyping || isPressed || event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !KEYS[event.key]) return;
  event.preventDefault();
  if (points || event.key === "/" || event.key === "?") KEYS[event.key]();
});
for (const [id, act] of Object.entries({ back: () => pan(-0.3), forth: () => pan(0.3), in: () => zoom(1 / 1.6), out: () => zoom(1.6),
  live: () => look(null), pause, help: () => $("keys").showModal() })) $(id).addEventListener("click", act);
$("target").addEventListener("change", ({ target }) => choose({ target: target.value }));
$("horizon").addEventListener("change", ({ target }) => choose({ horizon: target.value }));
addEventListener("hashchange", () => { restore(); choose({ stream: see.stream, target: see.target }); });
requestAnimationFrame(loop);

// For those who measure: how long the latest draws took, ms, and what is shown.
globalThis.sfm = { took: plots.took, see, get points() { return points; }, range: () => range() };
