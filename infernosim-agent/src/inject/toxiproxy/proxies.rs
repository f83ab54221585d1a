use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::toxics::Spec;
use crate::proxy::faulty::{Course, Toxic, relay};

/// Proxies there may be.
const MOST: usize = 1024;
/// Toxics of a proxy.
const MOST_TOXICS: usize = 256;

/// Why a request is not done: a status and toxiproxy's words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub u16, pub String);

impl Refusal {
    pub fn bad(text: &str) -> Self {
        Self(400, text.to_owned())
    }

    fn unknown(what: &str) -> Self {
        Self(404, format!("{what} not found"))
    }

    fn known(what: &str) -> Self {
        Self(409, format!("{what} already exists"))
    }
}

type Done<T> = Result<T, Refusal>;

/// All proxies.
pub struct Proxies {
    by_name: BTreeMap<String, Proxy>,
    seed: u64,
    /// Toxics so far: each draws from a key of its own.
    made: u64,
}

struct Proxy {
    name: String,
    listen: SocketAddr,
    upstream: String,
    toxics: Vec<Spec>,
    change: watch::Sender<Arc<Vec<Toxic>>>,
    /// Accepts, and with it go its connections; none where it is disabled.
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<()>,
    /// Dropped, it ends the connections.
    _open: watch::Sender<()>,
}

impl Running {
    /// Nobody listens there any more when this is over.
    async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxies {
    /// None yet.
    pub const fn new(seed: u64) -> Self {
        Self { by_name: BTreeMap::new(), seed, made: 0 }
    }

    /// All of them, by name.
    pub fn json(&self) -> Value {
        self.by_name.iter().map(|(name, proxy)| (name.clone(), proxy.json())).collect::<Map<_, _>>().into()
    }

    /// One of them.
    pub fn one(&self, name: &str) -> Done<Value> {
        Ok(self.get(name)?.json())
    }

    /// Makes one.
    pub async fn create(&mut self, request: &Value) -> Done<Value> {
        let text = |name: &str| {
            let found = request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            found.ok_or_else(|| Refusal::bad(&format!("missing required field: {name}")))
        };
        let (name, upstream) = (text("name")?.to_owned(), text("upstream")?.to_owned());
        let listen = request.get("listen").and_then(Value::as_str).unwrap_or_default();
        if self.by_name.contains_key(&name) {
            return Err(Refusal::known("proxy"));
        }
        if self.by_name.len() >= MOST {
            return Err(Refusal(507, format!("there are {MOST} proxies already")));
        }
        let (change, toxics) = (watch::Sender::new(Arc::default()), Vec::new());
        let listen = address(listen)?;
        let mut proxy = Proxy { name: name.clone(), listen, upstream, toxics, change, running: None };
        if request.get("enabled").and_then(Value::as_bool).unwrap_or(true) {
            proxy.enable().await?;
        }
        let json = proxy.json();
        self.by_name.insert(name, proxy);
        Ok(json)
    }

    /// Makes those that are named, in the place of those of the same name that differ.
    pub async fn populate(&mut self, request: &Value) -> Done<Value> {
        let wanted = request.as_array().ok_or(Refusal::bad("bad request body"))?;
        let mut made = Vec::new();
        for one in wanted {
            if let Some(name) = one.get("name").and_then(Value::as_str)
                && self.by_name.contains_key(name)
            {
                made.push(self.update(name, one).await?);
            } else {
                made.push(self.create(one).await?);
            }
        }
        Ok(json!({ "proxies": made }))
    }

    /// Changes one.
    pub async fn update(&mut self, name: &str, request: &Value) -> Done<Value> {
        let proxy = self.by_name.get_mut(name).ok_or(Refusal::unknown("proxy"))?;
        let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let listen = text("listen").map(address).transpose()?.unwrap_or(proxy.listen);
        let upstream = text("upstream").unwrap_or(&proxy.upstream).to_owned();
        let same_port = listen.port() == 0 || listen == proxy.listen;
        if !same_port || upstream != proxy.upstream {
            let runs = proxy.disable().await;
            (proxy.upstream, proxy.listen) = (upstream, if same_port { proxy.listen } else { listen });
            if runs {
                proxy.enable().await?;
            }
        }
        match request.get("enabled").and_then(Value::as_bool) {
            Some(true) => proxy.enable().await?,
            Some(false) => drop(proxy.disable().await),
            None => {}
        }
        Ok(proxy.json())
    }

    /// Takes one away.
    pub async fn delete(&mut self, name: &str) -> Done<()> {
        let mut proxy = self.by_name.remove(name).ok_or(Refusal::unknown("proxy"))?;
        proxy.disable().await;
        Ok(())
    }

    /// Enables all, without toxics.
    pub async fn reset(&mut self) -> Done<()> {
        for proxy in self.by_name.values_mut() {
            proxy.toxics.clear();
            proxy.changed();
            proxy.enable().await?;
        }
        Ok(())
    }

    /// A proxy's toxics.
    pub fn toxics(&self, proxy: &str) -> Done<Value> {
        Ok(self.get(proxy)?.toxics.iter().map(Spec::json).collect())
    }

    /// One of a proxy's toxics.
    pub fn toxic(&self, proxy: &str, name: &str) -> Done<Value> {
        let found = self.get(proxy)?.toxics.iter().find(|toxic| toxic.name() == name);
        found.map(Spec::json).ok_or(Refusal::unknown("toxic"))
    }

    /// One toxic more.
    pub fn add_toxic(&mut self, proxy: &str, request: &Value) -> Done<Value> {
        self.made += 1;
        let key = self.seed.wrapping_add(self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let proxy = self.by_name.get_mut(proxy).ok_or(Refusal::unknown("proxy"))?;
        let spec = Spec::new(request, key)?;
        if proxy.toxics.iter().any(|toxic| toxic.name() == spec.name()) {
            return Err(Refusal::known("toxic"));
        }
        if proxy.toxics.len() >= MOST_TOXICS {
            return Err(Refusal(507, format!("there are {MOST_TOXICS} toxics already")));
        }
        let json = spec.json();
        proxy.toxics.push(spec);
        proxy.changed();
        Ok(json)
    }

    /// Changes one.
    pub fn update_toxic(&mut self, proxy: &str, name: &str, request: &Value) -> Done<Value> {
        let proxy = self.by_name.get_mut(proxy).ok_or(Refusal::unknown("proxy"))?;
        let toxic = proxy.toxics.iter_mut().find(|toxic| toxic.name() == name);
        let toxic = toxic.ok_or(Refusal::unknown("toxic"))?;
        toxic.update(request)?;
        let json = toxic.json();
        proxy.changed();
        Ok(json)
    }

    /// Takes one away.
    pub fn delete_toxic(&mut self, proxy: &str, name: &str) -> Done<()> {
        let proxy = self.by_name.get_mut(proxy).ok_or(Refusal::unknown("proxy"))?;
        let before = proxy.toxics.len();
        proxy.toxics.retain(|toxic| toxic.name() != name);
        if proxy.toxics.len() == before {
            return Err(Refusal::unknown("toxic"));
        }
        proxy.changed();
        Ok(())
    }

    fn get(&self, name: &str) -> Done<&Proxy> {
        self.by_name.get(name).ok_or(Refusal::unknown("proxy"))
    }
}

impl Proxy {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "listen": self.listen.to_string(),
            "upstream": self.upstream,
            "enabled": self.running.is_some(),
            "toxics": self.toxics.iter().map(Spec::json).collect::<Vec<_>>(),
        })
    }

    /// Open connections hear of it, too.
    fn changed(&self) {
        self.change.send_replace(Arc::new(self.toxics.iter().filter_map(Spec::toxic).collect()));
    }

    /// Whether it was enabled.
    async fn disable(&mut self) -> bool {
        let Some(running) = self.running.take() else { return false };
        running.stop().await;
        true
    }

    async fn enable(&mut self) -> Done<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.listen).await;
        let listener =
            listener.map_err(|error| Refusal(500, format!("listen tcp {}: {error}", self.listen)))?;
        // Port 0 has become another, and stays that.
        self.listen = listener.local_addr().unwrap_or(self.listen);
        let open = watch::Sender::new(());
        let (upstream, toxics, closed) = (self.upstream.clone(), self.change.subscribe(), open.subscribe());
        let task = tokio::spawn(accept_all(listener, upstream, toxics, closed));
        self.running = Some(Running { task, _open: open });
        Ok(())
    }
}

async fn accept_all(
    listener: TcpListener,
    upstream: String,
    toxics: watch::Receiver<Arc<Vec<Toxic>>>,
    closed: watch::Receiver<()>,
) {
    let numbered = AtomicU64::new(0);
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let number = numbered.fetch_add(1, Ordering::Relaxed);
        let (upstream, toxics, mut closed) = (upstream.clone(), toxics.clone(), closed.clone());
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            let serve = async {
                // As there: a dial that fails closes the connection.
                let Ok(server) = TcpStream::connect(&upstream).await else { return };
                let _ = server.set_nodelay(true);
                relay(client, server, Bytes::new(), Course::new(toxics, number)).await;
            };
            tokio::select! {
                () = serve => {}
                // Fails as its sender goes.
                _ = closed.changed() => {}
            }
        });
    }
}

/// `:PORT` and no address at all are on loopback.
fn address(text: &str) -> Done<SocketAddr> {
    let text = if text.is_empty() { ":0" } else { text };
    let text = text.strip_prefix(':').map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let mut found =
        text.to_socket_addrs().map_err(|error| Refusal::bad(&format!("listen tcp {text}: {error}")))?;
    found.find(|address| address.ip().is_loopback()).ok_or_else(|| {
        Refusal::bad(&format!("listen tcp {text}: proxies listen on loopback only, as 127.0.0.1:PORT"))
    })
}
