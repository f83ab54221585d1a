//! Recorded failures happen again, as often as they did.

use infernosim::redirect::{Action, Verdict, VerdictKey};
use infernosim_common::Fate;
use nix::errno::Errno;

use super::{Field, Replay};

/// Each way to connect, and what the program sees of a refusal.
const REFUSED: &str = r"
import asyncio, errno, select, socket
def blocking(family, address):
    return errno.errorcode[socket.socket(family).connect_ex((address, 80))]
def waiting(family, address):
    asking = socket.socket(family)
    asking.setblocking(False)
    first = errno.errorcode.get(asking.connect_ex((address, 80)))
    poll = select.poll()
    poll.register(asking, select.POLLOUT)
    poll.poll(5000)
    return first, errno.errorcode.get(asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
async def streams(address):
    try: await asyncio.open_connection(address, 80)
    except OSError as error: return errno.errorcode[error.errno]
for family, address in ((2, '10.0.0.7'), (10, 'fd00::7'), (10, '::ffff:10.0.0.7')):
    print(blocking(family, address), *waiting(family, address), asyncio.run(streams(address)))
";

#[test]
fn a_refusal_is_the_kernels_own() {
    let mut replay = Replay::start(Field::alone(), true);
    replay.always("10.0.0.7:80", Action::Refuse);
    replay.always("[fd00::7]:80", Action::Refuse);
    let said = replay.python(REFUSED);
    let once = "ECONNREFUSED EINPROGRESS ECONNREFUSED ECONNREFUSED";
    assert_eq!(said, [once; 3].join("\n"));
    let told = replay.told();
    assert_eq!(told.len(), 9);
    assert!(told.iter().all(|(_, fate)| *fate == Fate::Refused), "{told:?}");
    // On a port where nobody listens the kernel says the same to who is not the target.
    let native = REFUSED.replace("10.0.0.7", "127.0.0.1").replace("fd00::7", "::1").replace(", 80", ", 9");
    let native = replay.field.lab.client.enter(move || {
        let words = [crate::harness::PYTHON, "-c", &native];
        std::process::Command::new(words[0]).args(&words[1..]).output().unwrap().stdout
    });
    assert_eq!(String::from_utf8_lossy(&native).trim_end(), said);
}

#[test]
fn other_failures_have_their_own_errno() {
    let mut replay = Replay::start(Field::alone(), true);
    let errnos = [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::ETIMEDOUT, Errno::EPERM];
    for (port, errno) in (80..).zip(errnos) {
        replay.always(&format!("10.0.0.7:{port}"), Action::Fail(errno));
        replay.always(&format!("[fd00::7]:{port}"), Action::Fail(errno));
    }
    let said = replay.python(
        "import socket\nfor family, address in ((2, '10.0.0.7'), (10, 'fd00::7'), (10, '::ffff:10.0.0.7')):
    print(*(socket.socket(family).connect_ex((address, port)) for port in range(80, 85)))",
    );
    let expected = errnos.map(|errno| (errno as i32).to_string()).join(" ");
    assert!(replay.redirect.has_exact_errno(), "this kernel is older than 5.18");
    assert_eq!(said.lines().collect::<Vec<_>>(), [expected.as_str(); 3]);
    let told = replay.told();
    assert!(told.len() == 15 && told.iter().all(|(_, fate)| *fate == Fate::Failed), "{told:?}");
}

/// A program that counted two at once as one would refuse more than there are.
#[test]
fn as_many_fail_as_are_to_whoever_comes_together() {
    let mut replay = Replay::start(Field::alone(), true);
    let key = VerdictKey::AnyAddress(80);
    for (times, then) in [(7_u32, Action::Stub), (0, Action::Stub), (150, Action::Refuse)] {
        let first = if then == Action::Stub { Action::Refuse } else { Action::Stub };
        replay.verdicts.set(key, Verdict { first, times, then }).unwrap();
        assert_eq!(replay.verdicts.left(key), Some(times));
        let said = replay.python(
            r"
import socket, threading
answers = []
go = threading.Barrier(40)
def connect():
    go.wait()
    for _ in range(5):
        asking = socket.socket()
        answers.append(asking.connect_ex(('10.0.0.7', 80)))
        asking.close()
threads = [threading.Thread(target=connect) for _ in range(40)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(answers.count(111), answers.count(0))
",
        );
        let refused = if then == Action::Stub { times } else { 200 - times };
        assert_eq!(said, format!("{refused} {}", 200 - refused));
        assert_eq!(replay.verdicts.left(key), Some(0));
        assert_eq!(replay.told().len(), refused as usize);
    }
    replay.verdicts.clear();
    assert_eq!(replay.verdicts.left(key), None);
    assert_eq!(replay.python("import socket; print(socket.socket().connect_ex(('10.0.0.7', 80)))"), "111");
    assert_eq!(replay.told(), [("10.0.0.7:80".to_owned(), Fate::Unknown)]);
}

/// The kernel itself gives up on it, after as many SYNs as the socket may send: 1 s and 2 s.
#[test]
fn a_hang_lasts_until_the_target_gives_up() {
    let mut replay = Replay::start(Field::alone(), true);
    replay.set("10.0.0.7:80", Verdict { first: Action::Hang, times: 4, then: Action::Stub });
    let said = replay.python(
        r"
import errno, select, socket
family, address = socket.AF_INET, '10.0.0.7'
short = socket.socket()
short.settimeout(0.3)
try: short.connect((address, 80))
except TimeoutError: print('timeout')
waiting = socket.socket()
waiting.setblocking(False)
poll = select.poll()
poll.register(waiting, select.POLLOUT)
print(errno.errorcode[waiting.connect_ex((address, 80))], poll.poll(300))
waiting.setblocking(True)
few = socket.socket(socket.AF_INET6)
few.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
print(errno.errorcode[few.connect_ex(('::ffff:' + address, 80))])
mapped = socket.socket()
mapped.settimeout(0.1)
print(mapped.connect_ex((address, 80)) != 0, socket.socket().connect_ex((address, 80)))
",
    );
    let expected = ["timeout", "EINPROGRESS []", "ETIMEDOUT", "True 0"];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert_eq!(replay.told(), vec![("10.0.0.7:80".to_owned(), Fate::Hung); 4]);
    assert_eq!(replay.leaks(), "", "what hangs was to hang");
}
