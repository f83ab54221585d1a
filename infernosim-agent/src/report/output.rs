//! Where a report goes in which format: `junit=report.xml`, `html=-`, `markdown`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Report;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Directory;

/// Where GitHub has a step's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As `replay_result.txt`.
    Text,
    /// As `replay_report.json`.
    Json,
    /// JUnit's XML.
    Junit,
    /// For step summaries and comments.
    Markdown,
    /// One page, without any other file.
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Text, Self::Json, Self::Junit, Self::Markdown, Self::Html];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }

    /// Of its word.
    ///
    /// # Errors
    /// Names the words there are, and the near one.
    pub fn of(word: &str) -> Result<Self, String> {
        let words = Self::ALL.map(Self::as_str);
        if let Some(at) = words.iter().position(|it| *it == word) {
            return Ok(Self::ALL[at]);
        }
        let near = words.iter().find(|it| strsim::damerau_levenshtein(it, word) <= 2);
        let near = near.map_or(String::new(), |it| format!("; did you mean {it}?"));
        Err(format!("{word:?} is no format: there are {}{near}", words.join(", ")))
    }

    /// The report so.
    pub fn render(self, report: &Report) -> String {
        match self {
            Self::Text => super::text(report),
            Self::Json => super::json(report),
            Self::Junit => super::junit(report),
            Self::Markdown => super::markdown(report),
            Self::Html => super::html(report),
        }
    }
}

/// Where a report is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// A file, which it replaces.
    File(PathBuf),
    /// A file, at whose end it is put: the summary of a step of GitHub's.
    End(PathBuf),
}

/// What is written where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How.
    pub format: Format,
    /// Where.
    pub to: To,
}

impl Output {
    /// Reads `FORMAT=FILE`, `FORMAT=-`, or `markdown` where GitHub tells where a step's summary is.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, std::env::var_os(STEP_SUMMARY).filter(|it| !it.is_empty()).map(PathBuf::from))
    }

    fn parse_with(text: &str, summary: Option<PathBuf>) -> Result<Self, String> {
        let (word, file) = text.split_once('=').map_or((text, None), |(word, file)| (word, Some(file)));
        let format = Format::of(word)?;
        let to = match (file, summary) {
            (Some(""), _) => return Err(format!("name a file: {word}=FILE, or {word}=- for stdout")),
            (Some("-"), _) => To::Stdout,
            (Some(file), _) => To::File(file.into()),
            (None, Some(summary)) if format == Format::Markdown => To::End(summary),
            (None, None) if format == Format::Markdown => {
                return Err(format!("{STEP_SUMMARY} is not set: name a file, markdown=FILE"));
            }
            (None, _) => return Err(format!("name a file: {word}=FILE, or {word}=- for stdout")),
        };
        Ok(Self { format, to })
    }

    /// Whether it can be written, as far as that is known without doing it: what takes long comes first.
    ///
    /// # Errors
    /// `Exit::Usage` if there is no such directory, or something that is no file has the name.
    pub fn check(&self) -> Result<()> {
        let path = match &self.to {
            To::Stdout => return Ok(()),
            To::File(path) | To::End(path) => path,
        };
        let fail = |what: &str| ExpectedError::new(Exit::Usage, format!("{}: {what}", path.display()));
        if !folder(path).is_dir() {
            return Err(fail("the report cannot be written there: there is no such directory"));
        }
        // What root replaces may be /dev/stdout, a link.
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => Err(fail("the report replaces files only, and this is none")
                .help("name a file, or `-` for standard output")),
            _ if path.file_name().is_none() => Err(fail("the report cannot be written there: name a file")),
            _ => Ok(()),
        }
    }

    /// Writes the report: files with mode 0600, of their directory's owner, never through a link, in one step.
    ///
    /// # Errors
    /// That of writing: [`Output::failed`] says it.
    pub fn write(&self, report: &Report, stdout: &mut impl io::Write) -> io::Result<()> {
        let text = self.format.render(report);
        match &self.to {
            To::Stdout => stdout.write_all(text.as_bytes()),
            To::File(path) => {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                Directory::at(folder(path))?.replace(name, text.as_bytes())
            }
            To::End(path) => {
                let name = path.file_name().unwrap_or_default();
                let (mut file, _) = Directory::at(folder(path))?.append(name)?;
                if !file.metadata()?.is_file() {
                    return Err(io::Error::other("it is no file"));
                }
                file.write_all(format!("{text}\n").as_bytes())
            }
        }
    }

    /// What could not be written, for people.
    pub fn failed(&self, error: &io::Error) -> ExpectedError {
        let path = match &self.to {
            To::Stdout => Path::new("stdout"),
            To::File(path) | To::End(path) => path,
        };
        ExpectedError::new(Exit::Host, format!("{}: the report cannot be written: {error}", path.display()))
            .help("`infernosim report DIR --format FORMAT` makes it again")
    }
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_format_and_a_file() {
        let parsed = |text: &str| Output::parse_with(text, None);
        assert_eq!(
            parsed("junit=a=b.xml"),
            Ok(Output { format: Format::Junit, to: To::File("a=b.xml".into()) })
        );
        assert_eq!(parsed("html=-"), Ok(Output { format: Format::Html, to: To::Stdout }));
        let summary = Output::parse_with("markdown", Some("/s".into()));
        assert_eq!(summary, Ok(Output { format: Format::Markdown, to: To::End("/s".into()) }));
        for (wrong, said) in [
            ("markdwn=x", "did you mean markdown?"),
            ("pdf=x", "is no format: there are text, json, junit, markdown, html"),
            ("html", "name a file: html=FILE"),
            ("html=", "name a file: html=FILE"),
            ("markdown", "GITHUB_STEP_SUMMARY is not set"),
        ] {
            assert!(parsed(wrong).unwrap_err().contains(said), "{wrong}");
        }
        assert!(Output::parse_with("html", Some("/s".into())).is_err(), "a summary is Markdown");
    }

    #[test]
    fn files_are_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let to = |name: &str| Output { format: Format::Text, to: To::File(at(name)) };
        fs::write(at("elsewhere"), "mine").unwrap();
        symlink(at("elsewhere"), at("link")).unwrap();
        for wrong in ["link", "nowhere/x", "."] {
            assert_eq!(to(wrong).check().unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        fs::write(at("old"), "old").unwrap();
        for name in ["old", "new"] {
            let output = to(name);
            output.check().unwrap();
            output.write(&Report::default(), &mut io::sink()).unwrap();
            assert!(fs::read_to_string(at(name)).unwrap().starts_with("REPLAY: "));
            assert_eq!(fs::metadata(at(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // A link that came in between is replaced, not followed.
        to("link").write(&Report::default(), &mut io::sink()).unwrap();
        assert_eq!(fs::read_to_string(at("elsewhere")).unwrap(), "mine");
    }

    #[test]
    fn a_summary_keeps_what_stood_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary");
        fs::write(&path, "# Before\n").unwrap();
        let output = Output { format: Format::Markdown, to: To::End(path.clone()) };
        output.check().unwrap();
        output.write(&Report::default(), &mut io::sink()).unwrap();
        assert!(fs::read_to_string(path).unwrap().starts_with("# Before\n## "));
    }
}
