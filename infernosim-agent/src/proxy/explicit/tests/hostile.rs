use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::harness::{Proxy, Server, start};
use crate::proxy::explicit::{Role, Setup};

static SERVER: LazyLock<Server> = LazyLock::new(Server::echoing);

/// Both kinds, for as long as the test runs: before a server that is as good as its word.
static PROXIES: LazyLock<[Proxy; 2]> = LazyLock::new(|| {
    let reverse = Role::Reverse { forward: SERVER.address.to_string() };
    let change = |setup: &mut Setup| (setup.healthz, setup.threads) = (true, 2);
    [Role::Forward, reverse].map(|role| start(role, change))
});

/// Whatever is sent, and however it is cut, the connection ends, and the next is served.
fn survives(which: usize, bytes: &[u8], cut: usize) -> Result<(), TestCaseError> {
    let proxy = &PROXIES[which];
    let mut client = proxy.connect();
    for piece in bytes.chunks(cut) {
        // It may have been refused already.
        if client.0.write_all(piece).is_err() {
            break;
        }
    }
    let _ = client.0.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let ended = client.0.read_to_end(&mut answer);
    let in_time = ended.as_ref().err().is_none_or(|error| error.kind() != std::io::ErrorKind::WouldBlock);
    prop_assert!(in_time, "still open: {:?}", String::from_utf8_lossy(&answer));
    prop_assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    let health = proxy.ask("GET /healthz HTTP/1.0\r\n\r\n");
    prop_assert!(health.ends_with("ok\n"), "{health}");
    Ok(())
}

fn near_requests() -> impl Strategy<Value = Vec<u8>> {
    let host = SERVER.address;
    let piece = prop_oneof![
        Just(format!("GET http://{host}/ HTTP/1.1\r\n")),
        Just(format!("CONNECT {host} HTTP/1.1\r\n")),
        Just("POST /x HTTP/1.1\r\nHost: a\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("Connection: upgrade\r\nUpgrade: x\r\n".to_owned()),
        Just("Expect: 100-continue\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "Content-Length: [0-9]{1,3}\r\n",
        "[0-9a-f]{1,2}\r\n",
        "[ -~]{0,30}",
        "\\PC{0,8}",
        "[\r\n\t\0:; ]{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

fn near_answers() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n".to_owned()),
        Just("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        Just("HTTP/1.0 204 No Content\r\n".to_owned()),
        Just("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "Content-Length: [0-9]{1,3}\r\n",
        "[0-9a-f]{1,2}\r\n",
        "[ -~]{0,30}",
        "[\r\n\t\0:; ]{0,4}",
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Whatever a server answers, its client's connection ends.
fn survives_answer(answer: &[u8], request: &str) -> Result<(), TestCaseError> {
    let (proxy, server) = (&PROXIES[0], Server::bind());
    let mut client = proxy.connect();
    client.send(format!("GET http://{}/ HTTP/1.1\r\n{request}Connection: close\r\n\r\n", server.address));
    let mut peer = server.accept();
    peer.head();
    let _ = peer.0.write_all(answer);
    drop(peer);
    let mut got = Vec::new();
    let ended = client.0.read_to_end(&mut got);
    let in_time = ended.as_ref().err().is_none_or(|error| error.kind() != std::io::ErrorKind::WouldBlock);
    prop_assert!(in_time, "still open: {:?}", String::from_utf8_lossy(&got));
    prop_assert!(got.is_empty() || got.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&got));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_input_harms(which in 0usize..2, bytes in near_requests(), cut in 1usize..200) {
        survives(which, &bytes, cut)?;
    }

    #[test]
    fn no_noise_harms(which in 0usize..2, bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..200) {
        survives(which, &bytes, cut)?;
    }

    #[test]
    fn no_answer_harms(answer in near_answers(), upgrade: bool) {
        survives_answer(&answer, if upgrade { "Upgrade: x\r\nConnection: upgrade\r\n" } else { "" })?;
    }
}
