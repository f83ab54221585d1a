//! Numbers for people, and recorded text made harmless.

pub(in crate::cli) use crate::report::people::{
    count, duration, escape, escape_json, escape_lines, shorten, size,
};
