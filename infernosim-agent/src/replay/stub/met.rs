//! What a request meets of the faults, as effects of its answer.
//!
//! Where clients were told of us nobody but we sees their connects: each request of theirs is one, since each is asked for
//! by name. A proxy's client sees a dependency that cannot be reached as the proxy's 502; who takes us for the dependency
//! itself has its connection reset before any byte.

use super::Explicitly;
use super::directory::host_and_port;
use super::service::Asked;
use super::shared::Shared;
use super::thread::Facts;
use super::upstream;
use super::wire::Line;
use crate::clock;
use crate::fault::{Effect, Fired, Kind, Stream};

/// What a proxy says that cannot reach whom it was to ask (RFC 9110 section 15.6.3).
const BAD_GATEWAY: u16 = 502;

/// The effects that its answer has.
pub fn by_request(shared: &Shared, facts: &Facts, line: &Line, asked: &Asked) -> Vec<Fired> {
    if shared.setup.faults.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = asked.dependency.iter().map(String::as_str).collect();
    let port = facts.address.map(|address| address.port());
    if let Some(how) = facts.explicit {
        let met = by_connect(shared, how, &names, port);
        if !met.is_empty() {
            return met;
        }
    }
    let message = (asked.method.as_str(), asked.target.as_str(), asked.headers.as_slice());
    let met = shared.meets(Kind::Call, &names, port, message, clock::now());
    let body = asked.digest.map_or(asked.body.len() as u64, |(size, _)| size);
    let sizes = upstream::Asked { bytes: line.asked(), body, so_far: line.came() };
    met.into_iter().filter_map(|fired| as_answered(fired, sizes)).collect()
}

/// What the connect meets that a request through us is; nothing where it succeeds.
pub fn by_connect(shared: &Shared, how: Explicitly, names: &[&str], port: Option<u16>) -> Vec<Fired> {
    let mut met = shared.meets(Kind::Connect, names, port, ("", "", &[]), clock::now());
    // The first of them decides, as in the kernel half.
    met.retain(|fired| matches!(fired.effect, Effect::Refuse | Effect::Blackhole));
    met.truncate(1);
    for fired in &mut met {
        if how == Explicitly::Proxy && fired.effect == Effect::Refuse {
            fired.effect = Effect::Answer { after: 0, status: BAD_GATEWAY };
        }
    }
    met
}

/// The names of whom a CONNECT asks for, and its port.
pub fn named(authority: &str) -> (Vec<String>, u16) {
    // TLS is what it is for; in the clear it is whatever port it names.
    let name = authority.strip_suffix(":443").or(authority.strip_suffix(":80")).unwrap_or(authority);
    (vec![name.to_owned(), authority.to_owned()], host_and_port(authority).1.unwrap_or(443))
}

fn as_answered(fired: Fired, asked: upstream::Asked) -> Option<Fired> {
    if fired.stream == Stream::Downstream {
        return Some(fired);
    }
    let effect = upstream::seen(&fired.effect, asked)?;
    Some(Fired { effect, stream: Stream::Downstream, ..fired })
}

/// Whether what is met keeps a request from its dependency, so that a live one is not asked.
pub fn is_kept_from(met: &[Fired]) -> bool {
    met.iter().any(|fired| {
        matches!(fired.effect, Effect::Refuse | Effect::Blackhole | Effect::Answer { after: 0, .. })
    })
}
