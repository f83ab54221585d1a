//! The fields of a line about a connection whose bytes are kept as they are.

use super::exchange::Exchange;
use super::line::Peer;
use super::redact::Media;
use super::{Direction, json};
use crate::protocol::Protocol;

/// The first bytes of a turn: the client spoke, or, on a new connection, the server did.
pub fn begin(
    exchange: &mut Exchange,
    (direction, peer): (Direction, &Peer),
    protocol: Protocol,
    hello: Option<&(Option<String>, Vec<String>)>,
) {
    let sni = hello.and_then(|(sni, _)| sni.as_deref());
    let asked = peer.asked(direction);
    let host = match (protocol, sni) {
        (Protocol::Tls, Some(sni)) => format!("{sni}:{}", asked.rsplit(':').next().unwrap_or_default()),
        _ => asked.clone(),
    };
    let default_port = if protocol == Protocol::Tls { ":443" } else { "" };
    exchange.service.push_str(match direction {
        Direction::Inbound => &asked,
        Direction::Outbound => host.strip_suffix(default_port).unwrap_or(&host),
    });
    let out = &mut exchange.request_head;
    json::key(out, "service");
    json::string(out, &exchange.service);
    json::key(out, "protocol");
    json::string(out, protocol.as_str());
    json::key(out, "url");
    json::string(out, &format!("{}://{host}", protocol.as_str()));
    exchange.named = out.len();
    if let Some(said) = hello {
        self::hello(out, said);
    }
    if protocol == Protocol::Tls {
        // Ciphertext is of no use to anybody: its length is kept.
        exchange.request.count_only();
        exchange.response.count_only();
    } else {
        exchange.request.declare(Media::opaque());
        exchange.response.declare(Media::opaque());
    }
}

/// `sni` and `alpn`: what a ClientHello says.
pub fn hello(out: &mut Vec<u8>, (sni, alpn): &(Option<String>, Vec<String>)) {
    if let Some(sni) = sni {
        json::key(out, "sni");
        json::string(out, sni);
    }
    json::key(out, "alpn");
    let names: Vec<&str> = alpn.iter().map(String::as_str).collect();
    // A list of strings always serialises.
    out.extend_from_slice(serde_json::to_string(&names).unwrap_or_default().as_bytes());
}
