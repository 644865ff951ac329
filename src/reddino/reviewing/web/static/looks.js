// Brightness, contrast, size, and how much is shown around a cell; kept for this browser's tab.
import {load} from './acts.js';
import * as gallery from './gallery.js';
import {$, page} from './page.js';

const KEPT = ['brightness', 'contrast', 'size', 'around'];

function apply() {
  const style = document.documentElement.style;
  style.setProperty('--light', `${$('brightness').value}%`);
  style.setProperty('--contrast', `${$('contrast').value}%`);
  style.setProperty('--tile', `${$('size').value}px`);
  page.around = Number($('around').value);
  sessionStorage.setItem('reddino-looks', JSON.stringify(Object.fromEntries(KEPT.map((id) => [id, $(id).value]))));
}

export function nudge(id, by) {
  $(id).value = Number($(id).value) + by;
  apply();
}

// Another size holds another number of cells.
let waiting = 0;
export function resize(by = 0) {
  if (by) $('size').value = Number($('size').value) + by;
  apply();
  clearTimeout(waiting);
  waiting = setTimeout(load, 250);
}

export function listen() {
  const kept = JSON.parse(sessionStorage.getItem('reddino-looks') || '{}');
  for (const id of KEPT) if (kept[id]) $(id).value = kept[id];
  apply();
  for (const id of ['brightness', 'contrast']) $(id).addEventListener('input', apply);
  $('size').addEventListener('input', () => resize());
  $('around').addEventListener('change', () => {
    apply();
    gallery.redrawPictures();
  });
  $('reset-looks').addEventListener('click', () => {
    $('brightness').value = 100;
    $('contrast').value = 100;
    apply();
  });
}
