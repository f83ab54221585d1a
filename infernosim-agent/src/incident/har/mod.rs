//! HTTP Archives, HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>): what browsers and proxies write.
//!
//! Out: each exchange becomes an entry, and entries stand in the order in which they began. Bodies of any length go
//! through in pieces; what is held is the place of each entry.
//!
//! In: each entry is told to the recording as the messages it was made of, in the order in which they came, so that an
//! import has the format, the redaction and the limits of a capture. What is held is the file and the times of its
//! entries; what is wrong with one entry costs that entry.

mod document;
mod entry;
mod fields;
mod import;
mod messages;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};

pub use document::Document;
use entry::{Entry, Parts, started};
pub use import::{Import, Imported};

use super::Joined;
use super::event::{Event, Kind};
use super::reader::Incident;
use crate::error::{Exit, ExpectedError, Result};

/// Is it an exchange of HTTP, as far as it was read?
pub fn is_http(event: &Event) -> bool {
    matches!(event.kind, Kind::InboundRequest | Kind::InboundResponse | Kind::OutboundCall)
        && (event.protocol.is_empty() || event.protocol.starts_with("http/"))
        && !event.method.is_empty()
        && event.method != "CONNECT"
        && (event.url.starts_with("http://") || event.url.starts_with("https://"))
}

/// A HAR on its way. Its entries wait in a file without a name until their order is known.
#[derive(Debug)]
pub struct Archive {
    waiting: BufWriter<File>,
    /// When each began (ns since the epoch), and where it stands in the file.
    places: Vec<(i128, u64, u64)>,
    end: u64,
}

impl Archive {
    /// An empty one.
    ///
    /// # Errors
    /// `Exit::Host` if no temporary file can be made.
    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(|e| no_room(&e))?;
        Ok(Self { waiting: BufWriter::with_capacity(64 << 10, file), places: Vec::new(), end: 0 })
    }

    /// Adds an exchange for which `is_http` holds.
    ///
    /// # Errors
    /// `Exit::Incident` if its bodies cannot be read, `Exit::Host` if the temporary file takes no more.
    pub fn add(&mut self, joined: &Joined, incident: &Incident) -> Result<()> {
        let parts = Parts::of(joined, incident)?;
        let mut counted = Counted { inner: &mut self.waiting, bytes: 0 };
        serde_json::to_writer(&mut counted, &Entry::of(joined, &parts)).map_err(|e| no_room(&e.into()))?;
        let length = counted.bytes;
        if let Some(e) = parts.take_error() {
            let dir = incident.dir().display();
            return Err(ExpectedError::new(Exit::Incident, format!("a body of {dir} cannot be read: {e}")));
        }
        self.places.push((started(joined).0, self.end, length));
        self.end += length;
        Ok(())
    }

    /// Writes it. What went wrong with the temporary file comes as an error of `out`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        let creator = serde_json::json!({"name": "infernosim", "version": env!("CARGO_PKG_VERSION")});
        write!(out, "{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"pages\":[],\"entries\":[")?;
        let mut file = self.waiting.into_inner().map_err(io::IntoInnerError::into_error)?;
        // Stable: those that began together stay in the order of the log.
        self.places.sort_by_key(|(began, ..)| *began);
        for (index, (_, start, length)) in self.places.into_iter().enumerate() {
            out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            file.seek(SeekFrom::Start(start))?;
            io::copy(&mut (&file).take(length), out)?;
        }
        out.write_all(b"\n]}}\n")
    }
}

/// Counts what goes through.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn no_room(e: &io::Error) -> ExpectedError {
    let place = std::env::temp_dir();
    ExpectedError::new(Exit::Host, format!("no temporary file in {}: {e}", place.display()))
        .help("set TMPDIR to a directory with room for the incident")
}
