//! What a log holds that this process did not write: of an earlier session, of one that was killed, of the Go tool.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};

use sha2::{Digest as _, Sha256};

use crate::incident::event::{Event, Kind};
use crate::incident::loss::Losses;
use crate::incident::manifest::{Dependency, LogFile, Lost, Manifest};
use crate::incident::store::hex;

/// The longest line that is read: no capture writes one near it.
const LONGEST: u64 = 1 << 30;

/// A log that was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Bytes of whole lines.
    pub bytes: u64,
    /// Whole lines.
    pub lines: u64,
    /// Of these bytes.
    pub hash: Sha256,
    /// Bytes of a line that is not whole, behind them.
    pub torn: u64,
    /// That line has an object that is whole: only its end is missing.
    pub unended: bool,
    /// The largest sequence.
    pub last: u64,
    /// What the manifest does not tell of yet.
    pub news: Manifest,
    /// What the manifest told of is not there any more: `news` is of the whole log.
    pub replaced: bool,
}

impl Account {
    /// Reads a log of which the manifest tells so much.
    pub fn of(file: &File, known: Option<&LogFile>) -> io::Result<Self> {
        let told = known.cloned().unwrap_or_default();
        let account = Self::read(file, &told)?;
        if account.replaced {
            return Ok(Self { replaced: true, ..Self::read(file, &LogFile::default())? });
        }
        Ok(account)
    }

    fn read(mut file: &File, told: &LogFile) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let mut account = Self { replaced: told.bytes > 0, ..Self::default() };
        let mut reader = BufReader::with_capacity(256 << 10, file);
        let mut line = Vec::new();
        let mut lost = Losses::default();
        loop {
            let is_known = account.bytes < told.bytes;
            if account.bytes == told.bytes && hex(&account.hash.clone().finalize()) == told.sha256 {
                account.replaced = false;
                account.last = sequence(&line);
            } else if account.bytes >= told.bytes && account.replaced {
                return Ok(account);
            }
            line.clear();
            let length = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                account.torn = length as u64;
                account.unended = length > 0 && events(&line).is_some();
                break;
            }
            account.hash.update(&line);
            account.bytes += length as u64;
            account.lines += 1;
            if !is_known {
                account.take(&line, &mut lost);
            }
        }
        account.news.lost = Lost::from(&lost);
        Ok(account)
    }

    /// Has the log end with a whole line. Says what that took.
    pub fn mend(&mut self, mut file: &File) -> io::Result<Option<String>> {
        let (torn, unended) = (std::mem::take(&mut self.torn), std::mem::take(&mut self.unended));
        if torn == 0 {
            return Ok(None);
        }
        if unended {
            file.write_all(b"\n")?;
            return Ok(None);
        }
        file.set_len(self.bytes)?;
        Ok(Some(format!(
            "its last line was torn, by a process that was killed, and was cut off ({torn} bytes)"
        )))
    }

    /// As the manifest says it.
    pub fn log_file(&self) -> LogFile {
        let sha256 = hex(&self.hash.clone().finalize());
        LogFile { sha256, bytes: self.bytes, lines: self.lines }
    }

    fn take(&mut self, line: &[u8], lost: &mut Losses) {
        // A line that is none is for whoever reads the events to complain of.
        for event in events(line).unwrap_or_default() {
            self.last = self.last.max(event.sequence.unwrap_or(0));
            *self.news.counts.entry(event.kind.as_str().to_owned()).or_default() += 1;
            if event.kind == Kind::Lost {
                lost.add_line(line);
            } else if let Some(dependency) = called(&event) {
                self.news.add(&Manifest { dependencies: vec![dependency], ..Manifest::default() });
            }
        }
    }
}

/// The objects of a line; `None` if something else is there.
fn events(line: &[u8]) -> Option<Vec<Event>> {
    serde_json::Deserializer::from_slice(line).into_iter().collect::<Result<_, _>>().ok()
}

fn sequence(line: &[u8]) -> u64 {
    let events = events(line).unwrap_or_default();
    events.iter().filter_map(|event| event.sequence).max().unwrap_or(0)
}

/// As it was counted when the line was written.
fn called(event: &Event) -> Option<Dependency> {
    let failed = match event.kind {
        Kind::OutboundCall => event.incomplete || event.error.as_ref().is_some_and(|error| !error.is_empty()),
        Kind::Connection => event.errno.is_some() && event.error.as_deref() != Some("broke before any byte"),
        _ => return None,
    };
    let protocol = match event.protocol.as_str() {
        "" if event.method == "CONNECT" => "tls",
        "" => "http/1.1",
        said => said,
    };
    let service = event.dependency().to_owned();
    Some(Dependency { service, protocol: protocol.to_owned(), calls: 1, failed: failed.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    const CALL: &str =
        r#"{"type":"OutboundCall","sequence":7,"service":"a","protocol":"http/1.1","status":200}"#;
    const LOST: &str = r#"{"type":"Lost","sequence":9,"reason":"disk","events":2,"bytes":5}"#;
    const OLD: &str =
        r#"{"id":"1","type":"OutboundCall","method":"CONNECT","url":"time.test:443","status":200}"#;

    #[test]
    fn a_log_of_which_nothing_is_known_is_counted_whole() {
        let whole = format!("{OLD}\n{CALL}\n{LOST}\n");
        let account = Account::of(&log(&whole), None).unwrap();
        assert_eq!((account.lines, account.last, account.torn), (3, 9, 0));
        assert_eq!(account.log_file().sha256, hex(&Sha256::digest(&whole)));
        assert_eq!(account.news.counts["OutboundCall"], 2);
        assert_eq!(account.news.lost.by_reason["disk"].events, 2);
        let names: Vec<_> = account.news.dependencies.iter().map(|it| (&*it.service, it.calls)).collect();
        assert_eq!(names, [("a", 1), ("time.test", 1)]);
    }

    #[test]
    fn what_the_manifest_tells_of_is_not_counted_again() {
        let known = Account::of(&log(&format!("{CALL}\n")), None).unwrap().log_file();
        let more = log(&format!("{CALL}\n{LOST}\n"));
        let account = Account::of(&more, Some(&known)).unwrap();
        assert_eq!((account.lines, account.last), (2, 9));
        assert_eq!(account.news.counts.keys().collect::<Vec<_>>(), ["Lost"]);
        let same = Account::of(&log(&format!("{CALL}\n")), Some(&known)).unwrap();
        assert_eq!((same.last, same.news.counts.len(), same.replaced), (7, 0, false));
        for other in [String::new(), format!("{LOST}\n"), format!("{LOST}\n{CALL}\n{CALL}\n")] {
            let account = Account::of(&log(&other), Some(&known)).unwrap();
            assert!(account.replaced, "{other}");
            assert_eq!(account.news.counts.values().sum::<u64>(), account.lines, "{other}");
        }
    }

    #[test]
    fn a_line_that_is_not_whole_is_cut_off_and_one_that_is_gets_its_end() {
        for (last, expected, says) in [
            (&CALL[..20], format!("{LOST}\n"), true),
            (CALL, format!("{LOST}\n{CALL}\n"), false),
            ("", format!("{LOST}\n"), false),
        ] {
            let mut file = log(&format!("{LOST}\n{last}"));
            let mut account = Account::of(&file, None).unwrap();
            assert_eq!(account.mend(&file).unwrap().is_some(), says, "{last}");
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}
