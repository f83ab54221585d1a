//! Dependencies that are not stubbed: their connections are relayed byte for byte.

/// One that is not stubbed (`--live DEP[=HOST:PORT]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRule {
    /// Its name or address, with its port or without; `*` and `?` match.
    pub dependency: String,
    /// Where it is instead of where the target looks for it, as `HOST:PORT`.
    pub to: Option<String>,
}
