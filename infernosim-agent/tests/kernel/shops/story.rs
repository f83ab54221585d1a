use serde_json::{Value, json};

use super::play::Dependencies;
use crate::harness::{Recording, Side, text};

/// A message's method, path, and JSON (null: no body).
type Asked = (String, String, Value);

/// A status and JSON.
pub type Told = (u64, Value);

/// A request to a shop, what the shop then called, and its answer.
#[derive(Debug, PartialEq)]
pub struct Visit {
    asked: Asked,
    calls: Vec<Call>,
    pub told: Told,
}

/// A call of the shop's.
#[derive(Debug, PartialEq)]
pub struct Call {
    whom: String,
    asked: Asked,
    told: Told,
}

/// What the customer makes happen, if the courier was not asked before.
pub fn expected(shop: &str) -> Vec<Visit> {
    let visit = |method: &str, path: &str, body, calls, status, told| Visit {
        asked: (method.into(), path.into(), body),
        calls,
        told: (status, told),
    };
    let checkout = |item: &str, count: u64, calls, status, told| {
        visit("POST", "/checkout", json!({ "item": item, "count": count }), calls, status, told)
    };
    let offer = |days: u64, price: u64| json!({ "days": days, "price": price });
    let no_offer = (503, json!({ "error": "nobody is in" }));
    let order =
        |order: u64, total: u64, courier| json!({ "order": order, "total": total, "courier": courier });
    let refused = |error: &str| json!({ "error": error });
    vec![
        visit(
            "GET",
            "/api/demo",
            Value::Null,
            vec![stock("apple")],
            200,
            json!({ "shop": shop, "apples": 7 }),
        ),
        checkout(
            "apple",
            2,
            vec![stock("apple"), charge(50), quote("apple", 2, (200, offer(2, 400)))],
            201,
            order(1, 50, offer(2, 400)),
        ),
        checkout(
            "pear",
            1,
            vec![stock("pear"), charge(40), quote("pear", 1, (200, offer(2, 350)))],
            201,
            order(2, 40, offer(2, 350)),
        ),
        checkout(
            "pear",
            2,
            vec![stock("pear"), charge(80), quote("pear", 2, no_offer)],
            201,
            order(3, 80, Value::Null),
        ),
        checkout("pear", 5, vec![stock("pear")], 409, refused("only 3 left")),
        checkout("durian", 1, vec![stock("durian"), charge(9900)], 402, refused("the card is refused")),
        checkout("unicorn", 1, vec![stock("unicorn")], 404, refused("no unicorn here")),
    ]
}

fn call(whom: &str, method: &str, path: String, body: Value, told: Told) -> Call {
    Call { whom: whom.into(), asked: (method.into(), path, body), told }
}

fn stock(item: &str) -> Call {
    let stock = |stock: u64, price: u64| json!({ "item": item, "price": price, "stock": stock });
    let told = match item {
        "apple" => (200, stock(7, 25)),
        "pear" => (200, stock(3, 40)),
        "durian" => (200, stock(1, 9900)),
        _ => (404, json!({ "error": format!("nobody has heard of {item}") })),
    };
    call("inventory", "GET", format!("/stock/{item}"), Value::Null, told)
}

fn charge(amount: u64) -> Call {
    let told = if amount > 5000 {
        (402, json!({ "error": "more than the card has" }))
    } else {
        (200, json!({ "charged": amount }))
    };
    call("payments", "POST", "/charge".to_owned(), json!({ "amount": amount }), told)
}

fn quote(item: &str, count: u64, told: Told) -> Call {
    call("courier", "GET", format!("/quote?count={count}&item={item}"), Value::Null, told)
}

/// What was recorded, told in the same way: the calls between a request and its answer are those it caused, for the
/// customer asks one thing after the other. Panics at whatever does not fit into that, and at what is not whole.
pub fn recorded(recording: &Recording, dependencies: &Dependencies) -> Vec<Visit> {
    let json = |event: &Value, side| {
        let bytes = recording.body(event, side);
        if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
    };
    let asked = |event: &Value| {
        let after = text(&event["url"]).split_once("//").unwrap().1;
        let path = after[after.find('/').unwrap()..].to_owned();
        (text(&event["method"]).to_owned(), path, json(event, Side::Request))
    };
    let mut visits: Vec<Visit> = Vec::new();
    let mut open: Option<Visit> = None;
    for event in &recording.events {
        assert!(event.get("incomplete").is_none() && event.get("error").is_none(), "{event:#}");
        let status = event["status"].as_u64().unwrap_or(0);
        match text(&event["type"]) {
            "InboundRequest" => {
                let visit = Visit { asked: asked(event), calls: Vec::new(), told: (0, Value::Null) };
                assert_eq!(open.replace(visit), None, "two at once: {event:#}");
            }
            "InboundResponse" => {
                let visit = open.take().unwrap_or_else(|| panic!("an answer to nothing: {event:#}"));
                visits.push(Visit { told: (status, json(event, Side::Request)), ..visit });
            }
            "OutboundCall" => {
                let visit = open.as_mut().unwrap_or_else(|| panic!("without a cause: {event:#}"));
                let address = format!("http://{}", text(&event["service"]));
                let whom = dependencies.urls.iter().find(|(_, url)| *url == address);
                let whom = whom.unwrap_or_else(|| panic!("whom? {event:#}")).0.to_owned();
                let told = (status, json(event, Side::Response));
                visit.calls.push(Call { whom, asked: asked(event), told });
            }
            _ => panic!("{event:#}"),
        }
    }
    assert_eq!(open, None, "never answered");
    visits
}
