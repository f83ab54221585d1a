//! The shop: an order asks the stock service whether there is enough, and reserves it. A durian is delivered, since
//! nobody wants to be seen with one.

use crate::http::{self, Answer, Client, Message, field};
use std::io;
use std::net::TcpListener;

const DELIVERED_ITEM: &str = "durian";

/// Whom the shop calls.
#[derive(Clone, Debug)]
pub struct Suppliers {
    /// The stock service.
    pub inventory: String,
    /// Who carries parcels. The shop copes without.
    pub courier: String,
}

/// How the shop works.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Whom it calls.
    pub suppliers: Suppliers,
    /// So many more than are ordered it reserves: a fault to be found by a replay.
    pub spare: u32,
}

/// Takes orders over HTTP: each `POST /orders {"item":…,"quantity":…}` causes the calls of an order, on a connection
/// of its own, and is answered with the last one's answer. Ends after so many connections, if that is said.
pub fn serve(listener: &TcpListener, shop: &Shop, connections: Option<usize>) {
    http::serve(listener, connections, |request| answer(shop, request));
}

fn answer(Shop { suppliers, spare }: &Shop, request: &Message) -> Answer {
    if !request.start.starts_with("POST /orders ") {
        return (404, "{\"error\":\"POST /orders is all there is\"}".to_owned());
    }
    let item = field(&request.body, "item").unwrap_or_default();
    let quantity = field(&request.body, "quantity").and_then(|text| text.parse().ok()).unwrap_or(1_u32);
    let reserved = quantity.saturating_add(*spare);
    let ordered =
        Client::connect(&suppliers.inventory).and_then(|mut inventory| order(&mut inventory, item, reserved));
    match ordered {
        Ok((201, body)) if item == DELIVERED_ITEM => (201, with_delivery(&body, &suppliers.courier)),
        Ok(answer) => answer,
        Err(error) => (502, format!("{{\"error\":\"the stock service does not answer: {error}\"}}")),
    }
}

/// Asks for the stock of an item and reserves some: two calls on one connection, or one if there is none.
fn order(inventory: &mut Client, item: &str, quantity: u32) -> io::Result<Answer> {
    let stock = inventory.call("GET", &format!("/stock/{item}"), "")?;
    if stock.0 != 200 {
        return Ok(stock);
    }
    inventory.call("POST", "/reserve", &format!("{{\"item\":\"{item}\",\"quantity\":{quantity}}}"))
}

/// Calls the courier, and says in the answer who brings it.
fn with_delivery(body: &str, courier: &str) -> String {
    let called =
        Client::connect(courier).and_then(|mut courier| courier.call("POST", "/pickup", "{\"parcels\":1}"));
    let delivery = if called.is_ok() { "the courier brings it" } else { "no courier to be had" };
    format!("{},\"delivery\":\"{delivery}\"}}", body.trim_end_matches('}'))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::inventory;

    /// Starts a server on a free port, which lives as long as the test's process.
    pub fn start(serve: impl FnOnce(TcpListener) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(|| serve(listener));
        url
    }

    /// A port that nobody listens on.
    pub fn closed() -> String {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", free.local_addr().unwrap())
    }

    /// A shop without a courier.
    pub fn shop(inventory: String, connections: Option<usize>) -> String {
        let suppliers = Suppliers { inventory, courier: closed() };
        let shop = Shop { suppliers, spare: 0 };
        start(move |listener| serve(&listener, &shop, connections))
    }

    #[test]
    fn an_order_over_http_is_two_calls_out() {
        let inventory = start(|listener| inventory::serve(&listener));
        let mut client = Client::connect(&shop(inventory, None)).unwrap();
        let answer = client.call("POST", "/orders", "{\"item\":\"apple\",\"quantity\":3}").unwrap();
        assert_eq!(answer, (201, "{\"item\":\"apple\",\"left\":4}".to_owned()));
        assert_eq!(client.call("POST", "/orders", "{\"item\":\"unicorn\"}").unwrap().0, 404);
        assert_eq!(client.call("GET", "/", "").unwrap().0, 404);
    }

    #[test]
    fn a_spare_one_is_reserved_where_that_is_asked_for() {
        let inventory = start(|listener| inventory::serve(&listener));
        let shop = Shop { suppliers: Suppliers { inventory, courier: closed() }, spare: 1 };
        let shop = start(move |listener| serve(&listener, &shop, None));
        let answer =
            Client::connect(&shop).unwrap().call("POST", "/orders", "{\"item\":\"apple\",\"quantity\":3}");
        assert_eq!(answer.unwrap(), (201, "{\"item\":\"apple\",\"left\":3}".to_owned()));
    }

    #[test]
    fn a_missing_stock_service_is_said() {
        let shop = shop(closed(), None);
        assert_eq!(Client::connect(&shop).unwrap().call("POST", "/orders", "{}").unwrap().0, 502);
    }
}
