// The points of one stream as columns, ready to be drawn. A gap is a row of nulls, so
// that no line joins what lies before it with what comes after.

const MOST = 6000, SPARE = 500;
const known = (value) => (Number.isFinite(value) ? value : null);

export class Points {
  constructor(hello) {
    this.hello = hello;
    this.time = [];
    this.received = [];
    this.origin = [];
    this.value = [];
    const each = (make) => hello.horizons.map(make);
    this.mean = each(() => []);
    this.lower = each(() => []);
    this.upper = each(() => []);
    this.skill = each(() => []);
    this.weights = each(() => hello.experts.map(() => []));
    this.amplitude = [];
    this.marks = [];
    this.ahead = null;
  }

  get last() { return this.time.length - 1; }

  // Say whether a history that begins anew goes on from here: the same stream, as far
  // as we are or further; or one that ends with a point that we hold. After a restart
  // the server may know less than we saw, until its journal has said the rest again.
  goesOn(frame) {
    if (this.last < 0 || frame.count === 0) return false;
    const end = frame.count - 1, origin = frame.origin(end);
    if (origin >= this.lastOrigin()) return true;
    return this.time[this.origin.indexOf(origin)] === frame.time(end);
  }

  lastOrigin() {
    for (let i = this.last; i >= 0; i--) if (this.origin[i] != null) return this.origin[i];
    return -1;
  }

  add(frame) {
    if (frame.begins) {
      if (this.goesOn(frame)) this.cut(frame.origin(0));
      else this.clear();
    }
    for (let i = 0; i < frame.count; i++) this.push(frame, i);
    this.ahead = Number.isNaN(frame.ahead[0]) ? null : frame.ahead;
    if (this.last > MOST + SPARE) this.drop(this.last + 1 - MOST);
  }

  push(frame, i) {
    const time = frame.time(i), value = frame.value(i);
    const base = Number.isNaN(value) ? 0 : value;
    const received = time + frame.lag(i);
    this.split(time, received);
    this.time.push(time);
    this.received.push(received);
    this.origin.push(frame.origin(i));
    this.value.push(known(value));
    const experts = this.hello.experts.length;
    for (let q = 0; q < this.mean.length; q++) {
      this.mean[q].push(known(base + frame.forecast(i, 3 * q)));
      this.lower[q].push(known(base + frame.forecast(i, 3 * q + 1)));
      this.upper[q].push(known(base + frame.forecast(i, 3 * q + 2)));
      this.skill[q].push(known(frame.skill(i, q)));
      for (let e = 0; e < experts; e++) {
        this.weights[q][e].push(frame.weights(i, q * experts + e) / 255);
      }
    }
    const periods = this.hello.periods.length;
    this.amplitude.push(Uint8Array.from({ length: periods }, (_, k) => frame.amplitude(i, k)));
  }

  // Put nulls where a gap lies between the last point and the one that comes.
  split(time, received) {
    if (this.last < 0 || this.time[this.last] == null) return;
    const before = this.received[this.last];
    const isCut = this.marks.some((mark) => mark.kind === "gap" && mark.time > before && mark.time <= received);
    if (isCut && time > this.time[this.last]) this.pushNothing((this.time[this.last] + time) / 2, received);
  }

  pushNothing(time, received) {
    this.time.push(time);
    this.received.push(received);
    for (const column of this.columns().slice(2)) column.push(null);
  }

  mark(marks) {
    const seen = this.marks.length ? this.marks.at(-1).number : 0;
    const isAnew = marks.length && marks[0].number <= seen; // another process counts anew
    this.marks.push(...(isAnew ? marks.filter((m) => m.time > this.marks.at(-1).time) : marks));
  }

  // Give where a mark lies on the axis of event time: behind the last tick before it,
  // and not behind the next one, whose events may have waited for the mark's.
  placeOf(mark) {
    let low = 0, high = this.received.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.received[middle] < mark.time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return null;
    const lag = this.received[low - 1] - this.time[low - 1];
    const place = Math.max(this.time[low - 1], mark.time - lag);
    return low < this.time.length ? Math.min(place, this.time[low]) : place;
  }

  columns() {
    return [this.time, this.received, this.origin, this.value, this.amplitude,
      ...this.mean, ...this.lower, ...this.upper, ...this.skill, ...this.weights.flat()];
  }

  cut(origin) {
    let keep = this.origin.findIndex((one) => one != null && one >= origin);
    if (keep < 0) keep = this.time.length;
    this.columns().forEach((column) => column.splice(keep));
  }

  drop(count) { this.columns().forEach((column) => column.splice(0, count)); }

  clear() {
    this.columns().forEach((column) => column.splice(0));
  }

  // Give the typical time between ticks, ms.
  step() {
    const end = this.time.slice(-40).filter((_, i, all) => i === 0 || all[i] != null);
    const steps = end.slice(1).map((t, i) => t - end[i]).sort((a, b) => a - b);
    return steps.length ? steps[steps.length >> 1] || 1 : 1000;
  }

  // Give the fan: times and [mean, lower, upper] of all horizons, the nearest first.
  fan() {
    if (!this.ahead) return [];
    const [time, value] = this.ahead, step = this.step();
    const found = this.hello.horizons.map(({ ticks, ns }, q) => ({
      time: time + (ticks ? ticks * step : ns / 1e6),
      mean: known(this.ahead[2 + 3 * q]), lower: known(this.ahead[3 + 3 * q]), upper: known(this.ahead[4 + 3 * q]),
    })).filter((one) => one.mean != null).sort((a, b) => a.time - b.time);
    const base = Number.isNaN(value) ? null : value;
    return [{ time, mean: base, lower: base, upper: base }, ...found];
  }

  // Give the first and the last row at or inside two times.
  between(from, to) {
    const find = (time) => {
      let low = 0, high = this.time.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.time[middle] < time) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    return [Math.max(find(from) - 1, 0), Math.min(find(to), this.last)];
  }
}
