//! toxiproxy's HTTP API, so that its clients work: proxies with an address of their own, disturbed by toxics.
//!
//! What it does follows toxiproxy 2 (its README.md, `api.go`, `toxics/*.go`); what is disturbed goes through
//! [`crate::proxy::faulty`]. Proxies listen on loopback only, and requests of browsers are refused, as there.

mod api;
mod proxies;
mod toxics;

pub use api::Api;

#[cfg(test)]
mod tests;
