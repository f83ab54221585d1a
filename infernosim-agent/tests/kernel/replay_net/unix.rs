//! Resolvers that listen on UNIX sockets are not reached, and other UNIX sockets are.

use std::fs::File;

use super::{Field, Replay};
use crate::harness::PYTHON;

/// Its own `/run`; connects in an order in which what a longer path leaves behind a shorter one would tell them apart.
const CONNECTS: &str = r"
import os, socket
for directory in ('nscd', 'other', 'systemd/resolve'):
    os.makedirs('/run/' + directory)
paths = ['/run/systemd/resolve/io.systemd.Resolve', '/run/nscd/socket', '/run/nscd/socket2', '/run/other/socket']
listeners = []
for path in paths:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    listener.setblocking(False)
    listeners.append(listener)
said = [socket.socket(socket.AF_UNIX).connect_ex(path) for path in
        paths + ['/var/run/nscd/socket', '/run/nscd/none', '/run/avahi-daemon/socket', '\0/run/nscd/socket']]
print(*said)
print('10.9.9.9' in os.popen('getent ahosts a.test').read())
def reached(listener):
    try: listener.accept()
    except BlockingIOError: return 0
    return 1
print(*map(reached, listeners))
";

#[test]
fn a_resolver_on_a_unix_socket_is_not_reached() {
    let mut replay = Replay::start(Field::alone(), true);
    let cgroup = File::open(replay.field.cgroup.path()).unwrap();
    replay.redirect.refuse_unix_resolvers(&cgroup).expect("this kernel is older than 6.7");
    let place = tempfile::tempdir().unwrap();
    let conf = place.path().join("resolv.conf");
    std::fs::write(&conf, "nameserver 10.1.1.1\n").unwrap();
    let mounts = format!(
        "mount --bind '{}' /etc/resolv.conf && mount -t tmpfs none /run && exec \"$@\"",
        conf.display()
    );
    let said = replay.run(&["unshare", "--mount", "sh", "-c", &mounts, "sh", PYTHON, "-c", CONNECTS]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["111 111 0 0 111 2 111 111", "True", "0 0 1 1"]);
    // Four of the program's, and what getent tried.
    assert!(replay.redirect.refused_unix_resolvers() > 4);
    assert_eq!(replay.asked().len(), 2);
    replay.gate.shut();
    let said = replay.run(&["unshare", "--mount", "sh", "-c", &mounts, "sh", PYTHON, "-c", CONNECTS]);
    assert!(said.starts_with("0 0 0 0 0 2 2 111"), "{said}");
}
