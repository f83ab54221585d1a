"""A shop whose behaviour a test changes: CHANGE names the change, PORT where it listens.

GET /quote/<item>   asks STOCK for /stock/<item>, then PRICES for /price/<item>?currency=eur
POST /order         asks STOCK, charges PAYMENTS by POST, asks PRICES; answers 201
"""
import json, os, socket, sys, time, urllib.error, urllib.request, uuid
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHANGE = os.environ.get("CHANGE", "")
STOCK, PRICES, PAYMENTS = (os.environ[name] for name in ("STOCK", "PRICES", "PAYMENTS"))
kept = {}


def ask(method, base, path, value=None):
    body = None if value is None else json.dumps(value).encode()
    headers = {"Content-Type": "application/json"} if body else {}
    if CHANGE == "headers":
        headers = {"X-First": "1", "Accept": "*/*", **headers}
    if CHANGE == "chunking" and body:
        headers["Transfer-Encoding"] = "chunked"
        body = iter([body[:5], body[5:]])
    if CHANGE == "reuse":
        host = base.split("//")[1]
        connection = kept.setdefault(host, HTTPConnection(host))
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    request = urllib.request.Request(base + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, {}


def leak():
    if CHANGE == "udp":
        for kind, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            datagram = socket.socket(kind, socket.SOCK_DGRAM)
            datagram.sendto(b"apples:1|c", (address, int(os.environ["LEAK"])))
    elif CHANGE in ("ipv6", "port"):
        kind, address = (socket.AF_INET6, "::1") if CHANGE == "ipv6" else (socket.AF_INET, "127.0.0.1")
        stream = socket.socket(kind, socket.SOCK_STREAM)
        print("connect:", stream.connect_ex((address, int(os.environ["LEAK"]))), file=sys.stderr, flush=True)
    elif CHANGE == "name":
        try:
            socket.getaddrinfo("nobody-knows.test", 80)
        except socket.gaierror as error:
            print("lookup:", error, file=sys.stderr, flush=True)


def quote(item):
    leak()
    status, stock = ask("GET", STOCK, f"/stock/{item}")
    if CHANGE == "query":
        _, price = ask("GET", PRICES, f"/price/{item}?currency=usd")
    else:
        _, price = ask("GET", PRICES, f"/price/{item}?currency=eur")
    return 200, {"item": item, "left": stock.get("left"), "price": price.get("price")}


def order(wanted):
    item, count = wanted["item"], wanted["count"]
    first = lambda: ask("GET", STOCK, f"/stock/{item}")
    second = lambda: ask("GET", PRICES, f"/price/{item}?currency=eur")
    if CHANGE == "order":
        (_, price), (_, stock) = second(), first()
    else:
        (_, stock), (_, price) = first(), second()
    if CHANGE == "extra":
        ask("GET", STOCK, f"/stock/{item}")
    if CHANGE == "crash":
        sys.stderr.write("out of apples\n")
        sys.stderr.flush()
        os._exit(3)
    if CHANGE == "leave":
        # What a process that ends does, but slower: its sockets are closed before its end can be seen.
        os.closerange(3, 100)
        time.sleep(0.1)
        os._exit(3)
    if CHANGE == "hang":
        time.sleep(3600)
    charge = {"amount": price["price"] * count, "item": item, "currency": "usd" if CHANGE == "field" else "eur"}
    if CHANGE == "uuid":
        charge["key"] = str(uuid.uuid4())
    charge["key"] = str(uuid.uuid4())
    charge["at"] = time.time()
    if CHANGE != "missing":
        _, paid = ask("POST", PAYMENTS, "/charge", charge)
        if CHANGE == "retry":
            ask("POST", PAYMENTS, "/charge", charge)
    total = charge["amount"] + (1 if CHANGE == "answer" else 0)
    status = 202 if CHANGE == "status" else 201
    return status, {"total": total, "id": str(uuid.uuid4()), "at": int(time.time()), "date": formatdate()}


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(*quote(self.path.split("/")[-1]))

    def do_POST(self):
        self.answer(*order(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def answer(self, status, value):
        if CHANGE == "slower":
            time.sleep(0.02)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if CHANGE == "answer-chunking":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (body[:3], body[3:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        if CHANGE == "log":
            sys.stderr.write("asked: %s\n" % self.path)


class Server(ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", int(os.environ["PORT"])), Shop)
print("listening on", server.server_address[1], flush=True)
server.serve_forever()
