//! `--only` and `--exclude`: what is not selected works, is not recorded, is counted, and is no loss.

use crate::harness::{Capture, Finished, Origin, Recording, text};

/// Two dependencies, two paths each.
const VISITS: &str = r#"
import sys, urllib.request
for port in sys.argv[1:]:
    for path in ("/orders/7?full=1", "/health", "/bytes/100000"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read()
print("done")
"#;

fn visit(origins: &[Origin; 2], options: &[&str]) -> Finished {
    let [a, b] = origins.each_ref().map(|origin| origin.port().to_string());
    let finished = Capture::python(VISITS, &[&a, &b]).option(options).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "done\n"), "{}", finished.stderr);
    finished
}

fn urls(recording: &Recording) -> Vec<&str> {
    recording.calls().iter().map(|call| text(&call["url"])).collect()
}

#[test]
fn what_is_not_selected_works_and_is_counted() {
    let origins = [Origin::start(), Origin::start()];
    let [a, b] = origins.each_ref().map(|origin| origin.port().to_string());
    let (orders, health) = (origins[0].url("/orders/7?full=1"), origins[0].url("/health"));
    let long = origins[0].url("/bytes/100000");
    for (options, expected, files) in [
        (vec!["--only", &a], vec![&orders, &health, &long], 1),
        (vec!["--exclude", &b], vec![&orders, &health, &long], 1),
        (vec!["--only", &a, "--only", "/orders/*"], vec![&orders], 0),
        (vec!["--only", &a, "--exclude", "/health", "--exclude", "path=/bytes/*"], vec![&orders], 0),
        (
            vec!["--only", &format!("dep=127.0.0.1:{a}"), "--only", "/health", "--only", "/b*"],
            vec![&health, &long],
            1,
        ),
        (vec!["--only", "no-such-host"], vec![], 0),
    ] {
        let finished = visit(&origins, &options);
        let recording = finished.recording();
        assert_eq!(urls(&recording), expected, "{options:?}");
        assert_eq!(recording.body_files().len(), files, "{options:?}");
        let excluded = &recording.manifest["excluded"];
        assert_eq!(excluded["events"], 6 - expected.len(), "{options:?} {excluded}");
        assert!(excluded["bytes"].as_u64().unwrap() >= 100_000, "{excluded}");
        let dependencies = recording.manifest["dependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), usize::from(!expected.is_empty()));
        let said = format!("{} left out by --only and --exclude", 6 - expected.len());
        assert!(finished.stderr.contains(&said), "{}", finished.stderr);
    }
    let recording = visit(&origins, &["--exclude", "/nothing"]).recording();
    assert_eq!((urls(&recording).len(), recording.manifest.get("excluded")), (6, None));
}

#[test]
fn names_come_from_the_host_field_and_failures_have_one_too() {
    let origin = Origin::start();
    let resolve = format!("api.shop.test:{}:127.0.0.1", origin.port());
    let url = format!("http://api.shop.test:{}/hello", origin.port());
    let script = "curl -sS --resolve \"$0\" \"$1\"; curl -s http://127.0.0.1:1/; true";
    let run = |only: &str| {
        let capture = Capture::of(&["sh", "-c", script, &resolve, &url]).option(&["--only", only]);
        capture.record().events.iter().map(|event| text(&event["type"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(run("*.SHOP.test"), ["OutboundCall"]);
    assert_eq!(run("1"), ["Connection"]);
    assert_eq!(run("127.0.0.1"), ["OutboundCall", "Connection"]);
}

#[test]
fn a_misspelt_selector_is_refused_with_what_was_expected() {
    for (selector, said) in
        [("host=shop", "dep=PATTERN"), ("port=http", "1 to 65535"), ("path=orders", "begins with /")]
    {
        for option in ["--only", "--exclude"] {
            let finished = Capture::of(&["echo", "ran"]).option(&[option, selector]).run();
            assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{}", finished.stderr);
            assert!(finished.stderr.contains(said), "{}", finished.stderr);
            assert!(!finished.incident.exists());
        }
    }
}
