//! `GET /stock/ITEM`: how many there are, and what one costs, in cents. Nothing is ever taken away, so that the same
//! question has the same answer.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

const STOCK: [(&str, u32, u32); 3] = [("apple", 7, 25), ("pear", 3, 40), ("durian", 1, 9900)];

pub fn routes() -> Router {
    Router::new().route("/stock/{item}", get(stock))
}

async fn stock(Path(item): Path<String>) -> (StatusCode, Json<Value>) {
    match STOCK.into_iter().find(|(name, ..)| *name == item) {
        Some((_, stock, price)) => {
            (StatusCode::OK, Json(json!({ "item": item, "price": price, "stock": stock })))
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": format!("nobody has heard of {item}") }))),
    }
}
