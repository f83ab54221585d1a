//! Lookups that go wrong.

use std::net::IpAddr;

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::{Effect, Rcode};
use crate::fault::occasion::Kinds;
use crate::fault::wrong::{Wrong, unknown};
use crate::quantity::{duration, duration_text};

pub const ENTRY: Entry = Entry {
    word: "dns",
    aliases: &[],
    value: Value::Needed("nxdomain|servfail|refused|timeout|slow:D|ADDRESS"),
    kinds: Kinds::LOOKUP,
    needs: Need::Nothing,
    repeats: false,
    about: "A lookup of the dependency's name: there is none (`nxdomain`), the resolver fails (`servfail`), refuses or is silent \
            (`timeout`), takes D longer, or answers with a wrong address.",
    example: "dep=payments dns=nxdomain",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let value = value.unwrap_or_default();
    let lower = value.to_ascii_lowercase();
    if let Some(late) = lower.strip_prefix("slow:") {
        let ns = duration(late)?;
        return Ok(Parsed::new(format!("slow:{}", duration_text(ns)), Effect::Delay(ns)));
    }
    let effect = match lower.as_str() {
        "nxdomain" => Effect::Rcode(Rcode::NxDomain),
        "servfail" => Effect::Rcode(Rcode::ServFail),
        "refused" => Effect::Rcode(Rcode::Refused),
        "timeout" => Effect::Hang,
        _ => match lower.parse::<IpAddr>() {
            Ok(address) => return Ok(Parsed::new(address.to_string(), Effect::WrongAddress(address))),
            Err(_) => {
                let words = ["nxdomain", "servfail", "refused", "timeout", "slow:200ms", "192.0.2.1"];
                return Err(unknown("answer to a lookup", value, &words));
            }
        },
    };
    Ok(Parsed::new(lower, effect))
}
