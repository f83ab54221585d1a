//! Where a fault may happen.

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An exchange of the target's with a dependency; of protocols that are not read a connection's bytes.
    Call,
    /// A connect to a dependency.
    Connect,
    /// A lookup of a name.
    Lookup,
    /// A request to the target.
    Request,
}

/// An exchange, a connect or a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// What it is.
    pub kind: Kind,
    /// What the dependency may be called, the likeliest first: `payments.test`, `payments.test:8080`, `10.0.0.7:80`; the name
    /// that is looked up. Empty of a request.
    pub names: &'a [&'a str],
    /// The dependency's port; of a request the target's.
    pub port: Option<u16>,
    /// `GET`, …; of a lookup `A`, …; empty of a connect.
    pub method: &'a str,
    /// Path and query; empty where there is none.
    pub target: &'a str,
    /// As on the wire.
    pub headers: &'a [(String, Vec<u8>)],
    /// Now, in ns since the run began.
    pub at_ns: u64,
}

/// A direction of a connection's bytes, in toxiproxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    #[default]
    Downstream,
}
