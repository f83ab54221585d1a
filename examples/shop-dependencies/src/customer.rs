//! A customer: the same requests at each visit.

use reqwest::{Client, Url};
use serde_json::json;
use std::error::Error;
use std::time::Duration;

/// What is ordered, and how many of it. Of the first three the third finds no courier; of the others there is too
/// little, too dear, or none.
const ORDERS: [(&str, u64); 6] =
    [("apple", 2), ("pear", 1), ("pear", 2), ("pear", 5), ("durian", 1), ("unicorn", 1)];

/// `GET /api/demo`, then orders; each request says by two headers which one it is.
///
/// # Errors
/// When the shop does not answer.
pub async fn visit(shop: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let shop = shop.parse::<Url>()?;
    let demo = (client.get(shop.join("/api/demo")?), "GET /api/demo".to_owned());
    let checkout = shop.join("/checkout")?;
    let orders = ORDERS.map(|(item, count)| {
        let order = json!({ "item": item, "count": count });
        (client.post(checkout.clone()).json(&order), format!("POST /checkout {count} {item}"))
    });
    for (number, (request, what)) in (1..).zip(std::iter::once(demo).chain(orders)) {
        let request = request
            .header("X-Request-Id", format!("customer-{number}"))
            .header("traceparent", format!("00-{number:032x}-{number:016x}-01"));
        let answer = request.send().await?;
        println!("{what}: {} {}", answer.status().as_u16(), answer.text().await?.trim_end());
    }
    Ok(())
}
