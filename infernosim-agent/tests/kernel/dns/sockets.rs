//! Lookups by what their sockets do: not connected, sent elsewhere by netfilter, tapped with everything else.

use crate::dns::resolver::{Child2, Names, assert_whole, summaries, summary};
use crate::harness::{Capture, Cgroup, Origin, PYTHON, Service, program, text};

/// Asks two resolvers the same with the same id from one socket that is not connected, as musl does; and then each
/// of them from a socket of IPv6 that is connected to an IPv4 address.
const UNCONNECTED: &str = r"
import socket
question = b'\x12\x34\x01\0\0\1\0\0\0\0\0\0\4four\4test\0\0\1\0\1'
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for resolver in ('10.77.0.4', '10.77.0.2'):
    plain.sendto(question, (resolver, 53))
plain.recv(512)
for unmapped in (False, True):
    dual = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    if unmapped:
        dual.sendto(question, ('::ffff:10.77.0.2', 53))
    else:
        dual.connect(('::ffff:10.77.0.2', 53))
        dual.send(question)
    dual.recv(512)
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.sendto(question, ('fd77::2', 53))
six.recv(512)
six.sendto(b'no question', ('fd77::2', 5353))
";

#[test]
fn sockets_of_every_kind_are_heard() {
    let names = Names::new();
    let recording = names.capture(&[PYTHON, "-c", UNCONNECTED]).record();
    let events = recording.of_type("Dns");
    let answered: Vec<_> = events.iter().filter(|event| event.get("error").is_none()).collect();
    let services: Vec<&str> = answered.iter().map(|event| text(&event["service"])).collect();
    assert_eq!(services, ["10.77.0.2", "10.77.0.2", "10.77.0.2", "[fd77::2]"], "{:?}", summaries(&recording));
    answered.iter().for_each(|event| assert_whole(event));
    // One of the two did not answer, and its silence is not the other's.
    let silent: Vec<_> = events.iter().filter(|event| event.get("error").is_some()).collect();
    assert_eq!(silent.len(), 1);
    assert_eq!(text(&silent[0]["service"]), "10.77.0.4");
    assert!(events.iter().all(|event| text(&event["comm"]) == "python3" && event["pid"].is_u64()));
    assert_eq!(recording.unmediated("udp-datagrams"), 1, "what is no DNS: {:#}", recording.manifest);
}

/// Containers have a resolver of their own at an address where nobody listens: netfilter sends what is meant for it
/// to another port.
#[test]
fn a_resolver_behind_netfilter_is_the_one_that_was_asked() {
    let names = Names::new();
    let inside = |words: &[&str]| -> Vec<String> {
        names.lab.client.prefix().into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
    };
    let options = "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root \
        --port=5300 --listen-address=127.0.0.1 --bind-interfaces --host-record=shop.test,10.77.0.2";
    let mut words = vec!["dnsmasq"];
    words.extend(options.split_ascii_whitespace());
    let _inner = Child2::start(&inside(&words));
    let rules = "table ip docker { chain out { type nat hook output priority -100;
        ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.1:5300
        ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.1:5300
        }
        }";
    let words = inside(&["nft", rules]);
    let status = std::process::Command::new(program(&words[0])).args(&words[1..]).status().unwrap();
    assert!(status.success(), "{rules}");
    for (options, transport) in [("", "udp"), ("options use-vc\n", "tcp")] {
        names.resolv_conf(&format!("nameserver 127.0.0.11\n{options}"));
        let recording = names.capture(&["getent", "ahostsv4", "shop.test"]).record();
        let events = recording.of_type("Dns");
        let [event] = &events[..] else { panic!("{:?}", summaries(&recording)) };
        assert_eq!(summary(event), format!("{transport} A shop.test NOERROR A 10.77.0.2"));
        let ends = ["service", "peer", "comm"].map(|field| text(&event[field]));
        assert_eq!(ends, ["127.0.0.11", "127.0.0.11:53", "getent"]);
        assert_eq!(recording.manifest["unmediated"], serde_json::json!({}));
    }
}

#[test]
fn names_are_heard_where_everything_is_tapped() {
    let names = Names::new();
    let port = crate::dns::echo(&names.lab.server).to_string();
    let command = [PYTHON, "-c", crate::dns::RAW, "shop.test", &port];
    let recording = names.capture(&command).option(&["--via", "tap"]).record();
    let mut asked = summaries(&recording);
    asked.sort();
    assert_eq!(asked, ["udp A shop.test NOERROR A 10.77.0.2", "udp AAAA shop.test NOERROR AAAA fd77::2"]);
    let calls = recording.calls();
    let [call] = &calls[..] else { panic!("{calls:#?}") };
    assert_eq!(text(&call["service"]), format!("shop.test:{port}"));
}

/// Many processes at once, in a cgroup: no lookup is missed, none is told twice, none is another's.
#[test]
fn a_crowd_is_kept_apart() {
    let names = Names::new();
    let origin = Origin::within(&names.lab.server);
    let cgroup = Cgroup::new();
    let prefix: Vec<String> =
        cgroup.prefix().into_iter().chain(names.lab.client.prefix()).chain(names.asking()).collect();
    let shell = ["sh", "-c", "echo READY main=$$; while read line; do eval \"$line\"; echo DONE; done"];
    let mut service = Service::run(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), &shell);
    let capture = Capture::attached(&["--cgroup", &cgroup.name()]).start().ready();
    let one = format!("curl -sS -4 -o /dev/null http://four.test:{}/$i.$j", origin.port());
    service
        .line(&format!("for i in 1 2 3 4 5 6; do for j in 1 2 3 4 5; do {one} & done; wait; done"), "DONE");
    service.end();
    let recording = capture.wait_for_end().recording();
    assert_eq!(recording.calls().len(), 30);
    let asked = summaries(&recording);
    assert_eq!(asked.len(), 30, "{asked:?}");
    assert!(asked.iter().all(|line| line == "udp A four.test NOERROR A 10.77.0.2"), "{asked:?}");
    let pids = |kind: &str| -> std::collections::BTreeSet<u64> {
        recording.of_type(kind).into_iter().map(|event| event["pid"].as_u64().unwrap()).collect()
    };
    assert_eq!((pids("Dns").len(), pids("Dns")), (30, pids("OutboundCall")));
}
