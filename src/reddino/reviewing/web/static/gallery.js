// The gallery: tiles of cells, the cursor, and the selection.
import {$, answerText, classOf, current, element, isAnswered, kindText, page, percent, plural, scaleBar} from './page.js';
import {picture} from './server.js';

let onMove = () => {};
const tiles = new Map();
const size = () => Math.round(Number($('size').value));
// Pictures for sharp screens, in few sizes, so that they are found again.
const pixels = () => Math.min(512, Math.ceil((size() * 1.25 * devicePixelRatio) / 64) * 64);

export function whenMoved(action) {
  onMove = action;
}

// However many things an act changes, what is around the cells is drawn once.
let due = false;
function moved() {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    onMove();
  });
}

export function draw() {
  tiles.clear();
  $('gallery').replaceChildren(...page.cells.map(tile));
  page.cursor = Math.max(0, page.cells.findIndex((cell) => !isAnswered(cell)));
  page.anchor = page.cursor;
  page.selected.clear();
  $('gallery').hidden = !page.cells.length;
  $('gallery').scrollTop = 0;
  move(page.cursor, {focus: false});
}

function tile(cell, place) {
  const image = element('img', {alt: '', loading: 'eager', decoding: 'async', draggable: false});
  image.src = picture(cell.row, pixels(), page.around);
  const made = element('div', {className: 'tile', role: 'option', id: `cell-${cell.row}`, tabIndex: -1, data: {row: cell.row}},
    image, element('span', {className: 'tick', textContent: '✓'}),
    element('div', {className: 'caption'}, element('span'), element('span', {className: 'sure'})));
  image.addEventListener('error', () => made.classList.add('missing'));
  made.addEventListener('mousedown', (event) => event.preventDefault());
  made.addEventListener('click', (event) => click(place, event));
  made.addEventListener('dblclick', () => document.dispatchEvent(new CustomEvent('field-wanted')));
  tiles.set(cell.row, made);
  mark(cell, made);
  return made;
}

export function refresh(cells) {
  for (const fresh of cells) {
    const place = page.cells.findIndex((cell) => cell.row === fresh.row);
    if (place < 0) continue;
    page.cells[place] = fresh;
    mark(fresh, tiles.get(fresh.row));
  }
  moved();
}

function mark(cell, made) {
  const [name, sure] = made.querySelectorAll('.caption span');
  const answer = cell.waiting ? `${cell.waiting} …` : answerText(cell);
  const suggestion = cell.suggestion;
  name.textContent = answer || suggestion?.label || '';
  sure.textContent = answer || !suggestion ? '' : percent(suggestion.probability);
  made.classList.toggle('given', Boolean(answer));
  made.classList.toggle('waiting', Boolean(cell.waiting));
  const given = classOf(cell.mine?.class_number);
  const colour = given?.colour;
  made.querySelector('.caption').dataset.pattern = given?.pattern ?? 0;
  if (colour) made.style.setProperty('--shade', `color-mix(in srgb, ${colour} 28%, white)`);
  else made.style.removeProperty('--shade');
  made.querySelector('.noted')?.remove();
  if (cell.note || cell.notes.length) made.append(element('span', {className: 'noted', title: cell.note || cell.notes[0].text}));
  const where = [cell.slide || cell.source, answer ? `labelled ${answer}` : 'no label', suggestion && !answer ? `suggested ${suggestion.label}, ${percent(suggestion.probability)}` : ''];
  made.setAttribute('aria-label', `Cell ${cell.row}, ${where.filter(Boolean).join(', ')}`);
  made.setAttribute('aria-selected', page.selected.has(cell.row));
}

function click(place, event) {
  if (event.shiftKey) selectTo(place);
  else if (event.ctrlKey || event.metaKey) toggle(place);
  else page.selected.clear();
  if (!event.shiftKey) page.anchor = place;
  move(place);
}

export function move(place, {focus = true, keepAnchor = false} = {}) {
  const before = current();
  const left = before && tiles.get(before.row);
  if (left) left.tabIndex = -1;
  left?.classList.remove('here');
  page.cursor = Math.max(0, Math.min(place, page.cells.length - 1));
  const cell = current();
  if (!keepAnchor) page.anchor = page.cursor;
  if (cell) {
    const made = tiles.get(cell.row);
    made.classList.add('here');
    made.tabIndex = 0;
    if (focus) made.focus({preventScroll: true});
    made.scrollIntoView({block: 'nearest'});
    $('gallery').setAttribute('aria-activedescendant', made.id);
  }
  if (before !== cell) page.shownAt = performance.now();
  drawSelection();
}

export function columns() {
  return getComputedStyle($('gallery')).gridTemplateColumns.split(' ').length;
}

export function selectTo(place) {
  const to = Math.max(0, Math.min(place, page.cells.length - 1));
  page.selected.clear();
  for (let i = Math.min(page.anchor, to); i <= Math.max(page.anchor, to); i++) page.selected.add(page.cells[i].row);
  move(to, {keepAnchor: true});
}

export function toggle(place) {
  const row = page.cells[place]?.row;
  if (row === undefined) return;
  if (!page.selected.delete(row)) page.selected.add(row);
  drawSelection();
}

export function selectAll() {
  page.selected = new Set(page.cells.filter((cell) => !isAnswered(cell)).map((cell) => cell.row));
  drawSelection();
}

export function selectNone() {
  page.selected.clear();
  drawSelection();
}

export function drawSelection() {
  for (const [row, made] of tiles) made.setAttribute('aria-selected', page.selected.has(row));
  moved();
}

// The next cell without an answer, after the cursor and then from the start; -1 where all have one.
export function nextOpen() {
  const open = (cell) => !isAnswered(cell) && !cell.waiting;
  const after = page.cells.findIndex((cell, place) => place > page.cursor && open(cell));
  return after >= 0 ? after : page.cells.findIndex(open);
}

export function focusCells() {
  const cell = current();
  (cell ? tiles.get(cell.row) : $('gallery')).focus({preventScroll: true});
}

export function redrawPictures() {
  for (const [row, made] of tiles) made.querySelector('img').src = picture(row, pixels(), page.around);
  moved();
}


// The tile's own picture at once; the sharper one when the reader rests, since cutting it delays the acts.
let sharper = 0;
function showPortrait(cell) {
  const portrait = $('portrait');
  const address = picture(cell.row, 320, page.around);
  portrait.alt = `Cell ${cell.row}`;
  if (portrait.src.endsWith(address)) return;
  portrait.src = picture(cell.row, pixels(), page.around);
  clearTimeout(sharper);
  sharper = setTimeout(() => { if (current()?.row === cell.row) portrait.src = address; }, 200);
}

// The cell under the cursor, larger and with what is known of it.
export function drawCurrent() {
  const cell = current();
  const portrait = $('portrait');
  portrait.hidden = !cell;
  if (!cell) {
    $('facts').replaceChildren();
    return;
  }
  showPortrait(cell);
  const wide = portrait.clientWidth || 152;
  const perPixel = cell.um_per_px && cell.side ? (cell.um_per_px * cell.side * page.around) / wide : null;
  scaleBar($('portrait-scale'), perPixel, wide);
  const shown = [
    ['You', answerText(cell)],
    ...cell.others.map((one) => [one.reader, one.kind === 'label' ? one.answer : kindText(one.kind)]),
    ['Suggested', cell.suggestion && `${cell.suggestion.label}, ${percent(cell.suggestion.probability)}`],
    ['Your note', cell.note], ...cell.notes.map((one) => [`Note of ${one.reader}`, one.text]),
    ['Slide', cell.slide], ['Source', cell.source], ['Patient', cell.patient], ['Cell', String(cell.row)],
  ].filter(([, value]) => value);
  $('facts').replaceChildren(...shown.flatMap(([name, value]) => [
    element('dt', {textContent: name}),
    element('dd', {textContent: value})]));
}

export function drawHeadline() {
  const answered = page.cells.filter(isAnswered).length;
  const chance = page.inOrder ? '' : ' By chance for now.';
  const open = page.query.status === 'open' || page.query.status === 'second';
  const left = open ? `${answered} of ${plural(page.cells.length, 'cell')} done, ${(page.left - answered).toLocaleString('en')} left` : `${plural(page.left, 'cell')} found`;
  const like = page.query.order === 'like' ? `Most like cell ${page.query.like}. Esc goes back.` : '';
  const second = page.query.status === 'second' ? ' The verdicts of others are hidden until you answer.' : '';
  $('batch-text').textContent = page.cells.length ? `${like || left + '.' + second}${chance}` : '';
  $('batch-text').title = page.inOrder ? '' : 'The order is still being worked out.';
}
