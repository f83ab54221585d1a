//! Which events are selected.

use std::ops::RangeInclusive;

use clap::builder::PossibleValuesParser;

use super::entry::Entry;
use crate::incident::event::Kind;
use crate::pattern::{matches, matches_service};

/// The words of `Kind::KNOWN`; clap wants them as constants.
const KINDS: [&str; 7] =
    ["InboundRequest", "InboundResponse", "OutboundCall", "Dns", "Connection", "Lost", "Fault"];

/// Selects events: each option that is given must hold; of an option given several times, one of its values.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub(in crate::cli) struct Filter {
    /// Only this dependency or listener; * and ? match, NAME means any port
    #[arg(long, value_name = "PATTERN")]
    pub service: Vec<String>,

    /// Only this method
    #[arg(long, value_name = "METHOD")]
    pub method: Vec<String>,

    /// Only this path, with or without its query; * and ? match
    #[arg(long, value_name = "PATTERN")]
    pub path: Vec<String>,

    /// Only this status: 404, or 4xx for all from 400 to 499
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    pub status: Vec<RangeInclusive<u16>>,

    /// Only events of this type
    #[arg(long, value_name = "TYPE", ignore_case = true,
          value_parser = PossibleValuesParser::new(KINDS))]
    pub kind: Vec<String>,

    /// Only what clients asked the target, and its answers
    #[arg(long)]
    pub inbound: bool,

    /// Only what the target asked dependencies; of --inbound, --outbound and --dns several may be given
    #[arg(long)]
    pub outbound: bool,

    /// Only names looked up
    #[arg(long)]
    pub dns: bool,

    /// Only what failed: an error, a cut exchange, a 5xx, a call without an answer
    #[arg(long)]
    pub failed: bool,

    /// Only this process
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,

    /// Only this connection
    #[arg(long, value_name = "N")]
    pub connection: Vec<u64>,
}

impl Filter {
    /// Does it leave anything out?
    pub fn is_set(&self) -> bool {
        let Self { service, method, path, status, kind, inbound, outbound, dns, failed, pid, connection } =
            self;
        let texts = [service, method, path, kind];
        [inbound, outbound, dns, failed].into_iter().any(|flag| *flag)
            || texts.iter().any(|values| !values.is_empty())
            || !status.is_empty()
            || !pid.is_empty()
            || !connection.is_empty()
    }

    /// Does it let this through? Of an inbound exchange either line may have what is asked for.
    pub fn matches(&self, entry: &Entry<'_>) -> bool {
        let Self {
            service,
            method,
            path,
            status,
            kind,
            inbound: _,
            outbound: _,
            dns: _,
            failed,
            pid,
            connection,
        } = self;
        let event = &entry.event;
        let whole_path = match event.path_and_query() {
            "" => "/",
            path => path,
        };
        let bare_path = whole_path.split(['?', '#']).next().unwrap_or_default();
        any(service, |pattern| matches_service(pattern, event.dependency()))
            && any(method, |method| method.eq_ignore_ascii_case(&event.method))
            && any(path, |pattern| matches(pattern, bare_path) || matches(pattern, whole_path))
            && any(status, |range| entry.outcome().status.is_some_and(|status| range.contains(&status)))
            && any(kind, |kind| entry.events().any(|event| kind.eq_ignore_ascii_case(event.kind.as_str())))
            && self.goes_through(&event.kind)
            && (!failed || entry.failed())
            && any(pid, |pid| event.pid == Some(*pid))
            && any(connection, |connection| event.connection == Some(*connection))
    }
}

impl Filter {
    fn goes_through(&self, kind: &Kind) -> bool {
        let all = !(self.inbound || self.outbound || self.dns);
        all || match kind {
            Kind::InboundRequest | Kind::InboundResponse => self.inbound,
            Kind::OutboundCall | Kind::Connection => self.outbound,
            Kind::Dns => self.dns,
            Kind::Lost | Kind::Fault | Kind::Other(_) => false,
        }
    }
}

/// No values: no condition.
fn any<T>(values: &[T], holds: impl Fn(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(holds)
}

fn parse_status(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "write a status such as 404, or a class such as 4xx".to_owned();
    if let [class @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] = text.as_bytes() {
        let first = u16::from(class - b'0') * 100;
        return Ok(first..=first + 99);
    }
    let status = text.parse().map_err(|_| wrong())?;
    if !(100..=999).contains(&status) {
        return Err(wrong());
    }
    Ok(status..=status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::event::Event;

    #[test]
    fn every_kind_can_be_asked_for() {
        assert_eq!(KINDS.map(String::from), Kind::KNOWN.map(|kind| kind.as_str().to_owned()));
    }

    fn event() -> Event {
        Event {
            kind: Kind::OutboundCall,
            service: "API.test:8080".into(),
            method: "POST".into(),
            url: "http://api.test:8080/v1/items?q=1".into(),
            status: Some(404),
            pid: Some(7),
            connection: Some(3),
            ..Event::default()
        }
    }

    fn set(change: impl Fn(&mut Filter)) -> bool {
        let mut filter = Filter::default();
        change(&mut filter);
        assert!(filter.is_set());
        filter.matches(&Entry::of(&event()))
    }

    #[test]
    fn each_condition_selects_and_rejects() {
        assert!(!Filter::default().is_set() && Filter::default().matches(&Entry::of(&event())));
        for (yes, no) in
            [("api.test", "api"), ("api.*", "pi.*"), ("api.test:8080", "api.test:80"), ("*:8080", "*:80")]
        {
            assert!(set(|f| f.service = vec![yes.into()]), "{yes}");
            assert!(!set(|f| f.service = vec![no.into()]), "{no}");
        }
        assert!(set(|f| f.method = vec!["get".into(), "post".into()]));
        assert!(!set(|f| f.method = vec!["POS".into()]));
        for (yes, no) in [
            ("/v1/*", "/v1"),
            ("/v1/items", "/v1/item"),
            ("/v1/items?q=1", "/v1/items?q=2"),
            ("/v?/items", "v1/items"),
        ] {
            assert!(set(|f| f.path = vec![yes.into()]), "{yes}");
            assert!(!set(|f| f.path = vec![no.into()]), "{no}");
        }
        for (yes, no) in [("404", "405"), ("4xx", "5xx"), ("4XX", "3XX")] {
            assert!(set(|f| f.status = vec![parse_status(yes).unwrap()]));
            assert!(!set(|f| f.status = vec![parse_status(no).unwrap()]));
        }
        assert!(set(|f| f.kind = vec!["outboundcall".into()]) && !set(|f| f.kind = vec!["Dns".into()]));
        assert!(set(|f| f.pid = vec![7]) && !set(|f| f.pid = vec![8]));
        assert!(set(|f| f.connection = vec![3]) && !set(|f| f.connection = vec![4]));
        assert!(!set(|f| f.failed = true), "404 is an answer");
        assert!(
            !set(|f| {
                f.pid = vec![7];
                f.connection = vec![4]
            }),
            "all must hold"
        );
    }

    #[test]
    fn directions_are_alternatives() {
        let selects =
            |filter: &Filter, kind: Kind| filter.matches(&Entry::of(&Event { kind, ..Event::default() }));
        let inbound = Filter { inbound: true, ..Filter::default() };
        let calls = Filter { outbound: true, dns: true, ..Filter::default() };
        assert!(inbound.is_set() && calls.is_set());
        for kind in Kind::KNOWN {
            let is_inbound = matches!(kind, Kind::InboundRequest | Kind::InboundResponse);
            let is_call = matches!(kind, Kind::OutboundCall | Kind::Connection | Kind::Dns);
            assert_eq!(selects(&inbound, kind.clone()), is_inbound);
            assert_eq!(selects(&calls, kind), is_call);
        }
    }

    #[test]
    fn a_joined_row_has_the_status_of_its_answer() {
        let event = Event { kind: Kind::InboundRequest, ..event() };
        let answer = Event { kind: Kind::InboundResponse, status: Some(503), ..Event::default() };
        let entry = Entry { answer: Some(answer), ..Entry::of(&event) };
        let status = |text: &str| Filter { status: vec![parse_status(text).unwrap()], ..Filter::default() };
        assert!(status("5xx").matches(&entry) && !status("4xx").matches(&entry));
        for kind in ["inboundrequest", "InboundResponse"] {
            assert!(Filter { kind: vec![kind.into()], ..Filter::default() }.matches(&entry));
        }
        assert!(Filter { failed: true, ..Filter::default() }.matches(&entry));
    }

    #[test]
    fn a_wrong_status_is_refused() {
        for text in ["", "4", "40x", "0xx", "1000", "xx", "4xxx", "ok", "099"] {
            parse_status(text).expect_err(text);
        }
    }
}
