"""What the shop of service.py asks: prints the three ports, counts who connects, tells the count for every line read."""
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = 0


class Dependency(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"left": 7} if "/stock/" in self.path else {"price": 25})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"paid": True})

    def answer(self, value):
        global asked
        asked += 1
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


servers = [ThreadingHTTPServer(("127.0.0.1", 0), Dependency) for _ in range(3)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ports", *(server.server_address[1] for server in servers), flush=True)
for line in sys.stdin:
    print("asked", asked, flush=True)
