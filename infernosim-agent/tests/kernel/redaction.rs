//! Secrets that real clients and servers say to each other are in no file of the incident but `secrets.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Capture, Daemon, PYTHON, Recording, Side, text};

/// Says back what it was sent or asked for, and a cookie. `/pieces`: a byte at a time. `/big`: 5 MiB. `/gzip`: compressed.
const SERVER: &str = r#"
import gzip, http.server, json, sys, time
SECRET = "srv-S3cret+/=value"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def answer(self, body, *fields):
        self.send_response(200)
        self.send_header("Set-Cookie", "sid=" + SECRET + "; Path=/; HttpOnly")
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        body = json.dumps({"user": "ann", "access_token": SECRET}).encode()
        json_type = ("Content-Type", "application/json")
        if self.path == "/pieces":
            self.send_response(200)
            self.send_header(*json_type)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for byte in body:
                self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
                self.wfile.flush()
                time.sleep(0.002)
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/big":
            self.answer(b"[" + b'{"filler": "0123456789abcdef"},' * 170000 + body + b"]", json_type)
        elif self.path == "/gzip":
            self.answer(gzip.compress(body), json_type, ("Content-Encoding", "gzip"))
        elif self.path == "/plain":
            self.answer(body, json_type)
        else:
            said = (self.path + " " + self.headers.get("X-Api-Key", "")).encode()
            self.answer(json.dumps({"said": said.decode()}).encode() if "query" in self.path else b"<p>" + said, json_type)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body, ("Content-Type", self.headers["Content-Type"]))
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// A secret in each place where one may stand, each place with one of its own.
const CLIENT: &str = r#"
set -e
curl -sS -o /dev/null "$0/header" -H "Authorization: Bearer cli-Bearer-1" -H "X-Api-Key: cli-Api-Key-1" -b "sid=cli-Cookie-1; theme=cli-Cookie-2"
curl -sS -o /dev/null "$0/query?page=2&token=cli%2BQuery%201&x=cli-visible"
curl -sS -o /dev/null "http://ann:cli-Userinfo-1@${0#http://}/basic"
curl -sS -o /dev/null "$0/form" --data-urlencode "user=ann" --data-urlencode "password=cli+Form=1"
curl -sS -o /dev/null "$0/json" -H "Content-Type: application/json" -d '{"user":"ann","deep":[{"client_secret":"cli-Json-1","pin":73915827}]}'
curl -sS -o /dev/null "$0/json" -d '{"pass\u0077ord":"cli-Json\u002d2"}'
curl -sS -o /dev/null "$0/multipart" -F user=ann -F password=cli-Multipart-1
for path in /pieces /big /gzip /plain; do curl -sS -o /dev/null "$0$path"; done
"#;

/// What of it is secret, as it was meant.
const SECRETS: [&str; 13] = [
    "srv-S3cret+/=value",
    "cli-Bearer-1",
    "cli-Api-Key-1",
    "cli-Cookie-1",
    "cli-Cookie-2",
    "cli+Query 1",
    "cli-Userinfo-1",
    "ann:cli-Userinfo-1",
    "cli+Form=1",
    "cli-Json-1",
    "73915827",
    "cli-Json-2",
    "cli-Multipart-1",
];

fn server() -> Daemon {
    Daemon::start(PYTHON, |port| vec!["-c".into(), SERVER.into(), port.to_string()])
}

fn client(server: &Daemon) -> Capture {
    Capture::of(&["sh", "-c", CLIENT, &format!("http://{}", server.addr)])
}

/// In each form in which it could be found.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let percent = |keep: &str| -> String {
        let byte = |byte: u8| match byte {
            b' ' if keep.contains('+') => "+".to_owned(),
            _ if byte.is_ascii_alphanumeric() || keep.contains(char::from(byte)) => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        };
        secret.bytes().map(byte).collect()
    };
    let mut forms =
        vec![secret.to_owned(), percent("-._~"), percent("-._~+"), secret.replace('-', "\\u002d")];
    // Within a longer text base64 begins at any of three places; what is in the middle is always the same.
    for skipped in 0..3 {
        let padded = format!("{}{secret}", "x".repeat(skipped));
        let encoded = base64_simd::STANDARD.encode_to_string(padded.as_bytes());
        let start = if skipped == 0 { 0 } else { 4 };
        forms.push(encoded.trim_end_matches('=')[start..encoded.trim_end_matches('=').len() - 1].to_owned());
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Everything in the directory but for `secrets.json`, by name; what is compressed or base64, as it was meant, too.
fn files(recording: &Recording) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for directory in [recording.dir.clone(), recording.dir.join("bodies")] {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && name != "secrets.json" {
                files.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    for (index, event) in recording.events.iter().enumerate() {
        for name in ["bodyB64", "responseBodyB64"] {
            if let Some(encoded) = event[name].as_str() {
                let bytes = base64_simd::STANDARD.decode_to_vec(encoded).unwrap();
                files.insert(format!("{index} {name}"), gunzip(&bytes).unwrap_or(bytes));
            }
        }
    }
    files
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out).ok().map(|_| out)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// Token and value, of the lines that are whole.
fn secrets(dir: &Path) -> BTreeMap<String, String> {
    let file = std::fs::read_to_string(dir.join("secrets.json")).unwrap();
    let lines = file.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 1);
    assert_eq!(text(&lines[0]["key"]).len(), 64);
    lines[1..].iter().map(|line| (text(&line["token"]).to_owned(), text(&line["value"]).to_owned())).collect()
}

/// All tokens in a text.
fn tokens(bytes: &[u8]) -> BTreeSet<String> {
    let found = memchr::memmem::find_iter(bytes, b"redacted-").filter_map(|at| bytes.get(at..at + 33));
    found.map(|token| String::from_utf8(token.to_vec()).unwrap()).collect()
}

#[test]
fn no_secret_is_in_any_file_but_its_own() {
    let server = server();
    let recording = client(&server).record();
    assert_eq!(recording.calls().len(), 11);
    let files = files(&recording);
    for secret in SECRETS {
        for form in forms(secret) {
            for (name, bytes) in &files {
                assert!(!contains(bytes, &form), "{} of {secret} in {name}", String::from_utf8_lossy(&form));
            }
        }
    }
    assert!(contains(&files["outbound.log"], b"cli-visible"), "what is no secret is there");
    let secrets = secrets(&recording.dir);
    let used: BTreeSet<String> = files.values().flat_map(|bytes| tokens(bytes)).collect();
    // The password behind a user's name in a URL on a command line never went over the wire as such.
    let known: BTreeSet<String> = secrets.keys().cloned().collect();
    let logged: BTreeSet<String> = files
        .iter()
        .filter(|(name, _)| *name != "incident.json")
        .flat_map(|(_, bytes)| tokens(bytes))
        .collect();
    assert_eq!(logged, known, "each token is explained, and each that is explained is used: {used:?}");
    let redaction = &recording.manifest["redaction"];
    assert_eq!(
        (text(&redaction["policy"]), redaction["distinct"].as_u64()),
        ("default", Some(known.len() as u64))
    );
    assert!(redaction["values"].as_u64().unwrap() > known.len() as u64);
    for (name, mode) in
        [("secrets.json", 0o600), ("outbound.log", 0o600), ("incident.json", 0o600), ("bodies", 0o700)]
    {
        let metadata = std::fs::metadata(recording.dir.join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
    }
}

/// A session can still be followed, in whichever way its secret is sent.
#[test]
fn equal_values_have_equal_tokens_and_two_incidents_different_ones() {
    let server = server();
    let recordings = [client(&server).record(), client(&server).record()];
    let of = |recording: &Recording| -> BTreeMap<String, String> {
        let secrets = secrets(&recording.dir);
        let values: BTreeMap<String, String> =
            secrets.iter().map(|(token, value)| (value.clone(), token.clone())).collect();
        assert_eq!(values.len(), secrets.len(), "a value has one token");
        values
    };
    let tokens = recordings.each_ref().map(of);
    assert!(tokens[0].keys().eq(tokens[1].keys()), "{tokens:?}");
    assert!(tokens[0].iter().all(|(value, token)| tokens[1][value] != *token));
    let server_token = &tokens[0][SECRETS[0]];
    for call in recordings[0].calls() {
        let path = text(&call["url"]).rsplit('/').next().unwrap();
        if path != "pieces" {
            let cookie = format!("sid={server_token}; Path=/; HttpOnly");
            assert_eq!(call["responseHeaders"]["Set-Cookie"][0], cookie, "{path}");
        }
        if call["method"] == "GET"
            && call["responseBody"].as_str().is_none_or(|body| body.contains("access_token"))
        {
            let stored = if let Some(plain) = call["responseBody"].as_str() {
                plain.as_bytes().to_vec()
            } else if let Some(encoded) = call["responseBodyB64"].as_str() {
                gunzip(&base64_simd::STANDARD.decode_to_vec(encoded).unwrap()).unwrap()
            } else {
                std::fs::read(recordings[0].dir.join("bodies").join(text(&call["responseBodySha256"])))
                    .unwrap()
            };
            assert_eq!(call["responseBodyRedacted"], true);
            let body: Value = serde_json::from_slice(&stored).unwrap();
            let last = body.as_array().and_then(|list| list.last()).unwrap_or(&body);
            assert_eq!(last["access_token"], **server_token, "{path}");
            assert_eq!(last["user"], "ann");
        }
    }
    let header = recordings[0].calls()[0]["headers"].clone();
    assert_eq!(header["Authorization"][0], format!("Bearer {}", tokens[0]["cli-Bearer-1"]));
    let (one, two) = (&tokens[0]["cli-Cookie-1"], &tokens[0]["cli-Cookie-2"]);
    assert_eq!(header["Cookie"][0], format!("sid={one}; theme={two}"));
}

#[test]
fn a_name_is_added_and_nothing_at_all_is_replaced_on_demand() {
    let server = server();
    let url = format!("http://{}/x?iban=DE02-visible&page=7", server.addr);
    let curl =
        ["curl", "-sS", "-o", "/dev/null", "-H", "X-Tenant: acme-visible", "-b", "a=cookie-visible", &url];
    let added = Capture::of(&curl).option(&["--redact", "header:X-Ten*", "--redact", "iban"]).record();
    let log = files(&added)["outbound.log"].clone();
    assert!(!contains(&log, b"visible"), "{}", String::from_utf8_lossy(&log));
    assert!(contains(&log, b"page=7"));
    let redaction = &added.manifest["redaction"];
    assert_eq!(text(&redaction["policy"]), "default+custom");
    assert_eq!(redaction["names"], serde_json::json!(["header:X-Ten*", "iban"]));

    let plain = Capture::of(&curl).option(&["--no-redact"]).record();
    let call = plain.call();
    assert_eq!(text(&call["url"]), url);
    assert_eq!(call["headers"]["Cookie"][0], "a=cookie-visible");
    assert_eq!(plain.manifest["redaction"], serde_json::json!({ "policy": "none" }));
    assert_eq!(
        text(&call["responseHeaders"]["Set-Cookie"][0]),
        format!("sid={}; Path=/; HttpOnly", SECRETS[0])
    );
    assert!(!plain.body(call, Side::Response).is_empty());
    assert!(!plain.dir.join("secrets.json").exists());

    for wrong in [&["--redact", "body:x"][..], &["--redact", "x", "--no-redact"]] {
        assert_eq!(Capture::of(&["true"]).option(wrong).run().code, 2, "{wrong:?}");
    }
}

/// Whatever was on the disk: each token in a line is explained, and no secret is there in the clear.
#[test]
fn killed_in_the_middle_every_token_is_explained() {
    let server = server();
    let script = r#"
import http.client, sys
print("READY", flush=True)
number = 0
while True:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    for _ in range(20):
        number += 1
        body = '{"token":"run-%d-secret","x":"%s"}' % (number, "y" * 90000)
        connection.request("POST", "/t?api_key=run-%d-secret" % number, body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()
    if number == 200:
        print("MANY", flush=True)
"#;
    let mut running = Capture::python(script, &[&server.addr.port().to_string()]).start().ready();
    running.stdout.line("MANY");
    running.signal(Signal::SIGKILL);
    running.wait_for_death();
    let recording = Recording::read(&running.incident);
    assert!(recording.calls().len() > 20, "{}", recording.calls().len());
    let known = secrets(&recording.dir);
    for (name, bytes) in files(&recording) {
        assert!(name == "incident.json" || !contains(&bytes, b"-secret"), "{name}");
        if name != "incident.json" {
            let unknown: Vec<String> =
                tokens(&bytes).into_iter().filter(|token| !known.contains_key(token)).collect();
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
        }
    }
}

#[test]
fn the_secrets_belong_to_who_captures() {
    let server = server();
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let finished = Capture::of(&["curl", "-sS", "-o", "/dev/null", &format!("http://{}/", server.addr)])
        .environment("SUDO_UID", "65534")
        .environment("SUDO_GID", "65534")
        .environment("SUDO_USER", "nobody")
        .into(&place.path().join("incident"))
        .run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let metadata = std::fs::metadata(finished.incident.join("secrets.json")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (65534, 65534, 0o600));
}
