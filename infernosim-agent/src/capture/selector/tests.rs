use proptest::prelude::*;

use super::*;

fn terms(texts: &[&str]) -> Vec<Term> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn selects(only: &[&str], exclude: &[&str], asked: (&str, &str, Option<&str>)) -> bool {
    let selector = Selector { only: terms(only), exclude: terms(exclude) };
    let (address, dependency, path) = asked;
    selector.selects(&Asked { address: address.parse().unwrap(), dependency: Some(dependency), path })
}

const ORDERS: (&str, &str, Option<&str>) = ("10.0.0.7:8080", "Shop.test:8080", Some("/orders/7?full=1"));

#[test]
fn each_kind_selects_and_rejects() {
    for (yes, no) in [
        ("8080", "80"),
        ("port=8080", "port=808"),
        ("/orders/*", "/orders"),
        ("/orders/7", "/orders/7?full=2"),
        ("/orders/7?full=1", "/Orders/7"),
        ("path=*/7", "path=*/8"),
        ("shop.test", "shop"),
        ("*.test", "*.tes"),
        ("dep=shop.test:8080", "dep=shop.test:80"),
        ("dep=10.0.0.*", "dep=10.0.1.*"),
        ("10.0.0.7:8080", "10.0.0.7:8081"),
        ("*:8080", "*:80"),
    ] {
        assert!(selects(&[yes], &[], ORDERS), "--only {yes}");
        assert!(!selects(&[no], &[], ORDERS), "--only {no}");
        assert!(!selects(&[], &[yes], ORDERS), "--exclude {yes}");
        assert!(selects(&[], &[no], ORDERS), "--exclude {no}");
    }
}

#[test]
fn alternatives_within_a_kind_and_all_kinds_together() {
    assert!(selects(&["80", "8080"], &[], ORDERS));
    assert!(selects(&["80", "8080", "/orders/*"], &[], ORDERS));
    assert!(!selects(&["8080", "/users"], &[], ORDERS), "both kinds must match");
    assert!(!selects(&["8080"], &["/orders/*"], ORDERS), "exclude wins");
    assert!(!selects(&[], &["/users", "/orders/*"], ORDERS), "one exclude is enough");
}

#[test]
fn default_ports_are_those_of_the_connection() {
    let asked = ("10.0.0.7:80", "shop", None);
    assert!(selects(&["shop:80"], &[], asked) && !selects(&["shop:8080"], &[], asked));
}

#[test]
fn addresses_of_either_family() {
    let asked = ("[fd00::1]:80", "[fd00::1]", None);
    for yes in ["fd00::1", "[fd00::1]", "[FD00::1]:80", "dep=[fd00:*]"] {
        assert!(selects(&[yes], &[], asked), "{yes}");
    }
    assert!(!selects(&["[fd00::1]:81"], &[], asked));
    assert!(selects(&["10.0.0.7"], &[], ("[::ffff:10.0.0.7]:80", "shop", None)));
}

#[test]
fn what_has_no_path_or_no_dependency_matches_no_pattern_for_one() {
    let asked = ("10.0.0.7:5432", "10.0.0.7:5432", None);
    assert!(!selects(&["path=*"], &[], asked) && selects(&[], &["path=*"], asked));
    let inbound = Asked { address: "10.0.0.7:80".parse().unwrap(), dependency: None, path: Some("/") };
    assert!(!Selector { only: terms(&["*"]), exclude: Vec::new() }.selects(&inbound));
    assert!(Selector { only: terms(&["80", "/"]), exclude: terms(&["*"]) }.selects(&inbound));
}

#[test]
fn what_is_no_selector_is_told_what_was_expected() {
    for (text, expected) in [
        ("port=0", "1 to 65535"),
        ("0", "1 to 65535"),
        ("65536", "1 to 65535"),
        ("port=http", "1 to 65535"),
        ("port=+80", "1 to 65535"),
        ("dep=shop:http", "1 to 65535"),
        ("dep=", "a host"),
        ("", "a host"),
        (":80", "names no host"),
        ("http://shop/", "a host"),
        ("path=orders", "begins with /"),
        ("path=", "begins with /"),
        ("host=shop", "dep=PATTERN"),
    ] {
        let error = text.parse::<Term>().expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn ports_for_the_kernel_half() {
    let selector =
        Selector { only: terms(&["80", "dep=shop:8080", "/x"]), exclude: terms(&["443", "[::1]:22"]) };
    assert_eq!(selector.ports(), (Some(BTreeSet::from([80])), BTreeSet::from([443])));
    assert_eq!(Selector::default().ports(), (None, BTreeSet::new()));
}

fn term() -> impl Strategy<Value = Term> {
    let host = prop_oneof!["[ab*?.]{1,4}", Just("fd00::1".to_owned())];
    prop_oneof![
        (1..5_u16).prop_map(Term::Port),
        (host, prop::option::of(1..5_u16)).prop_map(|(host, port)| Term::Dependency { host, port }),
        "[/*][ab*?/]{0,4}".prop_map(Term::Path),
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_is_written_the_same(text in ".{0,12}") {
        if let Ok(term) = text.parse::<Term>() {
            prop_assert_eq!(term.to_string().parse(), Ok(term));
        }
    }

    #[test]
    fn terms_are_read_as_they_are_written(term in term()) {
        prop_assert_eq!(term.to_string().parse(), Ok(term));
    }

    /// The definition, in other words; and a connection that the kernel half leaves alone has nothing to record.
    #[test]
    fn as_defined(
        only in prop::collection::vec(term(), 0..4),
        exclude in prop::collection::vec(term(), 0..3),
        port in 1..5_u16,
        dependency in "[ab.]{1,3}",
        path in prop::option::of("/[ab/]{0,3}"),
    ) {
        let asked = Asked {
            address: SocketAddr::from(([10, 0, 0, 1], port)),
            dependency: Some(&dependency),
            path: path.as_deref(),
        };
        let each = |term: &Term| term.matches(&asked);
        let kinds: BTreeSet<u8> = only.iter().map(Term::kind).collect();
        let satisfied: BTreeSet<u8> = only.iter().filter(|term| each(term)).map(Term::kind).collect();
        let expected = kinds == satisfied && !exclude.iter().any(each);
        let selector = Selector { only, exclude };
        prop_assert_eq!(selector.selects(&asked), expected);
        let (alone, never) = selector.ports();
        if never.contains(&port) || alone.is_some_and(|alone| !alone.contains(&port)) {
            prop_assert!(!expected);
        }
    }
}
