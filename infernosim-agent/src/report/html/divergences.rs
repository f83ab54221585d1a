//! Expected beside actual, and what differs field by field.

use std::fmt::{self, Write as _};

use super::timeline::Picture;
use super::{code, escape};
use crate::report::document::{Divergence, Field, Report};
use crate::report::people::count;
use crate::report::text::ranges;

/// So many fields of a divergence are open to see.
const MOST_OPEN: usize = 15;
/// Values with fewer bytes in common are not taken apart.
const LEAST_ALIKE: usize = 8;

/// The divergences, those of the report.
pub fn write(report: &Report, picture: &Picture<'_>, out: &mut String) -> fmt::Result {
    if report.divergences.is_empty() {
        return Ok(());
    }
    let found = report.divergences_found.max(report.divergences.len() as u64);
    writeln!(out, "<section aria-label=\"Divergences\">\n<h2>{}</h2>", count(found, "divergence"))?;
    for it in &report.divergences {
        divergence(it, report, picture, out)?;
    }
    let more = found - report.divergences.len() as u64;
    if more > 0 {
        writeln!(out, "<p class=\"quiet\">and {}, not in the report</p>", count(more, "more divergence"))?;
    }
    writeln!(out, "</section>")
}

fn divergence(it: &Divergence, report: &Report, picture: &Picture<'_>, out: &mut String) -> fmt::Result {
    let kind = if it.direction == "inbound" { "inbound" } else { "outbound" };
    writeln!(out, "<article class=\"divergence card\" data-kind=\"{kind}\" data-off>\n<div class=\"head\">")?;
    writeln!(out, "<h3>DIVERGENCE at {} event index={}</h3>", escape(&it.direction), it.index)?;
    writeln!(out, "<span class=\"tag\">{}</span>", escape(&it.reason))?;
    if it.runs.len() != report.runs.executed as usize {
        let runs = ranges(&it.runs);
        writeln!(out, "<span class=\"quiet\">in runs {runs} of {}</span>", report.runs.executed)?;
    }
    if let Some(place) = picture.place(it) {
        writeln!(out, "<a href=\"#{place}\">in the timeline</a>")?;
    }
    let times = if it.count > 1 { format!(" ({} times)", it.count) } else { String::new() };
    writeln!(
        out,
        "</div>\n<div class=\"sides\"><div><span class=\"label\">Expected</span>{}</div>\
         <div><span class=\"label\">Actual</span>{}{times}</div></div>",
        code(&it.expected),
        code(&it.actual),
    )?;
    fields(it, out)?;
    if let Some(cause) = &it.cause {
        let basis = cause.basis.as_deref().map_or(String::new(), |it| format!(", known by {}", escape(it)));
        let what = if kind == "inbound" { "Exchange" } else { "Cause" };
        let (asked, id) = (code(&cause.asked), code(&cause.id));
        writeln!(
            out,
            "<div class=\"quiet\">{what}: {asked} (inbound event index={}, id {id}{basis})</div>",
            cause.index
        )?;
    } else if kind == "outbound" {
        writeln!(out, "<div class=\"quiet\">Cause: not known</div>")?;
    }
    writeln!(out, "</article>")
}

/// The first fields, and the others behind a line that opens.
fn fields(it: &Divergence, out: &mut String) -> fmt::Result {
    let (first, others) = it.fields.split_at(it.fields.len().min(MOST_OPEN));
    table(first, out)?;
    if !others.is_empty() {
        let more = count(others.len() as u64, "more field");
        writeln!(out, "<details class=\"more\"><summary>{more}</summary>")?;
        table(others, out)?;
        writeln!(out, "</details>")?;
    }
    if it.more_fields > 0 {
        let more = count(it.more_fields, "more field");
        writeln!(out, "<div class=\"quiet\">and {more}, not in the report</div>")?;
    }
    Ok(())
}

fn table(fields: &[Field], out: &mut String) -> fmt::Result {
    if fields.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<table class=\"fields\"><thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Recorded</th>\
         <th scope=\"col\">Live</th></tr></thead><tbody>"
    )?;
    for field in fields {
        let (recorded, live) = (field.recorded.as_deref(), field.live.as_deref());
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th>{}{}</tr>",
            code(&field.name),
            cell("recorded", recorded, live),
            cell("live", live, recorded)
        )?;
    }
    writeln!(out, "</tbody></table>")
}

/// A value, marked where it is not as the other one.
fn cell(class: &str, value: Option<&str>, other: Option<&str>) -> String {
    let Some(value) = value else { return "<td class=\"absent\">absent</td>".to_owned() };
    let [before, unlike, behind] = other.map_or([value, "", ""], |other| unlike(value, other)).map(escape);
    let unlike = if unlike.is_empty() { unlike } else { format!("<mark>{unlike}</mark>") };
    format!("<td class=\"{class}\"><code>{before}{unlike}{behind}</code></td>")
}

/// What both begin with, what this one has instead of the other's, and what both end with. Values of which hardly anything
/// is the same are not taken apart.
fn unlike<'v>(value: &'v str, other: &str) -> [&'v str; 3] {
    let same = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| -> usize {
        a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let (before, rest) = value.split_at(same(&mut value.chars(), &mut other.chars()));
    let behind = same(&mut rest.chars().rev(), &mut other[before.len()..].chars().rev());
    if before.len() + behind < LEAST_ALIKE {
        return [value, "", ""];
    }
    let (unlike, behind) = rest.split_at(rest.len() - behind);
    [before, unlike, behind]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_the_same_is_marked() {
        assert_eq!(
            unlike("Unter den Linden 77, Berlin", "Unter den Linden 8, Berlin"),
            ["Unter den Linden ", "77", ", Berlin"]
        );
        assert_eq!(unlike("aaaaaaaaaa", "aaaaaaaaaaaa"), ["aaaaaaaaaa", "", ""]);
        assert_eq!(unlike("aaaaaaaaaaaa", "aaaaaaaaaa"), ["aaaaaaaaaa", "aa", ""]);
        assert_eq!(unlike("101", "102"), ["101", "", ""]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(value in "[aä𝄞]{0,30}", other in "[aä𝄞]{0,30}") {
            prop_assert_eq!(unlike(&value, &other).concat(), value);
        }
    }
}
