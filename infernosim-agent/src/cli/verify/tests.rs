use super::*;

fn check(name: &'static str, verdict: Verdict) -> Check {
    Check { name, verdict, detail: "as seen".to_owned() }
}

#[test]
fn it_passes_only_where_all_was_checked() {
    let [passed, failed, not] = [Verdict::Passed, Verdict::Failed, Verdict::NotChecked];
    for (checks, exit, last) in [
        ([passed, passed], 0, "VERIFY: PASS (deterministic, isolated, time-controlled)"),
        ([passed, not], 4, "VERIFY: INCONCLUSIVE (not checked: isolated)"),
        ([failed, not], 1, "VERIFY: FAIL (captured)"),
        ([failed, failed], 1, "VERIFY: FAIL (captured, isolated)"),
    ] {
        let checks = [check("captured", checks[0]), check("isolated", checks[1])];
        let outcome = Outcome::of(&checks);
        assert_eq!((outcome.exit, outcome.text().lines().last()), (exit, Some(last)));
        assert_eq!(outcome.text().lines().count(), 3);
    }
}

#[test]
fn programs_read_each_check() {
    let json = Outcome::of(&[check("isolated", Verdict::NotChecked)]).json();
    let shown = r#"{"verify":"INCONCLUSIVE","exit":4,"checks":[{"name":"isolated","verdict":"notChecked","detail":"as seen"}]}"#;
    assert_eq!(json.trim_end(), shown);
}
