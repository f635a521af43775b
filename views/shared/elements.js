// What every component's script is given: it stands above the script's own lines.

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (parent) parent.appendChild(node);
  return node;
}

function role(node, name) {
  node.setAttribute("role", name); // a narrow screen lays tables out as cards, which would take their meaning away
  return node;
}
