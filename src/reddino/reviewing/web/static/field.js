// The field that a cell lies in: zoom, pan, and the cell ringed.
import {$, complain, current, page, scaleBar} from './page.js';
import {fieldPicture, get} from './server.js';

const image = new Image();
let field = null;
let view = {scale: 1, x: 0, y: 0};
let marks = true;
let drag = null;

export async function open() {
  const cell = current();
  if (!cell) return;
  try {
    field = await get(`/api/field/${cell.row}`, {reader: page.reader});
    image.src = fieldPicture(cell.row);
    await image.decode();
  } catch (error) {
    complain(error);
    return;
  }
  $('field-title').textContent = field.path;
  if (!$('field-dialog').open) $('field-dialog').showModal();
  $('field-stage').focus();
  const own = field.cells.find((one) => one.row === field.row);
  if (own) around(own.place);
  else whole();
}

function fit() {
  const stage = $('field-stage');
  return Math.min(stage.clientWidth / field.width, stage.clientHeight / field.height);
}

function whole() {
  const stage = $('field-stage');
  const scale = fit();
  view = {scale, x: (stage.clientWidth - field.width * scale) / 2, y: (stage.clientHeight - field.height * scale) / 2};
  paint();
}

// So near that the cell is a ninth of the height, its neighbourhood around it.
function around([x, y, side]) {
  const stage = $('field-stage');
  const scale = Math.max(fit(), Math.min(stage.clientHeight / side / 5, 6));
  view = {scale, x: stage.clientWidth / 2 - x * scale, y: stage.clientHeight / 2 - y * scale};
  paint();
}

function zoom(factor, x = $('field-stage').clientWidth / 2, y = $('field-stage').clientHeight / 2) {
  const scale = Math.max(fit() / 2, Math.min(view.scale * factor, 24));
  const real = scale / view.scale;
  view = {scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real};
  paint();
}

function pan(dx, dy) {
  view.x += dx;
  view.y += dy;
  paint();
}

// A field that is larger than the stage fills it; a smaller one stands in its middle.
function inside(at, length, extent) {
  if (length <= extent) return (extent - length) / 2;
  return Math.min(0, Math.max(extent - length, at));
}

function paint() {
  const stage = $('field-stage');
  view.x = inside(view.x, field.width * view.scale, stage.clientWidth);
  view.y = inside(view.y, field.height * view.scale, stage.clientHeight);
  const canvas = $('field-canvas');
  const ratio = devicePixelRatio;
  canvas.width = stage.clientWidth * ratio;
  canvas.height = stage.clientHeight * ratio;
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingEnabled = view.scale < 3;
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(image, view.x, view.y, field.width * view.scale, field.height * view.scale);
  if (marks) for (const one of field.cells) if (one.row !== field.row) ring(pen, one, false);
  const own = field.cells.find((one) => one.row === field.row);
  if (own) ring(pen, own, true);
  scaleBar($('field-scale'), field.um_per_px ? field.um_per_px / view.scale : null, stage.clientWidth / 2);
}

function ring(pen, {place: [x, y, side], answer}, own) {
  const colour = page.overview.classes.find((one) => one.name === answer)?.colour;
  const draw = (style, width) => {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(view.x + x * view.scale, view.y + y * view.scale, (side * view.scale) / 2.8, 0, 7);
    pen.stroke();
  };
  if (own) {
    draw('rgba(255,255,255,.95)', 6);
    draw('#0b84d8', 3);
  } else if (answer) draw(colour || '#888', 2);
  else draw('rgba(60,70,75,.28)', 1);
}

export function key(event) {
  const step = 60;
  const actions = {
    '+': () => zoom(1.3), '=': () => zoom(1.3), '-': () => zoom(1 / 1.3), '0': whole,
    'ArrowLeft': () => pan(step, 0), 'ArrowRight': () => pan(-step, 0), 'ArrowUp': () => pan(0, step), 'ArrowDown': () => pan(0, -step),
    'm': () => { marks = !marks; paint(); }, 'f': () => $('field-dialog').close(),
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.ctrlKey || event.metaKey) return;
  action();
  event.preventDefault();
}

export function listen() {
  const stage = $('field-stage');
  $('field-dialog').addEventListener('keydown', key);
  stage.addEventListener('wheel', (event) => {
    const box = stage.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
    event.preventDefault();
  }, {passive: false});
  stage.addEventListener('pointerdown', (event) => {
    drag = [event.clientX, event.clientY];
    stage.setPointerCapture(event.pointerId);
    stage.classList.add('moving');
  });
  stage.addEventListener('pointermove', (event) => {
    if (!drag) return;
    pan(event.clientX - drag[0], event.clientY - drag[1]);
    drag = [event.clientX, event.clientY];
  });
  const end = () => { drag = null; stage.classList.remove('moving'); };
  stage.addEventListener('pointerup', end);
  stage.addEventListener('pointercancel', end);
  window.addEventListener('resize', () => $('field-dialog').open && paint());
}

// What the tests of a browser look at.
export const seen = () => ({...view, marks, row: field?.row});
