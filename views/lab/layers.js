// One row a layer: histogram with the cut, kept share, sparsity of its own, lock, whole, heatmap.
// components.py declares the data that is read here and what is sent back.
// Rows are made once and updated in place, so that nothing jumps and a slider keeps its focus.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 256, HEIGHT = 44, FOOT = 40;

function shape(tag, className, parent) {
  const node = document.createElementNS(SVG, tag);
  if (className) node.setAttribute("class", className);
  parent.appendChild(node);
  return node;
}

function histogram(parent) {
  const svg = shape("svg", "", parent);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const id = "hatch" + Math.random().toString(36).slice(2);
  const defs = shape("defs", "", svg);
  const pattern = shape("pattern", "", defs);
  for (const [key, value] of Object.entries({ id, width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }))
    pattern.setAttribute(key, value);
  const line = shape("line", "", pattern);
  for (const [key, value] of Object.entries({ x1: 0, y1: 0, x2: 0, y2: 4, "stroke-width": 2.2 })) line.setAttribute(key, value);
  line.style.stroke = "var(--cut)";
  const pruned = shape("path", "prunedbars", svg);
  pruned.setAttribute("fill", `url(#${id})`);
  const kept = shape("path", "keptbars", svg);
  const axis = shape("path", "axis", svg);
  axis.setAttribute("d", `M0 ${FOOT}H${WIDTH}`);
  const cuts = [shape("path", "cut", svg), shape("path", "cut", svg)];
  return { svg, pruned, kept, cuts };
}

function draw(view, row, logy, texts) {
  const total = row.kept.map((k, i) => k + row.pruned[i]);
  const scale = (n) => (logy ? Math.log1p(n) : n);
  const top = Math.max(1e-9, ...total.map(scale));
  const wide = WIDTH / total.length;
  let kept = "", pruned = "";
  total.forEach((all, i) => {
    if (!all) return;
    const x = i * wide, high = (scale(all) / top) * FOOT, low = high * (row.kept[i] / all);
    if (low > 0) kept += `M${x} ${FOOT}v${-low}h${wide - 0.6}v${low}z`;
    if (high - low > 0) pruned += `M${x} ${FOOT - low}v${-(high - low)}h${wide - 0.6}v${high - low}z`;
  });
  view.kept.setAttribute("d", kept);
  view.pruned.setAttribute("d", pruned);
  view.cuts.forEach((path, i) => {
    const at = row.cuts[i];
    const inside = at !== undefined && at >= row.low && at <= row.high;
    path.setAttribute("d", inside ? `M${((at - row.low) / (row.high - row.low)) * WIDTH} 0V${HEIGHT}` : "");
  });
  view.svg.setAttribute("aria-label", `${row.name}: ${texts.kept} ${row.keptText}${row.cutText ? ", " + texts.cut + " " + row.cutText : ""}`);
}

function slider(parent, commit) {
  const box = make("div", "slide", parent);
  const input = make("input", "", box);
  Object.assign(input, { type: "range", min: 0, max: 100, step: 1 });
  const value = make("span", "value", box);
  let timer = null;
  const view = { box, input, value, busy: false, show: () => { value.textContent = `${Number(input.value)} %`; } };
  input.addEventListener("input", () => { view.busy = true; view.show(); });
  // arrow keys fire `change` at every press: wait until the person pauses
  input.addEventListener("change", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { view.busy = false; commit(Number(input.value) / 100); }, 120);
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step || !event.shiftKey) return;
    event.preventDefault();
    input.value = Number(input.value) + 10 * step;
    input.dispatchEvent(new Event("input"));
    input.dispatchEvent(new Event("change"));
  });
  return view;
}

function checkbox(parent, text, commit) {
  const label = make("label", "", parent);
  const input = make("input", "", label);
  input.type = "checkbox";
  const word = make("span", "", label);
  word.textContent = text;
  input.addEventListener("change", () => commit(input.checked));
  return { label, input };
}

// the exact share, not the slider's whole percent: locking must not move a layer
function shareOf(state, name) { return state.data.rows.find((row) => row.name === name).share; }

function build(row, panel, state) {
  const node = make("div", "row", panel);
  node.dataset.layer = row.name;
  const title = make("div", "title", node);
  const name = make("div", "name", title);
  const sub = make("div", "sub", title);
  if (row.why) {
    const view = row.drawn ? histogram(make("div", "hist", node)) : null;
    const why = make("div", row.drawn ? "why beside" : "why", node);
    return { node, name, sub, view, why };
  }
  const box = make("div", "hist", node);
  const view = histogram(box);
  const kept = make("div", "num", node);
  const texts = state.data.texts;
  const edit = (share, whole) => state.send("edit", { layer: row.name, share, whole });
  const slide = slider(node, (share) => edit(share, false));
  const lock = checkbox(node, texts.lock, (on) => edit(on ? shareOf(state, row.name) : null, false));
  const whole = checkbox(node, texts.whole, (on) => edit(null, on));
  const follow = make("div", "follow", node);
  const heat = make("button", "", node);
  heat.type = "button";
  heat.textContent = texts.heatmap;
  heat.addEventListener("click", () => state.send("heatmap", row.name));
  lock.label.title = texts.lockHelp;
  whole.label.title = texts.wholeHelp;
  lock.input.setAttribute("aria-description", texts.lockHelp);
  whole.input.setAttribute("aria-description", texts.wholeHelp);
  return { node, name, sub, view, kept, slide, lock, whole, follow, heat };
}

function update(parts, row, data) {
  parts.name.textContent = row.name;
  parts.sub.textContent = row.sub;
  parts.node.classList.toggle("selected", row.name === data.selected);
  parts.node.classList.toggle("whole", row.whole);
  if (row.why) {
    parts.why.textContent = row.why;
    if (parts.view) draw(parts.view, row, data.logy, data.texts);
    return;
  }
  draw(parts.view, row, data.logy, data.texts);
  parts.kept.innerHTML = "";
  make("div", "", parts.kept).textContent = row.keptText;
  make("div", "sub", parts.kept).textContent = row.cutText ? `${data.texts.cut} ${row.cutText}` : "";
  if (!parts.slide.busy) { parts.slide.input.value = Math.round(100 * row.share); parts.slide.show(); }
  parts.slide.input.setAttribute("aria-label", `${data.texts.sparsity} ${row.name}`);
  parts.slide.input.disabled = row.whole || row.follows !== "";
  parts.lock.input.checked = row.locked;
  parts.lock.input.disabled = row.whole || row.follows !== "";
  parts.lock.input.setAttribute("aria-label", `${data.texts.lock} ${row.name}`);
  parts.whole.input.checked = row.whole;
  parts.whole.input.disabled = row.follows !== "";
  parts.whole.input.setAttribute("aria-label", `${data.texts.whole} ${row.name}`);
  parts.heat.setAttribute("aria-label", `${data.texts.heatmap} ${row.name}`);
  parts.heat.setAttribute("aria-pressed", String(row.name === data.selected));
  parts.follow.textContent = row.follows;
  for (const part of [parts.slide.box, parts.lock.label, parts.whole.label]) part.hidden = row.follows !== "";
  parts.follow.hidden = row.follows === "";
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const [data] = component.data;  // in a list: views/shared/components.py says why
  let panel = parentElement.querySelector(".panel");
  if (!panel) panel = make("div", "panel", parentElement);
  const state = (panel.state ??= { rows: new Map(), order: "" });
  panel.classList.toggle("stale", data.stale);
  state.data = data;
  state.send = setTriggerValue;
  const order = JSON.stringify([data.model, data.rows.map((row) => [row.name, row.why !== "", row.drawn]), data.texts]);
  if (state.order !== order) {
    panel.innerHTML = "";
    state.rows.clear();
    const head = make("div", "row head", panel);
    for (const text of data.heads) make("div", text === data.texts.kept ? "num" : "", head).textContent = text;
    for (const row of data.rows) state.rows.set(row.name, build(row, panel, state));
    state.order = order;
  }
  for (const row of data.rows) update(state.rows.get(row.name), row, data);
}
