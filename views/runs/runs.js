// The history: a row a run, with a box to select several and a name to select one alone.
// Rows are made once and updated in place, so that a poll moves nothing and takes no focus.
// components.py declares the data that is read here and what is sent back.

const PATIENCE_MS = 3000; // how long a selection made here outlives one that the server has not heard of

function choose(state, runs) {
  state.chosen = runs;
  state.until = performance.now() + PATIENCE_MS;
  mark(state);
  state.send("pick", { runs });
}

function build(state, row) {
  const node = role(make("tr", ""), "row");
  node.dataset.run = row.id;
  const box = make("input", "", role(make("td", "pick", node), "cell"));
  box.type = "checkbox";
  const title = role(make("th", "run", node), "rowheader");
  title.scope = "row";
  const name = make("button", "", title);
  name.type = "button";
  const id = make("div", "sub", title);
  const mine = make("span", "badge", title);
  const pinned = make("span", "badge", title);
  const status = role(make("td", "state", node), "cell");
  const sign = make("span", "sign", status);
  sign.setAttribute("aria-hidden", "true");
  const word = make("span", "word", status);
  const note = make("div", "sub", status);
  const bar = make("div", "bar", status);
  const cells = state.data.heads.map((head) => {
    const cell = role(make("td", `cell${head.number ? " num" : ""}${head.wide ? " wide" : ""}`, node), "cell");
    cell.dataset.head = head.text;
    return { cell, main: make("div", "", cell), sub: make("div", "sub", cell) };
  });
  box.addEventListener("change", () =>
    choose(state, box.checked ? [...state.chosen, row.id] : state.chosen.filter((run) => run !== row.id)));
  node.addEventListener("click", (event) => {
    if (event.target !== box && !event.target.closest(".pick")) choose(state, [row.id]);
  });
  return { node, box, name, mine, pinned, id, status, sign, word, note, bar, fill: make("i", "", bar), cells };
}

function update(parts, row, texts) {
  parts.name.textContent = row.name;
  parts.box.setAttribute("aria-label", `${texts.select} ${row.name}`);
  parts.id.textContent = row.sub;
  parts.mine.textContent = texts.mine;
  parts.mine.hidden = !row.mine;
  parts.pinned.textContent = texts.pinned;
  parts.pinned.hidden = !row.pinned;
  parts.status.className = `state ${row.state}`;
  parts.sign.textContent = row.sign;
  parts.word.textContent = row.word;
  parts.note.textContent = row.note;
  parts.bar.hidden = row.fraction === null;
  parts.fill.style.width = `${100 * (row.fraction ?? 0)}%`;
  row.cells.forEach(([main, sub], i) => {
    parts.cells[i].cell.classList.toggle("none", main === "");
    parts.cells[i].main.textContent = main;
    parts.cells[i].sub.textContent = sub;
  });
}

function mark(state) {
  for (const [run, parts] of state.rows) {
    const on = state.chosen.includes(run);
    parts.box.checked = on;
    parts.node.classList.toggle("selected", on);
    parts.name.setAttribute("aria-pressed", String(on));
  }
}

function skeleton(parent, data) {
  const list = make("div", "list", parent);
  const table = role(make("table", "", list), "table");
  table.setAttribute("aria-label", data.texts.label);
  const heads = role(make("tr", "", make("thead", "", table)), "row");
  for (const text of ["", data.texts.run, data.texts.state]) role(make("th", "", heads), "columnheader").textContent = text;
  for (const head of data.heads) role(make("th", head.number ? "num" : "", heads), "columnheader").textContent = head.text;
  list.state = { rows: new Map(), body: make("tbody", "", table), chosen: data.selected, until: 0 };
  return list;
}

function isDark(node) {
  const [red, green, blue] = getComputedStyle(node).color.match(/[\d.]+/g).map(Number);
  return red + green + blue > 384;
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const [data] = component.data;  // in a list: views/shared/components.py says why
  const list = parentElement.querySelector(".list") ?? skeleton(parentElement, data);
  const state = list.state;
  state.data = data;
  state.send = setTriggerValue;
  list.classList.toggle("dark", isDark(list));
  const there = new Set(data.rows.map((row) => row.id));
  for (const [run, parts] of state.rows) {
    if (there.has(run)) continue;
    parts.node.remove();
    state.rows.delete(run);
  }
  data.rows.forEach((row, place) => {
    if (!state.rows.has(row.id)) state.rows.set(row.id, build(state, row));
    const parts = state.rows.get(row.id);
    if (state.body.children[place] !== parts.node) state.body.insertBefore(parts.node, state.body.children[place] ?? null);
    update(parts, row, data.texts);
  });
  const same = data.selected.length === state.chosen.length && data.selected.every((run) => state.chosen.includes(run));
  if (same || performance.now() > state.until) state.chosen = data.selected;
  mark(state);
}
