//! `infernosim report` as others read and see it: a schema's validator, and a browser.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{fail, path, run, succeed, text};

/// What Debian's python3 runs in the browser's name.
const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/browser.py");
/// Jenkins' own, of its plug-in xunit; MIT, as it says itself.
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/junit-10.xsd");
/// What a page must never do: recorded by a service that means harm.
const HOSTILE: &str =
    "</script><script>window.ran = true</script><img src=x onerror='window.ran = true'>\"><b>\u{202e}";

/// A report of a replay that failed, with as many requests, and with [`HOSTILE`] wherever recorded text stands.
fn replay(requests: u64) -> (tempfile::TempDir, PathBuf) {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/replay/report.json");
    let mut report: Value = serde_json::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
    let it = &mut report["divergences"][0];
    for place in ["expected", "actual"] {
        it[place] = json!(HOSTILE);
    }
    let fields = it["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": HOSTILE, "recorded": HOSTILE, "live": format!("{HOSTILE}{HOSTILE}")}));
    fields
        .extend((0..20).map(|at| json!({"name": format!("body.items[{at}]"), "recorded": "1", "live": "2"})));
    it["cause"]["asked"] = json!(HOSTILE);
    for place in ["incident", "reason", "repeat"] {
        report[place] = json!(HOSTILE);
    }
    report["stderr"] = json!([HOSTILE]);
    report["untested"][0]["what"] = json!(HOSTILE);
    report["faults"]["rules"][0]["rule"] = json!(HOSTILE);
    report["faults"]["happened"][0]["site"] = json!(HOSTILE);
    report["faults"]["happened"][1]["observed"] = json!(HOSTILE);
    let ms = 1_000_000;
    let inbound = (0..requests).map(|at| {
        json!({"index": at, "asked": format!("POST /orders/{at}"), "sentNs": at * 10 * ms, "endedNs": (at * 10 + 8) * ms, "status": 201})
    });
    report["timeline"]["inbound"] = inbound.collect();
    report["timeline"]["calls"] = json!([
        {"index": 0, "dependency": "pay.test", "asked": "GET /rates", "atNs": ms, "answeredNs": 2 * ms, "cause": 0},
        {"index": 1, "dependency": "pay.test", "asked": "POST /charge", "atNs": 3 * ms, "answeredNs": 7 * ms, "cause": 0},
        {"dependency": HOSTILE, "asked": HOSTILE, "atNs": 4 * ms},
    ]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("replay_report.json"), report.to_string()).unwrap();
    let page = dir.path().join("report.html");
    (dir, page)
}

/// What the browser says of the page.
fn look(page: &std::path::Path, pictures: &std::path::Path) -> Value {
    let python =
        Command::new("/usr/bin/python3").args([BROWSER, path(page), path(pictures)]).output().unwrap();
    assert!(python.status.success(), "{}", text(&python.stderr));
    serde_json::from_slice(&python.stdout).unwrap()
}

#[test]
fn a_browser_shows_what_happened_and_does_nothing_else() {
    let (dir, page) = replay(12);
    succeed(&["report", path(dir.path()), "--format", "html", "-o", path(&page)]);
    let found = look(&page, dir.path());
    let shown = &found["page"];
    assert_eq!(shown["divergences"], json!(["DIVERGENCE at outbound event index=1"]));
    assert_eq!((&shown["bars"], &shown["fired"]), (&json!(15), &json!(2)));
    assert_eq!(shown["fields"].as_array().unwrap()[..3], [json!("body.total"), json!("50"), json!("60")]);
    assert_eq!(
        (&found["unfolded"], found["paper"].as_u64() < Some(2 << 20)),
        (&json!(true), true),
        "{found}"
    );
    // What was recorded stands there as it was, but for what would reorder it; nothing of it ran, or became an element.
    let told = HOSTILE.replace('\u{202e}', "\\u{202e}");
    assert!(shown["fields"].as_array().unwrap().contains(&json!(told)), "{shown}");
    assert_eq!((&shown["ran"], &shown["images"]), (&json!(false), &json!(0)));
    assert!(shown["title"].as_str().unwrap().ends_with(&told));
    // Nor would it, had the escaping failed; and the page asks for nothing, wherever it is.
    assert_eq!(found["intrusion"], json!({"stopped": ["img-src", "script-src-elem"], "ran": false}));
    assert_eq!((&found["asked"], &found["logged"]), (&json!([]), &json!([])));
    // The script filters, and the keyboard will do.
    let all = shown["said"].as_str().unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert_eq!((&shown["filter"], &found["none"], &found["all"]), (&json!(true), &json!([]), &json!(all)));
    // A rule's lane, with what it did where; the call; the line of the ledger.
    assert_eq!(found["filtered"], json!(["fault", "outbound", "fault"]));
    assert_eq!(found["opened"], json!(true));
    let views = found["views"].as_array().unwrap();
    assert!(views.iter().all(|it| it["wide"].as_i64() <= Some(0)), "it stands out at the side: {found}");
    assert!(views.iter().all(|it| it["track"].as_f64() > Some(200.0)), "{found}");
    assert_ne!(views[0]["ground"], views[1]["ground"], "light is not dark");
    assert!(views.iter().all(|it| it["contrast"][0].as_f64() >= Some(4.5)), "it is hard to read: {found}");
    // Narrow or not, a screen reader is told the same of tables: fifteen fields that are not folded away, ten runs.
    assert!(views.iter().all(|it| it["roles"] == views[0]["roles"]), "{found}");
    assert_eq!(
        (&views[0]["roles"]["main"], &views[0]["roles"]["rowheader"]),
        (&json!(1), &json!(25)),
        "{found}"
    );
    for name in ["1280-light-top.png", "400-dark-timeline.png"] {
        assert!(fs::metadata(dir.path().join(name)).unwrap().len() > 5_000, "{name} shows nothing");
    }
}

#[test]
fn a_page_of_too_much_is_bounded_and_says_so() {
    let (dir, page) = replay(5_000);
    succeed(&["report", path(dir.path()), "--format", "html", "-o", path(&page)]);
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("class=\"bar").count(), 2_000);
    assert!(
        html.contains("<p class=\"quiet\">2000 of 5007 events are shown: "),
        "5,003 rows, of which it draws 2,000, and 4 that the report lacks"
    );
    assert!(html.len() < 4 << 20, "{}", html.len());
}

#[test]
fn junit_is_valid_by_jenkins_schema() {
    let (dir, _) = replay(1);
    let xml = dir.path().join("replay.xml");
    succeed(&["report", path(dir.path()), "--format", "junit", "-o", path(&xml)]);
    let check =
        |path: &str| Command::new("xmllint").args(["--noout", "--schema", SCHEMA, path]).output().unwrap();
    let output = check(path(&xml));
    assert!(output.status.success(), "{}", text(&output.stderr));
    // And it would say so, were it not.
    let wrong = fs::read_to_string(&xml).unwrap().replace("<testcase ", "<testcase surprise=\"\" ");
    fs::write(&xml, wrong).unwrap();
    assert!(!check(path(&xml)).status.success());
}

#[test]
fn a_report_is_made_again_in_each_format() {
    let (dir, _) = replay(1);
    for (format, begins) in [
        ("text", "REPLAY: FAIL\n"),
        ("json", "{\n  \"reportVersion\""),
        ("junit", "<?xml "),
        ("markdown", "## ❌ Replay of "),
        ("html", "<!doctype html>\n"),
    ] {
        let (out, said) = succeed(&["report", path(dir.path()), "--format", format]);
        assert!(out.starts_with(begins) && said.is_empty(), "{format}: {out}");
        let file = dir.path().join("replay_report.json");
        assert_eq!(succeed(&["report", path(&file), "--format", format]).0, out);
    }
    assert!(fail(&["report", path(dir.path()), "--format", "htm"], 2).contains("did you mean html?"));
    let empty = tempfile::tempdir().unwrap();
    assert!(fail(&["report", path(empty.path())], 4).contains("name a replay_report.json"));
    let older = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/incident-v1");
    assert!(fail(&["report", older], 4).contains("was not replayed yet"));
    let said = fail(&["report", path(dir.path()), "-o", "/dev/stdout"], 2);
    assert!(said.contains("the report replaces files only"), "{said}");
}

#[test]
fn what_replay_cannot_write_is_said_before_it_begins() {
    let (dir, _) = replay(1);
    let incident = ["replay", "--incident", path(dir.path()), "--target-base", "http://127.0.0.1:9"];
    for (words, said) in [
        (&["--report", "html=-", "--report", "junit=-"][..], "two reports cannot both go to standard output"),
        (&["--report", "html=-", "--json"], "two reports cannot both go to standard output"),
        (&["--report", "html=/nowhere/x.html"], "no such directory"),
        (&["--report", "jnit=x"], "did you mean junit?"),
    ] {
        let output = run(&[&incident[..], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{words:?}: {}", text(&output.stderr));
    }
}
