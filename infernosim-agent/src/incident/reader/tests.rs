use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn incident(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// The ids read, the first error's text, the notes.
fn read(dir: &Path) -> (Vec<String>, Option<String>, Vec<Note>) {
    let mut events = Incident::open(dir).unwrap().events().unwrap();
    let (mut ids, mut error) = (Vec::new(), None);
    for record in &mut events {
        match record {
            Ok(record) => ids.push(record.event.id),
            Err(e) => {
                assert_eq!(e.exit, Exit::Incident);
                error = Some(e.message);
            }
        }
    }
    (ids, error, events.notes())
}

fn read_log(content: &str) -> (Vec<String>, Option<String>, Vec<Note>) {
    read(incident(&[("outbound.log", content)]).path())
}

fn line(id: u64) -> String {
    format!("{{\"id\":\"{id}\",\"type\":\"OutboundCall\",\"sequence\":{id}}}\n")
}

#[test]
fn logs_merge_by_sequence_never_by_time() {
    let at = |id: u64, second: u64| {
        format!("{{\"id\":\"{id}\",\"sequence\":{id},\"timestamp\":\"2026-01-01T00:00:0{second}Z\"}}\n")
    };
    let dir = incident(&[
        ("inbound.log", &[at(1, 9), at(4, 1), at(5, 5)].concat()),
        ("outbound.log", &[at(2, 0), at(3, 8), at(6, 2)].concat()),
    ]);
    assert_eq!(read(dir.path()), (["1", "2", "3", "4", "5", "6"].map(String::from).to_vec(), None, vec![]));
}

/// The logs of a running capture are not written at once.
#[test]
fn following_waits_a_look_for_what_may_be_on_its_way_in_the_other_log() {
    let dir = incident(&[("inbound.log", &line(1)), ("outbound.log", &line(3))]);
    let mut events = Incident::open(dir.path()).unwrap().follow().unwrap();
    let mut look = || events.by_ref().map(|record| record.unwrap().event.id).collect::<Vec<_>>();
    let append = |name: &str, ids: &[u64]| {
        let mut log = fs::OpenOptions::new().append(true).open(dir.path().join(name)).unwrap();
        ids.iter().for_each(|id| log.write_all(line(*id).as_bytes()).unwrap());
    };
    assert_eq!(look(), ["1"], "2 may be on its way");
    append("inbound.log", &[2, 4]);
    assert_eq!(look(), ["2", "3", "4"]);
    append("outbound.log", &[6, 7]);
    assert!(look().is_empty());
    assert_eq!(look(), ["6", "7"], "5 was lost");
}

/// Two processes that number by the clock: there is always something missing, and mostly nothing is on its way.
#[test]
fn following_does_not_wait_at_each_number_that_is_missing() {
    let dir = incident(&[("inbound.log", ""), ("outbound.log", &[10, 20, 30, 40].map(line).concat())]);
    let mut events = Incident::open(dir.path()).unwrap().follow().unwrap();
    let mut look = || events.by_ref().map(|record| record.unwrap().event.id).collect::<Vec<_>>();
    assert!(look().is_empty(), "an earlier one may be on its way");
    fs::write(dir.path().join("inbound.log"), line(15)).unwrap();
    assert_eq!(look(), ["10", "15", "20", "30", "40"]);
}

#[test]
fn logs_without_sequence_merge_by_time() {
    let at =
        |id: &str, time: &str| format!("{{\"id\":\"{id}\",\"timestamp\":\"2024-01-01T00:00:{time}Z\"}}\n");
    let dir = incident(&[
        ("inbound.log", &[at("a", "01"), at("c", "03.5")].concat()),
        ("events.log", &[at("b", "01"), at("d", "04")].concat()),
    ]);
    assert_eq!(read(dir.path()).0, ["a", "b", "c", "d"]);
}

#[test]
fn the_outbound_log_may_have_its_older_name_or_be_missing() {
    assert_eq!(read(incident(&[("events.log", &line(1))]).path()).0, ["1"]);
    let both = incident(&[("events.log", &line(1)), ("outbound.log", &line(2))]);
    assert_eq!(read(both.path()).0, ["2"], "the newer name wins");
    assert_eq!(read(incident(&[("inbound.log", &line(1))]).path()).0, ["1"]);
    assert_eq!(read(incident(&[("incident.json", "{}")]).path()), (vec![], None, vec![]));
}

#[test]
fn what_is_no_incident_is_said() {
    let dir = incident(&[("readme", "")]);
    let error = Incident::open(dir.path()).unwrap_err();
    assert!(error.message.contains("is not an incident"), "{error}");
    let error = Incident::open(&dir.path().join("gone")).unwrap_err();
    assert!(error.message.ends_with("gone does not exist"), "{error}");
    assert!(error.help.is_some());
    assert_eq!(error.exit, Exit::Incident);
}

#[test]
fn a_single_log_is_read_alone() {
    let dir = incident(&[("inbound.log", &line(1)), ("outbound.log", &line(2)), ("saved.jsonl", &line(3))]);
    assert_eq!(read(&dir.path().join("outbound.log")).0, ["2"]);
    assert_eq!(read(&dir.path().join("saved.jsonl")).0, ["3"]);
}

#[test]
fn a_newer_major_version_is_refused() {
    let dir = incident(&[("incident.json", r#"{"formatVersion":"2.0"}"#), ("outbound.log", &line(1))]);
    let error = Incident::open(dir.path()).unwrap_err();
    assert!(error.message.contains("newer") && error.help.is_some(), "{error:?}");
    Incident::open(&dir.path().join("outbound.log")).expect_err("nor by its log");
}

#[test]
fn a_torn_last_line_is_noted_and_left_out() {
    for tail in [r#"{"id":"3","ty"#, "{\"id\":\"3\"\n", "{\"id\":\"3\n", "\0\0\0", "{", "x"] {
        let (ids, error, notes) = read_log(&format!("{}{}{tail}", line(1), line(2)));
        assert_eq!((ids, error), (vec!["1".into(), "2".into()], None), "{tail:?}");
        let [Note::TornTail { file, line, bytes }] = &notes[..] else { panic!("{tail:?}: {notes:?}") };
        assert_eq!((*line, *bytes), (3, tail.len() as u64), "{tail:?}");
        assert!(file.ends_with("outbound.log"));
    }
    // Whole but for its line end: not torn.
    assert_eq!(read_log(line(1).trim_end()), (vec!["1".into()], None, vec![]));
    assert_eq!(read_log(""), (vec![], None, vec![]));
}

#[test]
fn a_tail_torn_within_a_character_is_torn_like_any_other() {
    let dir = incident(&[]);
    let path = dir.path().join("outbound.log");
    let whole = format!("{}{{\"id\":\"é", line(1));
    fs::write(&path, &whole.as_bytes()[..whole.len() - 1]).unwrap();
    let (ids, error, notes) = read(dir.path());
    assert_eq!((ids, error, notes.len()), (vec!["1".into()], None, 1));
}

#[test]
fn objects_may_share_a_line_or_take_several() {
    let pretty = "{\n  \"id\": \"2\",\n  \"interim\": [\n    {\n      \"status\": 103\n    }\n  ],\n  \"sequence\": 2\n}\n";
    let log = format!("\n{}{} {}{pretty}\r\n{}", line(0).trim_end(), line(1).trim_end(), pretty, line(3));
    let (ids, error, notes) = read_log(&log);
    assert_eq!((ids, error, notes), (["0", "1", "2", "2", "3"].map(String::from).to_vec(), None, vec![]));
    // The lines are counted through all of it.
    let (_, error, _) = read_log(&format!("{log}!\n{}", line(4)));
    assert!(error.unwrap().contains("outbound.log:22: malformed event: "), "{log}");
}

#[test]
fn the_text_of_an_event_is_as_stored() {
    let one = r#"{"id" : "1", "later":1.50}"#;
    let dir = incident(&[("outbound.log", &format!("{one}{one}\n"))]);
    let events = Incident::open(dir.path()).unwrap().events().unwrap();
    assert_eq!(events.map(|r| r.unwrap().text).collect::<Vec<_>>(), [one, one]);
}

#[test]
fn a_malformed_line_in_the_middle_is_an_error_with_its_place() {
    for (bad, reason) in [
        (r#"{"id":"2","ty"#, "EOF while parsing a string (column 13)"),
        (r#"{"id":"2""#, "EOF while parsing an object (column 9)"),
        ("{", "EOF while parsing an object (column 1)"),
        ("!", "expected a JSON object"),
        ("[]", "expected a JSON object"),
        ("42", "expected a JSON object"),
        (r#"{"id":}"#, "expected value (column 7)"),
        (r#"{"id":"2"} x"#, "expected a JSON object"),
        (r#"{"sequence":"2"}"#, "invalid type: string \"2\", expected u64 (column 15)"),
    ] {
        let (ids, error, notes) = read_log(&format!("{}{bad}\n{}", line(1), line(3)));
        let error = error.unwrap_or_else(|| panic!("{bad}: read as {ids:?}"));
        assert!(error.ends_with(&format!("outbound.log:2: malformed event: {reason}")), "{error}");
        assert_eq!((ids.first().map(String::as_str), notes.len()), (Some("1"), 0));
        assert!(!ids.contains(&"3".into()), "nothing is read past the fault");
    }
    // Also as the last line, where it is not torn but wrong.
    assert!(read_log("{\"id\":1}\n").1.unwrap().contains("outbound.log:1: "));
}

#[test]
fn bytes_that_are_not_utf8_are_malformed() {
    let dir = incident(&[]);
    fs::write(
        dir.path().join("outbound.log"),
        [line(1).as_bytes(), b"{\"id\":\"\xff\"}\n", line(2).as_bytes()].concat(),
    )
    .unwrap();
    let (ids, error, _) = read(dir.path());
    assert!(error.unwrap().ends_with("outbound.log:2: malformed event: not valid UTF-8"));
    assert_eq!(ids, ["1"]);
}

#[test]
fn a_line_without_end_does_not_take_all_memory() {
    let dir = incident(&[("outbound.log", &format!("{}{{\"id\":\"{}\"}}\n", line(1), "x".repeat(5000)))]);
    let mut log = log::Log::open(&dir.path().join("outbound.log"), false, false).unwrap().unwrap();
    log.limit(1000);
    let mut ready = std::collections::VecDeque::new();
    assert!(log.fill(&mut ready).unwrap());
    let error = log.fill(&mut ready).unwrap_err();
    assert!(error.message.ends_with("outbound.log:2: malformed event: longer than 1000 bytes"), "{error}");
}

#[test]
fn a_growing_log_is_followed_through_torn_writes() {
    let dir = incident(&[("incident.json", "{}")]);
    let mut events = Incident::open(dir.path()).unwrap().follow().unwrap();
    assert!(events.next().is_none());
    let append = |text: &str| {
        let file = fs::OpenOptions::new().append(true).create(true).open(dir.path().join("outbound.log"));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    };
    let (one, two, three) = (line(1), line(2), line(3));
    append(&one[..5]);
    assert!(events.next().is_none());
    append(&one[5..]);
    assert_eq!(events.next().unwrap().unwrap().event.id, "1");
    assert!(events.next().is_none());
    append(&format!("{two}{}", three.trim_end()));
    assert_eq!(events.next().unwrap().unwrap().event.id, "2");
    assert!(events.next().is_none(), "its line may go on");
    append("\n{");
    assert_eq!(events.next().unwrap().unwrap().event.id, "3");
    assert!(events.next().is_none());
    assert_eq!(events.notes(), []);
    events.stop_following();
    assert!(events.next().is_none());
    assert_eq!(events.notes().len(), 1);
}

/// `printf hello | sha256sum`
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn bodies_are_read_and_checked() {
    let dir = incident(&[("incident.json", "{}")]);
    let incident = Incident::open(dir.path()).unwrap();
    let message = |sha: &str| incident.read_body(sha).unwrap_err().message;
    assert!(message(HELLO).ends_with("is missing"), "no bodies at all");

    let bodies = dir.path().join("bodies");
    fs::create_dir(&bodies).unwrap();
    fs::write(bodies.join(HELLO), "hello").unwrap();
    assert_eq!(incident.read_body(HELLO).unwrap(), b"hello");
    assert_eq!(incident.read_body(&HELLO.to_uppercase()).unwrap(), b"hello");
    fs::write(bodies.join(HELLO), "hullo").unwrap();
    assert!(message(HELLO).contains("another content"));
}

#[test]
fn a_body_name_leads_nowhere_else() {
    let dir = incident(&[("incident.json", "{}"), ("secret", "hello")]);
    let incident = Incident::open(dir.path()).unwrap();
    let bodies = dir.path().join("bodies");
    fs::create_dir(&bodies).unwrap();
    let padded = format!("../secret{}", "/".repeat(55));
    let absolute = format!("/{}", "0".repeat(63));
    let short = &HELLO[1..];
    for name in [
        "",
        "../secret",
        padded.as_str(),
        absolute.as_str(),
        short,
        &format!("{HELLO}0"),
        &format!("g{short}"),
    ] {
        let error = incident.read_body(name).expect_err(name);
        assert!(error.message.contains("not 64 hex digits"), "{name}: {error}");
    }

    symlink(dir.path().join("secret"), bodies.join(HELLO)).unwrap();
    assert!(incident.read_body(HELLO).unwrap_err().message.contains("symbolic link"));

    // Nor may the directory itself be elsewhere.
    fs::rename(&bodies, dir.path().join("real")).unwrap();
    fs::remove_file(dir.path().join("real").join(HELLO)).unwrap();
    fs::write(dir.path().join("real").join(HELLO), "hello").unwrap();
    symlink(dir.path().join("real"), &bodies).unwrap();
    assert!(incident.read_body(HELLO).unwrap_err().message.contains("symbolic link"));
}

#[test]
fn a_body_that_is_a_fifo_does_not_hang() {
    let dir = incident(&[("incident.json", "{}")]);
    let bodies = dir.path().join("bodies");
    fs::create_dir(&bodies).unwrap();
    nix::unistd::mkfifo(&bodies.join(HELLO), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Incident::open(dir.path()).unwrap().read_body(HELLO).unwrap_err();
    assert!(error.message.contains("not a regular file"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_end_without_panic(bytes in any::<Vec<u8>>(), before in 0u64..3) {
        let dir = incident(&[]);
        let log = [(0..before).map(line).collect::<String>().as_bytes(), &bytes].concat();
        fs::write(dir.path().join("outbound.log"), log).unwrap();
        prop_assert!(read(dir.path()).0.len() >= before as usize);
    }

    /// A kill can cut a log at any byte: every line whole before the cut is read, and only a torn rest is noted.
    #[test]
    fn a_log_cut_anywhere_reads_to_its_last_whole_line(ids in prop::collection::vec(any::<String>(), 1..5), cut in any::<prop::sample::Index>()) {
        let lines: Vec<String> = ids.iter().map(|id| serde_json::to_string(&Event { id: id.clone(), ..Event::default() }).unwrap()).collect();
        let log = lines.join("\n");
        let cut = cut.index(log.len() + 1);
        let dir = incident(&[]);
        fs::write(dir.path().join("outbound.log"), &log.as_bytes()[..cut]).unwrap();
        // A line counts as whole with its last brace, line end or not.
        let ends = lines.iter().scan(0, |at, line| { *at += line.len() + 1; Some(*at - 1) });
        let whole = ends.filter(|end| *end <= cut).count();
        let rest = cut - lines[..whole].iter().map(|line| line.len() + 1).sum::<usize>().min(cut);
        let (read, error, notes) = read(dir.path());
        prop_assert_eq!(error, None);
        prop_assert_eq!(&read[..], &ids[..whole]);
        prop_assert_eq!(notes.len(), usize::from(rest > 0));
    }

    /// Where a log is seen to end while it grows makes no difference.
    #[test]
    fn a_log_that_grows_in_any_pieces_reads_the_same(ids in prop::collection::vec("\\PC{0,8}", 1..5), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let log: String = ids.iter().map(|id| serde_json::to_string(&Event { id: id.clone(), ..Event::default() }).unwrap() + "\n").collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(log.len());
        let dir = incident(&[("incident.json", "{}")]);
        let mut events = Incident::open(dir.path()).unwrap().follow().unwrap();
        let (mut read, mut at) = (Vec::new(), 0);
        for cut in cuts {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(dir.path().join("outbound.log")).unwrap();
            file.write_all(&log.as_bytes()[at..cut]).unwrap();
            at = cut;
            for record in &mut events {
                read.push(record.unwrap().event.id);
            }
        }
        prop_assert_eq!(read, ids);
    }
}

/// Somebody else's incident must neither hang who reads it nor take all memory.
#[test]
fn what_stands_in_the_place_of_a_file_is_not_read() {
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let zeros = |path: &Path| symlink("/dev/zero", path).unwrap();
    for put in [&fifo as &dyn Fn(&Path), &zeros] {
        let dir = incident(&[("outbound.log", &line(1))]);
        let at = |name: &str| dir.path().join(name);
        put(&at("secrets.json"));
        assert_eq!(Incident::open(dir.path()).unwrap().secrets().unwrap_err().exit, Exit::Incident);
        put(&at("inbound.log"));
        let error = Incident::open(dir.path()).unwrap().events().unwrap_err();
        assert!(error.message.ends_with("inbound.log cannot be read: it is no regular file"), "{error}");
        put(&at("incident.json"));
        let error = Incident::open(dir.path()).unwrap_err();
        assert!(error.message.ends_with("incident.json: cannot be read: it is no regular file"), "{error}");
    }
}
