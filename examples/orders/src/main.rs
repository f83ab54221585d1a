//! A shop and its stock service: a small, ordinary program that knows nothing of InfernoSIM, as something to
//! capture. It speaks HTTP/1.1 over plain sockets and uses nothing but the standard library.
//!
//! ```text
//! orders inventory --listen ADDR                  the dependency: how many of an item there are
//! orders place --inventory URL [--courier URL]    places a few orders and ends
//! orders serve --listen ADDR --inventory URL      takes orders over HTTP: one call in, two calls out
//! ```

mod http;
mod inventory;
mod shop;

use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;

const USAGE: &str = "usage: orders inventory --listen ADDR
       orders place --inventory URL [--courier URL]
       orders serve --listen ADDR --inventory URL";

/// No courier lives on the discard port of any machine: calling it is refused, and the shop copes.
const NO_COURIER: &str = "http://127.0.0.1:9";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let command = arguments.first().map(String::as_str);
    let done = match (command, option("--listen"), option("--inventory")) {
        (Some("inventory"), Some(address), None) => listen("inventory", address, |listener| {
            inventory::serve(&listener);
        }),
        (Some("serve"), Some(address), Some(inventory)) => listen("orders", address, |listener| {
            shop::serve(&listener, inventory);
        }),
        (Some("place"), None, Some(inventory)) => {
            let courier = option("--courier").unwrap_or(NO_COURIER);
            shop::place_all(&mut std::io::stdout(), inventory, courier).map_err(Into::into)
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

/// Listens, says where (port 0 takes any free one), and serves until the process is ended.
fn listen(name: &str, address: &str, serve: impl FnOnce(TcpListener)) -> Result<(), Box<dyn Error>> {
    let listener =
        TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("{name}: listening on http://{}", listener.local_addr()?);
    serve(listener);
    Ok(())
}
