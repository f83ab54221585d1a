//! Servers as people run them, attached to while clients ask: over loopback and from another host.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{assert_once, detach, numbers};
use crate::harness::{Capture, Cgroup, Hammer, Held, Kind, Lab, Place, Recording, Running, Server, big};
use crate::harness::{long, program, sha256, text};

/// How a server is named to the capture.
#[derive(Clone, Copy)]
enum By {
    Pid,
    Cgroup,
}

fn capture(server: &Server, cgroup: &Cgroup, by: By) -> Running {
    let (pid, name) = (server.pid_text(), cgroup.name());
    let target = match by {
        By::Pid => ["--pid", &pid],
        By::Cgroup => ["--cgroup", &name],
    };
    Capture::attached(&target).start().ready()
}

/// Attached to and let go of in the middle of requests over one way: none fails, each is recorded.
fn attach_and_detach(kind: Kind, by: By, lab: Option<&Lab>) {
    let cgroup = Cgroup::new();
    let place = match lab {
        Some(lab) => Place::within(&lab.server, Lab::server_address(false)),
        None => Place::loopback(),
    };
    let server = Server::start(kind, &place.in_cgroup(&cgroup));
    let clients = lab.map(|lab| &lab.client);
    let hammers = [true, false].map(|keep_alive| Hammer::start(server.addr, clients, 2, keep_alive));
    hammers.iter().for_each(|hammer| drop(hammer.more(5)));

    let running = capture(&server, &cgroup, by);
    let marks = hammers.each_ref().map(Hammer::mark);
    let recorded = hammers.each_ref().map(|hammer| hammer.more(if long() { 2000 } else { 60 }));
    let finished = detach(running);
    hammers.iter().for_each(|hammer| drop(hammer.more(10)));
    let asked = hammers.map(Hammer::stop);

    let recording = finished.recording();
    let [kept, new] = split(&recording, &server, &asked);
    assert_once(&kept, recorded[0].range(marks[0]..).map(|(number, _)| *number));
    assert_once(&new, recorded[1].range(marks[1]..).map(|(number, _)| *number));
    let outbound =
        recording.events.iter().filter(|event| !event["type"].as_str().unwrap().starts_with("Inb"));
    assert_eq!(outbound.count(), 0, "{:#?}", recording.events);
}

/// The two hammers count alike, so they are told apart by what they say of the connection.
fn split(
    recording: &Recording,
    server: &Server,
    asked: &[BTreeMap<usize, SocketAddr>; 2],
) -> [BTreeMap<usize, usize>; 2] {
    ["keep-alive", "close"].map(|word| {
        let which = usize::from(word == "close");
        numbers(recording, server.addr, &asked[which], |exchange| {
            exchange.request["headers"]["Connection"][0] == word
        })
    })
}

fn every_way(kind: Kind) {
    let lab = Lab::new();
    attach_and_detach(kind, By::Pid, None);
    attach_and_detach(kind, By::Cgroup, Some(&lab));
    if long() {
        attach_and_detach(kind, By::Cgroup, None);
        attach_and_detach(kind, By::Pid, Some(&lab));
    }
}

#[test]
fn nginx_with_two_workers() {
    every_way(Kind::Nginx);
}

#[test]
fn python_http_server() {
    every_way(Kind::Python);
}

#[test]
fn node() {
    every_way(Kind::Node);
}

#[test]
fn gunicorn_with_four_workers() {
    every_way(Kind::Gunicorn);
}

#[test]
fn rust_with_a_thread_for_each_connection() {
    every_way(Kind::Rust);
}

/// Killed, or stopped for seconds, it stands beside the traffic: nobody waits and nothing stays behind.
#[test]
fn killed_in_the_middle_of_requests() {
    for kind in [Kind::Nginx, Kind::Node] {
        let (cgroup, lab) = (Cgroup::new(), Lab::new());
        let place = Place::within(&lab.server, Lab::server_address(true)).in_cgroup(&cgroup);
        let server = Server::start(kind, &place);
        let hammers = [true, false].map(|keep| Hammer::start(server.addr, Some(&lab.client), 2, keep));
        let mut running = capture(&server, &cgroup, By::Cgroup);
        let mark = hammers[0].mark();
        let recorded = hammers[0].more(50);
        let held = Held::by(running.pid());
        held.assert_there();
        // What is a second old is on disk.
        std::thread::sleep(Duration::from_millis(1500));
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait_for_death(), 137);
        held.assert_gone();
        hammers.iter().for_each(|hammer| drop(hammer.more(50)));
        let asked = hammers.map(Hammer::stop);

        let recording = Recording::read(&running.incident);
        assert_eq!(recording.manifest["closed"], false);
        let requests = recording.of_type("InboundRequest");
        for (number, client) in recorded.range(mark..) {
            let end = format!("?{number}");
            let found = requests.iter().filter(|line| {
                line["url"].as_str().unwrap().ends_with(&end)
                    && line["headers"]["Connection"][0] == "keep-alive"
                    && line["peer"] == client.to_string()
            });
            assert_eq!(found.count(), 1, "{number} of {mark}.. from {client}");
        }
        assert!(asked[0].len() > recorded.len());
    }
}

#[test]
fn stopped_for_seconds_in_the_middle_of_requests() {
    let (cgroup, lab) = (Cgroup::new(), Lab::new());
    for (kind, from) in [(Kind::Nginx, None), (Kind::Rust, Some(&lab))] {
        let place = match from {
            Some(lab) => Place::within(&lab.server, Lab::server_address(false)),
            None => Place::loopback(),
        };
        let server = Server::start(kind, &place.in_cgroup(&cgroup));
        let hammer = Hammer::start(server.addr, from.map(|lab| &lab.client), 3, true);
        let running = capture(&server, &cgroup, By::Pid);
        let mark = hammer.mark();
        hammer.more(20);
        running.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(3));
        let during = hammer.answered().len();
        running.signal(Signal::SIGCONT);
        assert!(during > 500, "the clients waited: {during}");
        let recorded = hammer.more(100);
        running.signal(Signal::SIGINT);
        let finished = running.wait_for_end();
        let asked = hammer.stop();
        let recording = Recording::read(&finished.incident);
        recording.assert_closed();
        // The ring is far larger than what three clients exchange in three seconds.
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert_eq!(recording.manifest["lost"]["events"], 0);
        let counts = numbers(&recording, server.addr, &asked, |_| true);
        assert_once(&counts, recorded.range(mark..).map(|(number, _)| *number));
    }
}

/// What one curl says of its requests: `(url, its own address)`.
fn curl(words: &[&str]) -> Vec<(String, SocketAddr)> {
    let format = "%{url} %{local_ip}:%{local_port} %{http_code}\n";
    let output = Command::new(program("curl"))
        .args(["-sS", "-m", "60", "-o", "/dev/null", "-w", format])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[2], "200", "{line}");
        (words[0].to_owned(), words[1].parse().unwrap())
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// curl says which of its ports each request went out from; one after the other and many at once.
#[test]
fn curl_asks_on_kept_and_on_new_connections() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let running = Capture::attached(&["--pid", &server.pid_text()]).start().ready();
    let mut asked = BTreeMap::new();
    for (which, words) in
        [&[][..], &["-H", "Connection: close"], &["-Z", "--parallel-max", "20"]].iter().enumerate()
    {
        let url = server.url(&format!("/n/[0-199]?{which}"));
        let mut words = words.to_vec();
        words.push(&url);
        let said = curl(&words);
        assert_eq!(said.len(), 200);
        asked.extend(said);
    }
    let recording = detach(running).recording();
    let exchanges = recording.exchanges();
    assert_eq!((exchanges.len(), asked.len()), (600, 600));
    for exchange in exchanges {
        exchange.assert_whole();
        let client = asked.remove(text(&exchange.request["url"]));
        assert_eq!(client, Some(exchange.client()), "{exchange:#?}");
        let (number, _) = exchange.path().strip_prefix("/n/").unwrap().split_once('?').unwrap();
        assert_eq!(exchange.answer(&recording), format!("{number}\n").as_bytes());
    }
}

/// Each thread of wrk's writes down the numbers that it was answered.
const SCRIPT: &str = r#"
local threads = 0
function setup(thread)
    threads = threads + 1
    thread:set("id", threads)
end
function init(arguments)
    wait = tonumber(arguments[2])
    number = id * 10000000
    answered = io.open(arguments[1] .. "/wrk-" .. id, "w")
end
function delay()
    return wait
end
function request()
    number = number + 1
    return wrk.format("GET", "/return/" .. number)
end
function response(status, headers, body)
    answered:write(status, " ", body)
    answered:flush()
end
"#;

#[test]
fn wrk_loads_it() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let root = server.root.path().to_str().unwrap();
    let script = format!("{root}/wrk.lua");
    std::fs::write(&script, SCRIPT).unwrap();
    let running = Capture::attached(&["--pid", &server.pid_text()]).start().ready();
    let (seconds, delay_ms) = if long() { ("10s", "0") } else { ("1s", "5") };
    let words = ["-t2", "-c16", "-d", seconds, "-s", &script, &server.url("/"), "--", root, delay_ms];
    let output = Command::new(program("wrk")).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains("Socket errors"), "{said}");
    let mut answered = Vec::new();
    for thread in 1..=2 {
        let text = std::fs::read_to_string(format!("{root}/wrk-{thread}")).unwrap();
        answered.extend(text.lines().map(|line| line.strip_prefix("200 ").unwrap().to_owned()));
    }
    assert!(answered.len() > 500, "{said}");
    running.signal(Signal::SIGINT);
    let finished = running.wait_for_end();
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for exchange in recording.exchanges().iter().filter(|exchange| exchange.is_whole()) {
        assert_eq!(exchange.answer(&recording), format!("{}\n", exchange.path()).as_bytes());
        *counts.entry(exchange.path().to_owned()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1));
    let missing = answered.iter().filter(|path| !counts.contains_key(*path)).count();
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap() as usize;
    assert!(missing <= lost, "{missing} of {} missing, {lost} lost", answered.len());
    assert_eq!(finished.code, if lost == 0 { 0 } else { 4 }, "{}", finished.stderr);
    // The processors are the test's, too: that nothing may be lost is another test's matter.
    assert!(lost * 2 < answered.len(), "{lost} of {} lost", answered.len());
}

/// nginx asks itself: what it sends with sendfile, and what it has from its other half.
#[test]
fn nginx_sends_files_and_what_it_was_answered() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let running = Capture::attached(&["--pid", &server.pid_text()]).option(&["--exclude", "path=/return/*"]);
    let running = running.start().ready();
    let clients = ["/big", "/proxy/7"].map(|path| curl(&[&server.url(path)])[0].1);
    let recording = detach(running).recording();
    let exchanges = recording.exchanges();
    assert_eq!(recording.asked(), ["GET /big", "GET /proxy/7"]);
    assert_eq!(sha256(&exchanges[0].answer(&recording)), sha256(&big()));
    assert_eq!(exchanges[1].answer(&recording), b"/return/7\n");
    exchanges.iter().for_each(|exchange| exchange.assert_whole());
    assert_eq!(exchanges.iter().map(|exchange| exchange.client()).collect::<Vec<_>>(), clients);
}
