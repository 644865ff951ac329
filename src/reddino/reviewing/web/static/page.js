// What the page holds, and small things that several parts use.
export const $ = (id) => document.getElementById(id);

export const page = {
  reader: '', fixed: null, overview: null,
  modelShown: 0,
  cells: [], cursor: 0, anchor: 0, selected: new Set(), left: 0, inOrder: true,
  query: {order: 'default', status: 'open'}, without: new Set(), back: null, history: [],
  shownAt: performance.now(), around: 1.5,
};

export const current = () => page.cells[page.cursor];
export const classOf = (number) => page.overview?.classes.find((one) => one.number === number);
export const isAnswered = (cell) => Boolean(cell.mine || cell.skipped);

// Rows that an act is on: the selection, or the cell under the cursor.
export function targets() {
  if (page.selected.size) return page.cells.filter((cell) => page.selected.has(cell.row));
  return current() ? [current()] : [];
}

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === 'data') Object.assign(made.dataset, value);
    else if (key.startsWith('aria-') || key === 'role') made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function notify(text) {
  $('notice').textContent = text;
}

export function complain(error) {
  $('problem-text').textContent = error.message || String(error);
  $('problem').hidden = false;
  $('problem').dataset.status = error.status ?? '';
}

export const percent = (value) => `${Math.round(value * 100)} %`;
export const plural = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

const ANSWERS = {none: 'none of these', artefact: 'artefact', unsure: 'unsure', skip: 'skipped'};

export function answerText(cell) {
  if (cell.mine) return cell.mine.kind === 'label' ? cell.mine.answer : ANSWERS[cell.mine.kind];
  return cell.skipped ? 'skipped' : '';
}

export const kindText = (kind) => ANSWERS[kind] || kind;
export const spoken = (answer) => ANSWERS[answer.replace(/^\[|\]$/g, '')] && answer.startsWith('[') ? ANSWERS[answer.slice(1, -1)] : answer;

// A bar of a round length: as long as fits into a third of the picture.
export function scaleBar(box, micrometresPerPixel, width) {
  box.hidden = !micrometresPerPixel;
  if (!micrometresPerPixel) return;
  const most = (width / 3) * micrometresPerPixel;
  const unit = 10 ** Math.floor(Math.log10(most));
  const length = unit * [5, 2, 1].find((step) => step * unit <= most);
  box.firstElementChild.style.width = `${length / micrometresPerPixel}px`;
  box.lastChild.nodeType === 3 ? (box.lastChild.textContent = `${length} µm`) : box.append(`${length} µm`);
}
