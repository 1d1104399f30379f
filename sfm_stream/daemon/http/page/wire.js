// The daemon's websocket: asks for views, reads their frames, comes back after a loss.

const TABLE = 1;
const FIRST_WAIT = 500, LONGEST_WAIT = 5000; // ms until the next try

const READ = {
  f8: (view, at) => view.getFloat64(at, true), f4: (view, at) => view.getFloat32(at, true),
  u4: (view, at) => view.getUint32(at, true), u1: (view, at) => view.getUint8(at),
};
const SIZE = { f8: 8, f4: 4, u4: 4, u1: 1 };

// Give a function that reads a field of row i, or one number of a field that is a table.
const reader = (view, start, layout, name) => {
  const [kind, offset] = layout.fields[name];
  const read = READ[kind], size = SIZE[kind], stride = layout.size;
  return (i, part = 0) => read(view, start + i * stride + offset + part * size);
};

export const rowsOf = (buffer, layout) => {
  const view = new DataView(buffer);
  const count = view.getUint32(4, true);
  const columns = { count };
  for (const name of Object.keys(layout.fields)) columns[name] = reader(view, 16, layout, name);
  return columns;
};

export const pointsOf = (buffer, hello) => {
  const view = new DataView(buffer);
  const wide = 2 + 3 * hello.horizons.length;
  const start = 16 + 8 * wide;
  const ahead = Array.from({ length: wide }, (_, i) => view.getFloat64(16 + 8 * i, true));
  const columns = {
    count: view.getUint32(4, true), missed: view.getUint32(8, true),
    begins: view.getUint32(12, true) === 1, ahead,
  };
  for (const name of Object.keys(hello.point.fields)) {
    columns[name] = reader(view, start, hello.point, name);
  }
  return columns;
};

export class Wire {
  // `hear` is told of each frame by its kind: table, points, or a key of a JSON frame.
  constructor(hear) {
    this.hear = hear;
    this.wishes = {};
    this.wait = FIRST_WAIT;
    this.connect();
  }

  wish(wish) {
    this.wishes[wish.view] = wish;
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(wish));
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = this.socket = new WebSocket(`${scheme}://${location.host}/records`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.wait = FIRST_WAIT;
      this.hear("open");
      Object.values(this.wishes).forEach((wish) => socket.send(JSON.stringify(wish)));
    };
    socket.onmessage = ({ data }) => this.take(data);
    socket.onclose = () => {
      this.hear("away");
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    };
  }

  take(data) {
    if (typeof data !== "string") {
      const kind = new DataView(data).getUint32(0, true);
      this.hear(kind === TABLE ? "table" : "points", data);
      return;
    }
    const told = JSON.parse(data);
    if (told.view) this.hear(`hello ${told.view}`, told);
    if (told.streams) this.hear("streams", told);
    for (const kind of ["process", "marks", "figures", "error"]) {
      if (kind in told) this.hear(kind, told[kind]);
    }
  }
}
