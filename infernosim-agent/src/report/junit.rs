//! JUnit's XML, as Jenkins and GitLab read it: valid against both schemas that go around (Jenkins' `junit-10.xsd`, and
//! Ant's as the Windy Road wrote it down), so that nobody's validator stumbles.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::document::{Divergence, Objective, Report};
use super::faulted::FaultyRule;
use super::text;

/// What the name of each class begins with.
const CLASS: &str = "infernosim.replay";

/// A testcase: its class, name, and what is wrong with it.
struct Case {
    class: &'static str,
    name: String,
    wrong: Option<Wrong>,
}

/// `failure` (unlike the recording) or `error` (nothing can be said).
struct Wrong {
    element: &'static str,
    kind: String,
    message: String,
    text: String,
}

/// The report as one test suite: a testcase for the verdict, one for each objective and fault rule, one for each divergence.
pub fn junit(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    let cases = cases(report);
    let wrong = |element| cases.iter().filter(|it| is_of(it, element)).count();
    let (failures, errors) = (wrong("failure"), wrong("error"));
    let seconds = seconds(report.rates.wall_ns);
    // xs:dateTime without a zone is what Ant's schema wants; it is UTC.
    let at = report.at.strip_suffix('Z').unwrap_or(&report.at);
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>")?;
    writeln!(
        out,
        "  <testsuite id=\"0\" package=\"{CLASS}\" name=\"{}\" timestamp=\"{}\" hostname=\"localhost\" \
         tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{seconds}\">",
        attribute(&format!("replay of {}", report.incident)),
        attribute(at),
        cases.len(),
    )?;
    writeln!(out, "    <properties>")?;
    for (name, value) in properties(report) {
        writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", attribute(&value))?;
    }
    writeln!(out, "    </properties>")?;
    for case in &cases {
        self::case(case, if case.class == "verdict" { &seconds } else { "0.000" }, out)?;
    }
    writeln!(out, "    <system-out>{}</system-out>", escape(&text(report)))?;
    let stderr: Vec<Cow<'_, str>> = report.stderr.iter().map(|it| super::people::escape(it)).collect();
    writeln!(out, "    <system-err>{}</system-err>", escape(&stderr.join("\n")))?;
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn is_of(case: &Case, element: &str) -> bool {
    case.wrong.as_ref().is_some_and(|it| it.element == element)
}

fn properties(report: &Report) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("outcome", report.outcome.clone()),
        ("fingerprint", report.fingerprint.clone()),
        ("volatileSet", report.volatile_set.clone()),
        ("runs", report.runs.executed.to_string()),
        ("deterministicRuns", report.runs.deterministic.to_string()),
        ("timeScale", format!("{:.3}", report.time_scale)),
    ];
    all.extend(report.seed.map(|seed| ("seed", seed.to_string())));
    all.extend(report.limiting.as_ref().map(|it| ("limitingFactor", it.factor.clone())));
    all
}

fn cases(report: &Report) -> Vec<Case> {
    let mut all = vec![verdict(report)];
    all.extend(report.slo.iter().map(objective));
    all.extend(report.faults.iter().flat_map(|it| &it.rules).map(fault));
    all.extend(report.divergences.iter().map(|it| divergence(it, report)));
    let more = report.divergences_found.saturating_sub(report.divergences.len() as u64);
    if more > 0 {
        all.push(Case {
            class: "divergence",
            name: format!("{more} more"),
            wrong: Some(Wrong {
                element: "failure",
                kind: "not listed".into(),
                message: format!("{more} more divergences are not listed"),
                text: String::new(),
            }),
        });
    }
    all
}

/// A failure where the target did otherwise than it should; an error where the replay can say nothing of it.
fn verdict(report: &Report) -> Case {
    let wrong = (report.exit != 0).then(|| Wrong {
        element: if report.result == "FAIL" && report.exit == 1 { "failure" } else { "error" },
        kind: report.outcome.clone(),
        message: report.reason.clone(),
        text: repeat(report),
    });
    Case { class: "verdict", name: "replays as recorded".into(), wrong }
}

fn objective(it: &Objective) -> Case {
    let wrong = (!it.met).then(|| Wrong {
        element: "failure",
        kind: "missed".into(),
        message: format!("{} was missed: {}", it.objective, it.measured),
        text: String::new(),
    });
    Case { class: "objective", name: it.objective.clone(), wrong }
}

/// An error where the rule never fired: then nothing was tested by it.
fn fault(it: &FaultyRule) -> Case {
    let wrong = (it.fired == 0).then(|| Wrong {
        element: "error",
        kind: "never fired".into(),
        message: format!("the rule never fired: it was reached {} times", it.reached),
        text: String::new(),
    });
    Case { class: "fault", name: it.rule.clone(), wrong }
}

fn divergence(it: &Divergence, report: &Report) -> Case {
    let told = text::of_divergence(it, &report.runs);
    Case {
        class: "divergence",
        name: match &it.cause {
            Some(cause) => format!("{} ({})", it.place(), cause.asked),
            None => it.place(),
        },
        wrong: Some(Wrong {
            element: "failure",
            kind: it.reason.clone(),
            message: format!("expected {}, was {}", it.expected, it.actual),
            text: told + &repeat(report),
        }),
    }
}

fn repeat(report: &Report) -> String {
    report.repeat.as_ref().map_or(String::new(), |it| format!("\nTo see it again:\n  {it}\n"))
}

fn case(case: &Case, time: &str, out: &mut String) -> fmt::Result {
    let name = attribute(&case.name);
    write!(out, "    <testcase classname=\"{CLASS}.{}\" name=\"{name}\" time=\"{time}\"", case.class)?;
    let Some(it) = &case.wrong else { return writeln!(out, "/>") };
    writeln!(out, ">")?;
    let (element, kind) = (it.element, attribute(&it.kind));
    let (message, text) = (attribute(&it.message), escape(&it.text));
    writeln!(out, "      <{element} type=\"{kind}\" message=\"{message}\">{text}</{element}>")?;
    writeln!(out, "    </testcase>")
}

/// Whole milliseconds, as xs:decimal.
fn seconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

/// For text. Characters that XML 1.0 has no way to write (section 2.2, Char), and those that would make a line
/// read as another, are written out.
fn escape(text: &str) -> String {
    marked_up(&super::people::escape_lines(text))
}

/// For attributes, in which lines would be read as spaces (section 3.3.3).
fn attribute(text: &str) -> String {
    marked_up(&super::people::escape(text))
}

fn marked_up(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
