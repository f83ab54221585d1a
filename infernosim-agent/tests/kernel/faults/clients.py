"""What curl, python3 and node see of stock.test: TIMES asks each, or, where TO_THE_END, all bytes of one connection."""

import base64
import json

BODY = b'{"left": 7, "filler": "' + b"x" * 9975 + b'"}'

NODE = """
const began = Date.now();
const parts = [];
let fields = {};
const done = (what) => {
  const body = Buffer.concat(parts).toString("base64");
  console.log(JSON.stringify({ what: String(what), ms: Date.now() - began, fields, body }));
  process.exit(0);
};
require("http").get("http://stock.test/node", { timeout: 2500 }, (answer) => {
  fields = answer.headers;
  answer.on("data", (part) => parts.push(part));
  answer.on("end", () => done(answer.statusCode));
  answer.on("error", (error) => done(answer.statusCode + " " + error.code));
}).on("error", (error) => done(error.code)).on("timeout", () => done("timeout"));
"""

NODE_TO_THE_END = """
const began = Date.now();
const parts = [];
const done = (what) => {
  const body = Buffer.concat(parts).toString("base64");
  console.log(JSON.stringify({ what, ms: Date.now() - began, fields: {}, body }));
  process.exit(0);
};
const line = require("net").connect(80, "stock.test");
line.setTimeout(2500, () => done("timeout"));
line.on("data", (part) => parts.push(part)).on("end", () => done("")).on("error", (error) => done(error.code));
line.write("GET /node HTTP/1.1\\r\\nHost: stock.test\\r\\nConnection: close\\r\\n\\r\\n");
"""


def curl():
    words = ["curl", "-sSi", "-m2.5", "-w\n%{http_code} %{time_total}", "http://stock.test/curl"]
    ran = subprocess.run(words, capture_output=True)
    answer, said = ran.stdout.rsplit(b"\n", 1)
    code, total = said.decode().split()
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.decode().lower().split(": ", 1) for line in head.split(b"\r\n")[1:])
    what = ("(%d) " % ran.returncode if ran.returncode else "") + code
    return what, round(float(total) * 1000), fields, body


def python():
    began, what, fields, body = time.monotonic(), "", {}, b""
    try:
        asking = http.client.HTTPConnection("stock.test", timeout=2.5)
        asking.request("GET", "/python")
        answer = asking.getresponse()
        what = str(answer.status)
        fields = {name.lower(): value for name, value in answer.getheaders()}
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            body = error.partial
            raise
    except (OSError, http.client.HTTPException) as error:
        what += " " + type(error).__name__
    return what.strip(), took(began), fields, body


def python_to_the_end():
    began, what, got = time.monotonic(), "", b""
    try:
        with socket.create_connection(("stock.test", 80), timeout=2.5) as line:
            line.sendall(b"GET /python HTTP/1.1\r\nHost: stock.test\r\nConnection: close\r\n\r\n")
            while part := line.recv(65536):
                got += part
    except OSError as error:
        what = type(error).__name__
    return what, took(began), {}, got


def node(script):
    ran = subprocess.run(["node", "-e", script], capture_output=True, text=True)
    saw = json.loads(ran.stdout)
    return saw["what"], saw["ms"], saw["fields"], base64.b64decode(saw["body"])


def differs(fields, body):
    """What an answer says that it does not say without a fault."""
    notes = []
    if "x-shed" in fields:
        notes.append("X-Shed: " + fields["x-shed"])
    if body and "content-type" not in fields:
        notes.append("no Content-Type")
    try:
        left = json.loads(body)["left"]
    except (ValueError, KeyError, TypeError):
        left = 7
    if left != 7:
        notes.append("left is %s" % left)
    elif len(body) == len(BODY) and body != BODY:
        notes.append("%d other bytes" % sum(is_it != was for is_it, was in zip(body, BODY)))
    elif not BODY.startswith(body):
        notes.append("another body")
    return notes


def watch(client, ask):
    saws = [ask() for _ in range(TIMES)]
    notes = [note for saw in saws for note in differs(*saw[2:])]
    size, ms = sum(len(saw[3]) for saw in saws), sum(saw[1] for saw in saws)
    what = ", ".join(saw[0] for saw in saws)
    tell(json.dumps({"client": client, "what": what, "bytes": size, "ms": ms, "notes": ", ".join(notes)}))


def watch_to_the_end(client, ask):
    what, ms, _, got = ask()
    answers = got.count(b"HTTP/1.1 200 OK\r\n")
    what = ("%d answer%s " % (answers, "" if answers == 1 else "s") + what).strip()
    tell(json.dumps({"client": client, "what": what, "bytes": len(got), "ms": ms, "notes": ""}))


def task(path):
    if TO_THE_END:
        watch_to_the_end("python3", python_to_the_end)
        watch_to_the_end("node", lambda: node(NODE_TO_THE_END))
    else:
        watch("curl", curl)
        watch("python3", python)
        watch("node", lambda: node(NODE))
