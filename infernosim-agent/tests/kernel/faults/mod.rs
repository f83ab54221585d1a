//! `infernosim replay --inject`: against services in a network namespace with nothing but loopback, from incidents that the
//! tests write.

mod actions;
mod connects;
mod inbound;
mod ledgers;
mod observed;
mod plans;
mod scenarios;

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Netns, PYTHON, Replay};

/// An incident, and where a target of it runs.
struct Stage {
    netns: Netns,
    incident: PathBuf,
    _place: TempDir,
}

/// The target: on each request it does what `TASK` says (`here.connection` is the client's), and tells the lines of it on its standard output.
const TARGET: &str = r#"
import http.client, json, os, select, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def tell(*words):
    # At once: threads tell, too.
    os.write(1, ("observed " + " ".join(map(str, words)) + "\n").encode())

def took(since):
    return round((time.monotonic() - since) * 1000)

here = threading.local()

class Target(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        here.connection = self.connection
        task(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

exec(os.environ["TASK"])
Server(("127.0.0.1", 8080), Target).serve_forever()
"#;

impl Stage {
    /// With so many requests, a few ms apart, each of which asked `calls` (path, body) of stock.test at 10.0.0.7.
    fn new(requests: usize, calls: &[(&str, &str)]) -> Self {
        let place = TempDir::with_prefix("infernosim-test-").unwrap();
        let incident = place.path().join("incident");
        std::fs::create_dir(&incident).unwrap();
        let (mut inbound, mut outbound, mut sequence) = (String::new(), String::new(), 0_u64);
        for request in 0..requests {
            let mut line = |value: Value| {
                sequence += 1;
                let mut line = value;
                line["id"] = format!("{sequence:032x}").into();
                line["sequence"] = sequence.into();
                line["offsetNs"] = (sequence * 1_000_000).into();
                line["timestamp"] = format!("2026-01-01T00:00:00.{:09}Z", sequence * 1_000_000).into();
                format!("{line}\n")
            };
            let trace = format!("{request:032x}");
            let asked = json!({
                "service": "127.0.0.1:8080", "protocol": "http/1.1", "method": "GET",
                "url": format!("http://127.0.0.1:8080/{request}"), "traceId": trace,
            });
            let with = |more: Value| {
                let mut line = asked.clone();
                line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                line
            };
            let headers = json!({"Host": ["127.0.0.1:8080"]});
            inbound += &line(with(json!({"type": "InboundRequest", "headers": headers, "bodySize": 0})));
            for (path, body) in calls {
                outbound += &line(json!({
                    "type": "OutboundCall", "service": "stock.test", "protocol": "http/1.1", "method": "GET",
                    "url": format!("http://stock.test{path}"), "headers": {"Host": ["stock.test"]}, "bodySize": 0,
                    "status": 200, "duration": 500_000, "peer": "10.0.0.7:80",
                    "responseHeaders": {"Content-Type": ["application/json"], "Content-Length": [body.len().to_string()]},
                    "responseBody": body, "responseBodySize": body.len(),
                }));
            }
            inbound += &line(with(json!({
                "type": "InboundResponse", "status": 200, "headers": {"Content-Length": ["2"]},
                "body": "ok", "bodySize": 2,
            })));
        }
        std::fs::write(incident.join("inbound.log"), inbound).unwrap();
        std::fs::write(incident.join("outbound.log"), outbound).unwrap();
        Self { netns: Netns::new(), incident, _place: place }
    }

    /// A replay against the target that does this for each request.
    fn replay(&self, task: &str) -> Replay {
        let task = format!("TASK={task}");
        Replay::of(&self.incident).against(&["env", &task, PYTHON, "-c", TARGET]).within(&self.netns)
    }

    /// What the target told.
    fn observed(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.incident.join("target.log")).unwrap_or_default();
        log.lines().filter_map(|line| Some(line.split_once("observed ")?.1.to_owned())).collect()
    }

    /// The ledger's lines, without the times that differ.
    fn ledger(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.incident.join("faults.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            fields.remove("atNs");
            fields.remove("observed");
            line
        });
        lines.collect()
    }
}
