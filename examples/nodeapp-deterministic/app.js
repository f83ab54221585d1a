// A service whose answer is always the same: GET /api/demo asks worldtimeapi.org what time it is, by way of a proxy,
// and says "deterministic-node: ok" whatever the answer was. Node's http has no HTTP_PROXY: the request is sent to the
// proxy by hand, with the whole URL in its first line.
//
//   PORT                 the port it listens on, 8083 by default; 0 is any free one
//   OUTBOUND_PROXY_HOST  the proxy, localhost by default
//   OUTBOUND_PROXY_PORT  its port, 9000 by default
'use strict';

const http = require('node:http');

const dependency = new URL('http://worldtimeapi.org/api/timezone/Etc/UTC');
const patience = 2000; // ms
const {
  PORT = '8083',
  OUTBOUND_PROXY_HOST = 'localhost',
  OUTBOUND_PROXY_PORT = '9000',
} = process.env;

function askTheTime() {
  return new Promise((resolve, reject) => {
    const call = http.get({
      host: OUTBOUND_PROXY_HOST,
      port: OUTBOUND_PROXY_PORT,
      path: dependency.href,
      headers: { Host: dependency.host },
      // A connection for each call: which of several kept ones would be taken is chance, and nothing here may be.
      agent: false,
      signal: AbortSignal.timeout(patience),
    });
    call.on('response', (answer) => answer.on('end', resolve).on('error', reject).resume());
    call.on('error', reject);
  });
}

const server = http.createServer(async (request, response) => {
  if (request.url.split('?')[0] !== '/api/demo') {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('GET /api/demo is all there is\n');
    return;
  }
  try {
    await askTheTime();
    response.writeHead(200, { 'Content-Type': 'text/plain' }).end('deterministic-node: ok\n');
  } catch (error) {
    console.error(`nodeapp-deterministic: ${error.message}`);
    response.writeHead(502, { 'Content-Type': 'text/plain' }).end('deterministic-node: the proxy does not answer\n');
  }
});

server.listen(PORT, () => {
  console.log(`nodeapp-deterministic: listening on http://localhost:${server.address().port}`);
});
