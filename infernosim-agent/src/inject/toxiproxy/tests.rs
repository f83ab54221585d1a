use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::Api;

fn ask(api: &Api, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(api.address()).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn start() -> Api {
    Api::start("127.0.0.1:0".parse().unwrap(), 7).unwrap()
}

/// Gives back what it gets, for one connection after the other.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut back = stream.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut back));
        }
    });
    address
}

fn proxied(api: &Api) -> TcpStream {
    let upstream = echo().to_string();
    let (status, made) = ask(api, "POST", "/proxies", &json!({ "name": "echo", "upstream": upstream }));
    assert_eq!((status, &made["enabled"], &made["upstream"]), (201, &json!(true), &json!(upstream)));
    let stream = TcpStream::connect(made["listen"].as_str().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn goes_round(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

#[test]
fn proxies_are_made_changed_and_taken_away() {
    let api = start();
    assert_eq!(ask(&api, "GET", "/version", &Value::Null).1["version"], "2.9.0");
    let mut stream = proxied(&api);
    goes_round(&mut stream).unwrap();
    let (status, all) = ask(&api, "GET", "/proxies", &Value::Null);
    assert_eq!((status, &all["echo"]["name"], &all["echo"]["toxics"]), (200, &json!("echo"), &json!([])));
    let again = json!({ "name": "echo", "upstream": "127.0.0.1:1" });
    assert_eq!(ask(&api, "POST", "/proxies", &again).0, 409);
    assert_eq!(ask(&api, "POST", "/proxies", &json!({ "name": "x" })).0, 400);
    assert_eq!(ask(&api, "GET", "/proxies/none", &Value::Null).0, 404);
    let (status, off) = ask(&api, "POST", "/proxies/echo", &json!({ "enabled": false }));
    assert_eq!((status, &off["enabled"]), (200, &json!(false)));
    assert!(goes_round(&mut stream).is_err(), "what was open is closed");
    assert!(TcpStream::connect(off["listen"].as_str().unwrap()).is_err());
    assert_eq!(ask(&api, "POST", "/reset", &Value::Null).0, 204);
    goes_round(&mut TcpStream::connect(off["listen"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(ask(&api, "DELETE", "/proxies/echo", &Value::Null).0, 204);
    assert!(TcpStream::connect(off["listen"].as_str().unwrap()).is_err());
}

#[test]
fn toxics_hold_for_open_connections() {
    let api = start();
    let mut stream = proxied(&api);
    goes_round(&mut stream).unwrap();
    let toxic = json!({ "type": "latency", "attributes": { "latency": 150 } });
    let (status, made) = ask(&api, "POST", "/proxies/echo/toxics", &toxic);
    assert_eq!((status, &made["name"], &made["toxicity"]), (200, &json!("latency_downstream"), &json!(1.0)));
    let began = crate::clock::now();
    goes_round(&mut stream).unwrap();
    assert!(crate::clock::now().since(began) >= 150_000_000);
    assert_eq!(ask(&api, "POST", "/proxies/echo/toxics", &toxic).0, 409);
    let more = json!({ "attributes": { "latency": 300 } });
    let changed = ask(&api, "POST", "/proxies/echo/toxics/latency_downstream", &more).1;
    assert_eq!(changed["attributes"]["latency"], 300);
    let began = crate::clock::now();
    goes_round(&mut stream).unwrap();
    assert!(crate::clock::now().since(began) >= 300_000_000);
    assert_eq!(ask(&api, "DELETE", "/proxies/echo/toxics/latency_downstream", &Value::Null).0, 204);
    assert_eq!(ask(&api, "GET", "/proxies/echo/toxics", &Value::Null).1, json!([]));
    goes_round(&mut stream).unwrap();
}

#[test]
fn every_toxic_is_known_and_nothing_else() {
    let api = start();
    let _stream = proxied(&api);
    for kind in ["latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"] {
        for stream in ["upstream", "downstream"] {
            let toxic = json!({ "type": kind, "stream": stream, "toxicity": 0.5, "attributes": {} });
            let (status, made) = ask(&api, "POST", "/proxies/echo/toxics", &toxic);
            assert_eq!((status, &made["name"]), (200, &json!(format!("{kind}_{stream}"))), "{made}");
        }
    }
    let wrong = [json!({ "type": "lag" }), json!({ "type": "latency", "stream": "side" }), json!("x")];
    for toxic in wrong {
        assert_eq!(ask(&api, "POST", "/proxies/echo/toxics", &toxic).0, 400, "{toxic}");
    }
    let elsewhere = json!({ "name": "b", "listen": "0.0.0.0:0", "upstream": "127.0.0.1:1" });
    assert_eq!(ask(&api, "POST", "/proxies", &elsewhere).0, 400);
}

#[test]
fn a_peer_is_reset() {
    let api = start();
    let mut stream = proxied(&api);
    goes_round(&mut stream).unwrap();
    let toxic = json!({ "type": "reset_peer", "attributes": { "timeout": 0 } });
    ask(&api, "POST", "/proxies/echo/toxics", &toxic);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn who_says_half_a_request_keeps_nobody_out() {
    let api = start();
    let half = |text: &[u8]| {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream.write_all(text).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let head = b"GET /version HTTP/1.1\r\nHost:";
    let body = b"POST /proxies HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
    let silent: Vec<TcpStream> = (0..150).map(|_| half(head)).chain((0..150).map(|_| half(body))).collect();
    // All of them are let in one after the other, and let go.
    assert_eq!(ask(&api, "GET", "/version", &Value::Null).0, 200);
    for mut stream in silent {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    }
}
