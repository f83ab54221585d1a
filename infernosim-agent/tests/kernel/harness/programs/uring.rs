use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};
use serde_json::Value;

/// A server that accepts, receives and sends by io_uring(7) alone, one connection after the other. `POST /send/N` is
/// answered with N bytes, `POST /zerocopy/N` with as many by IORING_OP_SEND_ZC; the body of the request is read.
pub fn run(arguments: &Value) {
    let addr: SocketAddr = arguments["addr"].as_str().unwrap().parse().unwrap();
    let listener = TcpListener::bind(addr).unwrap();
    let mut ring = Ring(IoUring::new(8).unwrap());
    loop {
        let accept =
            opcode::Accept::new(Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
        let accepted = ring.complete(&accept.build());
        assert!(accepted >= 0, "accept: {accepted}");
        // SAFETY: the kernel has just given it to us, and nobody else knows it.
        let stream = unsafe { OwnedFd::from_raw_fd(accepted) };
        serve(&mut ring, Fd(stream.as_raw_fd()));
    }
}

struct Ring(IoUring);

impl Ring {
    /// What an operation came to, once the kernel is done with its memory too.
    fn complete(&mut self, entry: &squeue::Entry) -> i32 {
        // SAFETY: what it points to outlives this call, which waits for the end of the operation.
        unsafe { self.0.submission().push(entry).unwrap() };
        let mut result = None;
        loop {
            self.0.submit_and_wait(1).unwrap();
            for event in self.0.completion() {
                result = result.or(Some(event.result()));
                // A second one says that a zero-copy send has let go of its memory.
                if !cqueue::more(event.flags()) {
                    return result.unwrap();
                }
            }
        }
    }

    fn send(&mut self, stream: Fd, mut bytes: &[u8], zero_copy: bool) {
        while !bytes.is_empty() {
            let length = u32::try_from(bytes.len()).unwrap();
            let entry = match zero_copy {
                true => opcode::SendZc::new(stream, bytes.as_ptr(), length).build(),
                false => opcode::Send::new(stream, bytes.as_ptr(), length).build(),
            };
            let Ok(sent @ 1..) = usize::try_from(self.complete(&entry)) else { return };
            bytes = &bytes[sent..];
        }
    }
}

fn serve(ring: &mut Ring, stream: Fd) {
    let (mut held, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        let Some((head, length)) = head(&held).filter(|(head, length)| held.len() >= head + length) else {
            let room = u32::try_from(buffer.len()).unwrap();
            let received = ring.complete(&opcode::Recv::new(stream, buffer.as_mut_ptr(), room).build());
            let Ok(received @ 1..) = usize::try_from(received) else { return };
            held.extend_from_slice(&buffer[..received]);
            continue;
        };
        let line = String::from_utf8_lossy(&held[..head]).into_owned();
        let mut words = line.split(['/', ' ']).skip(2);
        let (how, size) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let body: Vec<u8> = (0_u32..).flat_map(|number| number.to_be_bytes()).take(size).collect();
        let head_of_answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        ring.send(stream, head_of_answer.as_bytes(), false);
        ring.send(stream, &body, how == "zerocopy");
        held.drain(..head + length);
    }
}

/// The lengths of the head that has come, and of the body that it says will follow.
fn head(held: &[u8]) -> Option<(usize, usize)> {
    let end = held.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&held[..end]).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    Some((end, length.and_then(|text| text.parse().ok()).unwrap_or(0)))
}
