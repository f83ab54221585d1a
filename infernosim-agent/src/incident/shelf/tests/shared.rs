//! A folder that two processes write: here two shelves, which know no more of each other.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::clock;
use crate::incident::manifest::Explicit;
use crate::incident::redact::Policy;

/// One process.
struct Process {
    lines: Lines,
    writer: Writer,
    budget: Arc<Budget>,
    side: Direction,
    number: u64,
}

const LIMITS: Limits = Limits { inline_body: 1000, max_body: u64::MAX };

impl Process {
    fn join(log: &Path, side: Direction) -> Result<Self> {
        Self::join_by(log, side, Some(Policy::default()))
    }

    fn join_by(log: &Path, side: Direction, policy: Option<Policy>) -> Result<Self> {
        let mut shelf = Shelf::join(log, owner(), side)?;
        let redaction = shelf.redaction(policy)?;
        let mut manifest = Manifest::default();
        manifest.target.explicit = Some(Explicit::of(side, vec!["127.0.0.1:9000".into()], None));
        redaction.describe(&mut manifest);
        let (share, number) = (shelf.share().unwrap(), shelf.numbers().next());
        shelf.begin(manifest, None);
        let budget = Arc::new(Budget::new(8 << 20));
        let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget))?;
        let ids = Ids::from_key([clock::now().0, 2]);
        let mut lines = Lines::new(outbox, Arc::clone(&budget), LIMITS, &redaction, ids, clock::now());
        lines.share(share);
        Ok(Self { lines, writer, budget, side, number })
    }

    /// An exchange that happens now.
    fn tell(&mut self, request: &str, answer: &str) {
        let mut exchanges = Exchanges::new(self.side, peer(self.number), clock::now());
        let mut conversation = Conversation::new();
        for (from, text) in [(Sender::Client, request), (Sender::Server, answer)] {
            let at = clock::now();
            let lines = &mut self.lines;
            conversation.feed(from, text.as_bytes(), &mut |message| exchanges.message(at, message, lines));
        }
        exchanges.end(clock::now(), Ending::Closed, &mut self.lines);
    }

    fn ask(&mut self, path: &str, length: usize) {
        let body = "b".repeat(length);
        self.tell(
            &format!("GET {path} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer hunter2hunter2\r\n\r\n"),
            &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"),
        );
    }

    fn end(self) -> Sums {
        let Self { lines, writer, budget, .. } = self;
        let totals = lines.finish();
        let (mut shelf, written) = writer.join().unwrap();
        shelf.close(&totals, &written);
        assert_eq!(budget.held(), 0, "all memory is given back");
        shelf.into_sums()
    }

    /// Its lines come to the disk, and its manifest is never closed.
    fn kill(self) {
        self.lines.finish();
        drop(self.writer.join().unwrap());
    }
}

fn manifest(folder: &Path) -> Manifest {
    Manifest::read(folder).unwrap().unwrap()
}

fn told(folder: &Path) -> Vec<(String, u64)> {
    let events = Incident::open(folder).unwrap().events().unwrap();
    let event = |record: Result<crate::incident::reader::Record>| {
        let event = record.unwrap().event;
        (format!("{} {}", event.kind.as_str(), event.path_and_query()), event.sequence.unwrap_or(0))
    };
    events.map(event).collect()
}

fn check_logs(folder: &Path) {
    for (name, said) in manifest(folder).logs {
        let text = fs::read(folder.join(&name)).unwrap();
        let digest = crate::incident::store::hex(&<sha2::Sha256 as sha2::Digest>::digest(&text));
        let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        assert_eq!((said.sha256, said.bytes, said.lines), (digest, text.len() as u64, lines), "{name}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn two_processes_write_one_incident_and_nothing_else_in_the_folder_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    let mut calls = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap();
    assert!(!manifest(path).closed);
    let mut served = Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap();
    assert_ne!(calls.number, served.number);
    assert!(!path.join("bodies").exists(), "nobody needs it yet");
    for number in 0..20 {
        served.ask(&format!("/in/{number}"), 5);
        calls.ask(&format!("/out/{number}"), if number == 7 { 5000 } else { 5 });
    }
    assert!(calls.end().errors.is_empty());
    let between = manifest(path);
    assert!(!between.closed && between.ended_at.is_none(), "the other still writes");
    assert_eq!(between.counts["OutboundCall"], 20);
    served.ask("/in/last", 5);
    let sums = served.end();
    assert!(sums.errors.is_empty() && sums.notes.is_empty() && sums.incidents[0].events == 42, "{sums:?}");
    let all = manifest(path);
    assert!(all.closed && all.ended_at.is_some());
    check_logs(path);
    assert_eq!(all.logs.len(), 2);
    assert_eq!((all.counts["OutboundCall"], all.counts["InboundRequest"]), (20, 21));
    assert_eq!((all.dependencies.len(), all.dependencies[0].calls), (1, 20));
    assert_eq!((all.redaction.policy.as_str(), all.redaction.distinct), ("default", 1));
    let explicit = all.target.explicit.unwrap();
    assert_eq!(explicit.inbound.unwrap().log, "inbound.log");
    assert_eq!(explicit.outbound.unwrap().listen, ["127.0.0.1:9000"]);
    // They took turns, and so do their lines.
    let told = told(path);
    let expected: Vec<String> = (0..20)
        .flat_map(|n| {
            [
                format!("InboundRequest /in/{n}"),
                format!("InboundResponse /in/{n}"),
                format!("OutboundCall /out/{n}"),
            ]
        })
        .chain(["InboundRequest /in/last".into(), "InboundResponse /in/last".into()])
        .collect();
    assert_eq!(told.iter().map(|(what, _)| what.clone()).collect::<Vec<_>>(), expected);
    assert!(told.windows(2).all(|two| two[0].1 < two[1].1), "{told:?}");
    assert_eq!((fs::read_to_string(path.join("notes.txt")).unwrap().as_str(), mode(path)), ("mine", 0o755));
    assert_eq!([mode(&path.join("inbound.log")), mode(&path.join("secrets.json"))], [0o600; 2]);
    assert_eq!((mode(&path.join("bodies")), fs::read_dir(path.join("bodies")).unwrap().count()), (0o700, 1));
}

#[test]
fn a_secret_that_both_meet_has_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut first = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap();
    let mut second = Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap();
    first.ask("/a", 1);
    second.ask("/b", 1);
    second.tell("GET /c HTTP/1.1\r\nAuthorization: Basic bWU6b3RoZXI=\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    first.end();
    // A line that a killed process left unfinished in the middle of the file.
    let mut file = fs::OpenOptions::new().append(true).open(path.join("secrets.json")).unwrap();
    file.write_all(b"{\"token\":\"redac").unwrap();
    second.tell("GET /d HTTP/1.1\r\nAuthorization: Basic bWU6dGhpcmQ=\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    second.end();
    let secrets = Incident::open(path).unwrap().secrets().unwrap();
    let tokens: std::collections::BTreeSet<String> = ["inbound.log", "outbound.log"]
        .iter()
        .map(|log| {
            let text = fs::read_to_string(path.join(log)).unwrap();
            let at = text.find("redacted-").unwrap();
            text[at..at + 33].to_owned()
        })
        .collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(secrets.get(tokens.first().unwrap()).is_some());
    assert_eq!((secrets.len(), manifest(path).redaction.distinct), (3, 3));
}

#[test]
fn sessions_add_up_and_one_that_was_killed_is_counted_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path(), folder.path().join("outbound.log"));
    let mut connections = Vec::new();
    for (round, killed) in [false, true, false].into_iter().enumerate() {
        let mut calls = Process::join(&log, Direction::Outbound).unwrap();
        connections.push(calls.number);
        calls.ask(&format!("/{round}"), 5);
        if !killed {
            calls.end();
            assert!(manifest(path).closed);
            continue;
        }
        calls.kill();
        assert!(!manifest(path).closed);
        let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(b"{\"id\":\"torn").unwrap();
    }
    check_logs(path);
    let all = manifest(path);
    assert_eq!((all.counts["OutboundCall"], all.dependencies[0].calls), (3, 3));
    let told = told(path);
    assert_eq!(told.iter().map(|(what, _)| &what[13..]).collect::<Vec<_>>(), ["/0", "/1", "/2"]);
    assert!(told[0].1 < told[1].1 && told[1].1 < told[2].1);
    connections.dedup();
    assert_eq!(connections.len(), 3);
}

#[test]
fn a_torn_line_is_cut_off_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("inbound.log");
    fs::write(&log, "{\"type\":\"InboundRequest\"}\n{\"id\":\"to").unwrap();
    let sums = Process::join(&log, Direction::Inbound).unwrap().end();
    assert!(sums.notes.iter().any(|note| note.contains("inbound.log: its last line was torn")), "{sums:?}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "{\"type\":\"InboundRequest\"}\n");
}

#[test]
fn logs_of_the_go_tool_are_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let old = "{\"id\":\"1\",\"type\":\"OutboundCall\",\"method\":\"GET\",\"url\":\"http://shop/old\",\"status\":200}\n";
    fs::write(path.join("outbound.log"), old).unwrap();
    fs::write(
        path.join("inbound.log"),
        "{\"type\":\"InboundRequest\",\"sequence\":41,\"url\":\"http://a/x\"}\n",
    )
    .unwrap();
    let mut calls = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap();
    calls.ask("/new", 5);
    calls.end();
    check_logs(path);
    let all = manifest(path);
    assert!(all.closed && all.logs.len() == 2, "{all:?}");
    assert_eq!((all.counts["OutboundCall"], all.counts["InboundRequest"]), (2, 1));
    assert_eq!((all.dependencies.len(), all.dependencies[0].calls), (1, 2));
    assert_eq!(all.redaction.policy, "mixed", "what the old lines hold was never replaced");
    assert!(told(path).last().unwrap().1 > 41);
}

#[test]
fn after_a_boot_the_numbers_go_on_above_the_largest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut served = Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    served.ask("/before", 5);
    served.end();
    let mut other_boot = manifest(path);
    other_boot.sequence.as_mut().unwrap().boot_id = "another".into();
    fs::write(path.join("incident.json"), other_boot.to_text()).unwrap();
    let mut calls = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap();
    calls.ask("/after", 5);
    calls.end();
    let told = told(path);
    let order: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(order, ["InboundRequest /before", "InboundResponse /before", "OutboundCall /after"]);
    assert!(told[1].1 < told[2].1, "{told:?}");
}

#[test]
fn what_is_not_to_be_written_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let join = |log: &str, side| Process::join(&path.join(log), side).map(Process::end);
    let refused = |log: &str, side, exit, says: &str| {
        let error = join(log, side).unwrap_err();
        assert_eq!(error.exit, exit, "{error}");
        assert!(error.message.contains(says), "{error}");
    };
    fs::write(path.join("precious"), "mine").unwrap();
    symlink("precious", path.join("link.log")).unwrap();
    symlink("nothing", path.join("dangling.log")).unwrap();
    fs::create_dir(path.join("folder.log")).unwrap();
    refused("link.log", Direction::Inbound, Exit::Usage, "is a symbolic link");
    refused("dangling.log", Direction::Inbound, Exit::Usage, "is a symbolic link");
    refused("nowhere/inbound.log", Direction::Inbound, Exit::Incident, "No such file");
    assert!(join("folder.log", Direction::Inbound).is_err() && join("..", Direction::Inbound).is_err());
    assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), "mine");
    assert!(!path.join("incident.json").exists());
    // While it is written.
    let first = Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap();
    refused("inbound.log", Direction::Inbound, Exit::Host, &format!("(pid {})", std::process::id()));
    refused("inbound.log", Direction::Outbound, Exit::Usage, "has another side's log");
    refused("second.log", Direction::Inbound, Exit::Usage, "already has a log of this side, inbound.log");
    assert!(!path.join("second.log").exists());
    fs::remove_file(path.join("incident.json")).unwrap();
    refused("outbound.log", Direction::Outbound, Exit::Host, "its incident.json is gone");
    first.end();
    assert!(manifest(path).closed, "it knew what it had said");
    // One that a capture made.
    let captured = path.join("captured");
    let mut shelf = Shelf::create(&captured, owner(), false, None).unwrap();
    shelf.begin(Manifest::default(), None);
    refused("captured/inbound.log", Direction::Inbound, Exit::Usage, "that `infernosim capture` made");
}

#[test]
fn a_session_that_came_to_nothing_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    let mut shelf = Shelf::join(&path.join("outbound.log"), owner(), Direction::Outbound).unwrap();
    shelf.redaction(Some(Policy::default())).unwrap();
    shelf.discard();
    let names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["notes.txt"]);
    // Not a secret was met: the key alone is of no use.
    let sums = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap().end();
    assert!(
        sums.errors.is_empty() && !path.join("secrets.json").exists() && path.join("outbound.log").exists()
    );
    // But a log that was there stays.
    let shelf = Shelf::join(&path.join("outbound.log"), owner(), Direction::Outbound).unwrap();
    shelf.discard();
    assert!(path.join("outbound.log").exists() && path.join("incident.json").exists());
}

#[test]
fn a_log_that_is_removed_takes_its_events_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut served = Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap();
    let mut calls = Process::join(&path.join("outbound.log"), Direction::Outbound).unwrap();
    calls.ask("/gone", 5);
    served.ask("/there", 5);
    fs::remove_file(path.join("outbound.log")).unwrap();
    let sums = calls.end();
    assert!(sums.errors.iter().any(|error| error.contains("outbound.log was removed")), "{sums:?}");
    served.end();
    let all = manifest(path);
    assert_eq!(all.counts.keys().collect::<Vec<_>>(), ["InboundRequest", "InboundResponse"]);
    // It was called all the same.
    assert_eq!((all.lost.by_reason["removed"].events, all.dependencies.len()), (1, 1));
    check_logs(path);
    // Between sessions, too.
    fs::write(path.join("inbound.log"), "").unwrap();
    Process::join(&path.join("inbound.log"), Direction::Inbound).unwrap().end();
    assert!(manifest(path).counts.is_empty());
}

#[test]
fn where_there_are_only_lines_nothing_else_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    let mut calls = Process::join(&pipe, Direction::Outbound).unwrap();
    calls.ask("/a", 5000);
    calls.ask("/b", 70_000);
    calls.ask("/b", 70_000);
    let sums = calls.end();
    assert!(sums.errors.is_empty() && sums.lost.is_empty(), "{sums:?}");
    let text = reader.join().unwrap();
    let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, Some(at as u64 + 1));
        let kept = event.response_body.as_ref().unwrap().len();
        assert!(event.response_body_truncated && kept == 1000, "{kept}");
    }
    assert_eq!(events.len(), 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let sums = Process::join(Path::new("/dev/null"), Direction::Inbound).unwrap().end();
    assert!(sums.errors.is_empty() && sums.notes.is_empty(), "{sums:?}");
}

#[test]
fn what_belongs_to_neither_log_goes_to_the_one_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Process::join(&folder.path().join("inbound.log"), Direction::Inbound).unwrap();
    served.ask("/a", 5);
    served.lines.lost(Reason::Gap, 2, 9);
    served.ask("/b", 5);
    let sums = served.end();
    assert_eq!(sums.lost.events(), 2);
    let told = told(folder.path());
    let order: Vec<&str> = told.iter().map(|(what, _)| what.trim_end()).collect();
    let expected =
        ["InboundRequest /a", "InboundResponse /a", "Lost", "InboundRequest /b", "InboundResponse /b"];
    assert_eq!(order, expected);
    assert_eq!(told[2].1, told[1].1 + 2, "it takes no time that others need");
    assert!(!folder.path().join("outbound.log").exists());
    let all = manifest(folder.path());
    assert_eq!((all.counts["Lost"], all.lost.by_reason["gap"].bytes), (1, 9));
}

/// Each opens the folder by itself, so that their locks are as those of processes.
#[test]
fn two_that_begin_an_incident_at_once_are_both_let_in() {
    for round in 0..100_u64 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for (name, side) in [("inbound.log", Direction::Inbound), ("outbound.log", Direction::Outbound)] {
                let (log, barrier) = (folder.path().join(name), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let behind = clock::now();
                    while side == Direction::Outbound && clock::now().since(behind) < round * 4_000 {}
                    let joined = Shelf::join(&log, owner(), side);
                    barrier.wait();
                    joined.unwrap();
                });
            }
        });
    }
}

#[test]
fn processes_that_come_and_go_at_once_lose_nothing_of_each_other() {
    const ROUNDS: u64 = 12;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::thread::scope(|scope| {
        for (name, side) in [("inbound.log", Direction::Inbound), ("outbound.log", Direction::Outbound)] {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut process = Process::join(&path.join(name), side).unwrap();
                    process.ask(&format!("/{round}"), 2000);
                    let secret = format!("GET /s HTTP/1.1\r\nAuthorization: Bearer {round}-of-many\r\n\r\n");
                    process.tell(&secret, "HTTP/1.1 204 No Content\r\n\r\n");
                    let sums = process.end();
                    assert!(sums.errors.is_empty() && sums.notes.is_empty(), "{sums:?}");
                }
            });
        }
    });
    let all = manifest(path);
    let counts: Vec<_> = all.counts.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    let twice = ROUNDS * 2;
    assert_eq!(counts, [("InboundRequest", twice), ("InboundResponse", twice), ("OutboundCall", twice)]);
    assert!(all.closed && all.dependencies.iter().map(|it| it.calls).sum::<u64>() == twice);
    check_logs(path);
    assert_eq!((all.redaction.values, all.redaction.distinct), (twice * 2, ROUNDS + 1));
    let mut numbers: Vec<u64> = told(path).into_iter().map(|(_, number)| number).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]));
    numbers.dedup();
    assert_eq!(numbers.len() as u64, 3 * twice);
    let names: Vec<_> = fs::read_dir(path.join("bodies")).unwrap().collect();
    assert_eq!(names.len(), 1, "one body, twenty-four times");
}
