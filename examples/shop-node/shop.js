// A shop that knows nothing of InfernoSIM. No packages.
//
// GET /api/demo asks the inventory; POST /checkout asks the inventory, charges the card and asks a courier for an offer.
// Environment: HOST (127.0.0.1), PORT (8080; 0 is any free one), INVENTORY_URL, PAYMENTS_URL, COURIER_URL,
// PAYMENTS_TOKEN, HTTP_PROXY.
'use strict';

const http = require('node:http');
const { text } = require('node:stream/consumers');

const SHOP = 'shop-node';
const {
  HOST = '127.0.0.1',
  PORT = '8080',
  INVENTORY_URL = 'http://localhost:7001',
  PAYMENTS_URL = 'http://localhost:7002',
  COURIER_URL = 'http://localhost:7003',
  PAYMENTS_TOKEN = 'shop-secret',
  HTTP_PROXY,
} = process.env;
const PATIENCE = 2000; // ms, for each call
const PASSED_ON = ['traceparent', 'x-request-id'];

let orders = 0;

/** What the client is told instead of an order. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Calls a dependency; node's http leaves proxies to its user. */
async function call(whom, method, url, caller, body, headers = {}) {
  const options = { method, headers: { ...headers }, signal: AbortSignal.timeout(PATIENCE) };
  for (const name of PASSED_ON) {
    if (caller[name]) options.headers[name] = caller[name];
  }
  const sent = body && JSON.stringify(body);
  if (sent) {
    options.headers['Content-Type'] = 'application/json';
    options.headers['Content-Length'] = Buffer.byteLength(sent);
  }
  let target = new URL(url);
  if (HTTP_PROXY) {
    options.path = target.href; // the proxy is told the whole URL
    options.headers.Host = target.host;
    target = new URL(HTTP_PROXY);
  }
  try {
    const answer = await new Promise((resolve, reject) => {
      http.request(target, options, resolve).on('error', reject).end(sent);
    });
    const said = await text(answer);
    return { status: answer.statusCode, said: answer.statusCode < 300 ? JSON.parse(said) : null };
  } catch (error) {
    console.error(`${SHOP}: ${whom}: ${error.message}`);
    throw new Refused(502, `the ${whom} does not answer`);
  }
}

async function stockOf(item, caller) {
  const { status, said } = await call('inventory', 'GET', `${INVENTORY_URL}/stock/${encodeURIComponent(item)}`, caller);
  if (status === 404) throw new Refused(404, `no ${item} here`);
  if (status !== 200) throw new Refused(502, 'the inventory is out of order');
  return said;
}

async function charge(amount, caller) {
  const credentials = { Authorization: `Bearer ${PAYMENTS_TOKEN}` };
  const { status } = await call('payments', 'POST', `${PAYMENTS_URL}/charge`, caller, { amount }, credentials);
  if (status === 402) throw new Refused(402, 'the card is refused');
  if (status !== 200) throw new Refused(502, 'the payments are out of order');
}

/** The courier is often ill, and the shop copes. */
async function offer(item, count, caller) {
  const query = new URLSearchParams({ count, item });
  return call('courier', 'GET', `${COURIER_URL}/quote?${query}`, caller).then(({ said }) => said, () => null);
}

function parse(body) {
  try {
    const { item, count } = JSON.parse(body);
    if (typeof item === 'string' && Number.isInteger(count) && count > 0) return { item, count };
  } catch {}
  throw new Refused(400, 'an order is {"item": …, "count": …}');
}

const routes = {
  'GET /api/demo': async (_body, caller) => [200, { shop: SHOP, apples: (await stockOf('apple', caller)).stock }],
  'POST /checkout': async (body, caller) => {
    const { item, count } = parse(body);
    const { stock, price } = await stockOf(item, caller);
    if (stock < count) throw new Refused(409, `only ${stock} left`);
    const total = price * count;
    await charge(total, caller);
    const courier = await offer(item, count, caller);
    return [201, { order: ++orders, total, courier }];
  },
};

const server = http.createServer(async (request, response) => {
  const answer = async () => {
    const route = routes[`${request.method} ${request.url}`];
    if (!route) throw new Refused(404, 'GET /api/demo and POST /checkout are all there is');
    return route(await text(request), request.headers);
  };
  const [status, body] = await answer().catch((error) => [error.status ?? 500, { error: error.message }]);
  const sent = JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(sent) }).end(sent);
});

server.listen(PORT, HOST, () => {
  const { address, port } = server.address();
  console.log(`${SHOP}: listening on http://${address}:${port}`);
});
process.on('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), 2 * PATIENCE).unref();
});
