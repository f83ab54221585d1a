use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Whose body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// An incident as a user finds it: plain files, read without our own reader.
pub struct Recording {
    pub dir: PathBuf,
    pub events: Vec<Value>,
    pub manifest: Value,
    /// The last line of a log has no end.
    pub torn: bool,
    logs: Vec<Log>,
    place: Option<Arc<TempDir>>,
}

/// One of the files of lines.
struct Log {
    name: &'static str,
    bytes: Vec<u8>,
    events: Vec<Value>,
    torn: bool,
}

impl Log {
    fn read(dir: &Path, name: &'static str) -> Self {
        let bytes = fs::read(dir.join(name)).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let parse = |line: &[u8]| -> Value {
            serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(line)))
        };
        let (events, torn) = (lines.map(parse).collect(), whole < bytes.len());
        Self { name, bytes, events, torn }
    }

    /// Requests that the target received, and their answers, stand in a file of their own.
    fn assert_own(&self) {
        for event in &self.events {
            let inbound = text(&event["type"]).starts_with("Inbound");
            assert_eq!(inbound, self.name == "inbound.log", "{}: {event:#}", self.name);
        }
    }
}

impl Recording {
    /// Reads `dir`. Any line that is no JSON, but for a torn last one, fails the test.
    pub fn read(dir: &Path) -> Self {
        Self::of(dir, &["inbound.log", "outbound.log"])
    }

    /// Reads these logs of `dir`, as an explicit proxy writes one alone.
    pub fn of(dir: &Path, logs: &[&'static str]) -> Self {
        let logs: Vec<Log> = logs.iter().map(|name| Log::read(dir, name)).collect();
        let mut events: Vec<Value> = logs.iter().flat_map(|log| log.events.iter().cloned()).collect();
        events.sort_by_key(|event| event["sequence"].as_u64());
        Self {
            dir: dir.to_owned(),
            events,
            manifest: Self::read_manifest(dir),
            torn: logs.iter().any(|log| log.torn),
            logs,
            place: None,
        }
    }

    /// The directory it lies in lives as long.
    pub fn keeping(mut self, place: &Arc<TempDir>) -> Self {
        self.place = Some(Arc::clone(place));
        self
    }

    pub fn read_manifest(dir: &Path) -> Value {
        let text = fs::read_to_string(dir.join("incident.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What holds for every incident of a capture that ended in order and lost nothing.
    pub fn assert_whole(&self) {
        self.assert_closed();
        assert_eq!(self.manifest["lost"]["events"], 0, "{:#}", self.manifest);
        assert!(self.events.iter().all(|event| event["type"] != "Lost"));
    }

    /// What holds for every incident of a capture that ended in order.
    pub fn assert_closed(&self) {
        assert!(!self.torn, "the log's last line is torn");
        assert_eq!(self.manifest["closed"], true, "{:#}", self.manifest);
        for log in &self.logs {
            let file = &self.manifest["logs"][log.name];
            assert_eq!(text(&file["sha256"]), sha256(&log.bytes), "{}", log.name);
            assert_eq!(file["lines"], log.events.len(), "{}", log.name);
            log.assert_own();
            let mut lines = log.events.windows(2);
            assert!(lines.all(|pair| pair[0]["sequence"].as_u64() < pair[1]["sequence"].as_u64()));
        }
        let mut counts = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        let mut previous = 0;
        for event in &self.events {
            *counts.entry(text(&event["type"]).to_owned()).or_insert(0) += 1;
            let id = text(&event["id"]);
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{event:#}");
            assert!(ids.insert(id), "the id {id} stands twice");
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(sequence > previous, "{sequence} after {previous}");
            previous = sequence;
        }
        assert_eq!(self.manifest["counts"], serde_json::to_value(counts).unwrap());
    }

    /// The lines of this type.
    pub fn of_type(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["type"] == kind).collect()
    }

    /// The requests.
    pub fn calls(&self) -> Vec<&Value> {
        self.of_type("OutboundCall")
    }

    /// The paths that were asked for, each with how often.
    pub fn paths(&self) -> BTreeMap<String, u32> {
        let mut paths = BTreeMap::new();
        for call in self.calls() {
            let url = text(&call["url"]).split_once("//").unwrap().1;
            *paths.entry(url[url.find('/').unwrap()..].to_owned()).or_insert(0) += 1;
        }
        paths
    }

    /// Asserts that these were asked for, each once, and nothing else.
    pub fn assert_paths(&self, paths: &[&str]) {
        let expected: BTreeMap<String, u32> = paths.iter().map(|path| ((*path).to_owned(), 1)).collect();
        assert_eq!(expected.len(), paths.len(), "{paths:?}");
        assert_eq!(self.paths(), expected, "{:#}", self.manifest);
    }

    /// The only line there is, which must be a request.
    pub fn call(&self) -> &Value {
        assert_eq!(self.events.len(), 1, "{:#?}", self.events);
        let event = &self.events[0];
        assert_eq!(event["type"], "OutboundCall", "{event:#}");
        event
    }

    /// How many of this kind were neither seen nor relayed.
    pub fn unmediated(&self, reason: &str) -> u64 {
        self.manifest["unmediated"][reason].as_u64().unwrap_or(0)
    }

    /// A whole body. Size and hash must be those of the bytes that were kept.
    pub fn body(&self, event: &Value, side: Side) -> Vec<u8> {
        let names = match side {
            Side::Request => ["body", "bodyB64", "bodySize", "bodySha256", "bodyTruncated"],
            Side::Response => [
                "responseBody",
                "responseBodyB64",
                "responseBodySize",
                "responseBodySha256",
                "responseBodyTruncated",
            ],
        };
        let [plain, base64, size, hash, truncated] = names.map(|name| &event[name]);
        assert_ne!(truncated, &Value::Bool(true), "{names:?} cut");
        let bytes = if let Some(plain) = plain.as_str() {
            plain.as_bytes().to_vec()
        } else if let Some(base64) = base64.as_str() {
            base64_simd::STANDARD.decode_to_vec(base64).unwrap()
        } else if let Some(hash) = hash.as_str() {
            fs::read(self.dir.join("bodies").join(hash)).unwrap()
        } else {
            Vec::new()
        };
        assert_eq!(size.as_u64().unwrap_or(0), bytes.len() as u64, "{}", names[2]);
        if let Some(hash) = hash.as_str() {
            assert_eq!(hash, sha256(&bytes), "{}", names[3]);
        }
        bytes
    }

    /// The names in `bodies/`.
    pub fn body_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("bodies")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A text field; an absent one reads as "".
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// 64 hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
