// The scenario `mix` of `cargo souk load` for k6, for teams that live in k6: the same weights, the
// same law of Zipf over the products, open-loop arrivals.
//
//   k6 run -e TARGET=http://localhost:8080 -e RATE=200 -e DURATION=30s tests/load/k6/mix.js
//
// It buys what the shop has. It does not audit: that needs the shop's records, and `cargo souk load`.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';

const TARGET = (__ENV.TARGET || 'http://localhost:8080').replace(/\/$/, '');
const RATE = Number(__ENV.RATE || 100);
const DURATION = __ENV.DURATION || '30s';
const USERS = Number(__ENV.USERS || 100);
const PRODUCTS = Number(__ENV.PRODUCTS || 1000);
const ZIPF = Number(__ENV.ZIPF || 1.0);

const WEIGHTS = { home: 1, browse: 10, search: 0, cart: 3, add: 2, checkout: 1 };

export const options = {
  scenarios: {
    mix: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: USERS,
      maxVUs: USERS,
    },
  },
  setupTimeout: '10m',
  summaryTrendStats: ['p(50)', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  thresholds: {
    'http_req_duration{class:read}': ['p(99)<100'],
    'http_req_duration{class:cart}': ['p(99)<150'],
    'http_req_duration{class:checkout}': ['p(99)<250'],
    http_req_failed: ['rate<0.001'],
  },
};

const JSON_BODY = { 'Content-Type': 'application/json' };

function bearer(user) {
  return Object.assign({ Authorization: `Bearer ${user.token}` }, JSON_BODY);
}

function must(response, what) {
  if (response.status >= 300) {
    exec.test.abort(`${what}: the shop answered ${response.status} ${response.body}`);
  }
  return response.body ? response.json() : {};
}

function signUp(number, run, product) {
  const account = { email: `k6-${run}-${number}@example.com`, password: `k6 ${run} password` };
  const post = (path, body, headers) =>
    http.post(`${TARGET}${path}`, JSON.stringify(body), { headers: headers || JSON_BODY });
  must(post('/v1/users', Object.assign({ name: 'Load' }, account)), 'registering');
  const user = { token: must(post('/v1/sessions', account), 'signing in').access_token };
  const address = { recipient: 'Load', line1: '1 Kiln Lane', city: 'Stoke', postcode: 'ST1 1AA', country: 'GB' };
  must(post('/v1/me/addresses', address, bearer(user)), 'giving an address');
  const card = post('/v1/payment-methods', { card_token: 'tok_approve' }, bearer(user));
  user.card = must(card, 'giving a card').payment_method_id;
  must(put(user, product), 'filling the cart');
  return user;
}

function put(user, product, params) {
  const body = JSON.stringify({ quantity: 1 });
  const all = Object.assign({ headers: bearer(user) }, params);
  return http.put(`${TARGET}/v1/cart/items/${product}`, body, all);
}

// Passwords are hashed here and not under load.
export function setup() {
  if (must(http.get(`${TARGET}/`), 'GET /').name !== 'souk') {
    exec.test.abort(`${TARGET} is not the shop`);
  }
  const products = [];
  let page = '';
  do {
    const url = `${TARGET}/v1/products?page_size=100&page_token=${page}`;
    const listed = must(http.get(url), 'listing products');
    listed.products.filter((product) => product.available > 0).forEach((product) => products.push(product.product_id));
    page = listed.next_page_token;
  } while (page && products.length < PRODUCTS);
  const run = Date.now().toString(36);
  const users = [];
  for (let number = 0; number < USERS; number += 1) {
    users.push(signUp(number, run, products[number % products.length]));
  }
  return { products, users };
}

// For each rank, the probability of it or a smaller one.
let cumulated = null;

function draw(products) {
  if (cumulated === null) {
    let sum = 0;
    cumulated = products.map((_, rank) => (sum += 1 / Math.pow(rank + 1, ZIPF)));
    cumulated = cumulated.map((share) => share / sum);
  }
  const point = Math.random();
  let [low, high] = [0, products.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulated[middle] <= point) low = middle + 1;
    else high = middle;
  }
  return products[low];
}

function action() {
  const total = Object.values(WEIGHTS).reduce((sum, weight) => sum + weight, 0);
  let point = Math.random() * total;
  for (const [name, weight] of Object.entries(WEIGHTS)) {
    if (point < weight) return name;
    point -= weight;
  }
  return 'home';
}

// A virtual user is one customer and does one thing at a time. Whoever has bought fills the cart
// again before buying again: that put counts as the mix's own.
let filled = true;

export default function ({ products, users }) {
  const user = users[exec.vu.idInTest % users.length];
  const tag = (name, kind) => ({ tags: { name, class: kind } });
  let doing = action();
  if (doing === 'checkout' && !filled) doing = 'add';
  let response;
  if (doing === 'home') {
    response = http.get(`${TARGET}/v1/products?page_size=12`, tag('home', 'read'));
  } else if (doing === 'browse') {
    response = http.get(`${TARGET}/v1/products/${draw(products)}`, tag('browse', 'read'));
  } else if (doing === 'search') {
    response = http.get(`${TARGET}/v1/search?q=cups&page_size=12`, tag('search', 'read'));
  } else if (doing === 'cart') {
    const params = Object.assign({ headers: bearer(user) }, tag('cart', 'cart'));
    response = http.get(`${TARGET}/v1/cart`, params);
  } else if (doing === 'add') {
    response = put(user, draw(products), tag('add', 'cart'));
    filled = filled || response.status < 300;
  } else {
    const key = `k6-${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${Date.now()}`;
    const headers = Object.assign({ 'Idempotency-Key': key }, bearer(user));
    const body = JSON.stringify({ payment_method_id: user.card });
    response = http.post(`${TARGET}/v1/orders`, body, Object.assign({ headers }, tag('checkout', 'checkout')));
    filled = false;
  }
  check(response, { answered: (answer) => answer.status < 300 });
}
