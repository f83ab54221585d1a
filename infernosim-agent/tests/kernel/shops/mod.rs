//! The shops of `examples/`, each in its language, with the customer who asks all of them the same: what is recorded is
//! what was said.

mod play;
mod rootless;
mod story;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Capture, Recording, text};
use play::SHOPS;
pub use play::{Dependencies, command, customer, url};
use story::{Told, expected, recorded};

/// Captures a shop while the customer is there: what he was told, and what was recorded.
fn captured(shop: &str, variables: &[String]) -> (Vec<Told>, Recording) {
    let words = command(shop, variables);
    let running = Capture::of(&words.iter().map(String::as_str).collect::<Vec<_>>()).start().ready();
    let told = customer(&url(&running.stdout.line(&format!("{shop}: listening on "))));
    kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{shop} ends in order: {}", finished.stderr);
    (told, finished.recording())
}

/// The header of a line, whatever its case.
fn header<'a>(event: &'a Value, name: &str) -> &'a str {
    let headers = event["headers"].as_object().unwrap();
    let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map_or("", |(_, values)| text(&values[0]))
}

/// The secret is one token wherever it stands, and what that stands for is known.
fn assert_redacted(recording: &Recording) {
    let payments = recording.calls().into_iter().filter(|call| text(&call["url"]).ends_with("/charge"));
    let tokens: Vec<&str> = payments.map(|call| header(call, "authorization")).collect();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[0].starts_with("Bearer redacted-"), "{tokens:?}");
    assert!(tokens.iter().all(|token| token == &tokens[0]), "{tokens:?}");
    for log in ["inbound.log", "outbound.log"] {
        assert!(!std::fs::read_to_string(recording.dir.join(log)).unwrap().contains("shop-secret"));
    }
    let secrets = std::fs::read_to_string(recording.dir.join("secrets.json")).unwrap();
    let token = tokens[0].trim_start_matches("Bearer ");
    assert!(secrets.lines().any(|line| line.contains(token) && line.contains("shop-secret")), "{secrets}");
}

/// Each call carries the name that the customer gave to the request that caused it.
fn assert_passed_on(recording: &Recording) {
    let mut cause = ("", "");
    for event in &recording.events {
        let names = || (header(event, "x-request-id"), header(event, "traceparent"));
        match text(&event["type"]) {
            "InboundRequest" => cause = names(),
            "OutboundCall" => assert_eq!(names(), cause, "{event:#}"),
            _ => {}
        }
    }
    assert_eq!(cause.0, "customer-7");
}

fn a_captured_shop_is_recorded_as_it_spoke(shop: &str) {
    let dependencies = Dependencies::start();
    let (told, recording) = captured(shop, &dependencies.variables());
    let story = expected(shop);
    let should: Vec<Told> = story.iter().map(|visit| visit.told.clone()).collect();
    assert_eq!(told, should, "the customer of {shop}");
    assert_eq!(recorded(&recording, &dependencies), story);
    assert_redacted(&recording);
    assert_passed_on(&recording);
}

#[test]
fn a_captured_shop_in_python() {
    a_captured_shop_is_recorded_as_it_spoke("shop-python");
}

#[test]
fn a_captured_shop_in_node() {
    a_captured_shop_is_recorded_as_it_spoke("shop-node");
}

#[test]
fn a_captured_shop_in_go() {
    a_captured_shop_is_recorded_as_it_spoke("shop-go");
}

#[test]
fn a_captured_shop_in_rust() {
    a_captured_shop_is_recorded_as_it_spoke("shop-rust");
}

/// Its calls go to three dependencies over connections that it keeps, so through different threads of the relay, each
/// of which hands over what it copied when it likes.
#[test]
fn calls_lie_between_the_request_that_caused_them_and_its_answer() {
    let dependencies = Dependencies::start();
    let words = command("shop-go", &dependencies.variables());
    let running = Capture::of(&words.iter().map(String::as_str).collect::<Vec<_>>()).start().ready();
    let shop = url(&running.stdout.line("shop-go: listening on "));
    for _ in 0..30 {
        customer(&shop);
    }
    kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
    let recording = running.finish().recording();
    let mut stories: Vec<Vec<String>> = Vec::new();
    let mut is_open = false;
    for event in &recording.events {
        match text(&event["type"]) {
            "InboundRequest" => {
                assert!(!std::mem::replace(&mut is_open, true), "{event:#}");
                stories.push(vec![text(&event["url"]).to_owned()]);
            }
            "InboundResponse" => assert!(std::mem::take(&mut is_open), "{event:#}"),
            "OutboundCall" => {
                assert!(is_open, "{event:#}");
                stories.last_mut().unwrap().push(text(&event["url"]).to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(stories.len() % 30, 0);
    let (first, others) = stories.split_at(stories.len() / 30);
    assert!(first.iter().any(|story| story.len() == 4), "{first:?}");
    for visit in others.chunks(first.len()) {
        assert_eq!(visit, first);
    }
}

#[test]
fn a_courier_who_is_not_there_costs_no_order_and_is_recorded() {
    for shop in SHOPS {
        let dependencies = Dependencies::start();
        let mut variables = dependencies.variables();
        // Later words of env(1) win. Nobody listens at port 1.
        variables.push("COURIER_URL=http://127.0.0.1:1".to_owned());
        let (told, recording) = captured(shop, &variables);
        let orders: Vec<&Told> = told.iter().filter(|(status, _)| *status == 201).collect();
        assert_eq!(orders.len(), 3, "{shop}: {told:?}");
        assert!(orders.iter().all(|(_, order)| order["courier"].is_null()), "{shop}: {told:?}");
        let refused = recording.of_type("Connection");
        assert_eq!(refused.len(), 3, "{shop}: {refused:#?}");
        for line in refused {
            assert_eq!(
                (text(&line["service"]), text(&line["errno"])),
                ("127.0.0.1:1", "ECONNREFUSED"),
                "{shop}"
            );
        }
    }
}
