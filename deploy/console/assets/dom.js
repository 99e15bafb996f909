// Nodes are built, never parsed: whatever a customer or a log has written stays text.

const SVG = "http://www.w3.org/2000/svg";

function complete(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element of HTML. A function among the attributes is a listener. */
export function h(tag, attributes = {}, ...children) {
  return complete(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s(tag, attributes = {}, ...children) {
  return complete(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Sets the text, if it is another: what has not changed is not read aloud again, and stays selected. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows or hides. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** Sets the classes, if they are others. */
export function dress(node, classes) {
  if (node.getAttribute("class") !== classes) node.setAttribute("class", classes);
}

const rowsOf = new WeakMap();

/**
 * Makes the children of a node those of the items. Rows stay while their key does, so that focus and selection do.
 * `make(item)` gives `{ node, … }`; `update(row, item)` changes it.
 */
export function keyed(parent, items, keyOf, make, update) {
  const rows = rowsOf.get(parent) || new Map();
  rowsOf.set(parent, rows);
  const wanted = new Set(items.map(keyOf));
  for (const [key, row] of rows) {
    if (!wanted.has(key)) {
      row.node.remove();
      rows.delete(key);
    }
  }
  let at = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = rows.get(key) || make(item);
    rows.set(key, row);
    if (update) update(row, item);
    if (row.node === at) at = at.nextSibling;
    else parent.insertBefore(row.node, at);
  }
}

/** A table with these column heads; its body is given back beside it. */
export function table(caption, heads) {
  const body = h("tbody");
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const node = h("table", {}, h("caption", {}, caption), h("thead", {}, head), body);
  return { node, body };
}

/** A row whose cells say on narrow screens what they are; `cells` are given back by the order of the heads. */
export function row(heads, first = "td") {
  const cells = heads.map((text, at) => h(at === 0 ? first : "td", { "data-label": text, scope: at === 0 && first === "th" ? "row" : null }));
  return { node: h("tr", {}, cells), cells };
}

/** A labelled input or select. */
export function field(label, control) {
  return h("label", { class: "field" }, h("span", {}, label), control);
}

/** A select of [value, text] pairs. */
export function select(pairs, change) {
  return h("select", { change }, pairs.map(([value, text]) => h("option", { value }, text)));
}
