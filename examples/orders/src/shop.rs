//! The shop: an order asks the stock service whether there is enough, and reserves it.

use crate::http::{self, Answer, Client, Message, field};
use std::io::{self, Write};
use std::net::TcpListener;

/// Asks for the stock of an item and reserves some: two calls on one connection, or one if there is none.
fn order(inventory: &mut Client, item: &str, quantity: u32) -> io::Result<Answer> {
    let stock = inventory.call("GET", &format!("/stock/{item}"), "")?;
    if stock.0 != 200 {
        return Ok(stock);
    }
    inventory.call("POST", "/reserve", &format!("{{\"item\":\"{item}\",\"quantity\":{quantity}}}"))
}

/// Places a handful of orders and says what became of each: two on a connection that is kept, the others on new
/// ones, one for something that does not exist. Then calls a courier, who is not there.
///
/// # Errors
/// When the stock service cannot be reached or `out` not written. A courier that refuses is no error.
pub fn place_all(out: &mut impl Write, inventory: &str, courier: &str) -> io::Result<()> {
    let mut kept = Client::connect(inventory)?;
    for (item, quantity) in [("apple", 2), ("pear", 1)] {
        let answer = order(&mut kept, item, quantity)?;
        say(out, item, quantity, &answer)?;
    }
    for (item, quantity) in [("durian", 1), ("unicorn", 1), ("pear", 5)] {
        let answer = order(&mut Client::connect(inventory)?, item, quantity)?;
        say(out, item, quantity, &answer)?;
    }
    match Client::connect(courier).and_then(|mut courier| courier.call("POST", "/pickup", "{\"parcels\":3}"))
    {
        Ok((status, _)) => writeln!(out, "courier: answered {status}"),
        Err(error) => writeln!(out, "courier: {error}; the parcels wait in the shop"),
    }
}

fn say(out: &mut impl Write, item: &str, quantity: u32, (status, body): &Answer) -> io::Result<()> {
    match status {
        201 => writeln!(out, "{quantity} {item}: reserved, {} left", field(body, "left").unwrap_or("some")),
        _ => writeln!(
            out,
            "{quantity} {item}: {status}, {}",
            field(body, "error").unwrap_or("no reason given")
        ),
    }
}

/// Takes orders over HTTP: each `POST /orders {"item":…,"quantity":…}` causes the calls of an order, on a connection
/// of its own, and is answered with the last one's answer.
pub fn serve(listener: &TcpListener, inventory: &str) {
    http::serve(listener, |request| answer(inventory, request));
}

fn answer(inventory: &str, request: &Message) -> Answer {
    if !request.start.starts_with("POST /orders ") {
        return (404, "{\"error\":\"POST /orders is all there is\"}".to_owned());
    }
    let item = field(&request.body, "item").unwrap_or_default();
    let quantity = field(&request.body, "quantity").and_then(|text| text.parse().ok()).unwrap_or(1);
    Client::connect(inventory).and_then(|mut inventory| order(&mut inventory, item, quantity)).unwrap_or_else(
        |error| (502, format!("{{\"error\":\"the stock service does not answer: {error}\"}}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    /// Starts a server on a free port, which lives as long as the test's process.
    fn start(serve: impl FnOnce(TcpListener) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(|| serve(listener));
        url
    }

    /// A port that nobody listens on.
    fn closed() -> String {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", free.local_addr().unwrap())
    }

    #[test]
    fn a_handful_of_orders() {
        let inventory = start(|listener| inventory::serve(&listener));
        let mut out = Vec::new();
        place_all(&mut out, &inventory, &closed()).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert_eq!(
            said.split("courier").next(),
            Some(
                "2 apple: reserved, 5 left\n1 pear: reserved, 2 left\n1 durian: reserved, 0 left\n\
                 1 unicorn: 404, nobody has heard of unicorn\n5 pear: 409, only 2 of pear left\n"
            )
        );
        assert!(said.contains("courier: Connection refused"), "{said}");
    }

    #[test]
    fn an_order_over_http_is_two_calls_out() {
        let inventory = start(|listener| inventory::serve(&listener));
        let shop = start(move |listener| serve(&listener, &inventory));
        let mut client = Client::connect(&shop).unwrap();
        let answer = client.call("POST", "/orders", "{\"item\":\"apple\",\"quantity\":3}").unwrap();
        assert_eq!(answer, (201, "{\"item\":\"apple\",\"left\":4}".to_owned()));
        assert_eq!(client.call("POST", "/orders", "{\"item\":\"unicorn\"}").unwrap().0, 404);
        assert_eq!(client.call("GET", "/", "").unwrap().0, 404);
    }

    #[test]
    fn a_missing_stock_service_is_said() {
        let inventory = closed();
        assert!(place_all(&mut Vec::new(), &inventory, &inventory).is_err());
        let shop = start(move |listener| serve(&listener, &inventory));
        assert_eq!(Client::connect(&shop).unwrap().call("POST", "/orders", "{}").unwrap().0, 502);
    }
}
