"""Answers each request with another number, after a while, so that many are open at once; prints its port."""
import itertools, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

numbers = itertools.count()


class Counter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"number %d\n" % next(numbers)
        time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


server = Server(("127.0.0.1", 0), Counter)
print("port", server.server_address[1], flush=True)
server.serve_forever()
