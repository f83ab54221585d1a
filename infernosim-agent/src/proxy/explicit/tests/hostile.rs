use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::harness::{Proxy, Server, start};
use crate::proxy::explicit::Role;

static SERVER: LazyLock<Server> = LazyLock::new(Server::echoing);

/// Both kinds, for as long as the test runs: before a server that is as good as its word.
static PROXIES: LazyLock<[Proxy; 2]> = LazyLock::new(|| {
    let reverse = Role::Reverse { forward: SERVER.address.to_string() };
    [Role::Forward, reverse].map(|role| start(role, |setup| setup.healthz = true))
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
}
