use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;

use super::proxies::{Proxies, Refusal};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// The longest request.
const MAX_BODY: usize = 1 << 20;
/// How long a client may take for a request, or be idle.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
/// Clients at once: others wait until one of these has gone.
const MOST_CLIENTS: usize = 128;
/// The API's version that we follow.
const VERSION: &str = "2.9.0";

/// The API, served by a thread of its own until this is dropped.
pub struct Api {
    address: SocketAddr,
    over: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Listens there.
    ///
    /// # Errors
    /// `Exit::Host` if it cannot.
    pub fn start(address: SocketAddr, seed: u64) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            ExpectedError::new(Exit::Host, format!("cannot listen on {address}: {error}"))
                .help("choose another port: --toxiproxy-api :PORT")
        };
        let listener = StdListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.map_err(cannot)?;
        let (over, mut ended) = watch::channel(false);
        let thread = privilege::thread("toxiproxy", move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let proxies = Arc::new(Mutex::new(Proxies::new(seed)));
                tokio::select! {
                    () = accept_all(listener, proxies) => {}
                    _ = ended.wait_for(|over| *over) => {}
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self { address, over, thread: Some(thread.map_err(cannot)?) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept_all(listener: TcpListener, proxies: Arc<Mutex<Proxies>>) {
    let room = Arc::new(Semaphore::new(MOST_CLIENTS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let proxies = Arc::clone(&proxies);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&proxies)));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    proxies: Arc<Mutex<Proxies>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    // A page in a browser must not reach it (api.go, stopBrowsersMiddleware).
    if agent.starts_with(b"Mozilla/") {
        return Ok(refusal(&Refusal(403, "User agent not allowed".to_owned())));
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = match timeout(PATIENCE, Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return Ok(refusal(&Refusal::bad("bad request body"))),
    };
    Ok(match perform(&method, &path, &body, &mut *proxies.lock().await).await {
        Ok((status, value)) => response(status, value.as_ref()),
        Err(refused) => refusal(&refused),
    })
}

async fn perform(
    method: &Method,
    path: &str,
    body: &[u8],
    proxies: &mut Proxies,
) -> Result<(u16, Option<Value>), Refusal> {
    let json = || serde_json::from_slice::<Value>(body).map_err(|_| Refusal::bad("bad request body"));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let changes = method == Method::POST || method == Method::PATCH;
    Ok(match (method.as_str(), &parts[..]) {
        ("GET", ["version"]) => (200, Some(json!({ "version": VERSION }))),
        ("GET", ["proxies"]) => (200, Some(proxies.json())),
        ("POST", ["proxies"]) => (201, Some(proxies.create(&json()?).await?)),
        ("POST", ["populate"]) => (201, Some(proxies.populate(&json()?).await?)),
        ("POST", ["reset"]) => (204, proxies.reset().await.map(|()| None)?),
        ("GET", ["proxies", name]) => (200, Some(proxies.one(name)?)),
        (_, ["proxies", name]) if changes => (200, Some(proxies.update(name, &json()?).await?)),
        ("DELETE", ["proxies", name]) => (204, proxies.delete(name).await.map(|()| None)?),
        ("GET", ["proxies", name, "toxics"]) => (200, Some(proxies.toxics(name)?)),
        ("POST", ["proxies", name, "toxics"]) => (200, Some(proxies.add_toxic(name, &json()?)?)),
        ("GET", ["proxies", name, "toxics", toxic]) => (200, Some(proxies.toxic(name, toxic)?)),
        (_, ["proxies", name, "toxics", toxic]) if changes => {
            (200, Some(proxies.update_toxic(name, toxic, &json()?)?))
        }
        ("DELETE", ["proxies", name, "toxics", toxic]) => {
            (204, proxies.delete_toxic(name, toxic).map(|()| None)?)
        }
        _ => return Err(Refusal(404, "404 page not found".to_owned())),
    })
}

fn refusal(Refusal(status, text): &Refusal) -> Response<Full<Bytes>> {
    response(*status, Some(&json!({ "error": text, "status": status })))
}

fn response(status: u16, value: Option<&Value>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(value.map(Value::to_string).unwrap_or_default().into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
