//! What the example shops call, and a customer who calls them: all that they need without an internet.
//!
//! ```text
//! shop-dependencies inventory|payments|courier [--listen IP:PORT]    one of them; at ports 7001, 7002, 7003 of loopback
//! shop-dependencies all [--listen IP:PORT]                           all three, at PORT and the next two; 0: any free ones
//! shop-dependencies customer --shop URL                              a few orders, and what became of them
//! ```

mod courier;
mod customer;
mod inventory;
mod payments;

use axum::Router;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;

const USAGE: &str = "usage: shop-dependencies inventory|payments|courier|all [--listen IP:PORT]
       shop-dependencies customer --shop URL";

struct Service {
    name: &'static str,
    /// Of loopback, where nothing else is said.
    port: u16,
    routes: fn() -> Router,
}

const SERVICES: [Service; 3] = [
    Service { name: "inventory", port: 7001, routes: inventory::routes },
    Service { name: "payments", port: 7002, routes: payments::routes },
    Service { name: "courier", port: 7003, routes: courier::routes },
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["customer", "--shop", shop] => customer::visit(shop).await,
        [name] if is_service(name) => serve(name, None).await,
        [name, "--listen", address] if is_service(name) => match address.parse() {
            Ok(address) => serve(name, Some(address)).await,
            Err(_) => Err(format!("{address:?} is not IP:PORT").into()),
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop-dependencies: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_service(name: &str) -> bool {
    name == "all" || SERVICES.iter().any(|service| service.name == name)
}

/// Serves one or all of them, at this address or where they are by default. Each says where it listens.
async fn serve(name: &str, first: Option<SocketAddr>) -> Result<(), Box<dyn Error>> {
    let mut running = Vec::new();
    for service in SERVICES.iter().filter(|service| name == "all" || service.name == name) {
        let mut address = first.unwrap_or_else(|| ([127, 0, 0, 1], service.port).into());
        if first.is_some() && name == "all" && address.port() != 0 {
            address.set_port(address.port() + (service.port - SERVICES[0].port));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{} cannot listen on {address}: {error}", service.name))?;
        println!("{}: listening on http://{}", service.name, listener.local_addr()?);
        running.push(tokio::spawn(async move { axum::serve(listener, (service.routes)()).await }));
    }
    for service in running {
        service.await??;
    }
    Ok(())
}
