// The interactive map of a report: points on a canvas, zoom and pan, colours by column, pictures on hover,
// and a lasso whose rows go to a CSV file. Everything it needs stands in the page.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const canvas = document.getElementById("map");
  const pen = canvas.getContext("2d");
  const byId = (name) => document.getElementById(name);

  const bytes = (text) => {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  };
  const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
  const decode = (column) => {
    column.decoded ??= new ARRAYS[column.type](bytes(column.values));
    return column.decoded;
  };

  const n = data.rows;
  const x = decode(data.x);
  const y = decode(data.y);
  const columns = new Map(data.columns.map((column) => [column.name, column]));
  // What readers call a column; files keep its name.
  const titleOf = (name) => columns.get(name)?.title ?? name;

  // ---- colours -------------------------------------------------------------------------------------------
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const PALETTE = data.palette.map(rgb);
  const GREY = rgb(data.grey);
  const FADED = [228, 228, 228];
  const RAMP = new Uint8Array(bytes(data.ramp));
  // A category has a colour and, beyond the first eight, another marker: fourteen classes stay apart.
  const SHAPES = ["circle", "triangle", "square", "diamond", "down", "plus", "cross", "star"];
  const styleOf = (place) => ({
    colour: PALETTE[place % PALETTE.length],
    shape: Math.floor(place / PALETTE.length) % SHAPES.length,
    dash: data.dashes[Math.floor(place / PALETTE.length) % data.dashes.length],
  });
  const NONE = { colour: GREY, shape: 0, dash: "" };
  // Whether a marker of radius 1 holds a point of the plane, y downwards.
  const HOLDS = [
    (u, v) => u * u + v * v <= 1,
    (u, v) => v <= 0.8 && v >= 2 * Math.abs(u) - 1.1,
    (u, v) => Math.max(Math.abs(u), Math.abs(v)) <= 0.88,
    (u, v) => Math.abs(u) + Math.abs(v) <= 1.2,
    (u, v) => v >= -0.8 && -v >= 2 * Math.abs(u) - 1.1,
    (u, v) => Math.min(Math.abs(u), Math.abs(v)) <= 0.32 && Math.max(Math.abs(u), Math.abs(v)) <= 1.1,
    (u, v) => Math.abs(Math.abs(u) - Math.abs(v)) <= 0.42 && Math.max(Math.abs(u), Math.abs(v)) <= 0.95,
    (u, v) => Math.hypot(u, v) <= 0.55 + 0.6 * Math.max(0, Math.cos(2.5 * (Math.atan2(u, -v)))) ** 2,
  ];

  const pointColour = new Uint8Array(3 * n);
  const bright = new Uint8Array(n);
  let chosen = null; // names of the legend that stand out, as numbers of the category; null = all
  let selected = null; // rows in the lasso, as a mask; null = no lasso
  let current = null;
  let emphasis = null; // a name of the legend that the cursor is on, as its number; null = none
  let searched = null; // rows that a search found, as a mask; null = no search
  let pickedRow = -1;
  const pointShape = new Uint8Array(n);
  const listeners = [];
  const changed = () => listeners.forEach((listener) => listener());

  function colourBy(name) {
    current = columns.get(name);
    chosen = emphasis = null;
    byId("colour").value = name;
    paint();
    drawLegend();
    schedule();
    changed();
  }

  function numberRange(values) {
    const finite = Array.from(values.filter(Number.isFinite)).sort((a, b) => a - b);
    if (!finite.length) return [0, 1];
    const low = finite[Math.floor(0.01 * (finite.length - 1))];
    const high = finite[Math.ceil(0.99 * (finite.length - 1))];
    return high > low ? [low, high] : [low, low + 1];
  }

  function paint() {
    const values = decode(current);
    const isNumber = current.kind === "number";
    if (isNumber) current.range ??= numberRange(values);
    const styles = isNumber ? null : legendOrder().styles;
    for (let i = 0; i < n; i++) {
      let colour = GREY;
      if (isNumber) {
        // What is infinite stands at the end of the scale; only what is no number is grey.
        if (!Number.isNaN(values[i])) {
          const share = (values[i] - current.range[0]) / (current.range[1] - current.range[0]);
          const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
          colour = [RAMP[at], RAMP[at + 1], RAMP[at + 2]];
        }
      } else {
        colour = styles[values[i]].colour;
      }
      pointShape[i] = isNumber ? 0 : styles[values[i]].shape;
      bright[i] = shows(i, values) && (emphasis === null || values[i] === emphasis) ? 1 : 0;
      pointColour.set(bright[i] ? colour : FADED, 3 * i);
    }
  }

  // Whether a row is among those chosen in the legend, in the lasso and found by the search.
  const shows = (i, values) =>
    (!chosen || chosen.has(values[i])) && (!selected || selected[i]) && (!searched || searched[i]);

  function legendOrder() {
    if (!current.order) {
      const counts = new Array(current.names.length).fill(0);
      for (const code of decode(current)) counts[code]++;
      let place = 0;
      const styles = current.names.map((name) => (name === "" ? NONE : styleOf(place++)));
      current.order = { counts, styles };
    }
    return current.order;
  }

  function drawLegend() {
    const legend = byId("legend");
    legend.replaceChildren();
    if (current.kind === "number") {
      const bar = document.createElement("div");
      const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${RAMP.slice(3 * i, 3 * i + 3).join(",")})`);
      bar.className = "ramp";
      bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
      const ends = document.createElement("div");
      ends.className = "ends";
      current.range.forEach((value) => ends.append(element("span", tidy(value))));
      legend.append(bar, ends);
      return;
    }
    const { counts, styles } = legendOrder();
    current.names.forEach((name, code) => {
      const item = document.createElement("button");
      item.type = "button";
      item.setAttribute("aria-pressed", String(Boolean(chosen && chosen.has(code))));
      item.append(swatch(styles[code]), element("span", name || "none given"), element("small", String(counts[code])));
      item.addEventListener("click", () => {
        chosen = new Set(chosen);
        if (!chosen.delete(code)) chosen.add(code);
        if (!chosen.size) chosen = null;
        paint();
        item.setAttribute("aria-pressed", String(Boolean(chosen && chosen.has(code))));
        legend.querySelectorAll("button").forEach((other) => {
          if (!chosen) other.setAttribute("aria-pressed", "false");
        });
        schedule();
        changed();
      });
      // Pointing at a name, or reaching it by the keyboard, fades all others.
      for (const [on, value] of [["mouseenter", code], ["focus", code], ["mouseleave", null], ["blur", null]]) {
        item.addEventListener(on, () => {
          emphasis = value;
          paint();
          schedule();
        });
      }
      legend.append(item);
    });
  }

  // A marker of the legend, drawn as the map draws it.
  function swatch({ colour, shape }) {
    const side = 14 * 2;
    const small = Object.assign(document.createElement("canvas"), { width: side, height: side, className: "swatch" });
    const ink = small.getContext("2d");
    const picture = ink.createImageData(side, side);
    for (let at = 0; at < side * side; at++) {
      const u = ((at % side) + 0.5 - side / 2) / (0.42 * side);
      const v = (Math.floor(at / side) + 0.5 - side / 2) / (0.42 * side);
      if (HOLDS[shape](u, v)) picture.data.set([...colour, 255], 4 * at);
    }
    ink.putImageData(picture, 0, 0);
    return small;
  }

  const element = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
  const tidy = (value) => String(Number(value.toPrecision(4)));

  // ---- view ----------------------------------------------------------------------------------------------
  const extent = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
  for (let i = 0; i < n; i++) {
    if (x[i] < extent.x0) extent.x0 = x[i];
    if (x[i] > extent.x1) extent.x1 = x[i];
    if (y[i] < extent.y0) extent.y0 = y[i];
    if (y[i] > extent.y1) extent.y1 = y[i];
  }
  const view = { scale: 1, zoom: 1, left: 0, top: 0 };
  let density = 1;

  function resize() {
    density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * density));
    const height = Math.max(1, Math.round(canvas.clientHeight * density));
    if (canvas.width === width && canvas.height === height) return;
    canvas.width = width;
    canvas.height = height;
    reset();
  }

  function reset() {
    const width = Math.max(extent.x1 - extent.x0, 1e-9);
    const height = Math.max(extent.y1 - extent.y0, 1e-9);
    view.zoom = 1;
    view.scale = 0.94 * Math.min(canvas.width / width, canvas.height / height);
    view.left = canvas.width / 2 - (view.scale * (extent.x0 + extent.x1)) / 2;
    view.top = canvas.height / 2 + (view.scale * (extent.y0 + extent.y1)) / 2;
    schedule();
  }

  const toX = (value) => view.left + view.scale * value;
  const toY = (value) => view.top - view.scale * value;

  function zoomAt(px, py, factor) {
    const allowed = Math.min(Math.max(view.zoom * factor, 0.5), 400) / view.zoom;
    view.zoom *= allowed;
    view.scale *= allowed;
    view.left = px + (view.left - px) * allowed;
    view.top = py + (view.top - py) * allowed;
    schedule();
  }

  // ---- drawing -------------------------------------------------------------------------------------------
  // Points are drawn in a fixed random order, so that the last source of a table does not lie on top.
  const order = new Uint32Array(n).map((_, i) => i);
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }

  function stamp(shape) {
    const base = n > 50000 ? 0.9 : n > 10000 ? 1.4 : n > 2000 ? 2.2 : 3.2;
    // Markers other than discs need some pixels to be distinct.
    const radius = Math.min(base * Math.pow(view.zoom, 0.4), 7) * density * (shape ? 1.25 : 1);
    const reach = Math.ceil(radius * 1.2 + 0.5);
    const alpha = n > 20000 && view.zoom < 4 ? 0.5 : 0.85;
    const offsets = [];
    const shares = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        let cover = 0;
        if (shape === 0) {
          cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
        } else {
          for (const sx of [-0.25, 0.25]) {
            for (const sy of [-0.25, 0.25]) {
              cover += HOLDS[shape]((dx + sx) / (radius + 0.3), (dy + sy) / (radius + 0.3)) ? 0.25 : 0;
            }
          }
        }
        if (cover <= 0) continue;
        offsets.push(4 * (dy * canvas.width + dx));
        shares.push(cover * alpha);
      }
    }
    return { offsets: Int32Array.from(offsets), shares: Float64Array.from(shares), reach };
  }

  function draw() {
    const { width, height } = canvas;
    const picture = pen.createImageData(width, height);
    const pixels = picture.data.fill(255);
    const stamps = SHAPES.map((_, shape) => stamp(shape));
    const plot = (i) => {
      const { offsets, shares, reach } = stamps[pointShape[i]];
      const px = Math.round(toX(x[i]));
      const py = Math.round(toY(y[i]));
      if (px < reach || py < reach || px >= width - reach || py >= height - reach) return;
      const r = pointColour[3 * i], g = pointColour[3 * i + 1], b = pointColour[3 * i + 2];
      const middle = 4 * (py * width + px);
      for (let k = 0; k < offsets.length; k++) {
        const at = middle + offsets[k];
        const share = shares[k];
        pixels[at] += (r - pixels[at]) * share;
        pixels[at + 1] += (g - pixels[at + 1]) * share;
        pixels[at + 2] += (b - pixels[at + 2]) * share;
      }
    };
    if (chosen || selected || searched || emphasis !== null) for (let k = 0; k < n; k++) if (!bright[order[k]]) plot(order[k]);
    for (let k = 0; k < n; k++) if (bright[order[k]]) plot(order[k]);
    pen.putImageData(picture, 0, 0);
    drawLasso();
    drawPicked();
    canvas.dataset.zoom = view.zoom.toFixed(3);
    canvas.dataset.frames = String(1 + Number(canvas.dataset.frames || 0));
  }

  function drawPicked() {
    if (pickedRow < 0) return;
    const [px, py] = [toX(x[pickedRow]), toY(y[pickedRow])];
    for (const [width, colour] of [[5, "#fff"], [2.5, "#000"]]) {
      pen.beginPath();
      pen.arc(px, py, 9 * density, 0, 2 * Math.PI);
      pen.lineWidth = width * density;
      pen.strokeStyle = colour;
      pen.stroke();
    }
  }

  let waiting = false;
  function schedule() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
      if (!canvas.dataset.drawn) canvas.dataset.drawn = performance.now().toFixed(0);
    });
  }

  // ---- the point under the cursor ------------------------------------------------------------------------
  const CELLS = 160;
  let starts = null;
  let inCell = null;
  const cellOf = (value, low, high) =>
    Math.min(CELLS - 1, Math.max(0, Math.floor(((value - low) / (high - low || 1)) * CELLS)));

  function buildIndex() {
    starts = new Uint32Array(CELLS * CELLS + 1);
    const cell = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      cell[i] = cellOf(y[i], extent.y0, extent.y1) * CELLS + cellOf(x[i], extent.x0, extent.x1);
      starts[cell[i] + 1]++;
    }
    for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
    const next = starts.slice();
    inCell = new Uint32Array(n);
    for (let i = 0; i < n; i++) inCell[next[cell[i]]++] = i;
  }

  function pointAt(px, py) {
    if (!starts) buildIndex();
    const reach = 10 * density;
    const column = (at) => cellOf((at - view.left) / view.scale, extent.x0, extent.x1);
    const line = (at) => cellOf((view.top - at) / view.scale, extent.y0, extent.y1);
    let best = -1;
    let nearest = reach * reach;
    for (let cy = line(py + reach); cy <= line(py - reach); cy++) {
      for (let cx = column(px - reach); cx <= column(px + reach); cx++) {
        for (let k = starts[cy * CELLS + cx]; k < starts[cy * CELLS + cx + 1]; k++) {
          const i = inCell[k];
          const distance = (toX(x[i]) - px) ** 2 + (toY(y[i]) - py) ** 2;
          if (bright[i] && distance < nearest) [nearest, best] = [distance, i];
        }
      }
    }
    return best;
  }

  const pictures = new Map();
  if (data.pictures) new Uint32Array(bytes(data.pictures.rows)).forEach((row, place) => pictures.set(row, place));

  function valueOf(column, row) {
    const value = decode(column)[row];
    if (column.kind === "category") return column.names[value];
    if (Number.isNaN(value)) return "";
    return Number.isFinite(value) ? String(Number(value.toPrecision(7))) : value > 0 ? "inf" : "-inf";
  }

  function thumbnail(row) {
    if (!pictures.has(row)) return null;
    const { side, across, sheets } = data.pictures;
    const place = pictures.get(row);
    const within = place % (across * across);
    const picture = element("div", "");
    picture.className = "picture";
    picture.style.width = picture.style.height = `${side}px`;
    picture.style.backgroundImage = `url(${sheets[Math.floor(place / (across * across))]})`;
    picture.style.backgroundPosition = `-${(within % across) * side}px -${Math.floor(within / across) * side}px`;
    return picture;
  }

  function pick(row) {
    pickedRow = row;
    showTip(-1);
    schedule();
    pickers.forEach((picker) => picker(row));
  }
  const pickers = [];

  function showTip(row, clientX, clientY) {
    const tip = byId("tip");
    tip.hidden = row < 0;
    if (row < 0) return;
    tip.replaceChildren();
    tip.dataset.row = String(row);
    const picture = thumbnail(row);
    if (picture) tip.append(picture);
    const list = document.createElement("dl");
    list.append(element("dt", "row"), element("dd", String(row)));
    for (const name of new Set([...data.shown, current.name])) {
      const value = valueOf(columns.get(name), row);
      if (value) list.append(element("dt", titleOf(name)), element("dd", value));
    }
    if (data.pictures && !pictures.has(row)) list.append(element("dt", ""), element("dd", "(picture not in this page)"));
    tip.append(list);
    const box = byId("stage").getBoundingClientRect();
    const right = clientX - box.left + 16;
    tip.style.left = `${Math.max(0, right + tip.offsetWidth > box.width ? right - tip.offsetWidth - 32 : right)}px`;
    tip.style.top = `${Math.min(clientY - box.top + 12, Math.max(0, box.height - tip.offsetHeight))}px`;
  }

  // ---- lasso ---------------------------------------------------------------------------------------------
  let polygon = [];
  let lassoing = false;

  function drawLasso() {
    if (polygon.length < 2) return;
    pen.beginPath();
    polygon.forEach(([px, py], i) => (i ? pen.lineTo(toX(px), toY(py)) : pen.moveTo(toX(px), toY(py))));
    pen.closePath();
    pen.lineWidth = 1.5 * density;
    pen.strokeStyle = "#000";
    pen.setLineDash([5 * density, 4 * density]);
    pen.stroke();
    pen.setLineDash([]);
  }

  function inside(px, py) {
    let odd = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [ax, ay] = polygon[i];
      const [bx, by] = polygon[j];
      if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  }

  function select() {
    selected = new Uint8Array(n);
    const xs = polygon.map((corner) => corner[0]);
    const ys = polygon.map((corner) => corner[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const codes = chosen ? decode(current) : null;
    let count = 0;
    for (let i = 0; i < n; i++) {
      if (x[i] < x0 || x[i] > x1 || y[i] < y0 || y[i] > y1 || (chosen && !chosen.has(codes[i]))) continue;
      if (inside(x[i], y[i])) count += selected[i] = 1;
    }
    if (!count) return clearLasso();
    byId("count").textContent = `${count} of ${n} rows in the lasso`;
    byId("download").disabled = byId("clear").disabled = false;
    paint();
    schedule();
    changed();
  }

  function clearLasso() {
    polygon = [];
    selected = null;
    byId("count").textContent = "";
    byId("download").disabled = byId("clear").disabled = true;
    paint();
    schedule();
    changed();
  }

  // An apostrophe before what a spreadsheet would compute, as reddino.exports does.
  const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/;
  const VALUE = /^[+-]((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)?$/;
  const harmless = (text) => (FORMULA.test(text) && !VALUE.test(text) ? `'${text}` : text);
  const quoted = (raw) => {
    const text = harmless(raw);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  function csv() {
    const lines = [["row", "map_x", "map_y", ...columns.keys()].map(quoted).join(",")];
    for (let i = 0; i < n; i++) {
      if (!selected[i]) continue;
      const cells = [String(i), tidy(x[i]), tidy(y[i])];
      for (const column of columns.values()) cells.push(valueOf(column, i));
      lines.push(cells.map(quoted).join(","));
    }
    return lines.join("\n") + "\n";
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "lasso.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- the hand ------------------------------------------------------------------------------------------
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * density, (event.clientY - box.top) * density];
  };
  let held = null;
  let pressed = null; // where the pointer went down: a click picks, a drag moves
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = at(event);
    pressed = held;
    lassoing = event.shiftKey || byId("lasso").getAttribute("aria-pressed") === "true";
    if (lassoing) polygon = [];
    showTip(-1);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (!held) return showTip(pointAt(px, py), event.clientX, event.clientY);
    if (lassoing) {
      polygon.push([(px - view.left) / view.scale, (view.top - py) / view.scale]);
    } else {
      view.left += px - held[0];
      view.top += py - held[1];
      held = [px, py];
    }
    schedule();
  });
  const release = (event) => {
    if (held && lassoing && polygon.length > 2) select();
    else if (held && !lassoing && event.type === "pointerup" && pressed) {
      const [px, py] = at(event);
      const row = Math.hypot(px - pressed[0], py - pressed[1]) < 5 * density ? pointAt(px, py) : -1;
      if (row >= 0) pick(row);
    }
    held = null;
    lassoing = false;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => showTip(-1));
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...at(event), Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  const middle = (factor) => zoomAt(canvas.width / 2, canvas.height / 2, factor);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "=") middle(1.5);
    else if (event.key === "-") middle(1 / 1.5);
    else if (event.key === "0") reset();
    else if (event.key === "Escape") {
      if (pickedRow >= 0) pick(-1);
      else clearLasso();
    }
  });
  byId("closer").addEventListener("click", () => middle(1.5));
  byId("farther").addEventListener("click", () => middle(1 / 1.5));
  byId("reset").addEventListener("click", reset);
  byId("clear").addEventListener("click", clearLasso);
  byId("download").addEventListener("click", download);
  byId("lasso").addEventListener("click", (event) => {
    const pressed = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(pressed));
    canvas.classList.toggle("lassoing", pressed);
  });

  const choice = byId("colour");
  for (const name of columns.keys()) choice.append(new Option(titleOf(name), name));
  choice.value = data.first;
  choice.addEventListener("change", () => colourBy(choice.value));
  new ResizeObserver(() => { resize(); schedule(); }).observe(canvas);
  resize();
  colourBy(data.first);

  // For the table and the fields of the page.
  window.reddinoMap = {
    data, columns, decode, valueOf, titleOf, thumbnail, pick,
    picked: () => pickedRow,
    onPick: (picker) => pickers.push(picker),
    onChange: (listener) => listeners.push(listener),
    // Numbers of the rows that are chosen, in the lasso and found.
    rows() {
      const values = decode(current);
      const found = [];
      for (let i = 0; i < n; i++) if (shows(i, values)) found.push(i);
      return found;
    },
    search(mask) {
      searched = mask;
      paint();
      schedule();
      changed();
    },
    // Colour and dash of a row by the column that the map is coloured by.
    styleOf(row) {
      if (current.kind === "number") return { colour: [...pointColour.slice(3 * row, 3 * row + 3)], dash: "" };
      return legendOrder().styles[decode(current)[row]];
    },
    // Where a row is drawn, in pixels of the window.
    place(row) {
      const box = canvas.getBoundingClientRect();
      return [box.left + toX(x[row]) / density, box.top + toY(y[row]) / density];
    },
  };
})();
