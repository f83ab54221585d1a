//! Two logs: one sequence, and each its own file in each incident.

use super::*;

fn client() -> Peer {
    Peer { local: Some("10.0.0.2:8080".parse().unwrap()), ..peer(9) }
}

fn digest(path: &Path) -> String {
    crate::incident::store::hex(&<sha2::Sha256 as sha2::Digest>::digest(fs::read(path).unwrap()))
}

#[test]
fn a_request_may_be_in_one_incident_and_its_answer_in_the_next() {
    let mut it = start(Rotation { max_size: 1000, max_incidents: None }, 1 << 20);
    let exchanges = Exchanges::new(Direction::Inbound, client(), Nanos(0));
    let mut asked = Asking { conversation: Conversation::new(), exchanges };
    let body = "q".repeat(900);
    let request = format!("PUT /7 HTTP/1.1\r\nContent-Length: 900\r\n\r\n{body}");
    asked.say(Sender::Client, request.as_bytes(), &mut it.lines);
    it.settle();
    asked.say(Sender::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &mut it.lines);
    ask(1, 10, &mut it.lines);
    asked.end(&mut it.lines);
    let (parent, sums) = it.finish();
    assert!(sums.errors.is_empty() && sums.lost.is_empty(), "{sums:?}");
    let mut both = Vec::new();
    for (name, kinds) in [("run", &["InboundRequest"][..]), ("run-2", &["InboundResponse", "OutboundCall"])] {
        let dir = parent.path().join(name);
        let (manifest, events) = read_lossy(&dir);
        let numbered: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.sequence)).collect();
        assert_eq!(numbered, kinds.iter().copied().zip((1..).map(Some)).collect::<Vec<_>>(), "{name}");
        assert_eq!(manifest.logs.keys().collect::<Vec<_>>(), ["inbound.log", "outbound.log"]);
        for (log, said) in &manifest.logs {
            assert_eq!(said.sha256, digest(&dir.join(log)), "{name}/{log}");
            assert_eq!(said.bytes, fs::metadata(dir.join(log)).unwrap().len());
        }
        assert_eq!(manifest.logs.values().map(|log| log.lines).sum::<u64>(), events.len() as u64);
        assert_eq!(manifest.dependencies.iter().map(|it| it.calls).sum::<u64>(), kinds.len() as u64 - 1);
        both.extend(events.into_iter().filter(|event| !event.trace_id.is_empty()));
    }
    assert_eq!((both.len(), &both[0].id), (2, &both[1].trace_id));
}

#[test]
fn an_inbound_log_that_is_gone_takes_its_own_events_with_it() {
    let mut it = start(Rotation { max_size: 1 << 20, max_incidents: None }, 8 << 20);
    let exchanges = Exchanges::new(Direction::Inbound, client(), Nanos(0));
    let mut asked = Asking { conversation: Conversation::new(), exchanges };
    asked.say(Sender::Client, b"GET /7 HTTP/1.1\r\n\r\n", &mut it.lines);
    asked.end(&mut it.lines);
    ask(1, 10, &mut it.lines);
    fs::remove_file(it.path("run").join("inbound.log")).unwrap();
    let (parent, sums) = it.finish();
    assert_eq!(sums.lost.events(), 2, "{sums:?}");
    assert!(sums.errors.iter().any(|error| error.contains("inbound.log was removed")), "{sums:?}");
    let (manifest, _) = read_lossy(&parent.path().join("run"));
    assert_eq!(manifest.logs.keys().collect::<Vec<_>>(), ["outbound.log"]);
    assert_eq!(manifest.counts.keys().collect::<Vec<_>>(), ["OutboundCall"]);
}
