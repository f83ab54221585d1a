"""A service and its dependency. LIMIT says what the service is short of, PORT where it listens.

GET /work  asks UPSTREAM for /slow, whose answer takes 100 ms; answers what that said
GET /nap   takes 100 ms and asks nobody
GET /big   a megabyte of JSON that is there already
With no UPSTREAM: the dependency, which prints its port.
"""
import json, os, threading, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT = os.environ.get("LIMIT", "")
UPSTREAM = os.environ.get("UPSTREAM", "")
pool = threading.Semaphore(4 if LIMIT == "pool" else 1000)
kept = []
workers = ThreadPoolExecutor(4)
big = json.dumps([{"sku": at, "name": f"thing {at}", "left": 7} for at in range(24000)]).encode()


def work():
    if LIMIT == "cpu":
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
    if LIMIT == "memory":
        # Pages that are its own: nothing but the limit is to be had.
        kept.append(bytearray(os.urandom(1 << 20) * 16))
    with pool:
        request = urllib.request.Request(UPSTREAM + "/slow", headers={"Connection": "close"})
        with urllib.request.urlopen(request, timeout=1 if LIMIT == "timeout" else 60) as answer:
            return json.loads(answer.read())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/big":
            body = big
        elif self.path == "/nap":
            time.sleep(0.1)
            body = b'{"slept": true}'
        elif UPSTREAM:
            body = json.dumps(work()).encode()
        else:
            time.sleep(0.1)
            body = b'{"price": 25}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1 if LIMIT == "backlog" else 256

    def get_request(self):
        time.sleep(0.3 if LIMIT == "backlog" else 0)
        return super().get_request()

    def process_request(self, request, address):
        if LIMIT == "workers":
            workers.submit(self.process_request_thread, request, address)
        else:
            super().process_request(request, address)


server = Server(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
print("listening on" if UPSTREAM else "port", server.server_address[1], flush=True)
server.serve_forever()
