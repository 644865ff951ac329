// The bar of filters and the order.
import {requery} from './acts.js';
import {$, element, page} from './page.js';

const STATUS = {
  open: 'to do', second: 'second reading', labelled: 'with a class', none: 'none of these', artefact: 'artefacts',
  unsure: 'unsure', skipped: 'skipped by me', disputed: 'readers differ', noted: 'with a note', all: 'all',
};
const ALL = '\u0000all';

// A list that is open in the browser stays as it is, unless there is something new in it.
const lists = new Map();
function options(select, pairs, chosen) {
  const key = JSON.stringify(pairs);
  if (lists.get(select) === key) {
    if (select.value !== chosen) select.value = chosen;
    return;
  }
  lists.set(select, key);
  select.replaceChildren(...pairs.map(([value, text]) => element('option', {value, textContent: text, selected: value === chosen})));
}

export function fill() {
  const {strategies, sortings, facets} = page.fixed;
  const group = (label, pairs) => {
    const made = element('optgroup', {label});
    made.append(...pairs.map(([value, text]) => element('option', {value, textContent: text, title: text})));
    return made;
  };
  const names = {default: 'best next', random: 'random', typical: 'typical first', coverage: 'coverage', rare: 'rare first', margin: 'hardest for the classifier (margin)', entropy: 'least sure (entropy)', balanced: 'doubtful, class by class'};
  $('order').replaceChildren(
    group('Strategies', Object.keys(strategies).map((name) => [name, names[name] || name])),
    group('Sorted', Object.entries(sortings)));
  for (const option of $('order').options) option.title = strategies[option.value] || '';
  for (const name of ['slide', 'source', 'patient']) {
    const select = $(`filter-${name}`);
    select.parentElement.hidden = !facets[name];
    if (facets[name]) options(select, [[ALL, 'all'], ...facets[name].map((value) => [value, value || 'not given'])], ALL);
    select.addEventListener('change', () => requery({[name]: select.value === ALL ? null : select.value}));
  }
  $('order').addEventListener('change', () => requery({order: $('order').value, like: null}));
  $('sought').addEventListener('change', () => requery({sought: value('sought')}));
  $('filter-predicted').addEventListener('change', () => requery({predicted: value('filter-predicted')}));
  $('filter-reader').addEventListener('change', () => requery({reader: value('filter-reader')}));
  $('filter-status').addEventListener('change', () => {
    const [status, label] = $('filter-status').value.split('\u0000');
    requery({status, label: label || null});
  });
  for (const [id, name] of [['filter-low', 'low'], ['filter-high', 'high']]) {
    $(id).addEventListener('change', () => {
      const given = $(id).value === '' ? null : Math.max(0, Math.min(100, Number($(id).value))) / 100;
      requery({[name]: given});
    });
  }
  $('clear-filters').addEventListener('click', clear);
}

const value = (id) => ($(id).value === ALL ? null : $(id).value);

export function clear() {
  page.back = null;
  for (const id of ['filter-low', 'filter-high']) $(id).value = '';
  const order = page.query.order === 'like' ? 'default' : page.query.order;
  page.query = {order, status: 'open'};
  requery({});
  draw();
}

// What depends on classes, readers and the classifier.
export function draw() {
  const {classes, readers, blind, suggests} = page.overview;
  const query = page.query;
  if (query.order !== 'like') $('order').value = query.order;
  const statuses = Object.entries(STATUS).filter(([name]) => !(blind && name === 'disputed'));
  const chosen = query.label ? `labelled\u0000${query.label}` : query.status;
  options($('filter-status'), [...statuses, ...classes.map((one) => [`labelled\u0000${one.name}`, `labelled ${one.name}`])], chosen);
  options($('filter-predicted'), [[ALL, 'all'], ...classes.map((one) => [one.name, one.name])], query.predicted ?? ALL);
  options($('sought'), [[ALL, 'auto'], ...classes.map((one) => [one.name, one.name])], query.sought ?? ALL);
  $('sought').parentElement.hidden = !['default', 'rare'].includes(query.order);
  options($('filter-reader'), [[ALL, 'all'], ...readers.map((name) => [name, name])], query.reader ?? ALL);
  $('filter-reader').parentElement.hidden = readers.length < 2;
  for (const id of ['filter-predicted', 'filter-low', 'filter-high']) $(id).disabled = !suggests;
  for (const select of document.querySelectorAll('.bar select')) {
    select.classList.toggle('set', select.id !== 'order' && ![ALL, 'open'].includes(select.value));
  }
  for (const input of document.querySelectorAll('.bar input')) input.classList.toggle('set', input.value !== '');
  for (const name of ['slide', 'source', 'patient']) if (page.fixed.facets[name]) $(`filter-${name}`).value = query[name] ?? ALL;
}

