// The table next to the map, its search, and the field in which a cell lies: each follows what is picked in another.
"use strict";

(() => {
  const map = window.reddinoMap;
  const { data, columns, decode, valueOf } = map;
  const byId = (name) => document.getElementById(name);
  const element = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
  const drawn = (kind, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    return node;
  };
  const n = data.rows;
  const fieldOf = decode(data.field);
  const [atX, atY, radius] = data.at.map(decode);

  // ---- search ----------------------------------------------------------------------------------------------
  // Texts are compared once a name, not once a row: a hundred thousand rows take no longer to search than their names.
  function find(words) {
    const mask = new Uint8Array(n).fill(1);
    for (const word of words) {
      const hit = new Uint8Array(n);
      const [, number] = /^row:(\d+)$/.exec(word) || [];
      if (number !== undefined) {
        if (Number(number) < n) hit[Number(number)] = 1;
      } else {
        for (const column of columns.values()) {
          if (column.kind !== "category") continue;
          const named = column.names.map((name) => name.toLowerCase().includes(word));
          if (!named.includes(true)) continue;
          const codes = decode(column);
          for (let i = 0; i < n; i++) if (named[codes[i]]) hit[i] = 1;
        }
      }
      for (let i = 0; i < n; i++) mask[i] &= hit[i];
    }
    return mask;
  }

  let timer = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(timer);
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    timer = setTimeout(() => map.search(words.length ? find(words) : null), 150);
  });

  // ---- table -----------------------------------------------------------------------------------------------
  const STEP = 50;
  const shown = [...new Set([...data.shown, data.first])].filter((name) => columns.has(name));
  // What is most worth a look comes first: what is unlike all else, or has the least certain class.
  const doubtful = ["novelty", "outlier", "probability"].find((name) => columns.has(name));
  let sorting = { name: doubtful || shown[0], down: doubtful !== "probability" };
  let rows = [];
  let length = STEP;

  function sort() {
    const column = columns.get(sorting.name);
    const values = column ? decode(column) : null;
    const sign = sorting.down ? -1 : 1;
    // Half of the picture of a cell that the border cuts is a mirror image, which nothing else is like.
    const cut = decode(data.cut);
    // What is missing comes last, whichever way the column is sorted.
    rows.sort((a, b) => {
      if (cut[a] !== cut[b]) return cut[a] - cut[b];
      if (!values) return sign * (a - b);
      const [p, q] = [values[a], values[b]];
      if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q) || a - b;
      return sign * (p < q ? -1 : p > q ? 1 : 0) || a - b;
    });
  }

  function drawHead() {
    const line = document.createElement("tr");
    line.append(element("th", ""));
    for (const name of ["row", ...shown]) {
      const cell = document.createElement("th");
      const button = element("button", map.titleOf(name) + (sorting.name === name ? (sorting.down ? " ▾" : " ▴") : ""));
      button.type = "button";
      cell.setAttribute("aria-sort", sorting.name !== name ? "none" : sorting.down ? "descending" : "ascending");
      button.addEventListener("click", () => {
        sorting = { name, down: sorting.name === name ? !sorting.down : true };
        list();
      });
      cell.append(button);
      line.append(cell);
    }
    byId("cells").tHead.replaceChildren(line);
  }

  function lineOf(row) {
    const line = document.createElement("tr");
    line.dataset.row = String(row);
    line.tabIndex = 0;
    const first = document.createElement("td");
    const picture = map.thumbnail(row);
    if (picture) first.append(picture);
    line.append(first, element("td", String(row)));
    for (const name of shown) {
      const value = valueOf(columns.get(name), row);
      const cell = element("td", name === "path" ? value.split("/").pop() : short(value));
      cell.title = value;
      line.append(cell);
    }
    if (row === map.picked()) line.className = "picked";
    return line;
  }

  const short = (text) => {
    const number = Number(text);
    return text !== "" && Number.isFinite(number) && text.includes(".") ? String(Number(number.toPrecision(4))) : text;
  };

  function drawBody() {
    byId("cells").tBodies[0].replaceChildren(...rows.slice(0, length).map(lineOf));
    byId("more").hidden = rows.length <= length;
    byId("listed").textContent =
      `${rows.length} of ${n} cells` + (rows.length > length ? `, the first ${length} by ${map.titleOf(sorting.name)}` : "");
  }

  function list() {
    rows = map.rows();
    sort();
    length = STEP;
    drawHead();
    drawBody();
  }

  byId("more").addEventListener("click", () => {
    length += 4 * STEP;
    drawBody();
  });
  const body = byId("cells").tBodies[0];
  const pickLine = (event) => {
    const line = event.target.closest("tr[data-row]");
    if (line) map.pick(Number(line.dataset.row));
  };
  body.addEventListener("click", pickLine);
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pickLine(event);
  });

  // ---- the field of a cell ---------------------------------------------------------------------------------
  const svg = byId("field");
  let whole = true;

  const urlOf = (field) =>
    field.url.startsWith("#") ? document.querySelector(field.url).getAttribute("href") : field.url;

  function show(row) {
    byId("viewer").hidden = row < 0;
    body.querySelectorAll(".picked").forEach((line) => line.classList.remove("picked"));
    if (row < 0) return;
    const line = body.querySelector(`tr[data-row="${row}"]`);
    if (line) {
      line.classList.add("picked");
      line.scrollIntoView({ block: "nearest" });
    }
    byId("picked").textContent = `cell ${row}`;
    drawField(row);
    const details = byId("details");
    details.replaceChildren();
    for (const column of columns.values()) {
      const value = valueOf(column, row);
      if (value !== "") details.append(element("dt", map.titleOf(column.name)), element("dd", short(value)));
    }
  }

  function drawField(row) {
    svg.replaceChildren();
    const number = fieldOf[row];
    const field = number === data.nowhere ? null : data.fields[number];
    const note = byId("fieldnote");
    svg.toggleAttribute("hidden", !field);
    if (!field) {
      const path = columns.has("path") ? valueOf(columns.get("path"), row) : "its image";
      const where = Number.isNaN(atX[row]) ? "" : ` at ${Math.round(atX[row])}, ${Math.round(atY[row])}`;
      note.textContent = `${path}${where}: this field is not in the page, for lack of space or of the images.`;
      const picture = map.thumbnail(row);
      if (picture) note.append(picture);
      return;
    }
    note.textContent = Number.isNaN(radius[row])
      ? `${field.path}, the whole image`
      : `${field.path} at ${Math.round(atX[row])}, ${Math.round(atY[row])}; a click on another cell picks it`;
    svg.append(drawn("image", { href: urlOf(field), width: field.width, height: field.height }));
    for (let i = 0; i < n; i++) {
      if (fieldOf[i] !== number || Number.isNaN(radius[i]) || i === row) continue;
      svg.append(mark(i, 1.5));
    }
    if (!Number.isNaN(radius[row])) {
      svg.append(
        drawn("circle", ring(row, 1.25, "#fff", 6)), drawn("circle", { ...ring(row, 1.25, "#000", 3), class: "picked" }),
      );
    }
    frame(row, field);
  }

  const ring = (i, wider, colour, width) => ({
    cx: atX[i], cy: atY[i], r: wider * radius[i], fill: "none", stroke: colour, "stroke-width": width,
    "vector-effect": "non-scaling-stroke",
  });

  function mark(i, width) {
    const { colour, dash } = map.styleOf(i);
    const circle = drawn("circle", { ...ring(i, 1, `rgb(${colour.join(",")})`, width), "pointer-events": "all" });
    if (dash) circle.setAttribute("stroke-dasharray", dash);
    circle.dataset.row = String(i);
    return circle;
  }

  function frame(row, { width, height }) {
    byId("whole").setAttribute("aria-pressed", String(whole));
    const side = 12 * radius[row];
    const box = whole || !(side > 0)
      ? [0, 0, width, height]
      : [atX[row] - side / 2, atY[row] - side / 2, side, side];
    svg.setAttribute("viewBox", box.join(" "));
  }

  svg.addEventListener("click", (event) => {
    const { row } = event.target.dataset;
    if (row !== undefined) map.pick(Number(row));
  });
  document.querySelectorAll("figure.field svg").forEach((one) => {
    one.addEventListener("click", (event) => {
      const { row } = event.target.dataset;
      if (row === undefined) return;
      map.pick(Number(row));
      byId("viewer").scrollIntoView({ block: "nearest" });
    });
  });
  byId("whole").addEventListener("click", () => {
    whole = !whole;
    if (map.picked() >= 0) drawField(map.picked());
  });
  byId("close").addEventListener("click", () => map.pick(-1));

  map.onPick(show);
  map.onChange(list);
  list();
})();
