//! `POST /charge {"amount": CENTS}` with `Authorization: Bearer …`: takes the money, if it is not too much.

use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

/// In cents.
const MOST: u64 = 5000;

#[derive(Deserialize)]
struct Charge {
    amount: u64,
}

pub fn routes() -> Router {
    Router::new().route("/charge", post(charge))
}

async fn charge(headers: HeaderMap, Json(charge): Json<Charge>) -> (StatusCode, Json<Value>) {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !bearer.is_some_and(|bearer| bearer.starts_with("Bearer ")) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "who are you?" })));
    }
    if charge.amount > MOST {
        return (StatusCode::PAYMENT_REQUIRED, Json(json!({ "error": "more than the card has" })));
    }
    (StatusCode::OK, Json(json!({ "charged": charge.amount })))
}
