//! What runs could not test.

use std::collections::BTreeMap;

use crate::fault;
use crate::pattern::matches_service;
use crate::replay::judge::Judgement;
use crate::replay::judge::volatile::{Volatile, Why};
use crate::replay::script::{ExchangeIndex, Untested};
use crate::replay::session::Session;

/// Bodies that are text and are others in each run: of what is in them nothing was compared.
pub fn masked_whole(volatile: &Volatile) -> impl Iterator<Item = Untested> + '_ {
    let whole = volatile.fields().filter(|(_, name, why)| *name == "body" && *why > Why::Time);
    whole.map(|(site, _, _)| Untested {
        what: format!("what is in the body of {site}"),
        count: 1,
        why: "it is another in each run, and is neither JSON nor a form, so that it is masked as a whole"
            .to_owned(),
    })
}

/// What these runs could not test, whatever the recording says.
pub fn untested_here(
    session: &Session<'_>,
    passed: &BTreeMap<String, u64>,
    unrestored: &BTreeMap<ExchangeIndex, Vec<String>>,
) -> Vec<Untested> {
    let untested = |what: String, count, why: &str| Untested { what, count, why: why.to_owned() };
    let live = passed.iter().map(|(dependency, count)| {
        untested(format!("{dependency}, which was live"), *count, "it answered itself, not the recording")
    });
    let unix = session.unix().into_iter().map(|(kind, count)| {
        untested(kind, count, "connections by UNIX sockets are neither recorded nor answered")
    });
    let dropped = session.leaks().into_iter().map(|(kind, count)| {
        untested(format!("packets by {kind}"), count, "they were dropped: nothing answers them in a replay")
    });
    let tokens = unrestored.iter().map(|(exchange, tokens)| {
        let id = &session.script.exchange(*exchange).id;
        let why = "secrets.json does not tell what they stand for: the request was sent with tokens";
        untested(format!("secrets of request {id}"), tokens.len() as u64, why)
    });
    let past = session.target.is_none().then(|| {
        let why = "without root nothing sees it, or holds it back: see `replay -- CMD`";
        untested("what the target sent past the stubs, if it did".to_owned(), 0, why)
    });
    let unsent = session.chosen.unsent as u64;
    let unsent = (unsent > 0).then(|| {
        let why = "left out by --request or --max-events, with what they call";
        untested(if unsent == 1 { "request" } else { "requests" }.to_owned(), unsent, why)
    });
    unsent.into_iter().chain(live).chain(unix).chain(dropped).chain(tokens).chain(past).collect()
}

/// What to do where calls are due, and none came to the stubs that the target was to be told of.
pub fn untold(session: &Session<'_>, judgement: &Judgement) -> Option<String> {
    let calls = &judgement.load.calls;
    let is_none = calls.values().all(|it| it.made == 0) && calls.values().any(|it| it.expected > 0);
    let proxy = session.options.stub_compat_listen.first().filter(|_| session.target.is_none() && is_none)?;
    Some(format!(
        "no call came to the stubs: start the target with HTTP_PROXY=http://{proxy} (and without NO_PROXY; Go never \
         uses a proxy for loopback), or tell it of --stub-listen"
    ))
}

/// Names of `--live` that nobody has: whom the user takes for live was answered from the recording, or not called.
pub fn unused_live(session: &Session<'_>, passed: &BTreeMap<String, u64>) -> Vec<String> {
    let dependencies = session.script.dependencies();
    // Somebody new, who may have been named otherwise.
    if passed.keys().any(|name| dependencies.iter().all(|it| *it.name != **name)) {
        return Vec::new();
    }
    let addresses = dependencies.iter().flat_map(|it| &it.addresses).map(ToString::to_string);
    let known: Vec<String> = dependencies.iter().map(|it| it.name.to_string()).chain(addresses).collect();
    let unused = session.options.live.iter().map(|rule| rule.dependency.as_str());
    let unused = unused.filter(|rule| !known.iter().any(|name| matches_service(rule, name)));
    unused.map(|rule| not_live(rule, &known)).collect()
}

fn not_live(rule: &str, known: &[String]) -> String {
    let bare = known.iter().map(|name| name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host));
    let likely = fault::near(rule, known.iter().map(String::as_str).chain(bare));
    let likely = likely.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    format!("--live {rule} made nobody live: no dependency of the recording is called that{likely}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_name_is_said_with_its_port_or_without() {
        let known = ["pay.test:8443", "10.0.0.7:80"].map(str::to_owned);
        for (rule, likely) in [
            ("pya.test", "; did you mean pay.test?"),
            ("pya.test:8443", "; did you mean pay.test:8443?"),
            ("stock.example", ""),
        ] {
            let said = not_live(rule, &known);
            assert!(said.ends_with(&format!("is called that{likely}")), "{said}");
        }
    }
}
