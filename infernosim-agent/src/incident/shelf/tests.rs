//! Lines in, numbered incidents out.

use std::fs;
use std::sync::Arc;

use nix::unistd::{Gid, Uid};
use proptest::prelude::*;

use super::*;
use crate::clock::Nanos;
use crate::error::Exit;
use crate::incident::event::{Event, Kind};
use crate::incident::exchange::{Ending, Exchanges};
use crate::incident::line::{Full, Lines, Peer};
use crate::incident::loss::Reason;
use crate::incident::reader::Incident;
use crate::incident::redact::Redaction;
use crate::incident::{Budget, Direction, Limits, Writer};
use crate::protocol::{Conversation, Sender};
use crate::seed::Ids;

const LOG: &str = Direction::Outbound.log();

mod both;
mod shared;

struct Capture {
    parent: tempfile::TempDir,
    lines: Lines,
    writer: Writer,
    full: Full,
    budget: Arc<Budget>,
}

fn owner() -> Ownership {
    Ownership { uid: Uid::effective(), gid: Gid::effective() }
}

fn start(rotation: Rotation, budget: usize) -> Capture {
    let parent = tempfile::tempdir().unwrap();
    let mut shelf = Shelf::create(&parent.path().join("run"), owner(), false, Some(rotation)).unwrap();
    shelf.begin(Manifest::default(), None);
    let budget = Arc::new(Budget::new(budget));
    let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget)).unwrap();
    let limits = Limits { inline_body: 1000, max_body: u64::MAX };
    let mut lines = Lines::new(
        outbox,
        Arc::clone(&budget),
        limits,
        &Redaction::with_key(None, [0; 32]),
        Ids::from_key([1, 2]),
        Nanos(0),
    );
    let full = Full::new().unwrap();
    lines.rotate(rotation, full.clone());
    Capture { parent, lines, writer, full, budget }
}

fn peer(connection: u64) -> Peer {
    let peer = Some("10.0.0.7:80".parse().unwrap());
    Peer { connection, local: None, peer, process: None, name: None }
}

/// One connection on which `/NUMBER` is asked for and a body of so many bytes answers, in pieces.
struct Asking {
    conversation: Conversation,
    exchanges: Exchanges,
}

impl Asking {
    fn new(number: u64, length: usize, lines: &mut Lines) -> Self {
        let mut asking = Self {
            conversation: Conversation::new(),
            exchanges: Exchanges::new(Direction::Outbound, peer(number), Nanos(0)),
        };
        let request = format!("GET /{number} HTTP/1.1\r\nHost: shop\r\n\r\n");
        asking.say(Sender::Client, request.as_bytes(), lines);
        asking.say(
            Sender::Server,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
            lines,
        );
        asking
    }

    fn say(&mut self, from: Sender, bytes: &[u8], lines: &mut Lines) {
        let Self { conversation, exchanges } = self;
        conversation.feed(from, bytes, &mut |message| exchanges.message(Nanos(1), message, lines));
    }

    fn end(self, lines: &mut Lines) {
        self.exchanges.end(Nanos(2), Ending::Closed, lines);
    }
}

fn ask(number: u64, length: usize, lines: &mut Lines) {
    let mut asking = Asking::new(number, length, lines);
    asking.say(Sender::Server, &body(number, length), lines);
    asking.end(lines);
}

fn body(number: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| b'a' + ((at / 7 + at * number) % 26) as u8).collect()
}

impl Capture {
    fn path(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    /// Waits until the next event will be in the next incident, if this one is full. (Where the writer was fast
    /// the seam has been passed already.)
    fn settle(&mut self) {
        for _ in 0..30_000 {
            self.lines.tick();
            if self.lines.is_at_seam() || !self.lines.is_full() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the next directory was never made");
    }

    fn finish(self) -> (tempfile::TempDir, Sums) {
        let Self { parent, lines, writer, budget, .. } = self;
        let totals = lines.finish();
        let (mut shelf, written) = writer.join().unwrap();
        shelf.close(&totals, &written);
        assert_eq!(budget.held(), 0, "all memory is given back");
        (parent, shelf.into_sums())
    }
}

/// Reads an incident back; whatever holds for each must hold.
fn read(path: &Path) -> (Manifest, Vec<Event>) {
    let incident = Incident::open(path).unwrap();
    let manifest = incident.manifest().unwrap().clone();
    let events: Vec<Event> = incident.events().unwrap().map(|record| record.unwrap().event).collect();
    assert!(manifest.closed, "{}", path.display());
    let log = fs::read(path.join(LOG)).unwrap();
    let digest = crate::incident::store::hex(&<sha2::Sha256 as sha2::Digest>::digest(&log));
    assert_eq!((&manifest.logs[LOG].sha256, manifest.logs[LOG].lines), (&digest, events.len() as u64));
    assert_eq!(manifest.counts.values().sum::<u64>(), events.len() as u64);
    let numbered = events.iter().enumerate().all(|(at, event)| event.sequence == Some(at as u64 + 1));
    assert!(numbered, "the sequence begins anew in {}", path.display());
    for event in events.iter().filter(|event| event.kind == Kind::OutboundCall) {
        let number: u64 = event.url.rsplit('/').next().unwrap().parse().unwrap();
        let size = event.response_body_size.unwrap_or(0) as usize;
        assert!(stored(path, event) == body(number, size), "{}", event.url);
    }
    let calls = events.iter().filter(|event| event.kind == Kind::OutboundCall).count() as u64;
    assert_eq!(manifest.dependencies.iter().map(|it| it.calls).sum::<u64>(), calls, "{manifest:#?}");
    (manifest, events)
}

fn stored(path: &Path, event: &Event) -> Vec<u8> {
    use crate::incident::event::Body;
    match event.response_body() {
        Body::Empty | Body::Dropped { .. } => Vec::new(),
        Body::Text(text) => text.as_bytes().to_vec(),
        Body::Base64(bytes) => bytes.to_vec(),
        Body::File { sha256, .. } => fs::read(path.join("bodies").join(sha256))
            .unwrap_or_else(|error| panic!("{}: {} {error}", path.display(), event.url)),
    }
}

#[test]
fn every_exchange_is_in_one_incident_and_each_is_whole() {
    let mut it = start(Rotation { max_size: 20_000, max_incidents: None }, 8 << 20);
    for number in 0..200 {
        // Longer ones are files; every fifth body is one that was there before.
        ask(number - number % 5, if number % 3 == 0 { 5000 } else { 300 }, &mut it.lines);
        if number % 50 == 49 {
            it.settle();
        }
    }
    let (parent, sums) = it.finish();
    assert!(sums.errors.is_empty() && sums.lost.is_empty(), "{sums:?}");
    assert!(sums.incidents.len() >= 4, "{sums:?}");
    let mut numbers = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    let names: Vec<String> = (1..=sums.incidents.len())
        .map(|part| if part == 1 { "run".into() } else { format!("run-{part}") })
        .collect();
    for (at, name) in names.iter().enumerate() {
        let (manifest, events) = read(&parent.path().join(name));
        assert_eq!(manifest.part, Some(at as u32 + 1));
        assert_eq!(manifest.previous.as_ref(), at.checked_sub(1).map(|before| &names[before]));
        assert_eq!(manifest.next.as_ref(), names.get(at + 1));
        assert_eq!(sums.incidents[at].path, parent.path().join(name));
        assert!(!parent.path().join(name).join("incident.json.new").exists());
        numbers.extend(events.iter().map(|event| event.url.rsplit('/').next().unwrap().to_owned()));
        assert!(events.iter().all(|event| ids.insert(event.id.clone())));
    }
    let expected: Vec<String> = (0..200).map(|number| (number - number % 5).to_string()).collect();
    assert_eq!(numbers, expected);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), names.len());
}

/// A body that is on its way to a file when the next incident begins is in the incident that has its line.
#[test]
fn a_body_on_its_way_comes_along() {
    const LENGTH: usize = 3 << 20;
    let mut it = start(Rotation { max_size: 4 << 20, max_incidents: None }, 32 << 20);
    let whole = body(7, LENGTH);
    let mut long = Asking::new(7, LENGTH, &mut it.lines);
    let mut unfinished = Asking::new(8, LENGTH, &mut it.lines);
    unfinished.say(Sender::Server, &body(8, LENGTH)[..2 << 20], &mut it.lines);
    let (first, rest) = whole.split_at(2 << 20);
    for piece in first.chunks(300_000) {
        long.say(Sender::Server, piece, &mut it.lines);
    }
    // The last of them makes it full: the seam is before whatever comes next.
    for number in 0..21 {
        ask(number, 200_000, &mut it.lines);
    }
    it.settle();
    long.say(Sender::Server, rest, &mut it.lines);
    long.end(&mut it.lines);
    // Lost with its gap: its file must not stay, in neither.
    unfinished.conversation.gap(Sender::Server, 10, &mut |message| {
        unfinished.exchanges.message(Nanos(1), message, &mut it.lines);
    });
    let (parent, sums) = it.finish();
    assert_eq!((sums.incidents.len(), sums.lost.events()), (2, 1), "{sums:?}");
    let (_, events) = read(&parent.path().join("run-2"));
    let last = events.iter().rfind(|event| event.kind == Kind::OutboundCall).unwrap();
    assert!(last.url.ends_with("/7") && last.response_body_size == Some(LENGTH as u64));
    for name in ["run", "run-2"] {
        for entry in fs::read_dir(parent.path().join(name).join("bodies")).unwrap() {
            assert_eq!(entry.unwrap().file_name().len(), 64, "only whole bodies stay");
        }
    }
}

#[test]
fn a_body_larger_than_an_incident_is_in_none() {
    let mut it = start(Rotation { max_size: 2 << 20, max_incidents: None }, 32 << 20);
    let mut long = Asking::new(7, 3 << 20, &mut it.lines);
    for piece in body(7, 3 << 20).chunks(100_000) {
        long.say(Sender::Server, piece, &mut it.lines);
    }
    long.end(&mut it.lines);
    ask(1, 10, &mut it.lines);
    let (parent, sums) = it.finish();
    assert_eq!(sums.lost.first().map(|(reason, count)| (reason, count.events)), Some((Reason::Size, 1)));
    let (manifest, events) = read_lossy(&parent.path().join("run"));
    assert_eq!(events.iter().filter(|event| event.kind == Kind::OutboundCall).count(), 1);
    assert_eq!(manifest.lost.by_reason["size"].events, 1);
    let said = events.iter().find(|event| event.kind == Kind::Lost).unwrap();
    assert_eq!((said.reason.as_deref(), said.events), (Some("size"), Some(1)));
    assert_eq!(fs::read_dir(parent.path().join("run/bodies")).unwrap().count(), 0);
}

/// Without the rule that each call is a line.
fn read_lossy(path: &Path) -> (Manifest, Vec<Event>) {
    let incident = Incident::open(path).unwrap();
    let events = incident.events().unwrap().map(|record| record.unwrap().event).collect();
    (incident.manifest().unwrap().clone(), events)
}

/// A loss that there was no room to say before the seam is said, and counted, behind it.
#[test]
fn what_is_unsaid_at_the_seam_moves_on() {
    let mut it = start(Rotation { max_size: 1000, max_incidents: None }, 1 << 20);
    ask(1, 3000, &mut it.lines);
    // The body is written.
    while it.budget.held() > 2000 {
        std::thread::yield_now();
    }
    let mut taken = 0;
    while it.budget.take(1) {
        taken += 1;
    }
    it.lines.lost(Reason::Buffer, 3, 30);
    it.settle();
    // The seam is before this event, for which there is no room.
    ask(2, 0, &mut it.lines);
    it.budget.give(taken);
    let (parent, sums) = it.finish();
    // The writer may give back the room of the last block just before the event asks for some.
    let lost = (sums.incidents.len(), sums.lost.events(), sums.lost.bytes());
    assert!([(2, 3, 30), (2, 4, 30)].contains(&lost), "{sums:?}");
    // Where the writer gave back room in time it was said in the first; in either, lines and manifest agree.
    for name in ["run", "run-2"] {
        let (manifest, events) = read_lossy(&parent.path().join(name));
        let said: u64 = events.iter().filter_map(|event| event.events).sum();
        assert_eq!(manifest.lost.events, said, "{name}");
    }
}

#[test]
fn the_last_incident_ends_the_capture() {
    let mut it = start(Rotation { max_size: 10_000, max_incidents: Some(2) }, 8 << 20);
    let mut asked = 0;
    while !it.full.is() {
        ask(asked, 300, &mut it.lines);
        asked += 1;
        it.lines.tick();
    }
    assert!(it.full.is(), "it stays so");
    ask(200, 300, &mut it.lines);
    let mut gap = Asking::new(201, 300, &mut it.lines);
    gap.conversation.gap(Sender::Server, 300, &mut |message| {
        gap.exchanges.message(Nanos(1), message, &mut it.lines);
    });
    let (parent, sums) = it.finish();
    assert!(sums.lost.is_empty() && sums.errors.is_empty(), "what comes after the end is not lost: {sums:?}");
    let written: u64 = sums.incidents.iter().map(|it| it.events).sum();
    let after: u64 = sums.excluded.events();
    assert_eq!((sums.incidents.len(), written), (2, asked), "{sums:?}");
    assert!(after >= 2, "{sums:?}");
    let (manifest, _) = read(&parent.path().join("run-2"));
    assert_eq!(manifest.excluded.by_reason["after-end"].events, after);
    assert_eq!((manifest.next, parent.path().join("run-3").exists()), (None, false));
}

#[test]
fn a_directory_that_was_not_needed_is_removed() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let rotation = Rotation { max_size: 1000, max_incidents: None };
    let mut shelf = Shelf::create(&path, owner(), false, Some(rotation)).unwrap();
    assert!(shelf.prepare() && parent.path().join("run-2").join(LOG).exists());
    // The capture ends before the seam.
    shelf.drop_next();
    shelf.close(&Default::default(), &Default::default());
    assert_eq!(shelf.into_sums().incidents.len(), 1);
    assert!(path.exists() && !parent.path().join("run-2").exists());
    assert_eq!(Manifest::read(&path).unwrap().unwrap().next, None);
}

#[test]
fn names_that_are_taken_are_refused_at_the_start_and_passed_over_later() {
    let rotation = Rotation { max_size: 1000, max_incidents: Some(5) };
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let create = |force| Shelf::create(&path, owner(), force, Some(rotation));
    let old = parent.path().join("run-3");
    fs::create_dir(&old).unwrap();
    fs::create_dir(parent.path().join("run-6")).unwrap();
    fs::write(parent.path().join("run-6/notes"), "beyond the last").unwrap();
    fs::write(old.join("notes.txt"), "mine").unwrap();
    for force in [false, true] {
        let error = create(force).unwrap_err();
        assert!(error.exit == Exit::Usage && error.message.contains("run-3"), "{error}");
        assert!(!path.exists(), "nothing was begun");
    }
    fs::write(old.join("incident.json"), "{}").unwrap();
    assert!(create(false).unwrap_err().message.contains("run-3"));
    let mut shelf = create(true).unwrap();
    assert!(old.join("incident.json").exists(), "it is replaced when its number comes");
    // Two that appear later.
    symlink_to(&old, &parent.path().join("run-2"));
    fs::create_dir(parent.path().join("run-4")).unwrap();
    assert!(shelf.prepare());
    assert_eq!(shelf.next_store().unwrap().path(), old);
    assert!(old.join("notes.txt").exists() && fs::metadata(old.join(LOG)).unwrap().len() == 0);
    shelf.close(&Default::default(), &Default::default());
    shelf.turn().unwrap();
    assert!(shelf.prepare());
    assert_eq!(shelf.next_store().unwrap().path(), parent.path().join("run-5"));
    assert_eq!(fs::read_dir(parent.path().join("run-4")).unwrap().count(), 0);
    let notes = shelf.into_sums().notes;
    assert!(notes.iter().any(|note| note.contains("run-2 was made by somebody else")), "{notes:?}");
}

fn symlink_to(target: &Path, link: &Path) {
    std::os::unix::fs::symlink(target, link).unwrap();
}

/// Where no next directory can be made the recording goes on, and says so.
#[test]
fn without_a_next_directory_it_goes_on_in_this_one() {
    let mut it = start(Rotation { max_size: 3000, max_incidents: None }, 8 << 20);
    let away = tempfile::tempdir().unwrap();
    // The parent directory is gone: nothing can be made in it.
    fs::rename(it.path("run"), away.path().join("run")).unwrap();
    fs::remove_dir(it.parent.path()).unwrap();
    for number in 0..30 {
        ask(number, 300, &mut it.lines);
        it.lines.tick();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let (_, sums) = it.finish();
    assert_eq!((sums.incidents.len(), sums.lost.events()), (1, 0), "{sums:?}");
    assert!(sums.notes.iter().any(|note| note.contains("went on in")), "{sums:?}");
    assert!(sums.notes.iter().any(|note| note.contains("was moved")), "{sums:?}");
    assert_eq!(read(&away.path().join("run")).1.len(), 30);
}

#[test]
fn a_log_that_is_gone_is_no_recording() {
    let mut it = start(Rotation { max_size: 1 << 20, max_incidents: None }, 8 << 20);
    ask(1, 10, &mut it.lines);
    fs::remove_file(it.path("run").join(LOG)).unwrap();
    let (parent, sums) = it.finish();
    assert_eq!(sums.lost.events(), 1);
    assert!(sums.errors.iter().any(|error| error.contains("outbound.log was removed")), "{sums:?}");
    let manifest = Manifest::read(&parent.path().join("run")).unwrap().unwrap();
    assert_eq!(
        manifest.logs.keys().collect::<Vec<_>>(),
        ["inbound.log"],
        "the other one is whole: {manifest:#?}"
    );
    assert!(manifest.counts.is_empty(), "{manifest:#?}");
    assert_eq!(manifest.lost.by_reason["removed"].events, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However small the incidents and however little the memory: each exchange is in one of them, or counted.
    #[test]
    fn each_exchange_is_written_once_or_counted(
        lengths in prop::collection::vec(0..4000_usize, 1..60),
        max_size in 1..20_000_u64,
        budget in 5_000..200_000_usize,
    ) {
        let mut it = start(Rotation { max_size, max_incidents: None }, budget);
        for (number, length) in lengths.iter().enumerate() {
            ask(number as u64, *length, &mut it.lines);
            it.lines.tick();
        }
        let (_parent, sums) = it.finish();
        prop_assert!(sums.errors.is_empty(), "{sums:?}");
        let mut numbers = Vec::new();
        let mut lost = 0;
        for closed in &sums.incidents {
            let (manifest, events) = read_lossy(&closed.path);
            prop_assert!(manifest.closed);
            prop_assert_eq!(closed.events, events.len() as u64);
            lost += manifest.lost.events;
            let said: u64 = events.iter().filter_map(|event| event.events).sum();
            prop_assert!(said <= manifest.lost.events, "{said} {manifest:?}");
            let calls = events.iter().filter(|event| event.kind == Kind::OutboundCall);
            for event in calls {
                let number: usize = event.url.rsplit('/').next().unwrap().parse().unwrap();
                prop_assert_eq!(stored(&closed.path, event), body(number as u64, lengths[number]));
                numbers.push(number);
            }
        }
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        prop_assert_eq!(numbers.len() as u64 + lost, lengths.len() as u64);
        prop_assert_eq!(lost, sums.lost.events());
    }
}
