//! Lookups reach our resolver, whoever is asked, and their answers come from whom the target asked.

use std::net::IpAddr;

use super::{Field, Replay};
use crate::harness::PYTHON;

/// Whom the resolver's own record says were asked, and that it knows by whom.
fn resolvers(replay: &Replay, comm: &str) -> Vec<String> {
    let asked = replay.asked();
    for flow in &asked {
        let name = String::from_utf8_lossy(&flow.comm);
        assert!(flow.pid > 0 && name.starts_with(comm) && flow.port == 53, "{flow:?}");
    }
    asked.iter().map(|flow| IpAddr::from(flow.destination).to_string()).collect()
}

#[test]
fn dig_gets_its_answer_from_whom_it_asked() {
    let replay = Replay::start(Field::alone(), true);
    for resolver in ["198.51.100.53", "127.0.0.53", "2001:db8::53"] {
        let server = format!("@{resolver}");
        for way in ["+notcp", "+tcp"] {
            let words = ["dig", "+tries=1", "+timeout=5", "+nocookie", way, &server, "shop.test", "A"];
            let said = replay.run(&words);
            assert!(said.contains("10.9.9.9"), "{resolver} {way}: {said}");
            let server = format!("SERVER: {resolver}#53({resolver})");
            assert!(said.contains(&server), "{said}");
            assert!(!said.contains("reply from unexpected source"), "{said}");
            let asked = resolvers(&replay, "");
            assert_eq!(asked, if way == "+tcp" { vec![] } else { vec![resolver.to_owned()] });
        }
    }
    assert_eq!(replay.leaks(), "");
}

#[test]
fn libc_looks_names_up_with_us() {
    let replay = Replay::start(Field::new(), true);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("resolv.conf");
    for (text, asked) in [
        ("nameserver 10.77.0.2\n", 2),
        ("nameserver fd77::2\n", 2),
        ("nameserver 10.77.0.2\noptions use-vc\n", 0),
    ] {
        std::fs::write(&path, text).unwrap();
        let mount =
            format!("mount --bind '{}' /etc/resolv.conf && exec getent ahosts a.test", path.display());
        let said = replay.run(&["unshare", "--mount", "sh", "-c", &mount]);
        assert!(said.contains("10.9.9.9") && said.contains("fd99::9"), "{text}: {said}");
        assert_eq!(resolvers(&replay, "getent").len(), asked, "{text}");
    }
    assert_eq!(replay.leaks(), "");
}

/// Not connected, connected, of the other family; and what getpeername and recvmsg say.
const SOCKETS: &str = r"
import socket
question = b'\x12\x34\x01\0\0\1\0\0\0\0\0\0\4four\4test\0\0\1\0\1'
def heard(asking):
    asking.settimeout(5)
    answer, source = asking.recvfrom(512)
    return answer[-4:] == bytes((10, 9, 9, 9)), *source[:2]
plain = socket.socket(type=socket.SOCK_DGRAM)
plain.sendto(question, ('10.1.1.1', 53))
print(*heard(plain))
plain.sendto(question, ('10.1.1.2', 53))
print(*heard(plain))
plain.sendto(question, ('0.0.0.0', 53))
print(*heard(plain))
plain.sendto(question, ('10.1.1.3', 53))
plain.sendto(question, ('10.1.1.4', 53))
print(heard(plain)[2], heard(plain)[1] in ('10.1.1.3', '10.1.1.4'))
joined = socket.socket(type=socket.SOCK_DGRAM)
joined.connect(('10.1.1.5', 53))
joined.send(question)
print(*heard(joined), *joined.getpeername())
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.sendto(question, ('fd00::5', 53))
print(*heard(six))
mapped = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
mapped.sendto(question, ('::ffff:10.1.1.6', 53))
print(*heard(mapped))
joined = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
joined.connect(('::ffff:10.1.1.7', 53))
joined.send(question)
print(*heard(joined), *joined.getpeername()[:2])
joined = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
joined.connect(('fd00::8', 53))
joined.send(question)
print(*heard(joined), *joined.getpeername()[:2])
";

#[test]
fn sockets_of_every_kind_see_whom_they_asked() {
    let replay = Replay::start(Field::alone(), true);
    let said = replay.run(&[PYTHON, "-c", SOCKETS]);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "True 10.1.1.1 53",
            "True 10.1.1.2 53",
            "True 127.0.0.1 53",
            "53 True",
            "True 10.1.1.5 53 10.1.1.5 53",
            "True fd00::5 53",
            "True ::ffff:10.1.1.6 53",
            "True ::ffff:10.1.1.7 53 ::ffff:10.1.1.7 53",
            "True fd00::8 53 fd00::8 53",
        ]
    );
    let asked = resolvers(&replay, "python3");
    let last: Vec<&str> = asked[5..].iter().map(String::as_str).collect();
    assert_eq!(asked[..3], ["10.1.1.1", "10.1.1.2", "127.0.0.1"]);
    assert_eq!(last, ["10.1.1.5", "fd00::5", "10.1.1.6", "10.1.1.7", "fd00::8"]);
    assert_eq!(replay.leaks(), "");
}

#[test]
fn node_sees_whom_it_asked() {
    let replay = Replay::start(Field::alone(), true);
    let script = "
const asking = require('dgram').createSocket('udp4');
asking.on('message', (_, from) => { console.log(from.address, from.port); asking.close(); });
asking.send(Buffer.from('123401000001000000000000046e6f6465047465737400000100 01'.replace(' ', ''), 'hex'), 53, '10.1.1.1');
const resolver = new (require('dns').Resolver)();
resolver.setServers(['10.1.1.2']);
resolver.resolve4('a.test', (error, found) => console.log(error ?? found.join()));
";
    let said = replay.run(&["node", "-e", script]);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["10.1.1.1 53", "10.9.9.9"]);
    assert_eq!(resolvers(&replay, "node").len(), 2);
}
