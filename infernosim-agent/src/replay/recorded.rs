//! Recordings for tests: lines as a capture writes them, in a folder that goes with them.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::script::Script;
use crate::error::Result;
use crate::incident::reader::Incident;

/// A recording that is being written.
#[derive(Debug)]
pub struct Recorded {
    pub dir: TempDir,
    inbound: Vec<Value>,
    outbound: Vec<Value>,
    sequence: u64,
}

/// 2026-01-02T03:04:05Z in ns.
pub const BEGAN: i128 = 1_767_323_045_000_000_000;

impl Recorded {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("incident.json"), "{\"formatVersion\":\"1.0\"}").unwrap();
        Self { dir, inbound: Vec::new(), outbound: Vec::new(), sequence: 0 }
    }

    fn common(&mut self, kind: &str, at_ns: u64) -> Value {
        self.sequence += 1;
        let time = jiff::Timestamp::from_nanosecond(BEGAN + i128::from(at_ns)).unwrap();
        json!({"id": format!("{:032x}", self.sequence), "type": kind, "timestamp": time.to_string(),
            "sequence": self.sequence, "offsetNs": at_ns, "protocol": "http/1.1"})
    }

    /// A request that came; `more` overwrites fields. Gives its id.
    pub fn request(&mut self, at_ns: u64, method: &str, target: &str, more: Value) -> String {
        let mut line = self.common("InboundRequest", at_ns);
        let id = line["id"].as_str().unwrap().to_owned();
        let url = format!("http://shop.test{target}");
        merge(
            &mut line,
            json!({"traceId": id, "service": "127.0.0.1:8080", "method": method, "url": url,
            "headers": {"Host": ["shop.test"]}, "duration": 0, "connection": 1, "local": "127.0.0.1:8080",
            "peer": "127.0.0.9:5000"}),
        );
        merge(&mut line, more);
        self.inbound.push(line);
        id
    }

    /// The answer to it.
    pub fn answer(&mut self, at_ns: u64, id: &str, status: u16, body: &str, more: Value) {
        let mut line = self.common("InboundResponse", at_ns);
        merge(
            &mut line,
            json!({"traceId": id, "status": status, "body": body, "bodySize": body.len(),
            "headers": {"Content-Type": ["application/json"]}}),
        );
        merge(&mut line, more);
        self.inbound.push(line);
    }

    /// A call of `prices.test`, of 1 µs.
    pub fn call(&mut self, at_ns: u64, method: &str, target: &str, answer: &str, more: Value) {
        let mut line = self.common("OutboundCall", at_ns);
        merge(
            &mut line,
            json!({"service": "prices.test", "method": method,
            "url": format!("http://prices.test{target}"), "headers": {"Host": ["prices.test"]}, "status": 200,
            "responseBody": answer, "responseBodySize": answer.len(), "duration": 1000, "connection": 2,
            "peer": "10.0.0.7:80"}),
        );
        merge(&mut line, more);
        self.outbound.push(line);
    }

    /// Another line of the outbound log.
    pub fn other(&mut self, kind: &str, at_ns: u64, more: Value) {
        let mut line = self.common(kind, at_ns);
        merge(&mut line, more);
        self.outbound.push(line);
    }

    /// Writes the logs.
    pub fn written(&self) -> Incident {
        let text = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        fs::write(self.dir.path().join("inbound.log"), text(&self.inbound)).unwrap();
        fs::write(self.dir.path().join("outbound.log"), text(&self.outbound)).unwrap();
        Incident::open(self.dir.path()).unwrap()
    }

    pub fn script(&self) -> Result<Arc<Script>> {
        Script::load(&self.written())
    }
}

/// `null` takes a field out.
fn merge(line: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    let line = line.as_object_mut().unwrap();
    for (name, value) in more {
        if value.is_null() {
            line.shift_remove(&name);
        } else {
            line.insert(name, value);
        }
    }
}
