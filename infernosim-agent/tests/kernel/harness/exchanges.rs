use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::{Recording, Side, text};

/// An inbound request and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub request: &'a Value,
    pub response: &'a Value,
}

impl Recording {
    /// The inbound requests, in the order in which they came, each with its response; and what holds for every pair.
    pub fn exchanges(&self) -> Vec<Exchange<'_>> {
        let mut responses = BTreeMap::new();
        for response in self.of_type("InboundResponse") {
            let earlier = responses.insert(text(&response["traceId"]), response);
            assert!(earlier.is_none(), "two responses to one request: {response:#}");
        }
        let mut exchanges = Vec::new();
        for request in self.of_type("InboundRequest") {
            let id = text(&request["id"]);
            assert_eq!(text(&request["traceId"]), id, "{request:#}");
            let response = responses.remove(id).unwrap_or_else(|| panic!("no response: {request:#}"));
            let exchange = Exchange { request, response };
            exchange.assert_pair();
            exchanges.push(exchange);
        }
        assert!(responses.is_empty(), "responses without a request: {responses:#?}");
        exchanges
    }

    /// The only inbound request there is.
    pub fn exchange(&self) -> Exchange<'_> {
        let exchanges = self.exchanges();
        assert_eq!(exchanges.len(), 1, "{:#?}", self.events);
        exchanges[0]
    }

    /// The methods and paths of the inbound requests, in the order in which they came.
    pub fn asked(&self) -> Vec<String> {
        let exchanges = self.exchanges();
        exchanges.iter().map(|one| format!("{} {}", text(&one.request["method"]), one.path())).collect()
    }
}

impl<'a> Exchange<'a> {
    /// The path and the query.
    pub fn path(&self) -> &'a str {
        let url = text(&self.request["url"]).split_once("//").unwrap().1;
        &url[url.find('/').unwrap_or(url.len())..]
    }

    pub fn status(&self) -> u64 {
        self.response["status"].as_u64().unwrap_or(0)
    }

    /// The client's address.
    pub fn client(&self) -> SocketAddr {
        text(&self.request["peer"]).parse().unwrap()
    }

    /// The whole body of the request.
    pub fn sent(&self, recording: &Recording) -> Vec<u8> {
        recording.body(self.request, Side::Request)
    }

    /// The whole body of the response.
    pub fn answer(&self, recording: &Recording) -> Vec<u8> {
        recording.body(self.response, Side::Request)
    }

    /// Whether both halves were seen in full and nothing went wrong.
    pub fn is_whole(&self) -> bool {
        [self.request, self.response].iter().all(|line| {
            line.get("incomplete").is_none() && line.get("error").is_none() && line.get("errno").is_none()
        })
    }

    /// Asserts that it is.
    pub fn assert_whole(&self) {
        assert!(self.is_whole(), "{self:#?}");
    }

    fn assert_pair(&self) {
        let (request, response) = (self.request, self.response);
        for name in ["service", "protocol", "method", "url", "connection", "peer", "local", "traceId"] {
            assert_eq!(request[name], response[name], "{name}: {self:#?}");
            assert!(!request[name].is_null() || name == "method", "{name}: {self:#?}");
        }
        assert_eq!(request["service"], request["local"], "{request:#}");
        for name in ["sequence", "offsetNs"] {
            let [earlier, later] = [request, response].map(|line| line[name].as_u64().unwrap());
            assert!(earlier <= later && (name != "sequence" || earlier < later), "{name}: {self:#?}");
        }
        assert_ne!(request["id"], response["id"]);
    }
}
