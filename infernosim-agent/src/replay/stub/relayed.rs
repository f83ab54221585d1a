//! A live dependency's connection that is not read, relayed with what faults make of its bytes: decided once, when it
//! begins, for all of it. What is about messages cannot be done to bytes, and that is said.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::shared::Shared;
use super::thread::Facts;
use crate::clock;
use crate::fault::Kind;
use crate::proxy::faulty::{Course, Told, Toxic, relay};

/// Relays a connection to this port to its end. `ahead` was read of the client already.
pub async fn serve(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    port: u16,
    (client, server): (TcpStream, TcpStream),
    ahead: Bytes,
) {
    let toxics = toxics(&shared, &facts.candidates, port);
    // Its waits are meant, and it may wait at any time; of a later run's they are not.
    let meant = (!toxics.is_empty()).then(|| shared.activity.on_purpose());
    let (_keep, toxics) = watch::channel(Arc::new(toxics));
    let relayed = relay(client, server, ahead, Course::new(toxics, 0));
    tokio::pin!(relayed);
    tokio::select! {
        _ = &mut relayed => return,
        () = shared.over(facts.run()) => drop(meant),
    }
    relayed.await;
}

fn toxics(shared: &Shared, names: &[String], port: u16) -> Vec<Toxic> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for fired in shared.meets(Kind::Call, &names, Some(port), ("", "", &[]), clock::now()) {
        let (faults, id) = (Arc::clone(&shared.setup.faults), fired.id);
        let told: Told = Arc::new(move |text| faults.observed(id, text));
        let its = Toxic::of(&fired, 0, told);
        if its.is_empty() {
            let name = names.first().copied().unwrap_or_default();
            shared.problem(format!(
                "{name} is live and speaks no HTTP/1: faults of its messages were not brought about"
            ));
        }
        all.extend(its);
    }
    Toxic::in_order(&mut all);
    all
}
