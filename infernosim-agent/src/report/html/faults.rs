//! The ledger: what became of each rule, and what fired.

use std::fmt::{self, Write as _};

use super::{code, escape};
use crate::report::document::Report;
use crate::report::faulted::{Faulted, FaultyRule};
use crate::report::people::{count, duration};

/// So many firings are listed.
const MOST_LISTED: usize = 500;

/// The section of the page, where there are faults.
pub fn write(report: &Report, out: &mut String) -> fmt::Result {
    let Some(faults) = &report.faults else { return Ok(()) };
    writeln!(out, "<section aria-label=\"Faults\">\n<h2>Faults (seed {})</h2>", faults.seed)?;
    writeln!(
        out,
        "<div class=\"card scroll\"><table><thead><tr><th scope=\"col\">Rule</th><th scope=\"col\" class=\"number\">Reached</th>\
         <th scope=\"col\" class=\"number\">Fired</th><th scope=\"col\" class=\"number\">Observed</th></tr></thead><tbody>"
    )?;
    for rule in &faults.rules {
        let never = if rule.fired == 0 { " <span class=\"tag\">never fired</span>" } else { "" };
        let FaultyRule { reached, fired, observed, .. } = rule;
        writeln!(
            out,
            "<tr><td>{}{never}</td><td class=\"number\">{reached}</td><td class=\"number\">{fired}</td>\
             <td class=\"number\">{observed}</td></tr>",
            code(&rule.rule)
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    if let Some(told) = faults.in_each() {
        writeln!(out, "<p>{}</p>", escape(&told))?;
    }
    if faults.unlike.is_some() {
        by_run(faults, out)?;
    }
    happened(faults, out)?;
    writeln!(out, "</section>")
}

/// The counts of each run, where they are not the same.
fn by_run(faults: &Faulted, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Faults of each run\"><table>\
         <thead><tr><th scope=\"col\">Run</th>"
    )?;
    for at in 1..=faults.rules.len() {
        writeln!(out, "<th scope=\"col\" class=\"number\">Rule {at}: reached, fired, observed</th>")?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    for run in &faults.each {
        write!(out, "<tr><th scope=\"row\">{}</th>", run.run)?;
        for [reached, fired, observed] in &run.rules {
            write!(out, "<td class=\"number\">{reached}, {fired}, {observed}</td>")?;
        }
        writeln!(out, "</tr>")?;
    }
    let more = u64::from(faults.runs).saturating_sub(faults.each.len() as u64);
    let more = if more > 0 {
        format!("<p class=\"quiet\">and {}</p>", count(more, "more run"))
    } else {
        String::new()
    };
    writeln!(out, "</tbody></table></div>{more}")
}

fn happened(faults: &Faulted, out: &mut String) -> fmt::Result {
    if faults.happened.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>What fired in run {}</h2>\n<div class=\"card scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"What fired\"><table class=\"happened\">",
        faults.run
    )?;
    writeln!(
        out,
        "<thead><tr><th scope=\"col\">Rule</th><th scope=\"col\">Site</th><th scope=\"col\" class=\"number\">At</th>\
         <th scope=\"col\">Action</th><th scope=\"col\">Observed</th></tr></thead><tbody>"
    )?;
    for it in faults.happened.iter().take(MOST_LISTED) {
        let observed = it.observed.as_deref();
        let observed = observed.map_or("<span class=\"quiet\">not observed</span>".to_owned(), escape);
        writeln!(
            out,
            "<tr data-kind=\"fault\"><td>{}</td><td>{} #{}</td><td class=\"number\">{}</td><td>{}</td><td>{observed}</td></tr>",
            it.rule + 1,
            code(&it.site),
            it.occurrence,
            duration(it.at_ns),
            code(&it.action),
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    let more = faults.more + faults.happened.len().saturating_sub(MOST_LISTED) as u64;
    if more > 0 { writeln!(out, "<p class=\"quiet\">and {}</p>", count(more, "more firing")) } else { Ok(()) }
}
