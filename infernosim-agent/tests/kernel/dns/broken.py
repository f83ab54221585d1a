"""A resolver that answers by the name that it is asked for: servfail.test, silent.test, garbage.test (no message),
cut.test (half an answer), forged.test (wrong id, wrong name, then the answer), late.test (after another second)."""
import socket
import threading
import time

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("10.77.0.4", 53))
tcp = socket.create_server(("10.77.0.4", 53))


def name_of(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 5


def answer(message, rcode=0, identity=None, name=None):
    asked, end = name_of(message)
    question = message[12:end] if name is None else name + message[end - 4 : end]
    count = 0 if rcode else 1
    head = (identity or message[:2]) + bytes([0x81, 0x80 | rcode, 0, 1, 0, count, 0, 0, 0, 0])
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\x4d\0\x02"
    return head + question + (b"" if rcode else record)


def serve(message, say):
    name = name_of(message)[0]
    if name == "servfail.test":
        say(answer(message, rcode=2))
    elif name == "garbage.test":
        say(message[:2] + b"\x81\x80" + b"\xff" * 20)
    elif name == "cut.test":
        say(answer(message)[:-6])
    elif name == "forged.test":
        say(answer(message, identity=bytes([message[0] ^ 1, message[1]])))
        say(answer(message, name=b"\4evil\4test\0"))
        say(answer(message))
    elif name == "late.test":
        time.sleep(1)
        say(answer(message))


while True:
    message, client = udp.recvfrom(65535)
    threading.Thread(target=serve, args=(message, lambda out, to=client: udp.sendto(out, to)), daemon=True).start()
