//! What would leave is dropped and counted, and what answers a client is not.

use std::process::Command;

use infernosim::redirect::{Action, Verdict, VerdictKey};

use super::driver::Real;
use super::{Field, Replay};
use crate::harness::{PYTHON, eventually};

#[test]
fn datagrams_do_not_leave_and_their_sender_does_not_notice() {
    let replay = Replay::start(Field::new(), true);
    let four = Real::at(&replay.field.lab.server, "10.77.0.2");
    let six = Real::at(&replay.field.lab.server, "fd77::2");
    let script = format!(
        r"
import socket
four, six = ('10.77.0.2', {four}), ('fd77::2', {six})
plain = socket.socket(type=socket.SOCK_DGRAM)
print(plain.sendto(b'one', four), plain.sendto(b'two', ('127.0.0.1', 8125)), plain.sendto(b'3', ('10.77.0.2', 54)))
joined = socket.socket(type=socket.SOCK_DGRAM)
joined.connect(four)
print(joined.send(b'four'), joined.send(b'five'), *joined.getpeername()[:1])
plain = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
print(plain.sendto(b'one', six), plain.sendto(b'two', ('::ffff:10.77.0.2', {four})), plain.sendto(b'3', ('::1', 8125)))
joined = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
joined.connect(six)
print(joined.send(b'four'))
",
        four = four.address.port(),
        six = six.address.port()
    );
    let said = replay.python(&script);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["3 3 1", "4 4 10.77.0.2", "3 3 1", "4"]);
    assert_eq!(replay.leaks(), "udp=6 udp-ipv6=3");
    assert_eq!((four.reached(), six.reached()), ((0, 0), (0, 0)));
    // What the user wants to be left alone is.
    let key = VerdictKey::Address(four.address);
    replay.verdicts.set(key, Verdict::always(Action::Live)).unwrap();
    replay.python(&script);
    eventually("they are there", || four.reached().1 > 0);
    assert_eq!(replay.leaks(), "udp=8 udp-ipv6=6");
}

/// Without a route nothing could be sent, and nothing would be counted, of what a recorded host did send.
#[test]
fn datagrams_are_counted_where_no_route_leads() {
    let replay = Replay::start(Field::alone(), true);
    let said = replay.python(
        "import socket
for family, address in ((2, '203.0.113.9'), (2, '224.0.0.251'), (10, '2001:db8::9'), (10, 'ff02::fb%lo')):
    print(socket.socket(family, socket.SOCK_DGRAM).sendto(b'leak', (address, 5353)))",
    );
    assert_eq!(said, "4\n4\n4\n4");
    assert_eq!(replay.leaks(), "udp=2 udp-ipv6=2");
}

#[test]
fn other_protocols_do_not_leave() {
    let replay = Replay::start(Field::new(), true);
    let said = replay.python(
        r"
import socket, struct
echo = b'\x08\0\xf7\xff\0\0\0\0'
print(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(echo, ('10.77.0.2', 0)))
six = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
try: six.sendto(b'\x80\0\0\0\0\0\0\0', ('fd77::2', 0))
except OSError as error: print(error.errno)
print(socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).sendto(b'raw', ('10.77.0.2', 0)))
made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
udp = struct.pack('!HHHH', 9, 53, 8, 0)
head = struct.pack('!BBHHHBBH4s4s', 69, 0, 28, 0, 0, 64, 17, 0, bytes((10, 77, 0, 1)), bytes((10, 77, 0, 2)))
print(made.sendto(head + udp, ('10.77.0.2', 0)))
",
    );
    // The kernel tells raw sockets of IPv6 of every packet that is dropped: ENOBUFS.
    assert_eq!(said, "8\n105\n3\n28");
    assert_eq!(replay.leaks(), "icmp=1 icmp-ipv6=1 raw=2");
}

/// Serves on 0.0.0.0 and says how it went to whoever asks, after it sent a datagram elsewhere.
const SERVER: &str = r"
import http.server, socket
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.2', 9))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'x' * 300000)
http.server.HTTPServer(('0.0.0.0', 8000), Answer).serve_forever()
";

#[test]
fn who_asks_the_target_is_answered() {
    let replay = Replay::start(Field::new(), true);
    let mut server = replay.field.command(&replay.field.lab.client, &[PYTHON, "-c", SERVER]).spawn().unwrap();
    let ask = || {
        replay.field.lab.server.enter(|| {
            let words = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-m", "20"];
            let output = Command::new("curl").args(words).arg("http://10.77.0.1:8000/").output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        })
    };
    eventually("it serves", || ask() == "200 300000");
    let before = replay.leaks();
    assert_eq!(ask(), "200 300000");
    let count = |text: &str| text.strip_prefix("udp=").unwrap().parse::<u64>().unwrap();
    assert_eq!(count(&replay.leaks()), count(&before) + 1, "{}", replay.leaks());
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A connection that is older than the replay, and says something then.
#[test]
fn older_connections_are_held_back_and_counted() {
    let field = Field::new();
    let real = Real::at(&field.lab.server, "10.77.0.2");
    let script = format!(
        "import socket, sys
older = socket.create_connection(('10.77.0.2', {}))
print('open', flush=True)
sys.stdin.readline()
older.send(b'leak')
print('sent', flush=True)
sys.stdin.readline()",
        real.address.port()
    );
    let mut command = field.command(&field.lab.client, &[PYTHON, "-c", &script]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut from = std::io::BufReader::new(from);
    let mut line = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut from, &mut line).unwrap();
        line
    };
    assert_eq!(line(), "open\n");
    let replay = Replay::start(field, true);
    std::io::Write::write_all(&mut to, b"\n").unwrap();
    assert_eq!(line(), "sent\n");
    let leaks = replay.leaks();
    assert!(leaks.starts_with("tcp="), "{leaks}");
    replay.gate.shut();
    drop(to);
    child.wait().unwrap();
}
