//! The engine between real sockets: clients and servers of the test's own, byte by byte.

mod ending;
mod failures;
mod forwarding;
mod harness;
mod hostile;
mod patience;
mod refusals;
mod streams;
mod tunnels;
