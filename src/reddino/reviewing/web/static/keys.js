// The keyboard: every act of the page has a key.
import * as acts from './acts.js';
import * as dialogs from './dialogs.js';
import * as field from './field.js';
import * as gallery from './gallery.js';
import {nudge, resize} from './looks.js';
import {$, complain, page} from './page.js';

const typing = (target) => target.closest('input:not([type="range"]), textarea, select');

const PLAIN = {
  '0': () => acts.give('none'), a: () => acts.give('artefact'), u: () => acts.give('unsure'), s: () => acts.give('skip'),
  z: () => acts.step('/api/undo'), y: () => acts.step('/api/redo'), l: acts.like, f: () => field.open(), n: dialogs.openNote,
  c: dialogs.openClasses, d: () => dialogs.openReaders(), g: () => $('refit').click(), t: dialogs.openTune, '?': () => $('help-dialog').showModal(),
  o: () => $('order').focus(), '/': () => document.querySelector('.bar label:not([hidden]):nth-child(n+2) select').focus(),
  '[': () => nudge('brightness', -5), ']': () => nudge('brightness', 5), '{': () => nudge('contrast', -5), '}': () => nudge('contrast', 5),
  '\\': () => $('reset-looks').click(), '+': () => resize(12), '=': () => resize(12), '-': () => resize(-12),
  Enter: acts.accept, PageDown: acts.next, PageUp: acts.former, Escape: escape,
  ' ': () => gallery.toggle(page.cursor), Home: () => gallery.move(0), End: () => gallery.move(page.cells.length - 1),
};

function escape() {
  if (page.selected.size) gallery.selectNone();
  else if (page.query.order === 'like') acts.backFromLike();
  else gallery.focusCells();
}

function arrow(key) {
  const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -gallery.columns(), ArrowDown: gallery.columns()}[key];
  return by && page.cursor + by >= 0 && page.cursor + by < page.cells.length ? page.cursor + by : null;
}

function withControl(event) {
  const key = event.key.toLowerCase();
  if (key === 'a') gallery.selectAll();
  else if (key === 'z') acts.step(event.shiftKey ? '/api/redo' : '/api/undo');
  else if (key === 'y') acts.step('/api/redo');
  else return false;
  return true;
}

function press(event) {
  if (event.key.startsWith('Arrow')) {
    const place = arrow(event.key);
    if (place !== null) (event.shiftKey ? gallery.selectTo : gallery.move)(place);
    return true;
  }
  const one = page.overview?.classes.find((known) => known.hotkey && known.hotkey === event.key);
  if (one) {
    acts.give('label', one.number);
    return true;
  }
  const action = PLAIN[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return false;
  Promise.resolve(action()).catch(complain);
  return true;
}

export function listen() {
  document.addEventListener('keydown', (event) => {
    if (event.altKey || document.querySelector('dialog[open]')) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (typing(target)) {
      if (event.key === 'Escape') gallery.focusCells();
      return;
    }
    // Buttons and sliders keep the keys that they are worked with.
    const own = target.closest('button, summary, input, a') && ['Enter', ' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', 'PageUp', 'PageDown'].includes(event.key);
    if (own && !(target.closest('button, summary, a') && event.key.startsWith('Page'))) return;
    const done = event.ctrlKey || event.metaKey ? withControl(event) : press(event);
    if (done) event.preventDefault();
  });
}

