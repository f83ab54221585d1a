//! Rules that hit what is open for as long as they hold: `blackhole`, `partition`, `down`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::connection::Facts;
use super::rules::Hit;
use super::shared::Shared;
use super::side::gone;
use crate::fault::{Effect, Kind, Occasion};
use crate::proxy::faulty::Passage;

/// What such rules let pass of a connection that is relayed as bytes.
pub struct Standing {
    passage: watch::Sender<Passage>,
    /// What each of those that hold does.
    holding: BTreeMap<u32, Passage>,
}

impl Standing {
    /// Of a connection that begins with these hits, of which those of such rules are taken; the others.
    pub fn of(shared: &Shared, hits: Vec<Hit>) -> (Self, Vec<Hit>) {
        let mut it = Self { passage: watch::Sender::default(), holding: BTreeMap::new() };
        let (standing, others) = hits
            .into_iter()
            .partition(|hit| passage(hit.effect()) != Passage::Open && shared.rules.stands(hit.fired.rule));
        it.begin(standing);
        it.tell();
        (it, others)
    }

    /// For the relay.
    pub fn passage(&self) -> watch::Receiver<Passage> {
        self.passage.subscribe()
    }

    /// Keeps it as the rules have it; never ends.
    pub async fn follow(mut self, shared: &Shared, facts: &Facts) {
        let names: Vec<&str> = facts.names.iter().map(String::as_str).collect();
        let occasion = bytes(&names, facts.address.port());
        let mut changes = shared.changes();
        loop {
            let standing = shared.rules.standing(&occasion);
            self.holding.retain(|rule, _| standing.contains(rule));
            for rule in standing {
                if !self.holding.contains_key(&rule) {
                    self.begin(shared.rules.strike(rule, &occasion));
                }
            }
            self.tell();
            if changes.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    fn begin(&mut self, hits: Vec<Hit>) {
        for hit in hits {
            let what = match passage(hit.effect()) {
                Passage::Open => continue,
                Passage::Held => "silent from then on",
                Passage::Cut => "reset",
            };
            self.holding.insert(hit.fired.rule, passage(hit.effect()));
            hit.observed(what);
        }
    }

    fn tell(&self) {
        let now = self.holding.values().copied().max().unwrap_or_default();
        self.passage.send_if_modified(|passage| std::mem::replace(passage, now) != now);
    }
}

const fn passage(effect: &Effect) -> Passage {
    match effect {
        Effect::Blackhole => Passage::Held,
        Effect::Reset(None) => Passage::Cut,
        _ => Passage::Open,
    }
}

/// Bytes of a connection as an occasion.
pub const fn bytes<'a>(names: &'a [&'a str], port: u16) -> Occasion<'a> {
    Occasion { kind: Kind::Call, names, port: Some(port), method: "", target: "", headers: &[], at_ns: 0 }
}

/// Until a rule begins to hold that resets what is open (`down`): of a connection whose exchanges are disturbed one by one.
/// What held before it was opened its connect has met, and each request meets.
pub async fn cut(shared: &Shared, facts: &Facts, host: &OnceLock<String>) {
    let names = |host: &Option<&String>| -> Vec<String> {
        host.iter().map(|host| (*host).clone()).chain(facts.names.iter().cloned()).collect()
    };
    let mut changes = shared.changes();
    let mut held: Option<Vec<u32>> = None;
    loop {
        let names = names(&host.get());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let occasion = bytes(&names, facts.address.port());
        let mut standing = shared.rules.standing(&occasion);
        standing.retain(|rule| shared.rules.cuts(*rule));
        let news: Vec<u32> = match &held {
            None => Vec::new(),
            Some(held) => standing.iter().copied().filter(|rule| !held.contains(rule)).collect(),
        };
        held = Some(standing);
        let hits: Vec<Hit> = news.into_iter().flat_map(|rule| shared.rules.strike(rule, &occasion)).collect();
        if !hits.is_empty() {
            return hits.iter().for_each(|hit| hit.observed("reset"));
        }
        if changes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Does this work, an exchange with this client, and nothing of it for as long as a rule holds that lets nothing pass; none
/// if the client gave up meanwhile. `met` are those that the request has met.
pub async fn unless_held<T>(
    shared: &Shared,
    occasion: &Occasion<'_>,
    mut met: Vec<u32>,
    client: &TcpStream,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut changes = shared.changes();
    tokio::pin!(work);
    loop {
        for rule in shared.rules.standing(occasion) {
            if shared.rules.cuts(rule) {
                continue;
            }
            if !met.contains(&rule) {
                met.push(rule);
                let hits = shared.rules.strike(rule, occasion);
                hits.iter().for_each(|hit| hit.observed("silent from then on"));
            }
            // That it has said all it ever will tells nothing.
            tokio::select! {
                biased;
                true = gone(client) => return None,
                () = over(shared, rule) => {}
            }
        }
        tokio::select! {
            // Who was told that a rule is in force sees nothing pass that came later, however late we get the CPU.
            biased;
            Ok(()) = changes.changed() => {}
            done = &mut work => return Some(done),
        }
    }
}

/// Waits until such a rule holds no more; false if the client gave up before.
pub async fn held(shared: &Shared, rule: u32, client: &TcpStream) -> bool {
    tokio::select! {
        biased;
        _ = gone(client) => false,
        () = over(shared, rule) => true,
    }
}

async fn over(shared: &Shared, rule: u32) {
    let mut changes = shared.changes();
    while shared.rules.stands(rule) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}
