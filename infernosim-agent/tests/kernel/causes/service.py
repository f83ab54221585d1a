"""A service that asks BASE for what it is asked, twice; WAY says how it uses threads. The first PARTIES requests are
all read before a call is made for any of them, and answered when all calls have been.

It says PORT and where it listens, and ends with its standard input.
"""
import asyncio
import http.client
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAY, BASE, PARTIES = sys.argv[1], sys.argv[2], int(sys.argv[3])
HOST, BASE_PORT = BASE.split(":")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Gathering:
    """Lets nobody go on until all are there."""

    def __init__(self):
        self.lock, self.here, self.all = threading.Lock(), 0, threading.Event()

    def arrive(self):
        with self.lock:
            self.here += 1
            if self.here >= PARTIES:
                self.all.set()


asked, called = Gathering(), Gathering()


def ask(path):
    """Two calls on one connection."""
    if path.startswith("/closed/"):
        try:
            socket.create_connection((HOST, int(path.removeprefix("/closed/"))))
        except OSError:
            return
    connection = http.client.HTTPConnection(HOST, int(BASE_PORT))
    for target in (path, path + "?second"):
        connection.request("GET", target)
        connection.getresponse().read()
    connection.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked.arrive()
        asked.all.wait()
        ask(self.path)
        called.arrive()
        called.all.wait()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def listen():
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    print("PORT", listener.getsockname()[1], flush=True)
    return listener


def path_of(head):
    return head.split(b" ", 2)[1].decode()


def read_and(act, listener):
    """Reads a request after the other and has `act` answer it."""
    while True:
        stream, _ = listener.accept()
        head = stream.recv(65536)
        asked.arrive()
        act(stream, path_of(head))


def work(stream, path):
    asked.all.wait()
    ask(path)
    called.arrive()
    called.all.wait()
    stream.sendall(ANSWER)
    stream.close()


async def until(gathering):
    while not gathering.all.is_set():
        await asyncio.sleep(0.01)


async def converse(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    asked.arrive()
    await until(asked)
    passed_on = [line for line in head.split(b"\r\n") if line.lower().startswith(b"traceparent:")]
    path = path_of(head)
    for target in (path, path + "?second"):
        answers, calls = await asyncio.open_connection(HOST, int(BASE_PORT))
        lines = [f"GET {target} HTTP/1.1".encode(), b"Host: " + BASE.encode(), b"Connection: close", *passed_on]
        calls.write(b"\r\n".join(lines) + b"\r\n\r\n")
        await answers.read()
        calls.close()
    called.arrive()
    await until(called)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def loop():
    server = await asyncio.start_server(converse, sock=listen())
    await server.serve_forever()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


if WAY == "prefork":
    listener = listen()
    asked.all.set()
    called.all.set()
    workers = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            read_and(work, listener)
        workers.append(pid)
    sys.stdin.read()
    for pid in workers:
        os.kill(pid, 9)
    os._exit(0)

threading.Thread(target=end_with_stdin, daemon=True).start()
if WAY == "threads":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket = listen()
    server.serve_forever()
elif WAY == "handed-over":
    pool = ThreadPoolExecutor(max(PARTIES, 4))
    read_and(lambda stream, path: pool.submit(work, stream, path), listen())
elif WAY == "loop":
    asyncio.run(loop())
