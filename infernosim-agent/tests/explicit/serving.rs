//! Whom we serve, and what we answer ourselves.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Barrier};

use crate::harness::{Folder, Origin, PATIENCE, Program, Wire, curl};

/// A server that answers with the path, and has room for as many clients as come.
const CROWD: &str = r#"
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
async def serve(reader, writer):
    while head := await reader.readuntil(b"\r\n\r\n"):
        path = head.split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

/// An address of this host that is not loopback, if it has one: no packet is sent to find out.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("203.0.113.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn healthz_is_ours_only_when_asked_for() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let with = folder.inbound(origin.addr, &["--healthz"]);
    assert_eq!(curl(&["-w", "%{http_code}", &with.url("/healthz")]).text(), "ok\n200");
    assert!(origin.seen().is_empty());
    // Only that very path.
    assert_eq!(curl(&[&with.url("/healthz/1")]).text(), "/healthz/1");
    with.stop();
    assert_eq!(folder.recorded("inbound.log").of_type("InboundRequest").len(), 1);

    let (folder, origin) = (Folder::new(), Origin::start());
    let without = folder.inbound(origin.addr, &[]);
    assert_eq!(curl(&[&without.url("/healthz")]).text(), "/healthz");
    without.stop();
    assert_eq!(folder.recorded("inbound.log").of_type("InboundRequest").len(), 1);

    let folder = Folder::new();
    let proxy = folder.proxy(&["--healthz"]);
    assert_eq!(curl(&["-w", "%{http_code}", &proxy.url("/healthz")]).text(), "ok\n200");
    proxy.stop();
    assert!(folder.recorded("outbound.log").events.is_empty());
}

/// Who comes from an address that is not allowed gets 403, and neither a connection nor a line is made for it.
#[test]
fn others_than_those_allowed_are_refused() {
    let Some(own) = own_address() else {
        println!("this host has no address but loopback: the privileged tests look at this in a namespace");
        return;
    };
    let (folder, origin) = (Folder::new(), Origin::start());
    for (allow, is_served) in [("203.0.113.0/24".to_owned(), false), (format!("203.0.113.9,{own}"), true)] {
        let proxy = folder.start(&["proxy", "--listen", "0.0.0.0:0", "--allow", &allow]);
        let at = SocketAddr::new(own, proxy.port());
        for request in [
            format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", origin.url("/n/1")),
            format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.addr),
        ] {
            let stream = TcpStream::connect(at).unwrap();
            stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
            let mut client = Wire::new(stream);
            client.send(request);
            let head = String::from_utf8(client.head().unwrap()).unwrap();
            let status = if is_served { "HTTP/1.1 200" } else { "HTTP/1.1 403" };
            assert!(head.starts_with(status), "{allow}: {head}");
        }
        // Loopback is served either way.
        let through = format!("http://127.0.0.1:{}", proxy.port());
        assert_eq!(curl(&["-x", &through, &origin.url("/n/2")]).text(), "2\n");
        let said = proxy.stop();
        assert_eq!(said.contains("2 not allowed (403)"), !is_served, "{said}");
    }
    let urls = origin.seen().len();
    assert_eq!(urls, 3, "two over loopback, one of those allowed");
}

#[test]
fn a_thousand_clients_at_a_time() {
    const CLIENTS: usize = 1000;
    infernosim::proxy::raise_open_files();
    let (folder, server) = (Folder::new(), Program::python(CROWD, &[]));
    let inbound = folder.inbound(server.authority(), &["--buffer", "256MiB"]);
    let (addr, barrier) = (inbound.addr, Arc::new(Barrier::new(CLIENTS)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let barrier = Arc::clone(&barrier);
            let client = move || {
                let stream = TcpStream::connect(addr).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut client = Wire::new(stream);
                // All of them are connected before the first one asks.
                barrier.wait();
                for path in ["first", "second"] {
                    client.send(format!("GET /{path}/{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    let (head, body) = client.response().unwrap();
                    let body = String::from_utf8_lossy(&body);
                    assert!(head.starts_with("HTTP/1.1 200"), "{number}: {head}{body}");
                    assert_eq!(body, format!("/{path}/{number}"));
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn(client).unwrap()
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    inbound.stop();
    let recording = folder.recorded("inbound.log");
    assert_eq!(recording.of_type("InboundRequest").len(), 2 * CLIENTS);
    assert!(recording.of_type("InboundResponse").iter().all(|response| response["status"] == 200));
}
