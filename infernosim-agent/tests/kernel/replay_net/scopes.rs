//! Whose sockets they are, where they are, and when.

use infernosim::redirect::{Action, ReplaySetting, Setting};
use infernosim_common::Fate;

use super::driver::Real;
use super::{Field, Replay};
use crate::harness::{PYTHON, eventually};

#[test]
fn what_cannot_be_sent_to_us_is_refused_and_told() {
    let mut replay = Replay::start(Field::new(), true);
    let real = Real::at(&replay.field.lab.server, "10.77.0.2");
    let address = real.address.to_string();
    replay.always(&address, Action::Stub);
    let script = format!(
        "import socket
bound = socket.socket()
bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'cable')
print(bound.connect_ex(('10.77.0.2', {})))",
        real.address.port()
    );
    assert_eq!(replay.python(&script), "111");
    // A namespace where we do not listen.
    let script =
        format!("import socket; print(socket.socket().connect_ex(('10.77.0.2', {})))", real.address.port());
    let said = replay.run_in(&replay.field.lab.server, &[PYTHON, "-c", &script]);
    assert_eq!(said, "111");
    assert_eq!(replay.told(), [(address.clone(), Fate::Unserved), (address, Fate::Unserved)]);
    assert_eq!((real.reached(), replay.leaks()), ((0, 0), String::new()));
}

/// Of two processes in one cgroup, one is followed.
#[test]
fn others_in_the_cgroup_are_left_alone() {
    let setting =
        Setting { by_process: true, replay: Some(ReplaySetting { deny: true }), ..Setting::default() };
    let mut replay = Replay::with(Field::new(), &setting);
    replay.redirect.follow(true).unwrap();
    let real = Real::at(&replay.field.lab.server, "10.77.0.2");
    let script = format!(
        "import socket, sys
sys.stdin.readline()
print(socket.socket().connect_ex(('10.77.0.2', {port})))
socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.2', {port}))",
        port = real.address.port()
    );
    let mut said = Vec::new();
    for followed in [false, true] {
        let mut command = replay.field.command(&replay.field.lab.client, &[PYTHON, "-c", &script]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        if followed {
            assert!(replay.targets.add(child.id()));
        }
        let output = child.wait_with_output();
        said.push(String::from_utf8(output.unwrap().stdout).unwrap());
    }
    assert_eq!(said, ["0\n", "111\n"]);
    eventually("the other's datagram is there", || real.reached() == (1, 1) || real.reached().1 == 1);
    assert_eq!(replay.told(), [(real.address.to_string(), Fate::Unknown)]);
    assert_eq!(replay.leaks(), "udp=1");
}

#[test]
fn once_it_is_over_everything_is_as_before() {
    let mut replay = Replay::start(Field::new(), true);
    let real = Real::at(&replay.field.lab.server, "10.77.0.2");
    replay.gate.shut();
    let script = format!(
        "import socket; print(socket.socket().connect_ex(('10.77.0.2', {port})))
socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.2', {port}))",
        port = real.address.port()
    );
    assert_eq!(replay.python(&script), "0");
    eventually("the datagram is there", || real.reached().1 == 1);
    assert_eq!((replay.told().len(), replay.leaks()), (0, String::new()));
}
