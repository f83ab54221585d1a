use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Capture, Lab, Netns, PYTHON, Recording, eventually, program, text};

/// Answers as real servers do not.
const BROKEN: &str = include_str!("broken.py");

/// Two namespaces: in the server's a resolver, dnsmasq, and beside it one that fails; in the client's, whoever is
/// started through [`Names::asking`] asks them.
pub struct Names {
    pub lab: Lab,
    place: TempDir,
    _servers: [Child2; 2],
}

/// A process; killed when dropped.
pub struct Child2(Child);

impl Child2 {
    pub fn start(words: &[String]) -> Self {
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Child2 {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What dnsmasq knows; it says NXDOMAIN of all else under `test`.
fn dnsmasq(netns: &Netns) -> Child2 {
    let big: Vec<String> = (0..8).map(|n| format!("{n}").repeat(200)).collect();
    let options = [
        "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root --cache-size=0",
        "--listen-address=10.77.0.2,fd77::2 --bind-interfaces --local=/test/",
        "--host-record=shop.test,10.77.0.2,fd77::2,300 --host-record=four.test,10.77.0.2,0",
        "--cname=www.test,web.test,60 --cname=web.test,shop.test,90",
        "--srv-host=_shop._tcp.test,shop.test,8080,10,5 --txt-record=text.test,one,two",
    ];
    let big = format!("--txt-record=big.test,{}", big.join(","));
    let options = options.iter().flat_map(|line| line.split(' ')).chain([big.as_str()]);
    let words = ["dnsmasq"].into_iter().chain(options).map(str::to_owned);
    Child2::start(&netns.prefix().into_iter().chain(words).collect::<Vec<_>>())
}

impl Names {
    pub fn new() -> Self {
        let lab = Lab::new();
        lab.server.ip("addr add 10.77.0.4/24 dev cable");
        let broken = lab.server.prefix().into_iter().chain([PYTHON, "-c", BROKEN].map(str::to_owned));
        let servers = [dnsmasq(&lab.server), Child2::start(&broken.collect::<Vec<_>>())];
        for address in ["10.77.0.2", "fd77::2", "10.77.0.4"] {
            let address: IpAddr = address.parse().unwrap();
            eventually("a resolver listens", || {
                lab.client.enter(move || TcpStream::connect((address, 53)).is_ok())
            });
        }
        let place = TempDir::with_prefix("infernosim-test-").unwrap();
        let names = Self { lab, place, _servers: servers };
        names.resolv_conf("nameserver 10.77.0.2\n");
        names
    }

    /// Who is asked, as resolv.conf(5) has it.
    pub fn resolv_conf(&self, text: &str) {
        std::fs::write(self.path().join("resolv.conf"), text).unwrap();
    }

    /// A directory for what a test makes.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The beginning of a command line that runs the rest of it with our resolv.conf.
    pub fn asking(&self) -> Vec<String> {
        self.with(&[("resolv.conf", "/etc/resolv.conf")])
    }

    /// The same with these of our files in the places of others.
    pub fn with(&self, files: &[(&str, &str)]) -> Vec<String> {
        let mounts: String = files
            .iter()
            .map(|(own, place)| format!("mount --bind '{}' {place} && ", self.path().join(own).display()))
            .collect();
        let shell = ["unshare", "--mount", "sh", "-c", &(mounts + "exec \"$@\""), "sh"];
        shell.map(str::to_owned).to_vec()
    }

    /// A capture of a command in the client's namespace that asks our resolvers.
    pub fn capture(&self, command: &[&str]) -> Capture {
        let mut words = self.asking();
        words.extend(command.iter().map(|word| (*word).to_owned()));
        Capture::of(&words.iter().map(String::as_str).collect::<Vec<_>>()).within(&self.lab.client)
    }

    /// What was recorded of a shell script.
    pub fn record(&self, script: &str) -> Recording {
        self.capture(&["sh", "-c", script]).record()
    }
}

/// A lookup in a line: transport, kind, name, outcome, answers.
pub fn summary(event: &Value) -> String {
    let empty = Vec::new();
    let answers = event["answers"].as_array().unwrap_or(&empty).iter();
    let answers: Vec<String> =
        answers.map(|answer| format!("{} {}", text(&answer["type"]), text(&answer["data"]))).collect();
    let outcome = event["rcode"].as_str().or(event["error"].as_str()).unwrap_or("?");
    let [transport, kind, name] = ["transport", "method", "name"].map(|field| text(&event[field]));
    let truncated = if event["truncated"] == true { " truncated" } else { "" };
    format!("{transport} {kind} {name} {outcome}{truncated} {}", answers.join(", ")).trim_end().to_owned()
}

/// Every lookup, in order.
pub fn summaries(recording: &Recording) -> Vec<String> {
    recording.of_type("Dns").into_iter().map(summary).collect()
}

/// What holds for each lookup that was answered: the messages are there, and belong together.
pub fn assert_whole(event: &Value) {
    let bytes = |field: &str| base64_simd::STANDARD.decode_to_vec(text(&event[field])).unwrap();
    let (question, answer) = (bytes("bodyB64"), bytes("responseBodyB64"));
    assert_eq!(
        (event["bodySize"].as_u64(), event["responseBodySize"].as_u64()),
        (Some(question.len() as u64), Some(answer.len() as u64))
    );
    assert_eq!(question[..2], answer[..2], "{event:#}");
    assert!(question[2] & 0x80 == 0 && answer[2] & 0x80 != 0, "{event:#}");
    assert!(event["duration"].as_u64().unwrap() > 0);
    assert!(event.get("incomplete").is_none() && event.get("error").is_none(), "{event:#}");
    let (service, name, kind) = (text(&event["service"]), text(&event["name"]), text(&event["method"]));
    assert_eq!(text(&event["url"]), format!("dns://{service}/{name}?type={kind}"));
    assert_eq!(text(&event["protocol"]), "dns");
    let peer = text(&event["peer"]);
    assert_eq!(peer, format!("{service}:53"));
    assert!(text(&event["local"]).starts_with(if peer.starts_with('[') {
        "[fd77::1]:"
    } else {
        "10.77.0.1:"
    }));
}
