//! Recorded text stays text in each format.

use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::*;

/// A report of which every text that comes from the recording or the target is this one.
fn hostile(text: &str) -> Report {
    let mut report = failed();
    let own = || text.to_owned();
    let it = &mut report.divergences[0];
    (it.expected, it.actual) = (own(), own());
    it.fields = vec![Field { name: own(), recorded: Some(own()), live: None }];
    it.cause = Some(Cause { index: 0, asked: own(), id: own(), basis: None });
    (report.incident, report.reason, report.repeat) = (own(), own(), Some(own()));
    report.stderr = vec![own()];
    report.untested = vec![Untested { what: own(), count: 0, why: own() }];
    report.limiting = Some(Limiting { factor: own(), evidence: own(), ..Limiting::default() });
    let timeline = report.timeline.as_mut().unwrap();
    timeline.calls[0].dependency = own();
    timeline.inbound[0].asked = own();
    let faults = report.faults.as_mut().unwrap();
    (faults.rules[0].rule, faults.happened[0].site) = (own(), own());
    report
}

/// The same, with as much of everything as a report may have and more.
fn heaped(text: &str) -> Report {
    let mut report = hostile(text);
    let one = report.divergences[0].clone();
    report.divergences = vec![Divergence { fields: vec![one.fields[0].clone(); 100], ..one }; 100];
    report.stderr = vec![text.to_owned(); 100];
    report.untested = vec![report.untested[0].clone(); 100];
    report.slo = vec![Objective { objective: text.into(), measured: text.into(), met: false }; 100];
    report.calls =
        vec![Calls { dependency: text.into(), made: 2, expected: 1, amplification: Some(2.0) }; 100];
    let faults = report.faults.as_mut().unwrap();
    faults.rules = vec![FaultyRule { rule: text.into(), ..FaultyRule::default() }; 100];
    faults.happened = vec![faults.happened[0].clone(); 1000];
    report
}

/// Tests, failures and errors, as the suite says and as they are.
fn counted(xml: &str) -> [usize; 3] {
    let document = Document::parse(xml).unwrap();
    let all =
        |name: &'static str| document.descendants().filter(move |it: &Node<'_, '_>| it.has_tag_name(name));
    let suite = all("testsuite").next().unwrap();
    let counts = [("tests", "testcase"), ("failures", "failure"), ("errors", "error")];
    counts.map(|(attribute, element)| {
        let said: usize = suite.attribute(attribute).unwrap().parse().unwrap();
        assert_eq!(said, all(element).count(), "{attribute}");
        said
    })
}

#[test]
fn a_reader_of_junit_finds_what_was_meant() {
    let xml = junit(&failed());
    // A rule that never fired tested nothing.
    assert_eq!(counted(&xml), [7, 4, 1]);
    let document = Document::parse(&xml).unwrap();
    let names = document.descendants().filter(|it| it.has_tag_name("testcase"));
    let names: Vec<&str> = names.map(|it| it.attribute("name").unwrap()).collect();
    let objectives = failed().slo;
    let first = "request_mismatch at outbound event index=1 (POST /orders)";
    let rules = ["dep=payments.test latency=+200ms", "dep=stock.test refuse"];
    let [one, two] = [0, 1].map(|at: usize| objectives[at].objective.as_str());
    assert_eq!(names, ["replays as recorded", one, two, rules[0], rules[1], first, "11 more"]);
    let told = document
        .descendants()
        .filter(|it| it.has_tag_name("failure"))
        .find(|it| it.attribute("type") == Some("request_mismatch"))
        .unwrap()
        .text()
        .unwrap();
    assert!(told.contains("+ body.total: 60\n") && told.contains("infernosim replay --incident ./inc"));

    assert_eq!(counted(&junit(&passed())), [1, 0, 0]);
    // What says nothing is no failure of the target's.
    let unfit = Report { result: "INCONCLUSIVE".into(), exit: 4, ..passed() };
    assert_eq!(counted(&junit(&unfit)), [1, 0, 1]);
}

#[test]
fn markdown_has_only_markup_of_its_own() {
    let hostile = markdown(&hostile("a|b `c` <img src=x> **d** [e](http://f) ```\n# g\n~~~ | _h_ @i www.j"));
    for markup in ["<img", "a|b", "`c`", "**d**", "[e]", "http://", "\n# g", "_h_", "@i", "www."] {
        let outside = hostile.split("\n### The target's last lines").next().unwrap();
        assert!(!outside.contains(markup), "{markup} in {outside}");
    }
    // A fence is closed by a longer one only: what it holds has three.
    assert!(hostile.contains("\n````sh\n") && hostile.contains("\n````text\n"), "{hostile}");
    assert_eq!(hostile.matches("````").count(), 4);
}

#[test]
fn what_would_begin_a_list_does_not() {
    for text in ["- a", "1. a", "12) a", "=", "    a"] {
        let written = markdown(&hostile(text));
        assert!(!written.contains(&format!("\n- {text}")), "{written}");
        assert!(!written.contains(&format!("\n{text}\n\n|")), "{written}");
    }
}

proptest! {
    #[test]
    fn junit_is_well_formed_whatever_was_recorded(text in "\\PC*|.*|[\\x00-\\x20<>&\"'\\]\u{fffe}\u{ffff}]*") {
        let written = junit(&hostile(&text));
        let read = Document::parse(&written);
        prop_assert!(read.is_ok(), "{:?}", read);
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(written.chars().all(allowed), "XML 1.0, section 2.2");
    }

    #[test]
    fn a_line_of_a_table_has_its_columns(text in "\\PC*|[|`<>&#\\\\\n\r\t\u{85}\u{2028} ]*") {
        let columns = |line: &str| line.matches('|').count();
        let plain: Vec<usize> = markdown(&hostile("x")).lines().map(columns).collect();
        let written: Vec<usize> = markdown(&hostile(&text)).lines().map(columns).collect();
        let fences = |lines: &[usize]| lines.len();
        prop_assert_eq!(fences(&plain), fences(&written));
        let table = |lines: &[usize]| lines.iter().take(30).copied().collect::<Vec<_>>();
        prop_assert_eq!(table(&plain), table(&written));
    }
}

proptest! {
    // Each takes half a second.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_step_summary_takes_it(text in "\\PC{1,9}|[|`<>&#\u{202e}\x1b]{1,9}", times in 1_usize..600) {
        let written = markdown(&heaped(&text.repeat(times)));
        prop_assert!(written.len() <= 1 << 20, "{}", written.len());
        prop_assert!(written.contains("\n### 100 divergences\n"), "it is said what there is");
    }
}
