"""A service whose processes ask without end: `storm.py BASE KIND…`, a worker for each kind.

loop: one process, a new connection a request. fork: a new child a request. exec: a new curl a request.
Line `mark` prints how many requests each has begun; what is not counted in it begins later. `stop` ends them.
"""
import mmap
import os
import struct
import subprocess
import sys
import urllib.request

SLOT = 8
base, kinds = sys.argv[1], sys.argv[2:]
shared = mmap.mmap(-1, SLOT * (len(kinds) + 1))


def get(slot):
    return struct.unpack_from("<q", shared, slot * SLOT)[0]


def put(slot, value):
    struct.pack_into("<q", shared, slot * SLOT, value)


def fetch(url):
    answer = urllib.request.urlopen(url, timeout=20).read().decode()
    assert url.endswith(answer), (url, answer)


def in_child(url):
    pid = os.fork()
    if pid == 0:
        try:
            fetch(url)
        except BaseException as error:
            sys.stderr.write(f"{url}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


ASK = {
    "loop": fetch,
    "fork": in_child,
    "exec": lambda url: subprocess.run(["curl", "-fsS", "-m", "20", "-o", "/dev/null", url], check=True),
}


def work(worker, kind):
    while not get(len(kinds)) and os.getppid() == parent:
        number = get(worker)
        put(worker, number + 1)
        ASK[kind](f"{base}/{worker}/{number}")


parent, pids = os.getpid(), []
for worker, kind in enumerate(kinds):
    pid = os.fork()
    if pid == 0:
        work(worker, kind)
        os._exit(0)
    pids.append(pid)


def counts(word):
    print(word, *(get(worker) for worker in range(len(kinds))), flush=True)


print(f"READY main={os.getpid()}", flush=True)
for line in sys.stdin:
    if line.strip() == "stop":
        break
    counts("MARK")
put(len(kinds), 1)
failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
counts("STOPPED")
print("FAILED", failed, flush=True)
sys.stdin.read()
