//! Whom the shop calls.

use crate::{NAME, Refused, env};
use axum::http::{HeaderMap, StatusCode};
use reqwest::{Client, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// For each call.
const PATIENCE: Duration = Duration::from_secs(2);
const PASSED_ON: [&str; 2] = ["traceparent", "x-request-id"];

#[derive(Clone)]
pub struct Dependencies {
    client: Client,
    inventory: Url,
    payments: Url,
    courier: Url,
    token: String,
}

/// How many there are of an item, and what one costs.
#[derive(Deserialize)]
pub struct Stock {
    pub stock: u64,
    pub price: u64,
}

/// A courier's.
#[derive(Deserialize, Serialize)]
pub struct Offer {
    days: u64,
    price: u64,
}

impl Dependencies {
    pub fn from_environment() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self {
            client: Client::builder().timeout(PATIENCE).build()?,
            inventory: env("INVENTORY_URL", "http://localhost:7001").parse()?,
            payments: env("PAYMENTS_URL", "http://localhost:7002").parse()?,
            courier: env("COURIER_URL", "http://localhost:7003").parse()?,
            token: env("PAYMENTS_TOKEN", "shop-secret"),
        })
    }

    pub async fn stock(&self, caller: &HeaderMap, item: &str) -> Result<Stock, Refused> {
        let mut url = self.inventory.clone();
        url.set_path("stock");
        url.path_segments_mut().expect("http has paths").push(item);
        match call("inventory", caller, self.client.get(url)).await? {
            (_, Some(stock)) => Ok(stock),
            (StatusCode::NOT_FOUND, None) => Err(Refused(StatusCode::NOT_FOUND, format!("no {item} here"))),
            (_, None) => Err(Refused(StatusCode::BAD_GATEWAY, "the inventory is out of order".to_owned())),
        }
    }

    pub async fn charge(&self, caller: &HeaderMap, amount: u64) -> Result<(), Refused> {
        let mut url = self.payments.clone();
        url.set_path("charge");
        let request = self.client.post(url).bearer_auth(&self.token).json(&json!({ "amount": amount }));
        match call::<serde_json::Value>("payments", caller, request).await? {
            (_, Some(_)) => Ok(()),
            (status @ StatusCode::PAYMENT_REQUIRED, None) => {
                Err(Refused(status, "the card is refused".to_owned()))
            }
            (_, None) => Err(Refused(StatusCode::BAD_GATEWAY, "the payments are out of order".to_owned())),
        }
    }

    /// The courier is often ill, and the shop copes.
    pub async fn offer(&self, caller: &HeaderMap, item: &str, count: u64) -> Option<Offer> {
        let mut url = self.courier.clone();
        url.set_path("quote");
        url.query_pairs_mut().append_pair("count", &count.to_string()).append_pair("item", item);
        call("courier", caller, self.client.get(url)).await.ok()?.1
    }
}

/// Calls a dependency: the status, and what it said if that is content.
async fn call<T: DeserializeOwned>(
    whom: &str,
    caller: &HeaderMap,
    mut request: RequestBuilder,
) -> Result<(StatusCode, Option<T>), Refused> {
    for name in PASSED_ON {
        if let Some(value) = caller.get(name) {
            request = request.header(name, value);
        }
    }
    let answered = async {
        let answer = request.send().await?;
        match answer.status() {
            status if status.is_success() => Ok((status, Some(answer.json().await?))),
            status => answer.bytes().await.map(|_| (status, None)),
        }
    };
    answered.await.map_err(|error: reqwest::Error| {
        eprintln!("{NAME}: {whom}: {error}");
        Refused(StatusCode::BAD_GATEWAY, format!("the {whom} does not answer"))
    })
}
