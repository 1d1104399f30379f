// Charts of forecasts, shared by all pages of this package. Needs uPlot; has no state.
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const PALETTE = ["#9aa4af", "#4e79a7", "#76b7b2", "#b07aa1", "#f1a24b", "#59a14f",
  "#e15759", "#edc948"];

const axis = (more) => ({
  stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 },
  ticks: { stroke: colour("line"), width: 1 }, size: 60, ...more,
});

// A number of any size as a short text.
const number = (value) => {
  const size = Math.abs(value);
  if (value == null || Number.isNaN(size)) return "-";
  if (size === 0 || (size >= 1e-6 && size < 1e12)) return Number(value).toLocaleString("en", { maximumSignificantDigits: 5 });
  return Number(Number(value).toPrecision(4)).toExponential().replace("e+", "e");
};
const fixed = (value, digits) => (Math.abs(value) < 1e4 ? value.toFixed(digits) : number(value));

// Times in UTC, 24 hours, with the date where it changes; `ms` milliseconds are one unit.
const stamps = (ms) => (u, ticks, _, __, each) => {
  const step = (each * ms) / 1000;
  const texts = ticks.map((tick) => new Date(tick * ms).toISOString());
  const days = texts.map((text) => text.slice(0, 10));
  return texts.map((text, i) => {
    if (step >= 86400) return days[i];
    const clock = step < 1 ? text.slice(11, 23) : step < 60 ? text.slice(11, 19) : text.slice(11, 16);
    // Two dates side by side would overlap: the first label gets none.
    const dated = i ? days[i] !== days[i - 1] : !(days[1] > days[0]);
    return dated ? `${clock}\n${days[i]}` : clock;
  });
};

// The least pixels between labels on an axis of seconds, by the length of the labels:
// 23:59:59.999, 23:59:59, 23:59, or a date where a step is a day or more.
const room = (u, _, low, high, pixels) => {
  const each = (high - low) / pixels;
  return each * 92 < 1 ? 92 : each * 64 < 60 ? 64 : each * 50 < 43200 ? 50 : 76;
};

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") made.style.cssText = value; // pages forbid it as an attribute
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
};

const table = (head, rows, width = "") => element("div", { class: `scroll ${width}` }, element("table", {},
  element("thead", {}, element("tr", {}, ...head.map((h) => element("th", { scope: "col" }, h)))),
  element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((c) => element("td", {}, String(c))))))));

// A figure with a summary in words, for people who cannot see it and for printing.
const figure = (caption, summary) => {
  const body = element("div", { role: "img", "aria-label": `${caption}: ${summary}` });
  const made = element("figure", {}, body, element("figcaption", {}, caption));
  return { made, body };
};

// A legend before the caption; while the cursor is on the plot, the values instead.
const legend = (place, caption, series, options) => {
  const named = series.map((one, i) => [one, i + 1]).filter(([one]) => one.label);
  const swatch = (paint) => element("span", { style: `display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:4px;background:${paint}` });
  const rest = () => place.replaceChildren(
    ...named.flatMap(([one]) => [swatch(one.stroke), element("span", { style: "margin-right:10px" }, one.label)]), caption);
  rest();
  return (u) => {
    const i = u.cursor.idx;
    if (i == null || u.cursor.left < 0) return rest();
    const at = u.data[0][i];
    const when = options.time === false ? `${number(at)}${options.unit || ""}`
      : new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ");
    const value = ([one, at]) => (one.value ? one.value(u, u.data[at][i], at, i) : number(u.data[at][i]));
    place.textContent = [when, ...named.map((pair) => `${pair[0].label} ${value(pair)}`)].join("   ");
  };
};

const plot = (caption, summary, data, series, options = {}) => {
  const { made, body } = figure(caption, summary);
  const read = legend(made.lastChild, caption, series, options);
  const height = options.height || 200;
  const build = () => {
    body.replaceChildren();
    return new uPlot({
      width: Math.max(240, body.clientWidth || 600), height,
      ms: 1e-3, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      axes: [axis({ size: 50, space: room, values: options.time === false ? null : stamps(1000) }), axis({ values: (u, ticks) => ticks.map(number) })],
      scales: { x: { time: options.time !== false }, y: options.range ? { range: options.range } : {} },
      cursor: { drag: { x: true, y: false } }, legend: { show: false },
      series: [{}, ...series], bands: options.bands || [], hooks: { ...options.hooks, setCursor: [read] },
    }, data, body);
  };
  requestAnimationFrame(build);
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (width && now !== width) build();
    width = now;
  }).observe(body);
  return made;
};

const span = (values) => {
  const known = values.filter((v) => v != null);
  return known.length
    ? `${number(Math.min(...known.slice(0, 50000)))} to ${number(Math.max(...known.slice(0, 50000)))}`
    : "no values";
};

// The truth as points, the forecast as a line, its interval as a band.
const band = (caption, curve) =>
  plot(caption, `truth from ${span(curve.truth)}`,
    [curve.time, curve.upper, curve.lower, curve.mean, curve.truth],
    [
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { label: "forecast", stroke: colour("mean"), width: 1.5, points: { show: false } },
      { label: "truth", stroke: colour("truth"), width: curve.time.length > 600 ? 0.6 : 0,
        points: { show: curve.time.length <= 600, size: 4, fill: colour("truth") } },
    ],
    { bands: [{ series: [1, 2], fill: colour("band") }], height: 200 });

const zero = (level, text) => ({
  draw: [(u) => {
    const y = u.valToPos(level, "y", true);
    if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) return;
    u.ctx.save();
    u.ctx.strokeStyle = colour("faint");
    u.ctx.setLineDash([4, 4]);
    u.ctx.beginPath();
    u.ctx.moveTo(u.bbox.left, y);
    u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
    u.ctx.stroke();
    u.ctx.fillStyle = colour("faint");
    u.ctx.textAlign = "left";
    u.ctx.textBaseline = "bottom";
    u.ctx.fillText(text, u.bbox.left + 6, y - 4);
    u.ctx.restore();
  }],
});

const lines = (caption, time, curves, level, text, options = {}) => {
  const names = Object.keys(curves);
  return plot(caption, names.map((n) => `${n} ${span(curves[n])}`).join("; "),
    [time, ...names.map((n) => curves[n])],
    names.map((label, i) => ({
      label, stroke: PALETTE[(i + 1) % PALETTE.length], width: 1.5, points: { show: false },
    })),
    level == null ? options : { ...options, hooks: zero(level, text) });
};

// Weights that sum to 1, one above the other.
const stacked = (caption, time, parts) => {
  const names = Object.keys(parts);
  const sums = [];
  names.forEach((name, i) => sums.push(parts[name].map((v, t) => (v || 0) + (i ? sums[i - 1][t] : 0))));
  const order = names.map((_, i) => names.length - 1 - i);
  return plot(caption, names.map((n) => `${n} ${number(parts[n].at(-1))} at the end`).join("; "),
    [time, ...order.map((i) => sums[i])],
    order.map((i) => ({
      label: names[i], stroke: PALETTE[i % PALETTE.length], width: 1, points: { show: false },
      fill: PALETTE[i % PALETTE.length],
      value: (u, v, s, t) => (t == null ? "-" : number(parts[names[i]][t])),
    })), { range: [0, 1] });
};

const bars = (caption, labels, values, text = number) => {
  const most = Math.max(...values.map((v) => Math.abs(v || 0)), 1e-12);
  const rows = labels.map((label, i) => {
    const value = values[i];
    const bar = element("span", { style:
      `display:inline-block;height:10px;width:${(value == null ? 0 : (Math.abs(value) / most) * 140).toFixed(0)}px;` +
      `background:var(--${value < 0 ? "bad" : "mean"})` });
    const left = element("td", {}, bar);
    left.style.textAlign = "left";
    return element("tr", {}, element("td", {}, String(label)), element("td", {}, text(value)), left);
  });
  return element("figure", {}, element("table", {}, element("tbody", {}, ...rows)),
    element("figcaption", {}, caption));
};

// From dark to bright with equal steps to the eye (five points of the inferno map).
const SHADES = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const shade = (value) => {
  const at = (value / 255) * (SHADES.length - 1);
  const i = Math.min(SHADES.length - 2, Math.floor(at));
  return SHADES[i].map((v, c) => Math.round(v + (SHADES[i + 1][c] - v) * (at - i)));
};

const spectrogram = (caption, time, periods, shades, top) => {
  const strongest = periods.map((_, k) => shades.reduce((sum, row) => sum + row[k], 0));
  const best = strongest.indexOf(Math.max(...strongest));
  const { made, body } = figure(caption, `strongest at a period of ${periods[best]} ticks`);
  const canvas = element("canvas", { class: "image" });
  canvas.width = time.length;
  canvas.height = periods.length;
  canvas.style.height = `${18 * periods.length}px`;
  canvas.style.imageRendering = "pixelated";
  const context = canvas.getContext("2d");
  const image = context.createImageData(time.length, periods.length);
  shades.forEach((row, x) => row.forEach((value, k) => {
    const at = 4 * ((periods.length - 1 - k) * time.length + x);
    image.data.set([...shade(value), 255], at);
  }));
  context.putImageData(image, 0, 0);
  const labels = element("div", { style: "text-align:right;font-size:11px" },
    ...[...periods].reverse().map((p) => element("div", { style: "height:18px" }, p)));
  labels.className = "faint";
  const shown = element("div", { style: "display:grid;grid-template-columns:56px 1fr;gap:6px" }, labels, canvas);
  body.append(shown);
  made.lastChild.append(`; brightest ${number(top)}; the strongest period is ${periods[best]} ticks`);
  return made;
};

export {
  PALETTE, axis, band, bars, colour, element, fixed, lines, number, plot, shade, spectrogram, stacked, stamps,
  table,
};
