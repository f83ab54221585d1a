"""A server, `senders.py ADDRESS`, that knows many ways to send: `GET /WAY/SIZE` is answered with SIZE bytes, `POST` the
same after the body was read. Says `READY main=PID port=PORT`, then for each zero-copy answer `ZEROCOPY n`: how many of
its sends the kernel says it is done with.
"""
import mmap
import os
import socket
import struct
import sys
import tempfile
import threading

MSG_ZEROCOPY, SO_ZEROCOPY, MSG_ERRQUEUE = 0x4000000, 60, 0x2000


UNIT = b"".join(number.to_bytes(4, "big") for number in range(100_003))


def content(size):
    return (UNIT * (size // len(UNIT) + 1))[:size]


def in_file(size):
    file = tempfile.TemporaryFile()
    file.write(content(size))
    file.flush()
    return file


def sendfile(stream, size):
    file, sent = in_file(size), 0
    while sent < size:
        sent += os.sendfile(stream.fileno(), file.fileno(), sent, size - sent)


def splice(stream, size):
    file, (reading, writing) = in_file(size), os.pipe()
    sent = 0
    while sent < size:
        count = os.splice(file.fileno(), writing, 65536, offset_src=sent)
        sent += count
        while count:
            count -= os.splice(reading, stream.fileno(), count)
    os.close(reading)
    os.close(writing)


def zerocopy(stream, size):
    stream.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    # Memory that nobody writes to again while the kernel reads it.
    memory = mmap.mmap(-1, size)
    memory[:] = content(size)
    view, sent, sends = memoryview(memory), 0, 0
    while sent < size:
        sent += stream.send(view[sent:sent + 65536], MSG_ZEROCOPY)
        sends += 1
    told = 0
    stream.settimeout(20)
    while told < sends:
        try:
            _, messages, _, _ = stream.recvmsg(0, 1000, MSG_ERRQUEUE)
        except BlockingIOError:
            continue
        for _, _, data in messages:
            # struct sock_extended_err (linux/errqueue.h): which sends are done.
            *_, first, last = struct.unpack("=IBBBBII", data[:16])
            told += last - first + 1
    stream.settimeout(None)
    print("ZEROCOPY", told, flush=True)


def large(stream, size):
    body = content(size)
    for at in range(0, size, 1 << 20):
        stream.sendall(body[at:at + (1 << 20)])


def vectored(stream, size):
    body, sent = content(size), 0
    while sent < size:
        pieces = [body[at:at + 777] for at in range(sent, min(size, sent + 500 * 777), 777)]
        sent += stream.sendmsg(pieces)


def bytewise(stream, size):
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in content(size):
        stream.send(bytes([byte]))


def more(stream, size):
    body = content(size)
    for at in range(0, size, 1000):
        last = at + 1000 >= size
        stream.sendall(body[at:at + 1000], 0 if last else socket.MSG_MORE)


WAYS = {way.__name__: way for way in (sendfile, splice, zerocopy, large, vectored, bytewise, more)}


def serve(stream):
    lines = stream.makefile("rb", buffering=0)
    while words := lines.readline().split():
        length = 0
        while field := lines.readline().strip():
            name, _, value = field.partition(b": ")
            length = int(value) if name.lower() == b"content-length" else length
        while length:
            length -= len(lines.read(min(length, 1 << 20)))
        _, way, size = words[1].decode().split("/")
        stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        WAYS[way](stream, int(size))


def accept(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=serve, args=[stream], daemon=True).start()


family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], 0), family=family)
threading.Thread(target=accept, args=[listener], daemon=True).start()
print(f"READY main={os.getpid()} port={listener.getsockname()[1]}", flush=True)
sys.stdin.read()
