// Dialogs: classes, readers and their differences, a note, the keys.
import {decide, load, note, overview} from './acts.js';
import {focusCells} from './gallery.js';
import {$, complain, current, element, kindText, page, plural, spoken, targets} from './page.js';
import {get, picture, post} from './server.js';

export function listen() {
  for (const button of document.querySelectorAll('[data-close]')) {
    button.addEventListener('click', () => button.closest('dialog').close());
  }
  for (const dialog of document.querySelectorAll('dialog')) dialog.addEventListener('close', focusCells);
  for (const change of ['start', 'stop']) $(`tune-${change}`).addEventListener('click', () => tune(change).catch(complain));
  $('note-form').addEventListener('submit', (event) => {
    event.preventDefault();
    note($('note-text').value.trim());
    $('note-dialog').close();
  });
  $('note-text').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('note-form').requestSubmit();
  });
  $('class-add').addEventListener('submit', (event) => {
    event.preventDefault();
    change({change: 'add', name: $('class-name').value});
    $('class-name').value = '';
  });
  $('reader-form').addEventListener('submit', (event) => {
    event.preventDefault();
    become($('reader-name').value).catch(complain);
  });
}

export function openTune() {
  drawTune();
  $('tune-dialog').showModal();
}

// How far a fine-tuning is; also in the button, while it runs and when it is over.
export function drawTune() {
  const {state, text, labels, percent: far, where} = page.overview.tuning;
  const of = `on ${plural(labels, 'label')}`;
  const texts = {
    none: '', running: `Running ${of}. ${text}`, done: `Done ${of}: ${text}. The classifier is in ${where}: reddino predict takes it.`,
    failed: `It failed ${of}: ${text}.`, stopped: `Stopped ${of}.`};
  $('tune-text').textContent = texts[state];
  $('tune-track').hidden = state !== 'running';
  $('tune-fill').style.width = `${far ?? 0}%`;
  $('tune-start').disabled = state === 'running';
  $('tune-stop').disabled = state !== 'running';
  const short = {running: far === null ? 'Tuning … ' : `Tuning ${far} % `, done: 'Tuned ', failed: 'Tuning failed '};
  $('open-tune').firstChild.textContent = short[state] || 'Fine-tune ';
}

async function tune(change) {
  page.overview = await post('/api/tune', {reader: page.reader, change});
  drawTune();
  await overview();
}

export function openNote() {
  const cells = targets();
  if (!cells.length) return;
  $('note-of').textContent = cells.length > 1 ? `On ${plural(cells.length, 'selected cell')}` : `On cell ${cells[0].row}`;
  $('note-text').value = cells.length > 1 ? '' : current().note;
  $('note-dialog').showModal();
  $('note-text').focus();
}

async function change(body) {
  try {
    await post('/api/class', {reader: page.reader, ...body});
    await overview();
    drawClasses();
  } catch (error) {
    complain(error);
  }
}

export function openClasses() {
  drawClasses();
  $('classes-dialog').showModal();
  $('class-name').focus();
}

function drawClasses() {
  $('class-list').replaceChildren(...page.overview.classes.map(classLine));
}

function classLine(one) {
  const name = element('input', {value: one.name, maxLength: 60, 'aria-label': `Name of ${one.name}`});
  name.addEventListener('change', () => change({change: 'rename', number: one.number, name: name.value}));
  const key = element('select', {'aria-label': `Key of ${one.name}`, title: 'key'});
  key.append(...['', ...'123456789'].map((digit) => element('option', {value: digit, textContent: digit || 'no key', selected: digit === one.hotkey})));
  key.addEventListener('change', () => change({change: 'hotkey', number: one.number, name: key.value}));
  const others = page.overview.classes.filter((other) => other.number !== one.number);
  const into = element('select', {'aria-label': `Merge ${one.name} into`});
  into.append(element('option', {value: '', textContent: 'merge into …'}), ...others.map((other) => element('option', {value: String(other.number), textContent: other.name})));
  into.addEventListener('change', () => {
    const other = others.find((known) => String(known.number) === into.value);
    if (other && confirm(`Count all cells of "${one.name}" as "${other.name}" from now on?`)) change({change: 'merge', number: one.number, into: other.number});
    else into.value = '';
  });
  const swatch = element('span', {className: 'swatch'});
  swatch.style.cssText = `width:14px;height:14px;border-radius:3px;--shade:${one.colour}`;
  swatch.dataset.pattern = one.pattern;
  const former = one.former.length ? `was ${one.former.join(', ')}` : plural(one.count, 'cell');
  return element('div', {className: 'class-line'}, swatch, name, element('span', {className: 'hint', textContent: former}), key, into);
}

async function become(name) {
  const found = await post('/api/reader', {reader: name});
  page.reader = found.reader;
  sessionStorage.setItem('reddino-reader', page.reader);
  await overview();
  await load();
  await drawReaders();
}

export async function openReaders() {
  $('reader-name').value = page.reader;
  $('readers-dialog').showModal();
  await drawReaders().catch(complain);
}

async function drawReaders() {
  const found = await get('/api/comparison', {reader: page.reader});
  const box = $('agreement');
  if (found.blind) {
    box.replaceChildren(element('p', {className: 'hint', textContent: 'This reading is blind: you see your own labels alone. Agreement is shown when the review is opened without --blind.'}));
    $('disputes-title').textContent = '';
    $('disputes').replaceChildren();
    return;
  }
  const shown = found.agreement.filter((one) => one.cells > 0);
  box.replaceChildren(shown.length ? kappas(shown) : element('p', {className: 'hint', textContent: 'No cell has been read by two readers yet. Choose "second reading" under Cells to read what others have read.'}));
  $('disputes-title').textContent = found.left ? `${plural(found.left, 'cell')} on which readers differ: a third reader decides` : '';
  $('disputes').replaceChildren(...found.disputes.map(dispute));
}

function kappas(rows) {
  const number = (value) => (value === null ? '–' : value.toFixed(2));
  const body = rows.map((one) => element('tr', {},
    element('td', {textContent: one.measure === 'cohen' ? `Cohen: ${one.readers.join(' and ')}` : 'Fleiss: all readers'}),
    element('td', {textContent: one.answer ? spoken(one.answer) : 'all answers'}),
    element('td', {className: 'n', textContent: number(one.kappa)}),
    element('td', {className: 'n', textContent: one.interval ? `${number(one.interval[0])} to ${number(one.interval[1])}` : 'too few groups'}),
    element('td', {className: 'n', textContent: one.agreement === null ? '–' : `${Math.round(100 * one.agreement)} %`}),
    element('td', {className: 'n', textContent: String(one.cells)})));
  const head = element('tr', {}, ...['Kappa', 'Answer', 'Kappa', '95 % interval', 'Same', 'Cells'].map((text, place) => element('th', {textContent: text, className: place > 1 ? 'n' : ''})));
  head.firstChild.textContent = 'Readers';
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...body));
}

function dispute(cell) {
  const votes = [...cell.others, ...(cell.mine ? [cell.mine] : [])];
  const answers = new Map(votes.map((one) => [one.answer, one]));
  const image = element('img', {alt: `Cell ${cell.row}`});
  image.src = picture(cell.row, 192, 1.5);
  const read = cell.mine !== null;
  const choices = [...answers.values()].map((one) => {
    const button = element('button', {type: 'button', textContent: one.kind === 'label' ? one.answer : kindText(one.kind), disabled: read});
    button.addEventListener('click', async () => {
      await decide(cell.row, one.kind === 'label' ? {kind: 'label', class_number: one.class_number} : {kind: one.kind});
      await drawReaders().catch(complain);
    });
    return button;
  });
  const other = element('select', {'aria-label': `Another answer for cell ${cell.row}`});
  const rest = page.overview.classes.filter((one) => !answers.has(one.name)).map((one) => [String(one.number), one.name]);
  const kinds = ['none', 'artefact', 'unsure'].filter((kind) => !answers.has(`[${kind}]`)).map((kind) => [kind, kindText(kind)]);
  other.append(...[['', 'another …'], ...rest, ...kinds].map(([value, textContent]) => element('option', {value, textContent})));
  other.addEventListener('change', async () => {
    await decide(cell.row, Number(other.value) ? {kind: 'label', class_number: Number(other.value)} : {kind: other.value});
    await drawReaders().catch(complain);
  });
  return element('div', {className: 'dispute', data: {row: cell.row}}, image, element('div', {},
    element('div', {className: 'votes'}, ...votes.map((one) => element('span', {textContent: `${one.reader}: ${spoken(one.answer)}`}))),
    element('div', {className: 'choices'}, read ? element('span', {className: 'hint', textContent: 'You have read this cell, so another reader decides.'}) : element('span', {className: 'hint', textContent: 'It is'}), ...(read ? [] : [...choices, other]))));
}
