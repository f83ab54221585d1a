//! What the Go InfernoSIM wrote, with what it left out.

use super::*;

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn load(
    inbound: &[serde_json::Value],
    outbound: &[serde_json::Value],
    messages: bool,
) -> std::sync::Arc<Script> {
    let dir = tempfile::tempdir().unwrap();
    let lines = |all: &[serde_json::Value]| all.iter().map(|it| format!("{it}\n")).collect::<String>();
    fs::write(dir.path().join("inbound.log"), lines(inbound)).unwrap();
    fs::write(dir.path().join("outbound.log"), lines(outbound)).unwrap();
    if messages {
        fs::write(dir.path().join("messages.log"), "{}\n").unwrap();
    }
    Script::load(&Incident::open(dir.path()).unwrap()).unwrap()
}

fn untested(script: &Script) -> Vec<String> {
    script.untested().iter().map(|it| format!("{} {}", it.count, it.what)).collect()
}

/// Of a body that was not to be stored it keeps the digest alone, and there is no file of that name (its pkg/capture/http.go).
#[test]
fn a_digest_without_a_body_is_not_looked_for_in_a_file() {
    let inbound = [
        json!({"id": "a1", "type": "InboundRequest", "timestamp": "2026-01-01T00:00:00Z", "sequence": 1, "method": "POST",
            "url": "http://localhost:8084/a", "traceId": "a1", "bodySize": 3, "bodySha256": ABC, "bodyRedacted": true}),
        json!({"id": "a2", "type": "InboundResponse", "timestamp": "2026-01-01T00:00:01Z", "sequence": 2, "status": 200,
            "traceId": "a1"}),
        json!({"id": "a3", "type": "InboundRequest", "timestamp": "2026-01-01T00:00:02Z", "sequence": 3, "method": "GET",
            "url": "http://localhost:8084/b", "traceId": "a3"}),
        json!({"id": "a4", "type": "InboundResponse", "timestamp": "2026-01-01T00:00:03Z", "sequence": 4, "status": 200,
            "traceId": "a3", "bytesSent": 3, "bodySha256": ABC, "bodyRedacted": true}),
    ];
    let outbound = [
        json!({"id": "b1", "type": "OutboundCall", "timestamp": "2026-01-01T00:00:02.5Z", "method": "POST", "status": 200,
        "url": "http://dep.test/x", "bodySize": 3, "bodySha256": ABC, "bodyRedacted": true, "responseCaptured": true,
        "responseBodySha256": ABC, "responseBodyRedacted": true}),
    ];
    let script = load(&inbound, &outbound, false);
    let replayable: Vec<bool> = script.exchanges().iter().map(|it| it.replayable).collect();
    assert_eq!(replayable, [false, true]);
    assert_eq!(script.answer(ExchangeIndex(1)).unwrap().body, None, "not compared");
    assert_eq!(script.reply(CallIndex(0)).unwrap().body, "");
    assert_eq!(
        untested(&script),
        [
            "1 bodies and headers of answers",
            "1 bodies of requests to dep.test that were cut",
            "1 bodies of the answers of dep.test",
            "1 requests whose bodies were not kept"
        ]
    );
}

/// Go's ContentLength is -1 where the body is chunked.
#[test]
fn a_body_of_unknown_size_is_sent() {
    let inbound = [
        json!({"id": "a1", "type": "InboundRequest", "timestamp": "2026-01-01T00:00:00Z", "method": "POST", "bodySize": -1,
            "url": "http://localhost:8084/a", "traceId": "a1", "bodyB64": "YWJj", "bodySha256": ABC, "bytesReceived": 3}),
    ];
    let outbound = [
        json!({"id": "b1", "type": "OutboundCall", "timestamp": "2026-01-01T00:00:01Z", "method": "GET", "status": 200,
        "url": "http://dep.test/x", "bodySize": -1}),
    ];
    let script = load(&inbound, &outbound, false);
    assert_eq!(script.request(ExchangeIndex(0)).unwrap().body, "abc");
    assert_eq!(script.calls()[0].kind, CallKind::Http);
    assert!(
        untested(&script).contains(&"1 answers that were not recorded".to_owned()),
        "{:?}",
        script.untested()
    );
}

#[test]
fn grpc_kafka_and_what_is_unknown_are_listed() {
    let inbound = [
        json!({"id": "a1", "type": "InboundRequest", "timestamp": "2026-01-01T00:00:00Z", "method": "GET",
            "url": "http://localhost:8084/a", "traceId": "a1"}),
        json!({"id": "a2", "type": "InboundGRPC", "timestamp": "2026-01-01T00:00:00Z", "url": "/funds.Funds/Reserve"}),
    ];
    let call = |id: &str, more: serde_json::Value| {
        let mut call = json!({"id": id, "type": "OutboundCall", "timestamp": "2026-01-01T00:00:01Z", "method": "POST",
            "url": "http://funds.test/funds.Funds/Reserve", "status": 200});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let outbound = [
        call("b1", json!({"grpcServiceMethod": "/funds.Funds/Reserve"})),
        call("b2", json!({"headers": {"Content-Type": ["application/grpc+proto"]}})),
    ];
    let script = load(&inbound, &outbound, true);
    assert!(script.calls().iter().all(|call| call.kind == CallKind::Unserved));
    assert_eq!(
        untested(&script),
        [
            "0 Kafka messages (messages.log)",
            "1 answers that were not recorded",
            "2 calls of funds.test (grpc)",
            "1 events of types that this version does not know"
        ]
    );
}
