//! The stock service.
//!
//! `GET /stock/ITEM` says how many there are, `POST /reserve` takes some away. Counting durians takes 50 ms, since
//! nobody likes to go near them.

use crate::http::{self, Answer, Message, field};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SLOW_ITEM: &str = "durian";
const SLOWNESS: Duration = Duration::from_millis(50);

/// Serves a small shop's stock.
pub fn serve(listener: &TcpListener) {
    let stock = Mutex::new(BTreeMap::from([("apple", 7), ("pear", 3), (SLOW_ITEM, 1)]));
    http::serve(listener, None, |request| {
        if request.start.contains(SLOW_ITEM) {
            std::thread::sleep(SLOWNESS);
        }
        let mut stock = stock.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut stock, request)
    });
}

fn answer(stock: &mut BTreeMap<&str, u32>, request: &Message) -> Answer {
    let unknown = |item: &str| (404, format!("{{\"error\":\"nobody has heard of {item}\"}}"));
    let words: Vec<&str> = request.start.split(' ').collect();
    match words[..] {
        ["GET", path, _] if path.starts_with("/stock/") => {
            let item = &path["/stock/".len()..];
            stock.get(item).map_or_else(
                || unknown(item),
                |count| (200, format!("{{\"item\":\"{item}\",\"stock\":{count}}}")),
            )
        }
        ["POST", "/reserve", _] => {
            let item = field(&request.body, "item").unwrap_or_default();
            let quantity = field(&request.body, "quantity").and_then(|text| text.parse::<u32>().ok());
            let Some(count) = stock.get_mut(item) else { return unknown(item) };
            match count.checked_sub(quantity.unwrap_or(1)) {
                Some(rest) => {
                    *count = rest;
                    (201, format!("{{\"item\":\"{item}\",\"left\":{rest}}}"))
                }
                None => (409, format!("{{\"error\":\"only {count} of {item} left\"}}")),
            }
        }
        _ => (404, "{\"error\":\"no such thing here\"}".to_owned()),
    }
}
