//! One log file: JSON objects, as a rule one a line.
//!
//! Three things are accepted besides: several objects on a line (concatenated JSON), an object over several
//! lines (a log that went through `jq .`), and a torn last line. A line that does not parse anywhere else is an
//! error. What tells a torn line in the middle from an object that goes on: the next line begins with `{`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Note, Place, Record, cannot_read};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::Event;
use crate::incident::regular;

/// The longest object that is read: no capture writes one near it, and a log without line ends must not take
/// all memory.
const LONGEST: usize = 1 << 30;

/// A buffer that grew beyond this for one long line is given back.
const KEPT_CAPACITY: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    input: BufReader<File>,
    /// What was read of the lines not yet parsed.
    held: Vec<u8>,
    /// Where in the file `held` begins.
    offset: u64,
    /// The number of the first line in `held`, from 1.
    first_line: u64,
    /// How many whole lines `held` has.
    lines: u64,
    /// `held` ends within an object, for this reason.
    within: Option<String>,
    /// The end of the file is not the end of the log.
    following: bool,
    last_order: u64,
    note: Option<Note>,
    longest: usize,
}

/// What the objects in some text came to, besides those that were whole.
enum Rest {
    Nothing,
    /// It ends within an object.
    Cut(String),
    /// It holds something else.
    Malformed {
        line: u64,
        reason: String,
    },
}

impl Log {
    /// `None` if there is no such file. One that was named by itself may be a pipe: `infernosim inspect <(zcat …)`.
    pub(super) fn open(path: &Path, following: bool, is_named: bool) -> Result<Option<Self>> {
        let file = match if is_named { File::open(path) } else { regular::open(path) } {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cannot_read(path, &e)),
        };
        Ok(Some(Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(64 << 10, file),
            held: Vec::new(),
            offset: 0,
            first_line: 1,
            lines: 0,
            within: None,
            following,
            last_order: 0,
            note: None,
            longest: LONGEST,
        }))
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    pub(super) fn stop_following(&mut self) {
        self.following = false;
    }

    /// The file, from which an event can be read again.
    pub(super) fn into_file(self) -> File {
        self.input.into_inner()
    }

    pub(super) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// Reads on and appends what became whole. `false`: nothing more to read (now, if following).
    pub(super) fn fill(&mut self, ready: &mut VecDeque<Record>) -> Result<bool> {
        // At the start of a line: does the object go on in it?
        if self.within.is_some() && self.held.ends_with(b"\n") && self.peek()? == Some(b'{') {
            let reason = self.within.take().unwrap_or_default();
            return Err(self.malformed(self.first_line, &reason));
        }
        let start = if self.held.ends_with(b"\n") { self.held.len() } else { self.line_start() };
        if !self.read_line()? {
            return if self.following { Ok(false) } else { self.finish(ready) };
        }
        self.lines += 1;
        // The line that ends an object of many begins with its closing brace; parsing at each line before it
        // would read a long object as many times as it has lines.
        if self.within.is_some() && !matches!(self.held.get(start), Some(b'}' | b']')) {
            return Ok(true);
        }
        match self.parse(ready) {
            Rest::Nothing => self.release(),
            Rest::Cut(reason) => self.within = Some(reason),
            Rest::Malformed { line, reason } => return Err(self.malformed(line, &reason)),
        }
        Ok(true)
    }

    /// Where the unfinished line in `held` begins.
    fn line_start(&self) -> usize {
        self.held.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let bytes = self.input.fill_buf().map_err(|e| cannot_read(&self.path, &e))?;
        Ok(bytes.first().copied())
    }

    /// Reads to the next line end; `false` if the file ends first.
    fn read_line(&mut self) -> Result<bool> {
        let room = self.longest.saturating_sub(self.held.len()) as u64 + 1;
        let read = self.input.by_ref().take(room).read_until(b'\n', &mut self.held);
        let read = read.map_err(|e| cannot_read(&self.path, &e))?;
        if self.held.len() > self.longest {
            let reason = format!("longer than {} bytes", self.longest);
            return Err(self.malformed(self.first_line, &reason));
        }
        Ok(read > 0 && self.held.ends_with(b"\n"))
    }

    /// The file has ended: the last line needs no line end, and may be torn.
    fn finish(&mut self, ready: &mut VecDeque<Record>) -> Result<bool> {
        let before = ready.len();
        let has_end = self.held.ends_with(b"\n");
        match self.parse(ready) {
            Rest::Nothing => {}
            Rest::Malformed { line, reason } if has_end => return Err(self.malformed(line, &reason)),
            Rest::Cut(_) | Rest::Malformed { .. } => {
                self.note = Some(Note::TornTail {
                    file: self.path.clone(),
                    line: self.first_line,
                    bytes: self.held.len() as u64,
                });
            }
        }
        self.release();
        Ok(ready.len() > before)
    }

    /// Moves the whole objects at the front of `held` to `ready`.
    fn parse(&mut self, ready: &mut VecDeque<Record>) -> Rest {
        // Without its line end, so that a line torn within a string reads as cut and not as one that has a line
        // end in a string.
        let text = self.held.strip_suffix(b"\n").unwrap_or(&self.held);
        let known = ready.len();
        let (done, rest) = match simdutf8::compat::from_utf8(text) {
            Ok(text) => parse_objects(text, self.first_line, &mut self.last_order, ready),
            Err(e) => {
                let line = self.first_line + count_lines(&text[..e.valid_up_to()]);
                (0, Rest::Malformed { line, reason: "not valid UTF-8".into() })
            }
        };
        for record in ready.iter_mut().skip(known) {
            record.place.offset += self.offset;
        }
        self.offset += done as u64;
        let before = count_lines(&self.held[..done]);
        self.first_line += before;
        self.lines -= before.min(self.lines);
        self.held.drain(..done);
        rest
    }

    fn release(&mut self) {
        self.first_line += self.lines;
        self.offset += self.held.len() as u64;
        self.lines = 0;
        self.within = None;
        self.held.clear();
        self.held.shrink_to(KEPT_CAPACITY);
    }

    fn malformed(&self, line: u64, reason: &str) -> ExpectedError {
        let path = self.path.display();
        ExpectedError::new(Exit::Incident, format!("{path}:{line}: malformed event: {reason}"))
            .help("repair or remove that line; the events before and after it are not affected")
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Appends the objects of `text`, which begins in line `first_line`; says how many bytes they took, and what the
/// rest is.
fn parse_objects(
    text: &str,
    first_line: u64,
    last_order: &mut u64,
    ready: &mut VecDeque<Record>,
) -> (usize, Rest) {
    let (mut done, mut line) = (0, first_line);
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Event>();
    loop {
        let start = text.len() - text[done..].trim_ascii_start().len();
        if start == text.len() {
            return (start, Rest::Nothing);
        }
        line += count_lines(&text.as_bytes()[done..start]);
        // serde would also take a list of the fields' values for an object.
        if text.as_bytes()[start] != b'{' {
            return (done, Rest::Malformed { line, reason: "expected a JSON object".into() });
        }
        match objects.next() {
            Some(Ok(event)) => {
                done = objects.byte_offset();
                line += count_lines(&text.as_bytes()[start..done]);
                *last_order = event.sequence.unwrap_or(*last_order);
                let length = u32::try_from(done - start).unwrap_or(u32::MAX);
                let place = Place { log: 0, length, offset: start as u64 };
                ready.push_back(Record {
                    event,
                    text: text[start..done].to_owned(),
                    place,
                    order: *last_order,
                });
            }
            Some(Err(e)) => return (done, rest_of(&e, first_line)),
            None => return (text.len(), Rest::Nothing),
        }
    }
}

fn rest_of(e: &serde_json::Error, first_line: u64) -> Rest {
    let said = e.to_string();
    // serde_json appends its own position, whose line is relative to what we gave it.
    let reason = said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason);
    let reason = format!("{reason} (column {})", e.column());
    if e.is_eof() {
        return Rest::Cut(reason);
    }
    Rest::Malformed { line: first_line + (e.line() as u64).saturating_sub(1), reason }
}
