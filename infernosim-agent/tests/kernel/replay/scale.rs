//! An incident of many exchanges, against nginx as the service under test.

use std::fmt::Write as _;

use tempfile::TempDir;

use super::free_port;
use crate::harness::{Netns, Replay, long};

/// One exchange and its call, in three lines, each in its log.
fn exchange(number: u64, (port, upstream): (u16, u16), inbound: &mut String, outbound: &mut String) {
    let sequence = number * 3;
    let offset = number * 1_000_000;
    let base = |add: u64| {
        format!(
            "\"sequence\":{},\"offsetNs\":{},\"protocol\":\"http/1.1\"",
            sequence + add,
            offset + add * 100_000
        )
    };
    let time = "\"timestamp\":\"2026-01-02T03:04:05.000000000Z\"";
    let connection = number % 16;
    let _ = writeln!(
        inbound,
        "{{\"id\":\"{number:032x}\",\"type\":\"InboundRequest\",{time},{},\"traceId\":\"{number:032x}\",\"service\":\"127.0.0.1:{port}\",\"method\":\"GET\",\"url\":\"http://shop.test/item/{number}\",\"headers\":{{\"Host\":[\"shop.test\"]}},\"connection\":{connection},\"pid\":1,\"local\":\"127.0.0.1:{port}\",\"peer\":\"127.0.0.1:5\"}}",
        base(1)
    );
    let body = format!("{{\\\"item\\\":{number},\\\"price\\\":{}}}", number % 97);
    let size = body.len() - 4;
    let _ = writeln!(
        outbound,
        "{{\"id\":\"{:032x}\",\"type\":\"OutboundCall\",{time},{},\"cause\":\"{number:032x}\",\"causeBasis\":\"only-one-in-flight\",\"service\":\"127.0.0.1:{upstream}\",\"method\":\"GET\",\"url\":\"http://127.0.0.1:{upstream}/item/{number}\",\"headers\":{{\"Host\":[\"127.0.0.1:{upstream}\"]}},\"status\":200,\"responseHeaders\":{{\"Content-Type\":[\"application/json\"],\"Content-Length\":[\"{size}\"]}},\"responseBody\":\"{body}\",\"responseBodySize\":{size},\"duration\":100000,\"connection\":{},\"pid\":1,\"local\":\"127.0.0.1:6\",\"peer\":\"127.0.0.1:{upstream}\"}}",
        number + (1 << 40),
        base(2),
        100 + connection
    );
    let _ = writeln!(
        inbound,
        "{{\"id\":\"{:032x}\",\"type\":\"InboundResponse\",{time},{},\"traceId\":\"{number:032x}\",\"service\":\"127.0.0.1:{port}\",\"method\":\"GET\",\"url\":\"http://shop.test/item/{number}\",\"status\":200,\"headers\":{{\"Content-Type\":[\"application/json\"]}},\"body\":\"{body}\",\"bodySize\":{size},\"duration\":300000,\"connection\":{connection},\"pid\":1}}",
        number + (1 << 41),
        base(3)
    );
}

#[test]
fn a_long_incident_replays_in_little_memory() {
    let exchanges = if long() { 100_000 } else { 20_000 };
    let netns = Netns::new();
    let (port, upstream) = (netns.enter(free_port), netns.enter(free_port));
    let place = TempDir::with_prefix("infernosim-test-").unwrap();
    let root = place.path().to_str().unwrap();
    let (mut inbound, mut outbound) = (String::new(), String::new());
    (1..=exchanges).for_each(|number| exchange(number, (port, upstream), &mut inbound, &mut outbound));
    let incident = place.path().join("incident");
    std::fs::create_dir(&incident).unwrap();
    std::fs::write(incident.join("inbound.log"), inbound).unwrap();
    std::fs::write(incident.join("outbound.log"), outbound).unwrap();
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error;
         events {{ worker_connections 500; }}
         http {{
             access_log off;
             client_body_temp_path {root}/a; proxy_temp_path {root}/b;
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
             upstream there {{ server 127.0.0.1:{upstream}; keepalive 8; }}
             server {{
                 listen 127.0.0.1:{port};
                 location / {{
                     proxy_pass http://there; proxy_http_version 1.1;
                     proxy_set_header Connection ''; proxy_set_header Host 127.0.0.1:{upstream};
                 }}
             }}
         }}"
    );
    let path = place.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let words = ["nginx", "-c", path.to_str().unwrap(), "-e", &format!("{root}/error"), "-p", root];
    let runs = ["--runs", "2", "--time-scale", "0", "--max-wall-time", "10m"];
    let replayed = Replay::of(&incident).against(&words).within(&netns).option(&runs).run();
    replayed.assert_passed(2);
    println!("{exchanges} exchanges: {} KiB\n{}", replayed.peak_rss_kib, replayed.stdout);
    assert!(replayed.peak_rss_kib < 300 << 10, "{} KiB", replayed.peak_rss_kib);
}
