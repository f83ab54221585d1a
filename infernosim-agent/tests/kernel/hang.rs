//! A stopped agent: the kernel half notices and steps aside.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::Tally;
use crate::harness::programs::capture;

#[test]
fn while_the_agent_is_stopped_connections_go_direct_and_are_counted() {
    let tally = Tally::start(100);
    let mut running = capture("connections", &json!({ "addr": tally.addr })).start().ready();
    running.stdout.line("READY");
    assert_eq!(running.ask("open 1", "RESULT"), "RESULT 1 answered ");
    running.signal(Signal::SIGSTOP);
    // The contract gives the kernel half a second to notice.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for _ in 0..3 {
        assert_eq!(running.ask("new", "RESULT"), "RESULT 1 answered ");
    }
    running.signal(Signal::SIGCONT);
    // It takes up its work again.
    let mut asked = 0;
    crate::harness::eventually("connections are captured again", || {
        asked += 1;
        assert_eq!(running.ask("new", "RESULT"), "RESULT 1 answered ");
        std::thread::sleep(std::time::Duration::from_millis(200));
        let log = std::fs::read_to_string(running.incident.join("outbound.log")).unwrap();
        log.lines().count() > 1
    });
    let recording = running.finish().recording();
    let direct = recording.unmediated("agent-hung");
    assert!(direct >= 3, "{:#}", recording.manifest);
    assert_eq!(recording.calls().len() as u64 + direct, 1 + 3 + asked);
}
