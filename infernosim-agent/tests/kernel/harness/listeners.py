"""A server that opens listeners as it is told, a line at a time:
`ADDRESS[:PORT] OPTIONS HOW`, answered with `PORT n`; `close` closes those that this process accepts from, answered with
`CLOSED`.

OPTIONS, joined by commas: dual (IPv4 too), defer (TCP_DEFER_ACCEPT), fastopen, none.
HOW, who accepts and who serves: thread; fork (a child for each connection); exec (a new program for each connection, as
inetd); child (a child made now accepts); workers (four children, each with a listener of its own and SO_REUSEPORT);
passed (the connection goes to another process over a UNIX socket).
Each request is answered with its path, the process that served it, and the client as accept(2) gave it.
"""
import os
import socket
import sys
import threading

TCP_DEFER_ACCEPT, TCP_FASTOPEN = 9, 23


def serve(stream, peer):
    lines = stream.makefile("rb", buffering=0)
    while words := lines.readline().split():
        while lines.readline().strip():
            pass
        body = f"{words[1].decode()} {os.getpid()} {peer[0]} {peer[1]}".encode()
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    stream.close()


def in_child(act, *arguments):
    if os.fork() == 0:
        act(*arguments)
        os._exit(0)


def exec_server(stream, peer):
    os.set_inheritable(stream.fileno(), True)
    words = ["python3", sys.argv[0], str(stream.fileno()), *map(str, peer[:2])]
    os.execv(sys.executable, words)


def take(channel):
    while True:
        words, files, _, _ = socket.recv_fds(channel, 100, 1)
        stream = socket.socket(fileno=files[0])
        peer = words.decode().split()
        threading.Thread(target=serve, args=[stream, peer], daemon=True).start()


def accept(listener, how):
    channel = None
    if how == "passed":
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        in_child(take, theirs)
    while True:
        try:
            stream, peer = listener.accept()
        except OSError:
            return
        if how == "fork":
            in_child(serve, stream, peer)
        elif how == "exec":
            in_child(exec_server, stream, peer)
        elif how == "passed":
            socket.send_fds(channel, [f"{peer[0]} {peer[1]}".encode()], [stream.fileno()])
        else:
            threading.Thread(target=serve, args=[stream, peer], daemon=True).start()


def listen(address, options, port=0, shared=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "dual" not in options)
    if "defer" in options:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_DEFER_ACCEPT, 5)
    if "fastopen" in options:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 10)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Clients' connections may still be in TIME_WAIT.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(100)
    return listener


def main():
    print(f"READY main={os.getpid()}", flush=True)
    opened = []
    for line in sys.stdin:
        if line.strip() == "close":
            while opened:
                # Wakes the thread that accepts, which close(2) alone does not.
                opened[-1].shutdown(socket.SHUT_RDWR)
                opened.pop().close()
            print("CLOSED", flush=True)
            continue
        address, options, how = line.split()
        port = 0
        if address.count(":") == 1:
            address, port = address.split(":")
        listener = listen(address, options.split(","), int(port), how == "workers")
        port = listener.getsockname()[1]
        if how == "workers":
            listeners = [listener] + [listen(address, options, port, True) for _ in range(3)]
            for one in listeners:
                in_child(accept, one, how)
                one.close()
        elif how == "child":
            in_child(accept, listener, how)
        else:
            opened.append(listener)
            threading.Thread(target=accept, args=[listener, how], daemon=True).start()
        print("PORT", port, flush=True)


if len(sys.argv) > 1:
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
else:
    main()
