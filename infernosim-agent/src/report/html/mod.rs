//! The report as one HTML file, to be looked at anywhere: offline, without any other file, with a script that only filters.
//!
//! ```text
//! Report ─┬─ summary ────── verdict, numbers, lists ─┐
//!         ├─ divergences ── expected beside actual  ─┼─▶ page: notice of what may run, style, body, script
//!         ├─ timeline ───── rows, bars, fault marks ─┤
//!         └─ faults ─────── the ledger ──────────────┘
//! ```
//!
//! Recorded text is escaped wherever it stands; besides, the page's content security policy names its own style and script by
//! their hashes, so that nothing else runs, loads or is sent even where escaping failed.

mod divergences;
mod faults;
mod summary;
mod timeline;

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use super::document::Report;
use super::people;
use timeline::Picture;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The report as a page.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    let title = format!("{}: replay of {}", report.outcome, report.incident);
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">",
        hash(STYLE),
        hash(SCRIPT),
    )?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<meta name=\"referrer\" content=\"no-referrer\">")?;
    writeln!(out, "<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>", escape(&title))?;
    let picture = Picture::of(report);
    summary::header(report, out)?;
    writeln!(out, "<main>")?;
    filter(&picture, out)?;
    divergences::write(report, &picture, out)?;
    picture.write(out)?;
    faults::write(report, out)?;
    summary::lists(report, out)?;
    writeln!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>")
}

/// What the script shows and hides by; hidden where it does not run.
fn filter(picture: &Picture<'_>, out: &mut String) -> fmt::Result {
    writeln!(out, "<form id=\"filter\" class=\"filter card\" hidden>")?;
    writeln!(
        out,
        "<input type=\"search\" name=\"text\" aria-label=\"Filter by text\" placeholder=\"Filter by text (press /)\" \
         autocomplete=\"off\">"
    )?;
    let faults = picture.has_faults();
    for (kind, word) in [("inbound", "Inbound"), ("outbound", "Outbound"), ("fault", "Faults")] {
        if kind != "fault" || faults {
            writeln!(out, "<label><input type=\"checkbox\" data-shows=\"{kind}\" checked>{word}</label>")?;
        }
    }
    writeln!(out, "<label><input type=\"checkbox\" name=\"off\">Only what diverges</label>")?;
    writeln!(out, "<output name=\"said\" aria-live=\"polite\"></output>\n</form>")
}

/// As a source expression of a content security policy names it (CSP Level 3, section 2.3.1).
fn hash(text: &str) -> String {
    base64_simd::STANDARD.encode_to_string(Sha256::digest(text))
}

/// For text and attributes; what would steer a terminal or reorder a line is written out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in people::escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A value, as code.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}
