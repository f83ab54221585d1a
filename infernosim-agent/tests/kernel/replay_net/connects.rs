//! Which connects reach the stub, and which do not.

use infernosim::redirect::{Action, Verdict, VerdictKey};
use infernosim_common::Fate;

use super::driver::Real;
use super::{Field, Replay};

/// Asks an address by a family's socket and tells the answer's last line and whom it believes to talk to.
const ASK: &str = r"
import socket, sys
for family, address, port in (%s):
    asking = socket.socket(family)
    asking.connect((address, port))
    asking.send(b'GET / HTTP/1.0\r\n\r\n')
    told = b''
    while part := asking.recv(4096): told += part
    print(told.split(b'\r\n')[-1].decode(), *asking.getpeername()[:2])
";

fn ask(of: &str) -> String {
    ASK.replace("%s", of)
}

#[test]
fn the_stub_stands_in_for_every_address_and_family() {
    let mut replay = Replay::start(Field::alone(), true);
    replay.always("10.0.0.7:80", Action::Stub);
    replay.always("[2001:db8::7]:81", Action::Stub);
    replay.always("127.0.0.1:82", Action::Stub);
    replay.verdicts.set(VerdictKey::AnyAddress(90), Verdict::always(Action::Stub)).unwrap();
    let said =
        replay.python(&ask("(socket.AF_INET, '10.0.0.7', 80), (socket.AF_INET6, '::ffff:10.0.0.7', 80), \
         (socket.AF_INET6, '2001:db8::7', 81), (socket.AF_INET, '127.0.0.1', 82), \
         (socket.AF_INET, '0.0.0.0', 82), (socket.AF_INET, '203.0.113.9', 90), \
         (socket.AF_INET6, 'fe80::1%lo', 90)"));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "10.0.0.7:80 10.0.0.7 80",
            "10.0.0.7:80 ::ffff:10.0.0.7 80",
            "[2001:db8::7]:81 2001:db8::7 81",
            "127.0.0.1:82 127.0.0.1 82",
            "0.0.0.0:82 0.0.0.0 82",
            "203.0.113.9:90 203.0.113.9 90",
            "[fe80::1]:90 fe80::1 90",
        ]
    );
    assert_eq!(replay.told(), []);
    assert_eq!(replay.leaks(), "");
}

#[test]
fn a_dependency_that_runs_hears_nothing() {
    let replay = Replay::start(Field::new(), true);
    let reals = [("10.77.0.2", "10.77.0.2"), ("fd77::2", "[fd77::2]")]
        .map(|(address, host)| (Real::at(&replay.field.lab.server, address), host));
    for (real, host) in &reals {
        let url = format!("http://{host}:{}/", real.address.port());
        replay.always(&real.address.to_string(), Action::Stub);
        assert_eq!(replay.run(&["curl", "-sS", &url]), real.address.to_string());
        replay.always(&real.address.to_string(), Action::Refuse);
        assert!(replay.run(&["curl", "-sS", &url]).starts_with("curl: (7)"));
        assert_eq!(real.reached(), (0, 0), "{url}");
        // That it can be reached at all.
        replay.always(&real.address.to_string(), Action::Live);
        replay.run(&["curl", "-sS", "-m1", &url]);
        assert_eq!(real.reached(), (1, 0), "{url}");
    }
    assert_eq!(replay.leaks(), "");
}

#[test]
fn what_nobody_spoke_of_is_refused_and_told() {
    let mut replay = Replay::start(Field::new(), true);
    let real = Real::at(&replay.field.lab.server, "10.77.0.2");
    replay.always("127.0.0.1:80", Action::Stub);
    replay.always("[::1]:81", Action::Stub);
    let script = format!(
        "
import socket
for family, address, port in ((2, '10.77.0.2', {}), (10, 'fd77::2', 80), (10, '::1', 80), (2, '127.0.0.1', 81),
        (2, '127.0.0.1', 83), (2, '10.77.0.2', 80)):
    print(socket.socket(family).connect_ex((address, port)))
",
        real.address.port()
    );
    assert_eq!(replay.python(&script).lines().collect::<Vec<_>>(), ["111"; 6]);
    let told = replay.told();
    let told: Vec<_> = told.iter().map(|(whom, fate)| (whom.as_str(), *fate)).collect();
    assert_eq!(
        told,
        [
            (real.address.to_string().as_str(), Fate::Unknown),
            ("[fd77::2]:80", Fate::Unknown),
            ("[::1]:80", Fate::Twin),
            ("127.0.0.1:81", Fate::Twin),
            ("127.0.0.1:83", Fate::Unknown),
            ("10.77.0.2:80", Fate::Unknown),
        ]
    );
    assert_eq!((real.reached(), replay.leaks()), ((0, 0), String::new()));
}

/// A client that means localhost falls back from `::1`, as it did when it was recorded.
#[test]
fn localhost_falls_back_to_the_family_that_was_recorded() {
    let mut replay = Replay::start(Field::alone(), true);
    replay.always("127.0.0.1:8080", Action::Stub);
    assert_eq!(replay.run(&["curl", "-sS", "http://localhost:8080/"]), "127.0.0.1:8080");
    assert!(replay.told().iter().all(|(_, fate)| *fate == Fate::Twin));
}

#[test]
fn passed_on_if_the_user_wants_it() {
    let mut replay = Replay::start(Field::new(), false);
    let real = Real::at(&replay.field.lab.server, "10.77.0.2");
    let script = format!(
        "import socket; print(socket.socket().connect_ex(('10.77.0.2', {port})))
socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.2', {port}))",
        port = real.address.port()
    );
    assert_eq!(replay.python(&script), "0");
    crate::harness::eventually("the datagram is there", || real.reached().1 == 1);
    assert_eq!(replay.told(), [(real.address.to_string(), Fate::Passed)]);
    assert_eq!(replay.leaks(), "");
}

#[test]
fn multipath_and_fast_open_are_redirected_too() {
    let mut replay = Replay::start(Field::alone(), true);
    replay.always("10.0.0.7:80", Action::Stub);
    let said = replay.python(
        r"
import socket
for flags, protocol in ((0, 262), (socket.MSG_FASTOPEN, 6)):
    asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    if flags:
        asking.sendto(b'GET / HTTP/1.0\r\n\r\n', flags, ('10.0.0.7', 80))
    else:
        asking.connect(('10.0.0.7', 80))
        asking.send(b'GET / HTTP/1.0\r\n\r\n')
    told = b''
    while part := asking.recv(4096): told += part
    print(told.split(b'\r\n')[-1].decode(), *asking.getpeername())
refused = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
print(refused.connect_ex(('10.0.0.7', 81)))
",
    );
    assert_eq!(said, "10.0.0.7:80 10.0.0.7 80\n10.0.0.7:80 10.0.0.7 80\n111");
    assert_eq!(replay.told(), [("10.0.0.7:81".to_owned(), Fate::Unknown)]);
    assert_eq!(replay.leaks(), "");
}
