use super::*;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// A relay to a fresh listener: where to dial, and the listener. Its thread ends with the test's process.
fn relay() -> (SocketAddr, TcpListener) {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = upstream.local_addr().unwrap();
    let listen = super::super::server::free_address().unwrap();
    thread::spawn(move || run(listen, to));
    (listen, upstream)
}

fn dial_patiently(address: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn more_than_any_buffer_arrives_whole_and_in_order_both_ways() {
    let (address, upstream) = relay();
    let bytes: Vec<u8> =
        (0..16_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = bytes.clone();
    let server = thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        // The client writes all the while: only back-pressure keeps the relay's memory small.
        thread::sleep(Duration::from_millis(200));
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        stream.write_all(&got).unwrap();
    });
    let mut client = dial_patiently(address);
    client.write_all(&bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // A half-closed connection still brings the answer.
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == expected, "{} bytes came back of {}", got.len(), expected.len());
    server.join().unwrap();
}

#[test]
fn many_connections_one_after_another_and_at_once() {
    let (address, upstream) = relay();
    thread::spawn(move || {
        for stream in upstream.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut word = [0; 4];
                stream.read_exact(&mut word).unwrap();
                stream.write_all(&word).unwrap();
            });
        }
    });
    for round in 0_u8..20 {
        let mut clients: Vec<TcpStream> = (0..20).map(|_| dial_patiently(address)).collect();
        for (number, client) in (0_u8..).zip(&mut clients) {
            client.write_all(&[round, number, 1, 2]).unwrap();
        }
        for (number, client) in (0_u8..).zip(&mut clients) {
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            assert_eq!(got, [round, number, 1, 2]);
        }
    }
}

#[test]
fn a_closed_upstream_closes_the_client() {
    let (address, upstream) = relay();
    drop(upstream);
    let mut got = Vec::new();
    // As a reset or an end: either says that nobody is there.
    let _ = dial_patiently(address).read_to_end(&mut got);
    assert!(got.is_empty());
}
