//! What the tap's programs tell the agent.

use crate::Ip;

/// What a record of the tap's ring tells of.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment with payload, FIN or RST; its payload follows.
    Segment = 1,
    /// A connection was established, seen from the socket that will carry it: `sequence` is the first that the
    /// target sends, `acknowledgment` the first that it expects.
    Established = 2,
    /// The kernel is done with the connection; no more of its segments will be seen.
    Closed = 3,
    /// A UDP datagram; its payload follows.
    Datagram = 4,
    /// The target asks for a connection, or means a resolver with its next datagrams; a [`Task`] follows.
    Connecting = 5,
    /// A thread of the target has read or written on a connection, as [`flag::INGRESS`] says: `unseen` bytes, the first
    /// of which is at [`Record::offset`]; a [`Task`] follows. Told of each turn, and where another thread goes on with
    /// one; of a connection that the target opened only what it writes.
    Touched = 6,
}

/// What a socket is to the target, as far as the kernel half knows.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It listens, or is not connected yet. Its segments belong to a connection whose socket is still to come.
    Unconnected = 1,
    /// The target accepted it.
    Inbound = 2,
    /// The target asked for it.
    Outbound = 3,
    /// It was there before the capture, and who opened it is not known.
    Older = 4,
    /// It was there before the capture; the target accepted it.
    OlderInbound = 5,
    /// It was there before the capture; the target asked for it.
    OlderOutbound = 6,
    /// It sends datagrams to a resolver, wherever they go in the end.
    Resolver = 8,
    /// In replay: redirected to the agent, or to a port of ours on which nobody listens.
    Redirected = 9,
    /// In replay: it was left alone, as the user wants.
    Live = 10,
    /// In replay: nobody shall answer it.
    Hung = 11,
    /// Not to be tapped: redirected to the proxy, excluded, the agent's own, or not of the target.
    Ignored = 7,
}

/// Flags of a [`Record`].
pub mod flag {
    /// The target received it; else it sent it.
    pub const INGRESS: u16 = 1;
    /// The FIN bit (RFC 9293 section 3.1).
    pub const FIN: u16 = 2;
    /// The SYN bit.
    pub const SYN: u16 = 4;
    /// The RST bit.
    pub const RST: u16 = 8;
    /// The ACK bit: `acknowledgment` means something.
    pub const ACK: u16 = 16;
    /// Of [`super::Kind::Touched`]: the thread writes on this connection although it has read from another since.
    pub const STRAY: u16 = 32;
}

/// A record of the tap's ring; `length` bytes follow it, and padding up to its size class.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `bpf_ktime_get_ns` (CLOCK_MONOTONIC).
    pub at_ns: u64,
    /// The socket's cookie.
    pub cookie: u64,
    /// The target's end.
    pub local: Ip,
    /// The other.
    pub remote: Ip,
    /// Host order.
    pub local_port: u16,
    /// Host order.
    pub remote_port: u16,
    /// A [`Kind`].
    pub kind: u16,
    /// A [`Role`].
    pub role: u16,
    /// Of a segment, the sequence number of its first byte. Of [`Kind::Touched`], the low half of its offset.
    pub sequence: u32,
    /// Of a segment with the ACK bit, the next byte that its sender expects. Of [`Kind::Touched`], the high half of its
    /// offset.
    pub acknowledgment: u32,
    /// Bytes that follow.
    pub length: u32,
    /// Bytes that would follow these and could not be copied. Of [`Kind::Touched`], how many were read or written.
    pub unseen: u32,
    /// See [`flag`].
    pub flags: u16,
    /// Of [`Kind::Closed`], the socket's error number; 0 if there is none, or where the kernel's layout is not known.
    pub errno: u16,
    /// Zero; keeps the value free of padding.
    pub reserved: [u16; 2],
}

/// Who did something, in the target.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The process, in the initial pid namespace.
    pub pid: u32,
    /// The thread, in the initial pid namespace.
    pub tid: u32,
    /// The process in its own pid namespace; 0 where the kernel's layout is not known ([`crate::TaskOffsets`]).
    pub own_pid: u32,
    /// The thread, likewise.
    pub own_tid: u32,
    /// The thread's name, NUL padded.
    pub comm: [u8; 16],
}

/// A connection and who accepted it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The socket's cookie.
    pub cookie: u64,
    /// Who.
    pub task: Task,
    /// Not 0: it is not of the target.
    pub stranger: u64,
}

/// How the tap works, as the agent sets it in `TAP_STATE[0]`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapState {
    /// Nothing is copied. The value of a fresh map.
    Off = 0,
    /// Copies; sockets that are not known to be the target's may still turn out to be.
    Learning = 1,
    /// Copies; all older sockets of the target's are known.
    On = 2,
    /// Copies nothing, and tells of connections and of who reads and writes on them.
    Touches = 3,
}

/// Payload bytes of a record of each size class: a reservation's size must be a constant.
pub const CLASSES: [usize; 3] = [256, 2048, 16384];

const _: () = assert!(size_of::<Record>() == 80);
const _: () = assert!(size_of::<Task>() == 32);
const _: () = assert!(size_of::<Owner>() == 48);

#[cfg(feature = "user")]
mod user {
    use super::{Owner, Record, Task};
    use crate::Ip;

    impl Record {
        /// A record and the bytes that follow it, from what the ring holds; `None` if that is too short.
        pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
            let (head, rest) = bytes.split_first_chunk::<80>()?;
            let mut fields = Fields(head);
            let record = Self {
                at_ns: fields.u64(),
                cookie: fields.u64(),
                local: fields.ip(),
                remote: fields.ip(),
                local_port: fields.u16(),
                remote_port: fields.u16(),
                kind: fields.u16(),
                role: fields.u16(),
                sequence: fields.u32(),
                acknowledgment: fields.u32(),
                length: fields.u32(),
                unseen: fields.u32(),
                flags: fields.u16(),
                errno: fields.u16(),
                reserved: [0; 2],
            };
            Some((record, rest.get(..record.length as usize)?))
        }

        /// Of [`super::Kind::Touched`]: the place of the first byte in all that was read, or written, on the connection.
        pub const fn offset(&self) -> u64 {
            self.sequence as u64 | (self.acknowledgment as u64) << 32
        }
    }

    impl Owner {
        /// From what the ring holds; `None` if that is too short.
        pub fn read(bytes: &[u8]) -> Option<Self> {
            let (head, rest) = bytes.split_first_chunk()?;
            let task = Task::read(rest)?;
            let stranger = Fields(rest.get(32..)?).u64();
            Some(Self { cookie: u64::from_ne_bytes(*head), task, stranger })
        }
    }

    impl Task {
        /// A task from the bytes that follow a record; `None` if there are too few.
        pub fn read(bytes: &[u8]) -> Option<Self> {
            let mut fields = Fields(bytes.get(..32)?);
            Some(Self {
                pid: fields.u32(),
                tid: fields.u32(),
                own_pid: fields.u32(),
                own_tid: fields.u32(),
                comm: fields.take(),
            })
        }
    }

    /// Reads a `repr(C)` type without padding, field by field. Zeros where there is nothing left.
    struct Fields<'a>(&'a [u8]);

    impl Fields<'_> {
        fn take<const N: usize>(&mut self) -> [u8; N] {
            let Some((first, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
            self.0 = rest;
            *first
        }

        fn u16(&mut self) -> u16 {
            u16::from_ne_bytes(self.take())
        }

        fn u32(&mut self) -> u32 {
            u32::from_ne_bytes(self.take())
        }

        fn u64(&mut self) -> u64 {
            u64::from_ne_bytes(self.take())
        }

        fn ip(&mut self) -> Ip {
            Ip([self.u32(), self.u32(), self.u32(), self.u32()])
        }
    }
}
