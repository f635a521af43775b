// Importance as a matrix in cividis; pruned cells are hatched. Drag a rectangle to zoom: the server sends that part again,
// down to single weights; components.py declares the data that is read here and what is sent back. Arrow keys pan, + and - zoom, Esc is left to the page (it stops the run).

const CIVIDIS = [[0,34,78],[18,53,112],[59,73,108],[87,93,109],[112,113,115],[138,134,120],[165,156,116],[195,179,105],[225,204,85],[254,232,56]];

function colour(t) {
  const x = Math.min(Math.max(t, 0), 1) * (CIVIDIS.length - 1), i = Math.min(Math.floor(x), CIVIDIS.length - 2), f = x - i;
  return CIVIDIS[i].map((c, k) => Math.round(c + f * (CIVIDIS[i + 1][k] - c)));
}

function bytes(text) {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

function short(x) { return x === 0 ? "0" : Math.abs(x) < 0.001 ? x.toExponential(2) : x.toPrecision(3); }

function build(parentElement) {
  const root = make("div", "heat", parentElement);
  const bar = make("div", "bar", root);
  const where = make("span", "where", bar);
  const buttons = make("span", "", bar);
  const zoomIn = make("button", "", buttons), zoomOut = make("button", "", buttons), reset = make("button", "", buttons);
  zoomIn.textContent = "+";
  zoomOut.textContent = "\u2212";
  for (const button of [zoomIn, zoomOut, reset]) { button.type = "button"; button.style.marginLeft = "4px"; }
  const frame = make("div", "frame", root);
  const canvas = make("canvas", "", frame);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  const box = make("div", "box", frame);
  const tip = make("div", "tip", root);
  tip.setAttribute("aria-live", "polite");
  const legend = make("div", "legend", root);
  const low = make("span", "", legend), ramp = make("canvas", "ramp", legend), high = make("span", "", legend);
  ramp.setAttribute("aria-hidden", "true");
  ramp.style.position = "static"; ramp.style.width = "120px"; ramp.style.height = "10px";
  make("span", "hatch", legend);
  const prunedLabel = make("span", "", legend);
  const parts = { root, where, zoomIn, zoomOut, reset, frame, canvas, box, tip, low, ramp, high, prunedLabel, data: null };
  root.parts = parts;
  wire(parts);
  new ResizeObserver(() => parts.data && paint(parts)).observe(frame);
  return parts;
}

function cellAt(parts, event) {
  const area = parts.canvas.getBoundingClientRect();
  const clamp = (v, n) => Math.min(Math.max(Math.floor(v), 0), n - 1);
  return [clamp(((event.clientY - area.top) / area.height) * parts.rows, parts.rows), clamp(((event.clientX - area.left) / area.width) * parts.columns, parts.columns)];
}

function toWindow(parts, r0, c0, r1, c1) {
  const data = parts.data, down = (data.bottom - data.top) / parts.rows, across = (data.right - data.left) / parts.columns;
  return [data.top + Math.floor(r0 * down), data.top + Math.max(Math.ceil((r1 + 1) * down), Math.floor(r0 * down) + 1),
          data.left + Math.floor(c0 * across), data.left + Math.max(Math.ceil((c1 + 1) * across), Math.floor(c0 * across) + 1)];
}

function zoom(parts, factor, dr = 0, dc = 0) {
  const data = parts.data, [rows, columns] = data.shape;
  const part = (low, high, size, move) => {
    const length = Math.min(Math.max(Math.round((high - low) * factor), Math.min(4, size)), size);
    const start = Math.round((low + high) / 2 - length / 2 + move * (high - low) / 4);
    const first = Math.min(Math.max(start, 0), size - length);
    return [first, first + length];
  };
  parts.send("window", [...part(data.top, data.bottom, rows, dr), ...part(data.left, data.right, columns, dc)]);
}

function wire(parts) {
  let start = null;
  parts.canvas.addEventListener("pointerdown", (event) => { start = { x: event.offsetX, y: event.offsetY, cell: cellAt(parts, event) }; parts.canvas.setPointerCapture(event.pointerId); });
  parts.canvas.addEventListener("pointermove", (event) => {
    const [r, c] = cellAt(parts, event);
    describe(parts, r, c);
    if (!start) return;
    Object.assign(parts.box.style, { display: "block", left: Math.min(start.x, event.offsetX) + "px", top: Math.min(start.y, event.offsetY) + "px",
      width: Math.abs(event.offsetX - start.x) + "px", height: Math.abs(event.offsetY - start.y) + "px" });
  });
  parts.canvas.addEventListener("pointerup", (event) => {
    parts.box.style.display = "none";
    if (!start) return;
    const [r, c] = cellAt(parts, event), [r0, c0] = start.cell;
    const moved = Math.abs(event.offsetX - start.x) > 5 && Math.abs(event.offsetY - start.y) > 5;
    start = null;
    if (moved) parts.send("window", toWindow(parts, Math.min(r, r0), Math.min(c, c0), Math.max(r, r0), Math.max(c, c0)));
  });
  parts.zoomIn.onclick = () => zoom(parts, 0.5);
  parts.zoomOut.onclick = () => zoom(parts, 2);
  parts.reset.onclick = () => parts.send("window", null);
  parts.canvas.addEventListener("keydown", (event) => {
    const act = { "+": () => zoom(parts, 0.5), "=": () => zoom(parts, 0.5), "-": () => zoom(parts, 2), "0": () => parts.send("window", null),
      ArrowUp: () => zoom(parts, 1, -1, 0), ArrowDown: () => zoom(parts, 1, 1, 0), ArrowLeft: () => zoom(parts, 1, 0, -1), ArrowRight: () => zoom(parts, 1, 0, 1) }[event.key];
    if (act) { event.preventDefault(); parts.spoken = true; act(); }
  });
}

// the cell under the pointer, in words
function describe(parts, r, c) {
  const data = parts.data, i = r * parts.columns + c, [top, bottom, left, right] = toWindow(parts, r, c, r, c);
  const single = bottom - top === 1 && right - left === 1;
  const place = single ? `[${top}, ${left}]` : `[${top}\u2013${bottom - 1}, ${left}\u2013${right - 1}]`;
  const share = parts.pruned[i] / 255;
  parts.tip.textContent = `${place}  ${single ? "" : data.texts.max + " "}${short(parts.values[i])}  ` +
    (share === 0 ? data.texts.kept : share === 1 ? data.texts.pruned : `${Math.round(100 * share)} % ${data.texts.pruned}`);
}

// where a value lies between the layer's lowest (0 unless scores are negative) and its highest
function share(parts, value) { const data = parts.data; return (value - data.lowest) / (data.highest - data.lowest || 1); }

function paint(parts) {
  const { canvas, rows, columns, values, pruned } = parts;
  const dpr = window.devicePixelRatio || 1, w = Math.round(canvas.clientWidth * dpr), h = Math.round(canvas.clientHeight * dpr);
  if (!w || !h) return;
  canvas.width = w; canvas.height = h;
  const small = document.createElement("canvas");
  small.width = columns; small.height = rows;
  const image = small.getContext("2d").createImageData(columns, rows), pixels = image.data;
  for (let i = 0; i < values.length; i++) {
    const [r, g, b] = colour(share(parts, values[i]));
    pixels.set([r, g, b, 255], 4 * i);
  }
  small.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, w, h);
  hatch(context, w, h, rows, columns, pruned);
  if (rows * columns <= 400 && w / columns > 34 * dpr) write(context, w, h, parts, dpr);
}

// white lines on a dark veil: seen on every colour of the scale, and without colour
function hatch(context, w, h, rows, columns, pruned) {
  const cw = w / columns, ch = h / rows;
  context.save();
  context.beginPath();
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) if (pruned[r * columns + c] > 127) context.rect(c * cw, r * ch, cw, ch);
  context.clip();
  context.fillStyle = "rgba(0,0,0,.45)";
  context.fillRect(0, 0, w, h);
  context.strokeStyle = "rgba(255,255,255,.75)";
  context.lineWidth = 1;
  context.beginPath();
  for (let x = -h; x < w; x += 6) { context.moveTo(x, h); context.lineTo(x + h, 0); }
  context.stroke();
  context.restore();
}

function write(context, w, h, parts, dpr) {
  const cw = w / parts.columns, ch = h / parts.rows;
  context.font = `${11 * dpr}px sans-serif`;
  context.textAlign = "center"; context.textBaseline = "middle";
  for (let r = 0; r < parts.rows; r++) for (let c = 0; c < parts.columns; c++) {
    const i = r * parts.columns + c, light = share(parts, parts.values[i]) > 0.6 && parts.pruned[i] <= 127;
    context.fillStyle = light ? "#000" : "#fff";
    context.fillText(short(parts.values[i]), (c + 0.5) * cw, (r + 0.5) * ch);
  }
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const [data] = component.data;  // in a list: views/shared/components.py says why
  const parts = parentElement.querySelector(".heat")?.parts ?? build(parentElement);
  Object.assign(parts, { data, send: setTriggerValue, rows: data.rows, columns: data.columns });
  parts.values = new Float32Array(bytes(data.values).buffer);
  parts.pruned = bytes(data.pruned);
  const texts = data.texts;
  parts.where.textContent = data.where;
  parts.canvas.setAttribute("aria-label", data.alt);
  parts.reset.textContent = texts.all;
  parts.zoomIn.setAttribute("aria-label", texts.zoomIn); parts.zoomOut.setAttribute("aria-label", texts.zoomOut);
  const whole = data.bottom - data.top === data.shape[0] && data.right - data.left === data.shape[1];
  parts.zoomOut.disabled = parts.reset.disabled = whole;
  parts.root.style.opacity = data.stale ? "0.35" : "1";  // not of the choices on the left
  parts.low.textContent = short(data.lowest); parts.high.textContent = short(data.highest);
  parts.prunedLabel.textContent = texts.pruned;
  parts.tip.textContent = texts.hint;
  if (parts.spoken) describe(parts, parts.rows >> 1, parts.columns >> 1);  // what lies in the middle after a step by keyboard
  const ramp = parts.ramp.getContext("2d");
  parts.ramp.width = 120; parts.ramp.height = 10;
  for (let x = 0; x < 120; x++) { ramp.fillStyle = `rgb(${colour(x / 119).join()})`; ramp.fillRect(x, 0, 1, 10); }
  paint(parts);
}
