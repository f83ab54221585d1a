//! Connects and lookups that fail on purpose.

use super::Stage;
use crate::harness::Replayed;

const CONNECT: &str = r#"
def task(path):
    for _ in range(4):
        began = time.monotonic()
        try:
            asking = http.client.HTTPConnection("stock.test", timeout=0.5)
            asking.request("GET", "/stock")
            tell(asking.getresponse().status)
        except OSError as error:
            tell(type(error).__name__, error.errno)
"#;

fn four(rule: &str) -> (Vec<String>, Replayed) {
    let calls: Vec<(&str, &str)> = (0..4).map(|_| ("/stock", "{}")).collect();
    let stage = Stage::new(1, &calls);
    let replayed = stage.replay(CONNECT).option(&["--runs", "1", "--inject", rule]).run();
    let all = stage.observed();
    // Two runs without faults come first.
    assert!(all.len() == 12 && all[..8].iter().all(|line| line == "200"), "{all:?}\n{}", replayed.all());
    let told = all[8..].to_vec();
    println!("{rule}: {}", told.join(" | "));
    (told, replayed)
}

#[test]
fn the_connect_of_that_number_is_refused() {
    let (told, replayed) = four("dep=stock.test at=2,4 refuse");
    assert_eq!(told, ["200", "ConnectionRefusedError 111", "200", "ConnectionRefusedError 111"]);
    let happened = replayed.report["faults"]["happened"].as_array().unwrap();
    let said: Vec<_> = happened.iter().map(|it| (&it["site"], &it["occurrence"], &it["observed"])).collect();
    let site = "connect stock.test".into();
    assert_eq!(
        said,
        [(&site, &2.into(), &"ECONNREFUSED".into()), (&site, &4.into(), &"ECONNREFUSED".into())]
    );
}

#[test]
fn the_connect_of_that_number_hangs() {
    let (told, _) = four("dep=stock.test at=3 blackhole");
    assert_eq!((told[0].as_str(), told[1].as_str(), told[3].as_str()), ("200", "200", "200"));
    assert!(told[2].contains("imeout") || told[2].contains("imedOut"), "{told:?}");
}

#[test]
fn what_is_down_refuses_and_a_partition_swallows() {
    let (told, _) = four("dep=stock.test down");
    assert!(told.iter().all(|line| line == "ConnectionRefusedError 111"), "{told:?}");
    let (told, _) = four("dep=stock.test dep=other.test partition");
    assert!(told.iter().all(|line| line.contains("imeout") || line.contains("imedOut")), "{told:?}");
}

#[test]
fn lookups_are_answered_as_the_rule_says() {
    for (rule, is) in [
        ("dep=stock.test dns=nxdomain", "gaierror -2"),
        ("dep=stock.test dns=servfail", "gaierror -3"),
        ("dep=stock.test dns=192.0.2.1", "ConnectionRefusedError 111"),
        ("dep=stock.test dns=slow:300ms at=1", "200"),
    ] {
        let (told, replayed) = four(rule);
        assert!(told.iter().all(|line| line == is), "{rule}: {told:?}\n{}", replayed.all());
        assert_ne!(replayed.report["faults"]["rules"][0]["observed"], 0, "{}", replayed.all());
    }
}
