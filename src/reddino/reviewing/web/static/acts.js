// What the reader does: label, skip, note, undo; each act is shown as done when the server has it on disk.
import * as gallery from './gallery.js';
import {$, classOf, complain, current, kindText, notify, page, plural, targets} from './page.js';
import {get, post, token} from './server.js';

// In a second reading the page shows neither the verdicts of others nor what was learned from them.
export const inSecond = () => page.query.status === 'second';

const NOTHING = {
  open: 'No cell is left that fits these filters.',
  second: 'No cell is left for a second reading: you have read all that others have, among those that fit these filters.',
};

let waiting = 0;
let begun = 0;
let ended = 0;
export const count = () => ({begun, ended});
let last = Promise.resolve();
export const settled = () => last;

// One after the other, in the order of the keys: an undo never overtakes what it undoes.
function inTurn(action) {
  last = last.then(action).catch(complain);
  return last;
}

function act(body, cells, text) {
  for (const cell of cells) cell.waiting = text;
  gallery.refresh(cells);
  waiting += 1;
  begun += 1;
  const seconds = Math.min((performance.now() - page.shownAt) / 1000, 3600);
  return inTurn(async () => {
    try {
      const done = await post('/api/act', {
        reader: page.reader, token: token(), rows: cells.map((cell) => cell.row), seconds, second: inSecond(), ...body});
      gallery.refresh(done.cells);
      notify(`${text}: ${plural(cells.length, 'cell')}`);
    } catch (error) {
      for (const cell of cells) delete cell.waiting;
      gallery.refresh(cells);
      throw error;
    } finally {
      waiting -= 1;
      ended += 1;
      if (!waiting) overviewSoon();
    }
  });
}

function advance() {
  gallery.selectNone();
  if (page.query.status !== 'open' && page.query.status !== 'second') {
    gallery.move(page.cursor + 1);
    return;
  }
  const place = gallery.nextOpen();
  if (place >= 0) gallery.move(place);
  else inTurn(() => nextCells());
}

export function give(kind, number = null) {
  const cells = targets();
  if (!cells.length) return;
  const text = kind === 'label' ? classOf(number).name : kindText(kind);
  act(kind === 'label' ? {kind, class_number: number} : {kind}, cells, text);
  advance();
}

export function accept() {
  const cell = current();
  if (!cell?.suggestion || page.selected.size) return;
  const one = page.overview.classes.find((known) => known.name === cell.suggestion.label);
  if (one) give('label', one.number);
}

export function decide(row, answer) {
  return inTurn(async () => {
    await post('/api/act', {reader: page.reader, token: token(), rows: [row], deciding: true, ...answer});
    await overview();
  });
}

export function note(text) {
  const cells = targets();
  if (!cells.length) return;
  inTurn(async () => {
    const done = await post('/api/act', {reader: page.reader, token: token(), rows: cells.map((cell) => cell.row), kind: 'note', note: text});
    gallery.refresh(done.cells);
    notify('note kept');
  });
}

export function step(path) {
  inTurn(async () => {
    begun += 1;
    const done = await post(path, {reader: page.reader, token: token()}).finally(() => { ended += 1; });
    if (!done.event) {
      notify(path.endsWith('undo') ? 'nothing to undo' : 'nothing to redo');
      return;
    }
    bringBack(done.cells);
    notify(`${done.kind}: ${plural(done.cells.length, 'cell')}`);
    await overview();
  });
}

// The cells of an undone act stand under the cursor, also when their page has gone.
function bringBack(cells) {
  gallery.refresh(cells);
  const rows = new Set(cells.map((cell) => cell.row));
  const place = page.cells.findIndex((cell) => rows.has(cell.row));
  if (place >= 0) {
    gallery.move(place);
    return;
  }
  page.cells = [...cells, ...page.cells];
  gallery.draw();
}

let soon = 0;
function overviewSoon() {
  clearTimeout(soon);
  soon = setTimeout(() => overview().catch(complain), 150);
}

let drawOverview = () => {};
export function whenOverview(action) {
  drawOverview = action;
}

export async function overview() {
  page.overview = await get('/api/overview', {reader: page.reader});
  if ($('problem').dataset.status === '0') $('problem').hidden = true;
  drawOverview();
}

// Load the next cells that were requested; those put off come back when nothing else is left.
export async function nextCells({putOff = false} = {}) {
  if (putOff) for (const cell of page.cells) page.without.add(cell.row);
  const request = () => post('/api/cells', {reader: page.reader, query: page.query, count: perPage(), without: [...page.without]});
  let found = await request();
  if (!found.cells.length && page.without.size) {
    page.without.clear();
    found = await request();
  }
  if (page.cells.length && found.cells.length) page.history = [...page.history.slice(-19), page.cells];
  Object.assign(page, {cells: found.cells, left: found.left, inOrder: found.in_order});
  gallery.draw();
  gallery.drawHeadline();
  $('empty').hidden = found.cells.length > 0;
  $('empty').textContent = NOTHING[page.query.status] || 'No cell fits these filters.';
  if (document.activeElement === document.body || document.activeElement?.closest('#gallery')) gallery.focusCells();
}

export function requery(changes) {
  page.query = {...page.query, ...changes};
  for (const [name, value] of Object.entries(page.query)) if (value === null) delete page.query[name];
  page.without.clear();
  return inTurn(() => nextCells());
}

export const next = () => inTurn(() => nextCells({putOff: true}));
// The page before, as it was left; what was on this one comes again.
export function former() {
  inTurn(() => {
    const cells = page.history.pop();
    if (!cells) return;
    for (const cell of page.cells) page.without.delete(cell.row);
    page.cells = cells;
    gallery.draw();
    gallery.drawHeadline();
    gallery.focusCells();
  });
}

export const load = () => inTurn(() => nextCells());

// As many as fit the window without scrolling.
function perPage() {
  const box = $('gallery').parentElement.getBoundingClientRect();
  const wide = Number($('size').value) + 7;
  const across = Math.max(1, Math.floor((box.width - 28) / wide));
  const actual = (box.width - 28) / across;
  return Math.max(6, Math.min(60, across * Math.max(1, Math.floor((box.height - 52) / (actual + 23)))));
}

export function like() {
  const cell = current();
  if (!cell) return;
  if (page.query.order !== 'like') page.back = {...page.query};
  requery({order: 'like', like: cell.row});
}

export function backFromLike() {
  const before = page.back || {order: 'default', status: 'open'};
  page.back = null;
  page.query = {};
  return requery(before);
}
