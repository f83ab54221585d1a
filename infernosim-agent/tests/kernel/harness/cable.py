"""A cable between two network namespaces that treats packets badly: each end is a TUN device.

Arguments: a name for each device, and a seed. Commands: `treat WHO WORD=VALUE…` (WHO is the sender: 0 or 1), `count`.
  drop, twice, late, recut   how often, of 1: lost, repeated, overtaken by the next ones, cut again into overlapping segments
  backwards=1                all behind a SYN waits for a FIN, and comes after it
  forge=1                    segments of a stranger's follow the next one with data
  dead=1                     nothing arrives any more
"""
import collections, fcntl, os, random, select, struct, sys, time

names, chance = sys.argv[1:3], random.Random(int(sys.argv[3]))
ends = []
for name in names:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    # TUNSETIFF with IFF_TUN and IFF_NO_PI: <linux/if_tun.h>.
    fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
    ends.append(end)
rules = [collections.defaultdict(float), collections.defaultdict(float)]
counts = collections.Counter()
late = [[], []]
waiting = [[], []]


def checksum(data):
    # The ones' complement sum of 16-bit words is the number modulo 65535 (RFC 1071).
    return 0xFFFF ^ (int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF)


def packet(like, seq, flags, payload):
    """A TCP segment in IPv4 like another, with its options."""
    head = (like[0] & 15) * 4
    tcp = bytearray(like[head:head + (like[head + 12] >> 4) * 4])
    tcp[4:8] = (seq % 2**32).to_bytes(4, "big")
    tcp[13] = flags
    tcp[16:18] = b"\0\0"
    pseudo = like[12:20] + struct.pack("!BBH", 0, 6, len(tcp) + len(payload))
    tcp[16:18] = checksum(pseudo + bytes(tcp) + payload).to_bytes(2, "big")
    ip = bytearray(like[:head])
    ip[2:4] = (head + len(tcp) + len(payload)).to_bytes(2, "big")
    ip[10:12] = b"\0\0"
    ip[10:12] = checksum(bytes(ip)).to_bytes(2, "big")
    return bytes(ip) + bytes(tcp) + payload


def forged(like, seq, payload):
    """What a stranger sends who does not know where the connection is; TCP takes nothing of it (RFC 5961)."""
    end, junk = seq + len(payload), b"a stranger's bytes"
    for at in (end + 9, end + 20000, end - 5, end + 2**29, end - 2**29):
        yield packet(like, at, 0x14, b"")
    for at in (end + 2**29, end - 2**29, end - 2**20):
        yield packet(like, at, 0x18, junk)
        yield packet(like, at, 0x11, junk)
    # A probe (RFC 9293 section 3.8.4), with a byte that is not the one that was sent.
    yield packet(like, end - 1, 0x10, b"\xff")


def treat(who, data):
    """The packets that arrive for one that was sent."""
    rule = rules[who]
    if rule["dead"]:
        return []
    head = (data[0] & 15) * 4
    if data[0] >> 4 != 4 or data[9] != 6 or data[head + 13] & 2:
        # A handshake that is late only takes time.
        return [data]
    payload = data[head + (data[head + 12] >> 4) * 4:]
    seq, flags = int.from_bytes(data[head + 4:head + 8], "big"), data[head + 13]
    if chance.random() < rule["drop"]:
        counts["drop"] += 1
        return []
    if rule["backwards"]:
        waiting[who].insert(0, data)
        if not flags & 1:
            return []
        counts["backwards"] += 1
        parts, waiting[who] = waiting[who], []
        return parts
    parts = [data]
    if len(payload) > 200 and chance.random() < rule["recut"]:
        counts["recut"] += 1
        a, b = sorted(chance.sample(range(1, len(payload)), 2))
        parts = [packet(data, seq, flags & ~9, payload[:b]), packet(data, seq + a, flags, payload[a:])]
        chance.shuffle(parts)
    if chance.random() < rule["twice"]:
        counts["twice"] += 1
        parts = parts * 2
    if payload and rule["forge"]:
        rule["forge"] = 0
        counts["forge"] += 1
        parts += forged(data, seq, payload)
    return parts


def send(who, data):
    try:
        os.write(ends[1 - who], data)
    except OSError:
        # The other end is down, or its queue is full: the network loses it.
        counts["lost"] += 1


def forward(who):
    for _ in range(64):
        try:
            data = os.read(ends[who], 70000)
        except OSError:
            return
        for part in treat(who, data):
            if chance.random() < rules[who]["late"]:
                counts["late"] += 1
                late[who].append([chance.randint(1, 8), time.monotonic() + 0.005, part])
                continue
            send(who, part)
            for held in late[who]:
                held[0] -= 1
            release(who)


def release(who):
    now = time.monotonic()
    due = [held for held in late[who] if held[0] <= 0 or held[1] <= now]
    if due:
        late[who] = [held for held in late[who] if held not in due]
        for _, _, part in due:
            send(who, part)


print(f"READY main={os.getpid()}", flush=True)
while True:
    ready, _, _ = select.select([*ends, sys.stdin], [], [], 0.005 if any(late) else None)
    for who in (0, 1):
        if ends[who] in ready:
            forward(who)
        release(who)
    if sys.stdin in ready:
        words = sys.stdin.readline().split()
        if not words:
            break
        if words[0] == "treat":
            rules[int(words[1])].update((key, float(value)) for key, value in (word.split("=") for word in words[2:]))
        print("DONE", *(f"{key}={value}" for key, value in counts.items()), flush=True)
