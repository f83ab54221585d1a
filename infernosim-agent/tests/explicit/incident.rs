//! Both processes write into one folder, each its own log: one incident, in one order.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{
    Client, Folder, INFERNOSIM, Origin, Output, PYTHON, Program, Recording, Running, curl, eventually, text,
};

/// A service that asks a dependency through a proxy once for each request, and passes the credentials on.
const SERVICE: &str = r#"
import http.server, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": sys.argv[1]}))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        number = self.path.rsplit("/")[-1]
        headers = {"Authorization": self.headers["Authorization"]} if self.headers["Authorization"] else {}
        request = urllib.request.Request(sys.argv[2] + "/n/" + number, headers=headers)
        try:
            status, body = 200, opener.open(request).read()
        except urllib.error.HTTPError as error:
            status, body = 500, error.read()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("PORT", server.server_address[1], flush=True)
server.serve_forever()
"#;

/// A load of so many requests from so many clients, each with a number of its own.
const LOAD: &str = r#"
import http.client, sys, threading
host, clients, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def ask(client):
    connection = http.client.HTTPConnection(host)
    for number in range(client * each, (client + 1) * each):
        connection.request("GET", f"/api/{number}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"%d\n" % number), answer.status
threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done")
"#;

/// A service between both.
struct Shop {
    folder: Folder,
    origin: Origin,
    proxy: Running,
    inbound: Running,
    _service: Program,
}

impl Shop {
    fn open(inbound: &[&str]) -> Self {
        let (folder, origin) = (Folder::new(), Origin::start());
        let proxy = folder.proxy(&[]);
        let service = Program::python(SERVICE, &[&proxy.url(""), &origin.url("")]);
        let inbound = folder.inbound(service.authority(), inbound);
        Self { folder, origin, proxy, inbound, _service: service }
    }

    fn close(self) -> (Folder, Recording) {
        self.inbound.stop();
        self.proxy.stop();
        let recording = self.folder.both();
        (self.folder, recording)
    }
}

fn number(event: &Value) -> u64 {
    text(&event["url"]).rsplit('/').next().unwrap().parse().unwrap()
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_u64().unwrap()
}

#[test]
fn each_call_lies_between_its_request_and_the_answer() {
    let shop = Shop::open(&[]);
    let load = Client::of(PYTHON, &["-c", LOAD, &shop.inbound.addr.to_string(), "16", "25"]);
    assert_eq!(load.run().text(), "done\n");
    let (_folder, recording) = shop.close();
    let calls: BTreeMap<u64, u64> =
        recording.calls().iter().map(|call| (number(call), sequence(call))).collect();
    assert_eq!(calls.len(), 400);
    let responses: BTreeMap<&str, u64> = recording
        .of_type("InboundResponse")
        .iter()
        .map(|response| (text(&response["traceId"]), sequence(response)))
        .collect();
    let requests = recording.of_type("InboundRequest");
    assert_eq!((requests.len(), responses.len()), (400, 400));
    for request in requests {
        let (call, response) = (calls[&number(request)], responses[text(&request["id"])]);
        assert!(sequence(request) < call && call < response, "{request:#} {call} {response}");
    }
    // Connections of the two have numbers of their own.
    let of = |kind: &str| -> std::collections::BTreeSet<u64> {
        recording.of_type(kind).iter().map(|event| event["connection"].as_u64().unwrap()).collect()
    };
    assert!(of("OutboundCall").is_disjoint(&of("InboundRequest")));
}

#[test]
fn inspect_shows_one_incident() {
    let shop = Shop::open(&[]);
    assert_eq!(curl(&[&shop.inbound.url("/api/1")]).text(), "1\n");
    shop.folder.lines("inbound.log", 2);
    shop.folder.lines("outbound.log", 1);
    // While both go on, and after.
    let (during, origin) = (shop.folder.run(&["inspect", "."]), shop.origin.addr.to_string());
    let (folder, recording) = shop.close();
    for shown in [during, folder.run(&["inspect", "."])] {
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        let rows: Vec<&str> = shown.stdout.lines().filter(|line| line.contains("GET")).collect();
        let [inbound, outbound] = rows[..] else { panic!("{}", shown.stdout) };
        assert!(inbound.contains("/api/1") && outbound.contains("/n/1"), "{}", shown.stdout);
        assert!(outbound.contains(&origin), "{}", shown.stdout);
    }
    let kinds: Vec<&str> = recording.events.iter().map(|event| text(&event["type"])).collect();
    assert_eq!(kinds, ["InboundRequest", "OutboundCall", "InboundResponse"]);
    let explicit = &recording.manifest["target"]["explicit"];
    assert_eq!(explicit["outbound"]["log"], "outbound.log", "{:#}", recording.manifest);
    assert_eq!(explicit["inbound"]["log"], "inbound.log");
    assert!(text(&explicit["inbound"]["forward"]).starts_with("127.0.0.1:"));
}

#[test]
fn inspect_follows_both() {
    let shop = Shop::open(&[]);
    // Whatever becomes of the test, it does not follow for ever.
    let follow = ["60", INFERNOSIM, "inspect", "-f", "."];
    let mut follower = shop.folder.command_as("timeout", &follow).spawn().unwrap();
    let shown = Output::of(follower.stdout.take().unwrap());
    for number in 1..=3 {
        assert_eq!(curl(&[&shop.inbound.url(&format!("/api/{number}"))]).text(), format!("{number}\n"));
    }
    eventually("the last request is shown", || shown.so_far().contains("/api/3"));
    let (_folder, _) = shop.close();
    eventually("inspect ends with the last proxy", || follower.try_wait().unwrap().is_some());
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8(shown.all()).unwrap();
    let places: Vec<usize> = ["/api/1", "/n/1", "/api/2", "/n/2", "/api/3", "/n/3"]
        .map(|path| shown.find(path).expect(&shown))
        .into();
    assert!(places.is_sorted(), "{shown}");
}

/// What goes in and comes out again is one value, and its token is the same in both logs; the value is in neither.
#[test]
fn a_secret_has_one_token_in_both_logs() {
    let shop = Shop::open(&[]);
    let header = "Authorization: Bearer tomato-soup-4711";
    assert_eq!(curl(&["-H", header, &shop.inbound.url("/api/1")]).text(), "1\n");
    assert_eq!(curl(&["-H", "Authorization: Bearer other", &shop.inbound.url("/api/2")]).text(), "2\n");
    // It is the recording that is redacted, and not the traffic.
    assert!(shop.origin.seen()[0].head.contains("Bearer tomato-soup-4711"));
    let (folder, recording) = shop.close();
    let tokens = |kind: &str| -> BTreeMap<u64, String> {
        let of = |event: &&Value| (number(event), text(&event["headers"]["Authorization"][0]).to_owned());
        recording.of_type(kind).iter().map(of).collect()
    };
    let (inbound, outbound) = (tokens("InboundRequest"), tokens("OutboundCall"));
    assert_eq!(inbound, outbound);
    assert_ne!(inbound[&1], inbound[&2]);
    for log in ["inbound.log", "outbound.log", "incident.json"] {
        assert!(!folder.text(log).contains("tomato-soup"), "{log}");
    }
    assert!(folder.text("secrets.json").contains("tomato-soup-4711"));
    assert_eq!(recording.manifest["redaction"]["policy"], "default");
}

/// A response names its own recording: with its id the whole exchange is found.
#[test]
fn responses_name_their_recording() {
    let shop = Shop::open(&["--tag-responses"]);
    let mut ids = Vec::new();
    for number in 1..=3 {
        let said = curl(&["-i", &shop.inbound.url(&format!("/api/{number}"))]).text();
        let name = "x-request-context: ";
        let line = said.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).expect(&said);
        ids.push(line[name.len()..].trim().to_owned());
    }
    let (folder, recording) = shop.close();
    for (at, id) in ids.iter().enumerate() {
        let requests = recording.of_type("InboundRequest");
        let request = requests.iter().find(|request| request["id"] == **id);
        let request = request.unwrap_or_else(|| panic!("{id}: {requests:#?}"));
        assert_eq!(number(request), at as u64 + 1);
        let shown = folder.run(&["inspect", ".", id]);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert!(shown.stdout.contains(&format!("/api/{}", at + 1)), "{}", shown.stdout);
    }
    // As the service sent it: the tag is ours.
    let response = recording.of_type("InboundResponse")[0];
    assert!(response["headers"].get("X-Request-Context").is_none(), "{response:#}");
}

/// One session after the other adds to what is there.
#[test]
fn sessions_add_up() {
    let (folder, origin) = (Folder::new(), Origin::start());
    for number in 1..=3 {
        let proxy = folder.proxy(&[]);
        let url = origin.url(&format!("/n/{number}"));
        assert_eq!(crate::harness::curl_through(&proxy, &[&url]).text(), format!("{number}\n"));
        proxy.stop();
        let recording = folder.recorded("outbound.log");
        let numbers: Vec<u64> = recording.calls().iter().map(|call| self::number(call)).collect();
        assert_eq!(numbers, (1..=number).collect::<Vec<_>>());
        assert_eq!(recording.manifest["dependencies"][0]["calls"], number);
    }
}

/// The logs may have any names, of which the manifest tells; the original's was `events.log` in either mode.
#[test]
fn logs_of_other_names_are_found() {
    for (inbound, outbound) in
        [("in.log", "out.jsonl"), ("events.log", "calls.log"), ("outbound.log", "events.log")]
    {
        let (folder, origin) = (Folder::new(), Origin::start());
        let proxy = folder.proxy(&["--log", outbound]);
        let front = folder.inbound(origin.addr, &["--log", inbound]);
        assert_eq!(curl(&["-x", &proxy.url(""), &front.url("/n/1")]).text(), "1\n");
        front.stop();
        proxy.stop();
        let shown = folder.run(&["inspect", ".", "--json"]);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        let kinds: Vec<String> = shown
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["InboundRequest", "InboundResponse", "OutboundCall"], "{inbound} {outbound}");
    }
}

/// The incident is closed when the last of the two has ended, and not before.
#[test]
fn the_last_one_closes_it() {
    let shop = Shop::open(&[]);
    assert_eq!(curl(&[&shop.inbound.url("/api/1")]).text(), "1\n");
    let manifest = || Recording::read_manifest(shop.folder.path());
    assert_ne!(manifest()["closed"], true);
    shop.inbound.stop();
    eventually("what it counted stands there", || manifest()["counts"]["InboundRequest"] == 1);
    assert_ne!(manifest()["closed"], true, "{:#}", manifest());
    shop.proxy.stop();
    assert_eq!(manifest()["closed"], true, "{:#}", manifest());
    shop.folder.both();
}
