// A table whose rows have buttons. Rows are made once and updated in place, so that an update moves nothing and takes
// no focus. components.py declares the data that is read here and what is sent back.

function skeleton(parent, data) {
  const board = make("div", "board", parent);
  const table = role(make("table", "", board), "table");
  table.setAttribute("aria-label", data.label);
  const columns = make("colgroup", "", table);
  const heads = role(make("tr", "", make("thead", "", table)), "row");
  for (const head of data.heads) {
    make("col", "", columns).style.width = `${head.width}%`;
    role(make("th", head.number ? "num" : "", heads), "columnheader").textContent = head.text;
  }
  make("col", "", columns);
  role(make("th", "", heads), "columnheader");
  board.state = { rows: new Map(), body: make("tbody", "", table), table, none: make("div", "empty", board) };
  return board;
}

function build(state, row) {
  const node = role(make("tr", ""), "row");
  node.dataset.id = row.id;
  const cells = state.data.heads.map((head, place) => {
    const cell = role(make("td", `${head.number ? "num" : ""}${place ? "" : " first"}`, node), "cell");
    cell.dataset.head = head.text;
    return { cell, main: make("div", "", cell), sub: make("div", "sub", cell) };
  });
  return { node, cells, does: make("div", "does", role(make("td", "last", node), "cell")), buttons: new Map() };
}

function press(state, parts, button, id) {
  const node = make("button", "", parts.does);
  node.type = "button";
  const { action } = button;
  node.addEventListener("click", () => state.send("press", { action, id }));
  return node;
}

function update(state, parts, row) {
  row.cells.forEach(([main, sub], place) => {
    parts.cells[place].cell.classList.toggle("none", main === "");
    parts.cells[place].main.textContent = main;
    parts.cells[place].sub.textContent = sub;
  });
  for (const button of row.buttons) {
    if (!parts.buttons.has(button.action)) parts.buttons.set(button.action, press(state, parts, button, row.id));
    const node = parts.buttons.get(button.action);
    node.textContent = button.text;
    node.title = button.off || button.help;
    node.disabled = button.off !== "";
    node.setAttribute("aria-label", button.label);
  }
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const [data] = component.data; // in a list: views/shared/components.py says why
  const board = parentElement.querySelector(".board") ?? skeleton(parentElement, data);
  const state = board.state;
  state.data = data;
  state.send = setTriggerValue;
  state.none.textContent = data.empty;
  state.none.hidden = data.rows.length > 0;
  state.table.hidden = data.rows.length === 0;
  const there = new Set(data.rows.map((row) => row.id));
  for (const [id, parts] of state.rows) {
    if (there.has(id)) continue;
    parts.node.remove();
    state.rows.delete(id);
  }
  data.rows.forEach((row, place) => {
    if (!state.rows.has(row.id)) state.rows.set(row.id, build(state, row));
    const parts = state.rows.get(row.id);
    if (state.body.children[place] !== parts.node) state.body.insertBefore(parts.node, state.body.children[place] ?? null);
    update(state, parts, row);
  });
}
