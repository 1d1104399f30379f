// The pictures over time: forecast, skill, weights, memory. One axis, one cursor.
import { PALETTE, axis, colour, number, shade, stamps } from "/page/draw.js";

const HEIGHTS = { forecast: 270, skill: 96, weights: 96, spectrum: 168 };
const LEFT = 62;
const MARKS = { gap: "bad", connection: "warn", decision: "faint" };
const period = (ticks) => number(ticks < 10 ? Number(ticks.toFixed(1)) : Math.round(ticks));
const clock = (ms) => new Date(ms).toISOString().slice(11, 23);
const times = (...given) => stamps(1)(...given).map((text) => text.split("\n")[0]);
const dashed = (u, x, stroke, width = 1) => {
  const { ctx, bbox } = u;
  ctx.strokeStyle = stroke;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
};

export class Plots {
  constructor(select) {
    this.select = select; // told of the times that were dragged over; null: follow
    this.points = null;
    this.q = 0;
    this.range = [0, 1];
    this.took = [];
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(document.getElementById("plots"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
  }

  show(points, q) {
    this.points = points;
    this.q = q;
    this.build();
  }

  width() {
    const place = document.getElementById("plots");
    const style = getComputedStyle(place);
    return Math.max(place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight), 240);
  }

  resize() {
    if (!this.forecast || this.wide === this.width()) return;
    this.wide = this.width();
    for (const name of Object.keys(HEIGHTS)) this[name].setSize({ width: this.wide, height: HEIGHTS[name] });
  }

  build() {
    if (!this.points) return;
    for (const name of Object.keys(HEIGHTS)) if (this[name]) this[name].destroy();
    this.wide = this.width();
    this.colours = Object.fromEntries(
      ["ink", "faint", "line", "mean", "band", "truth", "good", "bad", "warn", "fan", "fanband"].map((n) => [n, colour(n)]));
    const { mean, truth, fan, band, fanband } = this.colours;
    const hidden = { stroke: "transparent", points: { show: false } };
    const line = (stroke, width = 1.25, more = {}) => ({ stroke, width, points: { show: false }, ...more });
    this.forecast = this.plot("forecast", [hidden, hidden, line(mean, 1), line(truth, 1.5), hidden, hidden, line(fan, 1.75)], {
      bands: [{ series: [1, 2], fill: band }, { series: [5, 6], fill: fanband }], isFirst: true,
    });
    this.skill = this.plot("skill", [line(mean, 1.5)], { level: 0, range: (u, low, high) => {
      const least = Math.min(low ?? 0, 0), most = Math.max(high ?? 0.1, 0.1);
      return [least - 0.04 * (most - least), most + 0.08 * (most - least)];
    } });
    const stack = this.points.hello.experts.map((_, e) => line(PALETTE[e % PALETTE.length], 0, { fill: `${PALETTE[e % PALETTE.length]}` })).reverse();
    this.weights = this.plot("weights", stack, { range: [0, 1] });
    this.spectrum = this.plot("spectrum", [hidden], { range: [0, this.points.hello.periods.length], isLast: true });
    this.key();
  }

  plot(name, series, { bands = [], range = null, level = null, isFirst = false, isLast = false }) {
    const place = document.getElementById(`p-${name}`);
    const timed = isFirst || isLast;
    const periods = this.points.hello.periods;
    const down = name === "spectrum"
      ? { splits: () => periods.map((_, k) => k + 0.5), values: () => periods.map((p) => (p == null ? "mean" : period(p))), grid: { show: false }, ticks: { show: false } }
      : { values: (u, ticks) => ticks.map(number) };
    return new uPlot({
      width: this.wide, height: HEIGHTS[name], ms: 1, pxAlign: 0,
      padding: [6, 8, timed ? 0 : 4, 0],
      tzDate: (ts) => uPlot.tzDate(new Date(ts), "Etc/UTC"),
      axes: [
        axis({ size: isLast ? 36 : isFirst ? 22 : 4, space: 86, grid: { show: name !== "spectrum", stroke: this.colours.line, width: 1 }, values: isLast ? stamps(1) : isFirst ? times : () => [], ticks: { show: timed, stroke: this.colours.line, width: 1, size: 4 } }),
        axis({ size: LEFT, space: 26, ...down }),
      ],
      scales: { x: { time: true, range: () => this.range }, y: range ? { range } : {} },
      cursor: { sync: { key: "time" }, drag: { x: true, y: false, setScale: false }, y: false, points: { show: false },
        bind: { dblclick: () => () => { this.select(null); } } },
      legend: { show: false },
      series: [{}, ...series], bands,
      hooks: {
        drawClear: name === "spectrum" ? [(u) => this.paint(u)] : [],
        draw: [(u) => this.overlay(u, name, level)],
        setCursor: [(u) => this.read(u, name)],
        setSelect: [(u) => {
          if (u.select.width < 5) return;
          this.select([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    }, [[0], ...series.map(() => [null])], place);
  }

  // Draw everything between two times, ms.
  draw(range) {
    if (!this.points || !this.forecast) return;
    const begun = performance.now();
    const p = this.points, q = this.q;
    this.range = range;
    const [from, to] = p.between(...range);
    const cut = (column) => column.slice(from, to + 1);
    const time = cut(p.time);
    const fan = p.fan();
    const shown = fan.length && fan.at(-1).time >= range[0] && to === p.last ? fan : [];
    const none = new Array(shown.length).fill(null), empty = new Array(time.length).fill(null);
    this.forecast.setData([
      time.concat(shown.map((one) => one.time)),
      cut(p.upper[q]).concat(none), cut(p.lower[q]).concat(none), cut(p.mean[q]).concat(none), cut(p.value).concat(none),
      empty.concat(shown.map((one) => one.upper)), empty.concat(shown.map((one) => one.lower)), empty.concat(shown.map((one) => one.mean)),
    ]);
    this.now = shown.length ? shown[0].time : null;
    this.skill.setData([time, cut(p.skill[q])]);
    const sums = [];
    p.weights[q].forEach((column, e) => {
      const before = sums[e - 1];
      sums.push(cut(column).map((w, i) => (w == null ? null : w + (before ? before[i] : 0))));
    });
    this.weights.setData([time, ...sums.reverse()]);
    this.rows = [from, to];
    this.spectrum.setData([time, time.map(() => null)]);
    queueMicrotask(() => { // behind those in which the pictures are drawn
      this.took.push(performance.now() - begun);
      if (this.took.length > 400) this.took.splice(0, 200);
    });
  }

  // Paint amplitudes under the picture, a column per pixel, relative to the loudest.
  paint(u) {
    if (!this.rows || this.rows[1] < this.rows[0]) return;
    const p = this.points, [from, to] = this.rows, height = p.hello.periods.length;
    const { left, top, width: wide } = u.bbox;
    const width = Math.max(Math.round(wide / devicePixelRatio), 1);
    let loudest = 1, quietest = 255;
    for (let i = from; i <= to; i++) {
      for (const a of p.amplitude[i] || []) if (a) { loudest = Math.max(loudest, a); quietest = Math.min(quietest, a); }
    }
    quietest = Math.max(quietest, loudest - 80); // five octaves
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.canvas = new OffscreenCanvas(width, height);
      this.image = new ImageData(width, height);
    }
    const data = new Uint32Array(this.image.data.buffer);
    data.fill(0);
    const [low, high] = this.range, step = (high - low) / width;
    const lasting = 2 * p.step();
    let i = from;
    for (let x = 0; x < width; x++) {
      const time = low + (x + 0.5) * step;
      while (i < to && p.time[i + 1] <= time) i++;
      if (time < p.time[from] || time > p.time[to] || !p.amplitude[i]) continue;
      if (p.origin[i + 1] === null && time > p.time[i] + lasting) continue; // a gap begins
      for (let k = 0; k < height; k++) {
        const loud = p.amplitude[i][k];
        if (loud) data[(height - 1 - k) * width + x] = TABLE[Math.max(0, Math.round(255 * (loud - quietest) / (loudest - quietest || 1)))];
      }
    }
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
    u.ctx.imageSmoothingEnabled = false;
    u.ctx.drawImage(this.canvas, left, top, wide, u.bbox.height);
  }

  overlay(u, name, level) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    if (level != null) {
      const y = u.valToPos(level, "y", true);
      ctx.strokeStyle = this.colours.faint;
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    this.drawMarks(u, name);
    if (name === "forecast" && this.now != null) dashed(u, u.valToPos(this.now, "x", true), this.colours.faint);
    ctx.restore();
  }

  // Shade the stretches that no tick came from.
  drawGaps(u) {
    const p = this.points, [from, to] = this.rows || [0, -1];
    u.ctx.fillStyle = `${this.colours.bad}14`;
    for (let i = Math.max(from, 1); i < to; i++) {
      if (p.origin[i] !== null) continue;
      const left = u.valToPos(p.time[i - 1], "x", true), right = u.valToPos(p.time[i + 1], "x", true);
      u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    }
  }

  drawMarks(u, name) {
    let free = -Infinity;
    this.drawGaps(u);
    for (const mark of this.points.marks) {
      const time = this.points.placeOf(mark);
      if (time == null || time < this.range[0] || time > this.range[1]) continue;
      const x = u.valToPos(time, "x", true), stroke = this.colours[MARKS[mark.kind] || "faint"];
      dashed(u, x, stroke, mark.kind === "gap" ? 1.5 : 1);
      if (name !== "forecast" || x < free || mark.kind === "connection") continue;
      u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      u.ctx.fillStyle = stroke;
      u.ctx.textBaseline = "top";
      u.ctx.textAlign = "left";
      u.ctx.fillText(mark.what, x + 4 * devicePixelRatio, u.bbox.top + 2 * devicePixelRatio);
      free = x + u.ctx.measureText(mark.what).width + 14 * devicePixelRatio;
    }
  }

  // Say in words what a picture shows, for those who cannot see it.
  describe() {
    const p = this.points, q = this.q, i = p.last;
    if (i < 0) return;
    const horizon = p.hello.horizons[q].name;
    const fan = p.fan().at(q + 1);
    const best = (row) => row.indexOf(Math.max(...row));
    const weights = p.weights[q].map((column) => column[i]);
    const strong = p.amplitude[i] ? best([...p.amplitude[i]]) : 0;
    const gaps = p.marks.filter((mark) => mark.kind === "gap").length;
    const told = {
      forecast: `value ${number(p.value[i])} at ${clock(p.time[i])} UTC; forecast ${horizon} ahead ${fan ? `${number(fan.mean)}, between ${number(fan.lower)} and ${number(fan.upper)}` : "none yet"}; ${gaps} gaps`,
      skill: `skill of late ${horizon} ahead ${number(p.skill[q][i])}; 0 is as good as the last value`,
      weights: `most weight: ${p.hello.experts[best(weights)]}, ${number(Math.max(...weights))}`,
      spectrum: `loudest period: ${p.hello.periods[strong] == null ? "the mean" : `${period(p.hello.periods[strong])} ticks`}`,
    };
    for (const [name, text] of Object.entries(told)) {
      const canvas = this[name].root.querySelector("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", text);
    }
  }

  // Write above each picture what is under the cursor, or else what its colours mean.
  read(u, name) {
    const i = u.cursor.idx, place = document.querySelector(`#p-${name} .read`);
    if (u.cursor.left < 0 || i == null || !this.rows) return this.keyOf(name);
    const p = this.points, q = this.q, at = this.rows[0] + i;
    if (at > p.last) return this.keyOf(name);
    const said = (label, value) => `${label} ${number(value)}`;
    const words = {
      forecast: () => [clock(p.time[at]), said("value", p.value[at]), said("forecast", p.mean[q][at]), `${number(p.lower[q][at])} to ${number(p.upper[q][at])}`],
      skill: () => [said("of late", p.skill[q][at])],
      weights: () => p.hello.experts.map((expert, e) => said(expert, p.weights[q][e][at])),
      spectrum: () => {
        const row = p.amplitude[at] || [];
        return p.hello.periods.map((one, k) => (row[k] ? said(one == null ? "mean" : `${period(one)}:`, 2 ** ((row[k] - 128) / 16)) : "")).filter(Boolean);
      },
    }[name]();
    place.textContent = words.join("   ");
  }

  key() { Object.keys(HEIGHTS).forEach((name) => this.keyOf(name)); }

  keyOf(name) {
    const place = document.querySelector(`#p-${name} .read`);
    const { truth, mean, fan } = this.colours, { experts, horizons } = this.points.hello;
    const keys = {
      forecast: [[truth, "value"], [mean, `forecast ${horizons[this.q].name} ahead, with its interval`], [fan, "what is forecast now, all horizons"]],
      skill: [[null, "over about the last 1,000 scores; 0 is as good as the last value"]],
      weights: experts.map((expert, e) => [PALETTE[e % PALETTE.length], expert]),
      spectrum: [[null, "amplitude of each frequency, by its period in ticks; bright is loud"]],
    }[name];
    place.replaceChildren(...keys.flatMap(([paint, text]) => {
      const swatch = document.createElement("span");
      swatch.className = "key";
      swatch.style.background = paint;
      return paint ? [swatch, text] : [text];
    }));
  }
}

// Shades as the numbers that a canvas holds.
const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  const [r, g, b] = shade(i);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
});
