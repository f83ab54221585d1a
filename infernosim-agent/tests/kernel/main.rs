//! The privileged tests: the binary `infernosim` as a user runs it, with real clients, in the real kernel.
//!
//! They need root, and they make what they touch themselves: temporary directories, network namespaces, servers on
//! ports of the kernel's choice. Everything else of the machine stays as it is. Whatever a test lacks it says in a
//! failure; none is skipped. `INFERNOSIM_PROOFS=long` asks for the long counts.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "all of this is test code")]
#![allow(clippy::disallowed_methods, reason = "deadlines of tests, and clients with clocks of their own")]

mod attach;
mod bytes;
mod causes;
mod cgroups;
mod clients;
mod death;
mod disk;
mod dns;
mod failures;
mod faults;
mod finding;
mod hang;
mod harness;
mod http;
mod inbound;
mod inject;
mod inspect;
mod launch;
mod launcher;
mod limited;
mod limits;
mod load;
mod namespaces;
mod older;
mod privileges;
mod protocols;
mod recipes;
mod redaction;
mod refusals;
mod replay;
mod replay_net;
mod rotation;
mod selectors;
mod sessions;
mod shops;
mod siege;
mod sockets;
mod streams;
mod user;
mod wire;
mod writing;
