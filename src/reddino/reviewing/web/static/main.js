// The page of a review: loads what the server has, draws what is around the cells, and connects the parts.
import * as acts from './acts.js';
import * as dialogs from './dialogs.js';
import * as field from './field.js';
import * as filters from './filters.js';
import * as gallery from './gallery.js';
import * as keys from './keys.js';
import * as looks from './looks.js';
import {$, complain, current, element, page, plural, targets} from './page.js';
import * as server from './server.js';

function drawAround() {
  const found = page.overview;
  document.title = `${found.title} · RedDino review`;
  $('title').textContent = `Review of ${found.title}`;
  $('title').title = found.title;
  $('progress-fill').style.width = `${Math.min(100, (100 * found.answered) / found.goal)}%`;
  $('progress-text').textContent = `${found.answered} of ${found.goal} answered`;
  $('progress-box').title = `${plural(found.cells, 'cell')} in all; ${found.mine} answered by ${page.reader}, ${found.skipped} skipped`;
  dialogs.drawTune();
  $('open-second').firstChild.textContent = `You: ${page.reader}${found.disputed ? ` · ${found.disputed} differ` : ''} `;
  drawModel(found.model);
  drawClasses();
  filters.draw();
  if ($('slides-box').open) drawSlides().catch(complain);
  if (found.model.number !== page.modelShown) suggestAgain();
  if (found.model.busy || !page.inOrder) followSoon();
  if (!page.inOrder && !found.ranking && untouched()) acts.load();
}

// Nobody's place is lost where nobody has begun.
const untouched = () => page.cursor === 0 && !page.selected.size && !page.cells.some((cell) => cell.waiting || cell.mine);

function drawModel(model) {
  const box = $('model');
  const parts = [];
  box.classList.toggle('enough', Boolean(model.enough));
  const score = model.score;
  if (model.busy) parts.push('fitting … ');
  if (model.number && score && score.macro_f1 !== null) {
    const scored = score.classes.filter((one) => !one.candidates);
    const range = score.low === null ? '' : ` (${score.low.toFixed(2)} to ${score.high.toFixed(2)})`;
    parts.push('macro F1 ', element('b', {textContent: score.macro_f1.toFixed(2) + range}), ` of ${scored.length} of ${score.classes.length} classes, on groups held out, ${score.labels} labels`);
    if (model.enough) parts.push(element('br'), 'More labels stopped helping.');
    else if (score.note) parts.push(element('br'), score.note);
  } else if (model.number) parts.push(`fitted to ${plural(model.labels, 'label')}; ${score?.note || 'score follows'}`);
  else parts.push(model.fault || 'no classifier yet: label cells of two classes');
  box.replaceChildren(...parts);
  box.title = (score?.classes || []).map((one) => `${one.name}: ${one.candidates ? 'candidates only' : `F1 ${one.f1 === null ? '–' : one.f1.toFixed(2)}`}, ${plural(one.cells, 'cell')}`).join('\n');
}

// Buttons stay the same elements while their classes do: one that is replaced under the mouse gets no click.
let built = '';
function buildClasses(classes) {
  const key = JSON.stringify(classes.map((one) => [one.number, one.name, one.hotkey, one.colour, one.pattern]));
  if (key === built) return;
  built = key;
  $('classes').replaceChildren(...classes.map((one) => {
    const made = element('button', {type: 'button', data: {number: one.number}},
      one.hotkey ? element('kbd', {textContent: one.hotkey}) : element('span'), element('span', {className: 'swatch'}),
      element('span', {className: 'name', textContent: one.name}), element('span', {className: 'count'}));
    made.style.setProperty('--shade', one.colour);
    made.querySelector('.swatch').dataset.pattern = one.pattern;
    made.addEventListener('click', () => acts.give('label', one.number));
    return made;
  }));
  $('classes').classList.toggle('many', classes.length > 9);
  if (!classes.length) $('classes').append(element('p', {className: 'hint', textContent: 'No classes yet. Press C to add some.'}));
}

function drawClasses() {
  const {classes, others, skipped} = page.overview;
  const cell = current();
  buildClasses(classes);
  for (const one of classes) {
    const made = $('classes').querySelector(`[data-number="${one.number}"]`);
    made.lastChild.textContent = one.candidates_only && one.count && classes.length <= 9 ? plural(one.count, 'candidate') : one.count.toLocaleString('en');
    made.classList.toggle('few', one.candidates_only);
    made.title = one.candidates_only ? `candidates only: ${page.fixed.candidates}` : '';
    made.classList.toggle('suggested', !cell?.mine && cell?.suggestion?.label === one.name);
    made.classList.toggle('given', cell?.mine?.class_number === one.number);
  }
  const counts = {...others, skip: skipped};
  for (const button of document.querySelectorAll('#verdicts button')) {
    button.title = `${plural(counts[button.dataset.kind], 'cell')} so far`;
  }
  const count = targets().length;
  $('selection-text').textContent = page.selected.size > 1 ? `Class of ${count} selected cells` : 'Class';
}

async function drawSlides() {
  const lines = await server.get('/api/slides', {reader: page.reader});
  const rows = lines.map((one) => element('tr', {},
    element('td', {textContent: one.slide}),
    element('td', {textContent: Object.entries(one.classes).map(([name, count]) => `${name} ${count}`).join(', ')}),
    element('td', {className: 'n', textContent: one.cells.toLocaleString('en')})));
  const head = element('tr', {}, element('th', {textContent: 'Slide'}), element('th', {textContent: 'Labels'}), element('th', {textContent: 'Cells', className: 'n'}));
  $('slides').replaceChildren(element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows)));
}

function connect() {
  for (const button of document.querySelectorAll('#verdicts button')) button.addEventListener('click', () => acts.give(button.dataset.kind));
  const clicks = {
    undo: () => acts.step('/api/undo'), redo: () => acts.step('/api/redo'), like: acts.like, 'open-field': () => field.open(),
    'open-note': dialogs.openNote, next: acts.next, 'open-classes': dialogs.openClasses, 'open-tune': dialogs.openTune, 'open-second': () => dialogs.openReaders(),
    'open-help': () => $('help-dialog').showModal(), 'problem-close': () => { $('problem').hidden = true; },
    refit: async () => { await server.post('/api/refit', {reader: page.reader}); await acts.overview(); },
  };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener('click', () => Promise.resolve(action()).catch(complain));
  document.addEventListener('field-wanted', () => field.open());
  $('slides-box').addEventListener('toggle', () => $('slides-box').open && drawSlides().catch(complain));
  acts.whenOverview(drawAround);
  gallery.whenMoved(() => { gallery.drawCurrent(); if (page.overview) drawClasses(); gallery.drawHeadline(); });
  dialogs.listen();
  field.listen();
  keys.listen();
  looks.listen();
}

// Other browsers label too, and the classifier is fitted in the background.
let following = 0;
function followSoon(after = 600) {
  clearTimeout(following);
  following = setTimeout(async () => {
    if (document.visibilityState === 'visible') await acts.overview().catch(complain);
    followSoon(page.overview.model.busy || !page.inOrder ? 600 : 4000);
  }, after);
}

// New suggestions for the cells on the screen, which stay where they are.
async function suggestAgain() {
  page.modelShown = page.overview.model.number;
  if (!page.cells.length) return;
  const rows = page.cells.map((cell) => cell.row);
  const before = acts.count().ended;
  const found = await server.post('/api/described', {reader: page.reader, rows, second: acts.inSecond()}).catch(() => []);
  const waits = (fresh) => page.cells.find((cell) => cell.row === fresh.row)?.waiting;
  // An act that was under way or came meanwhile is not in this answer.
  const same = rows.join() === page.cells.map((cell) => cell.row).join() && before === acts.count().begun;
  if (same) gallery.refresh(found.filter((fresh) => !waits(fresh)));
  else page.modelShown = -1;
}

async function begin() {
  page.fixed = await server.start();
  page.reader = sessionStorage.getItem('reddino-reader') || page.fixed.reader;
  connect();
  filters.fill();
  await acts.overview();
  await acts.load();
  gallery.focusCells();
  document.body.dataset.ready = '1';
  if (!page.overview.classes.length) dialogs.openClasses();
  followSoon(1500);
}

begin().catch(complain);
