//! A shop and its stock service: a small, ordinary program that knows nothing of InfernoSIM, as something to
//! capture. It speaks HTTP/1.1 over plain sockets and uses nothing but the standard library.
//!
//! ```text
//! orders inventory --listen ADDR                       the dependency: how many of an item there are
//! orders serve --listen ADDR --inventory URL           the shop: takes orders over HTTP, one call in, two calls out
//!              [--courier URL] [--connections N]       closes after N connections
//!              [--spare N]                             a fault on purpose: reserves N more than are ordered
//! orders buy --shop URL                                a customer: places a few orders and ends
//! ```

mod customer;
mod http;
mod inventory;
mod shop;

use shop::{Shop, Suppliers};
use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;

const USAGE: &str = "usage: orders inventory --listen ADDR
       orders serve --listen ADDR --inventory URL [--courier URL] [--connections N]
                    [--spare N]
       orders buy --shop URL";

/// No courier can be found at a name that no resolver knows (RFC 6761 section 6.4), and the shop copes.
const NO_COURIER: &str = "http://courier.invalid:80";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let command = arguments.first().map(String::as_str);
    let connections = option("--connections").map(str::parse::<usize>).transpose();
    let spare = option("--spare").map_or(Ok(0), str::parse::<u32>);
    let numbers = connections.and_then(|connections| Ok((connections, spare?)));
    let done = match (command, option("--listen"), option("--inventory"), numbers) {
        (Some("inventory"), Some(address), None, _) => listen("inventory", address, |listener| {
            inventory::serve(&listener);
        }),
        (Some("serve"), Some(address), Some(inventory), Ok((connections, spare))) => {
            let courier = option("--courier").unwrap_or(NO_COURIER).to_owned();
            let suppliers = Suppliers { inventory: inventory.to_owned(), courier };
            let shop = Shop { suppliers, spare };
            listen("orders", address, |listener| shop::serve(&listener, &shop, connections))
        }
        (Some("buy"), None, None, _) if option("--shop").is_some() => {
            customer::buy(&mut std::io::stdout(), option("--shop").unwrap_or_default()).map_err(Into::into)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orders: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens, says where (port 0 takes any free one), and serves.
fn listen(name: &str, address: &str, serve: impl FnOnce(TcpListener)) -> Result<(), Box<dyn Error>> {
    let listener =
        TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("{name}: listening on http://{}", listener.local_addr()?);
    serve(listener);
    Ok(())
}
