// Requests to the server: JSON in, JSON out, one sentence when it refuses.
let csrf = '';

export class Refusal extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, {credentials: 'same-origin', ...options});
  } catch {
    throw new Refusal('The server does not answer: what is not shown as labelled is not saved. Is it still running?', 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(body.error || `The server answered ${response.status}.`, response.status);
  return body;
}

export function get(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return answer(text ? `${path}?${text}` : path);
}

function send(path, body) {
  return answer(path, {
    method: 'POST',
    headers: {'Content-Type': 'application/json', 'X-RedDino-CSRF': csrf},
    body: JSON.stringify(body),
  });
}

// A server that was started again has another secret; an act has a token of its own, so that it counts once.
export async function post(path, body) {
  try {
    return await send(path, body);
  } catch (error) {
    if (error.status !== 403) throw error;
    await start();
    return send(path, body);
  }
}

export async function start() {
  const found = await get('/api/start');
  csrf = found.csrf;
  return found;
}

// The server's secret in the address keeps pictures of an earlier start out of the browser's cache.
export const picture = (row, size, around) => `/picture/${row}?size=${size}&around=${around}&of=${csrf.slice(0, 8)}`;
export const fieldPicture = (row) => `/field/${row}?of=${csrf.slice(0, 8)}`;

export const token = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, '0')).join('');
