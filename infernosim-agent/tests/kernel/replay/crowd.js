// The same on an event loop; with PASS=1 it passes traceparent on, with QUIET=1 it keeps the upstream's answer to itself.
const http = require("http");
const upstream = process.env.UPSTREAM + "/next";
const server = http.createServer((request, response) => {
  const headers = process.env.PASS ? { traceparent: request.headers.traceparent } : {};
  http.get(upstream, { headers, agent: false }, (answer) => {
    let body = "";
    answer.on("data", (part) => (body += part));
    answer.on("end", () => response.end(process.env.QUIET ? "done\n" : body));
  });
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening on", server.address().port));
