//! Expected beside actual, and what differs field by field.

use std::fmt::{self, Write as _};

use super::timeline::Picture;
use super::{code, escape};
use crate::report::document::{Divergence, Field, Report};
use crate::report::people::count;
use crate::report::text::ranges;

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
    fields(&it.fields, out)?;
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

fn fields(fields: &[Field], out: &mut String) -> fmt::Result {
    if fields.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<table class=\"fields\"><thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Recorded</th>\
         <th scope=\"col\">Live</th></tr></thead><tbody>"
    )?;
    let cell = |class, value: &Option<String>| match value {
        Some(value) => format!("<td class=\"{class}\">{}</td>", code(value)),
        None => "<td class=\"absent\">absent</td>".to_owned(),
    };
    for field in fields {
        let (name, recorded, live) =
            (code(&field.name), cell("recorded", &field.recorded), cell("live", &field.live));
        writeln!(out, "<tr><td>{name}</td>{recorded}{live}</tr>")?;
    }
    writeln!(out, "</tbody></table>")
}
