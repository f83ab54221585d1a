use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Greater than any message of the kernel's: dumps come in at most 32 KiB (netlink_dump in af_netlink.c).
const BUFFER: usize = 64 << 10;
/// `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;

/// A socket to sock_diag(7), in the network namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A message of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Netlink {
    /// In this thread's network namespace.
    pub fn open() -> nix::Result<Self> {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        let socket = socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkSockDiag)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for everything that fits `request`; the payloads of the answers.
    pub fn dump(&mut self, kind: u16, request: &[u8]) -> nix::Result<Vec<Vec<u8>>> {
        self.send(kind, libc::NLM_F_DUMP as u16, request)?;
        let mut answers = Vec::new();
        let end = self.receive(|message| {
            if message.kind == kind {
                answers.push(message.payload.to_vec());
            }
        });
        end.map(|()| answers)
    }

    /// Asks for something to be done.
    pub fn ask(&mut self, kind: u16, request: &[u8]) -> nix::Result<()> {
        self.send(kind, libc::NLM_F_ACK as u16, request)?;
        self.receive(|_| {})
    }

    fn send(&mut self, kind: u16, flags: u16, request: &[u8]) -> nix::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(HEADER + request.len());
        message.extend(((HEADER + request.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((libc::NLM_F_REQUEST as u16 | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        // Our port: the kernel knows it.
        message.extend(0_u32.to_ne_bytes());
        message.extend(request);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty()).map(drop)
    }

    /// Gives `each` the answers to what was last sent, until the end or an error is told.
    fn receive(&self, mut each: impl FnMut(Message<'_>)) -> nix::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                length => length?,
            };
            if length == 0 {
                return Err(Errno::ECONNRESET);
            }
            for message in messages(&buffer[..length]) {
                // What is left of an earlier question that failed.
                if message.sequence != self.sequence {
                    continue;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return outcome(message.payload),
                    libc::NLMSG_ERROR => return outcome(message.payload),
                    _ => each(message),
                }
            }
        }
    }
}

/// The errno, negative, with which an error message and the end of a dump begin; zero is success.
fn outcome(payload: &[u8]) -> nix::Result<()> {
    let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code.wrapping_neg())) }
}

/// The messages in what one recv(2) gave, up to the first that is cut off.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let (length, sequence) = (word(0)? as usize, word(8)?);
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let payload = bytes.get(HEADER..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(Message { kind, sequence, payload })
    })
}

/// The attributes after a message's fixed part: type and value (netlink(7), rtnetlink(3)).
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const HEADER: usize = 4;
    std::iter::from_fn(move || {
        let half = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Messages and attributes begin at multiples of four.
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_that_the_kernel_does_not_know_is_an_error_and_the_next_is_answered() {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.ask(99, &[0; 8]), Err(Errno::EINVAL));
        let family = [libc::AF_INET as u8, libc::IPPROTO_TCP as u8];
        let mut request = [0; 56];
        request[..2].copy_from_slice(&family);
        assert!(netlink.dump(20, &request).is_ok());
    }

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(aligned(bytes.len()), 0xee);
        bytes
    }

    #[test]
    fn an_end_or_an_error_tells_its_errno() {
        assert_eq!(outcome(&(-2_i32).to_ne_bytes()), Err(Errno::ENOENT));
        assert_eq!(outcome(&0_i32.to_ne_bytes()), Ok(()));
        let _ = outcome(&i32::MIN.to_ne_bytes());
    }

    proptest! {
        #[test]
        fn messages_are_read_as_they_were_written(all in proptest::collection::vec((any::<u16>(), any::<u32>(), any::<Vec<u8>>()), 0..5)) {
            let bytes: Vec<u8> = all.iter().flat_map(|(kind, sequence, payload)| message(*kind, *sequence, payload)).collect();
            let read: Vec<_> = messages(&bytes).map(|it| (it.kind, it.sequence, it.payload.to_vec())).collect();
            prop_assert_eq!(read, all);
        }

        #[test]
        fn attributes_are_read_as_they_were_written(all in proptest::collection::vec((any::<u16>(), any::<Vec<u8>>()), 0..5)) {
            let mut bytes = Vec::new();
            for (kind, value) in &all {
                bytes.extend((value.len() as u16 + 4).to_ne_bytes());
                bytes.extend(kind.to_ne_bytes());
                bytes.extend(value);
                bytes.resize(aligned(bytes.len()), 0xee);
            }
            let read: Vec<_> = attributes(&bytes).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, all);
        }

        /// Both end, too: lengths of zero lead nowhere.
        #[test]
        fn garbage_is_never_a_panic(bytes: Vec<u8>) {
            let _ = (messages(&bytes).count(), attributes(&bytes).count());
        }
    }
}
