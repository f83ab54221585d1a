//! A shop that knows nothing of InfernoSIM, with axum and reqwest.
//!
//! `GET /api/demo` asks the inventory; `POST /checkout` asks the inventory, charges the card and asks a courier for an
//! offer. Environment: `HOST` (127.0.0.1), `PORT` (8080; 0 is any free one), `INVENTORY_URL`, `PAYMENTS_URL`,
//! `COURIER_URL`, `PAYMENTS_TOKEN`; `HTTP_PROXY` is reqwest's own affair.

mod dependencies;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dependencies::{Dependencies, Offer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const NAME: &str = "shop-rust";

#[derive(Clone)]
struct Shop {
    dependencies: Dependencies,
    orders: Arc<AtomicU64>,
}

/// What the client is told instead of an order.
struct Refused(StatusCode, String);

#[derive(Serialize)]
struct Demo {
    shop: &'static str,
    apples: u64,
}

#[derive(Deserialize)]
struct Order {
    item: String,
    count: u64,
}

#[derive(Serialize)]
struct Receipt {
    order: u64,
    total: u64,
    courier: Option<Offer>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop { dependencies: Dependencies::from_environment()?, orders: Arc::default() };
    let routes = Router::new()
        .route("/api/demo", get(demo))
        .route("/checkout", post(checkout))
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere)
        .with_state(shop);
    let address = format!("{}:{}", env("HOST", "127.0.0.1"), env("PORT", "8080"));
    let listener = TcpListener::bind(address).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("{NAME}: listening on http://{}", listener.local_addr()?);
    let end = async move {
        terminated.recv().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(end).await?;
    Ok(())
}

async fn demo(State(shop): State<Shop>, caller: HeaderMap) -> Result<Json<Demo>, Refused> {
    let apples = shop.dependencies.stock(&caller, "apple").await?.stock;
    Ok(Json(Demo { shop: NAME, apples }))
}

async fn checkout(
    State(shop): State<Shop>,
    caller: HeaderMap,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Receipt>), Refused> {
    let Ok(Json(Order { item, count: count @ 1.. })) = order else {
        return Err(Refused(StatusCode::BAD_REQUEST, r#"an order is {"item": …, "count": …}"#.to_owned()));
    };
    let stock = shop.dependencies.stock(&caller, &item).await?;
    if stock.stock < count {
        return Err(Refused(StatusCode::CONFLICT, format!("only {} left", stock.stock)));
    }
    let total = stock.price * count;
    shop.dependencies.charge(&caller, total).await?;
    let courier = shop.dependencies.offer(&caller, &item, count).await;
    let order = shop.orders.fetch_add(1, Ordering::Relaxed) + 1;
    Ok((StatusCode::CREATED, Json(Receipt { order, total, courier })))
}

async fn nowhere() -> Refused {
    Refused(StatusCode::NOT_FOUND, "GET /api/demo and POST /checkout are all there is".to_owned())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn env(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}
