"""A service that runs before it is captured. It is told, a line at a time, which of its processes (WHO) asks how
(VERB) for what (URL), and answers with the process that asked and what came of it.

WHO: main, child, grandchild, daemon: all forked before the first line is read. The daemon has left its parents.
"""
import ctypes
import os
import queue
import socket
import subprocess
import sys
import threading
import time


def fetch(url):
    """A request on a connection of its own: the body, or the error's name."""
    authority, _, path = url.split("//", 1)[1].partition("/")
    host, _, port = authority.rpartition(":")
    try:
        stream = socket.create_connection((host.strip("[]"), int(port)), 20)
        peer = stream.getpeername()
        request = f"GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        stream.sendall(request.encode())
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
        stream.close()
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
    assert (peer[0], peer[1]) == (host.strip("[]"), int(port)), peer
    return answer.partition(b"\r\n\r\n")[2].decode()


def said(url):
    return f"{os.getpid()} {fetch(url)}"


def in_child(act, *arguments):
    """What a new child says, and its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, act(*arguments).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        answer = answers.read()
    os.waitpid(pid, 0)
    return answer


def in_daemon(url):
    """What a process says that has no parent of ours any more."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        middle = os.getpid()
        os.setsid()
        if os.fork() == 0:
            while os.getppid() == middle:
                time.sleep(0.005)
            os.write(writing, said(url).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answers:
        return answers.read()


def in_thread(url):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(said(url)))
    thread.start()
    thread.join()
    return answers[0]


def curl(url):
    process = subprocess.Popen(["curl", "-sS", "-m", "20", url], stdout=subprocess.PIPE, text=True)
    return f"{process.pid} {process.communicate()[0]}"


def become(url):
    """Executes curl in this very process."""
    sys.stdout.write(f"{os.getpid()} ")
    sys.stdout.flush()
    os.execvp("curl", ["curl", "-sS", "-m", "20", "-w", "\n", url])


def become_from_thread(url):
    """The same from a thread that is not the first: exec ends the others and takes the process's number."""
    threading.Thread(target=become, args=[url]).start()
    time.sleep(60)


def headless(url):
    """The process's first thread ends, the others go on."""

    def later():
        time.sleep(0.3)
        print(said(url), flush=True)
        os._exit(0)

    threading.Thread(target=later).start()
    ctypes.CDLL(None).syscall(60, 0)


VERBS = {
    "ask": said,
    "thread": in_thread,
    "fork": lambda url: in_child(said, url),
    "fork-twice": lambda url: in_child(in_child, said, url),
    "daemon": in_daemon,
    "curl": curl,
    "become": become,
    "become-from-thread": become_from_thread,
    "headless": headless,
}


def obey(lines):
    """Does what the lines say until their end. A thread that is older than all of them does `kept`."""
    asked, answered = queue.SimpleQueue(), queue.SimpleQueue()

    def keep():
        while url := asked.get():
            answered.put(said(url))

    threading.Thread(target=keep, daemon=True).start()
    for line in lines:
        verb, url = line.split()
        if verb == "kept":
            asked.put(url)
            print(answered.get(), flush=True)
        else:
            print(VERBS[verb](url), flush=True)


def worker(prepare):
    """A process that obeys, and its number; `prepare` runs in it and says in which process to go on."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        for number in (0, 1):
            os.dup2(theirs.fileno(), number)
        theirs.close()
        prepare()
        sys.stdin, sys.stdout = open(0), open(1, "w")
        print(os.getpid(), flush=True)
        obey(sys.stdin)
        os._exit(0)
    theirs.close()
    lines = ours.makefile("rw")
    return lines, int(lines.readline())


def leave():
    middle = os.getpid()
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    while os.getppid() == middle:
        time.sleep(0.005)


def descend():
    if os.fork() != 0:
        os.wait()
        os._exit(0)


def main():
    workers = {
        "child": worker(lambda: None),
        "grandchild": worker(descend),
        "daemon": worker(leave),
    }
    numbers = " ".join(f"{name}={number}" for name, (_, number) in workers.items())
    print(f"READY main={os.getpid()} {numbers}", flush=True)

    def own(lines):
        for line in lines:
            who, rest = line.split(maxsplit=1)
            if who == "main":
                yield rest
                continue
            stream, _ = workers[who]
            stream.write(rest)
            stream.flush()
            print(stream.readline().strip(), flush=True)

    obey(own(sys.stdin))


main()
