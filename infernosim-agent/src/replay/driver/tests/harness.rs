use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;

use super::super::*;
use crate::clock;
use crate::replay::fields::Leaf;

pub const MS: u64 = 1_000_000;
/// Nothing here takes so long, however busy the host is.
pub const LONG: u64 = 120_000_000_000;

/// What the driver asked and told.
#[derive(Debug, Default)]
pub struct Told {
    pub sending: Vec<(u32, SocketAddr)>,
    pub unread: Vec<u32>,
    pub answers: BTreeMap<u32, Vec<Option<LiveAnswer>>>,
    pub rounds: u32,
}

/// Exchanges without an incident.
pub struct Fake {
    pub requests: Vec<Request>,
    pub needs: BTreeMap<u32, u32>,
    pub told: Arc<Mutex<Told>>,
}

impl Exchanges for Fake {
    fn request(&mut self, exchange: ExchangeIndex, _: u32) -> Result<Request> {
        let request = self.requests.get(exchange.0 as usize).cloned();
        request.ok_or_else(|| ExpectedError::new(crate::error::Exit::Incident, "no such line"))
    }

    fn needs(&self, exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        self.needs.get(&exchange.0).copied().map(ExchangeIndex)
    }

    fn sending(&mut self, exchange: ExchangeIndex, _: &Request, local: SocketAddr) {
        self.told.lock().unwrap().sending.push((exchange.0, local));
    }

    fn unread(&mut self, exchange: ExchangeIndex, local: SocketAddr) {
        let mut told = self.told.lock().unwrap();
        assert!(told.sending.contains(&(exchange.0, local)));
        told.unread.push(exchange.0);
    }

    fn over(
        &mut self,
        exchange: ExchangeIndex,
        _: u32,
        local: Option<SocketAddr>,
        answer: Option<&LiveAnswer>,
    ) -> Vec<Difference> {
        let mut told = self.told.lock().unwrap();
        let last = told.sending.iter().rev().find(|(sent, it)| *sent == exchange.0 && local == Some(*it));
        assert_eq!(last.map(|(_, local)| *local), local, "of a request that was not sent");
        told.answers.entry(exchange.0).or_default().push(answer.cloned());
        let unlike = answer.filter(|answer| answer.status != 200);
        let field = |answer: &LiveAnswer| Difference {
            field: "status".into(),
            recorded: Some(Leaf::Number("200".into())),
            live: Some(Leaf::Number(answer.status.to_string().into())),
        };
        unlike.map(field).into_iter().collect()
    }

    fn again(&mut self) {
        self.told.lock().unwrap().rounds += 1;
    }
}

/// A `GET` of a path.
pub fn get(target: &str) -> Request {
    let headers = vec![("Host".to_owned(), b"shop.test".to_vec())];
    Request { method: "GET".into(), target: target.into(), headers, ..Request::default() }
}

pub fn post(target: &str, body: &'static str, chunked: bool) -> Request {
    let mut request = Request { method: "POST".into(), chunked, ..get(target) };
    let framing = if chunked { ("transfer-encoding", "chunked") } else { ("content-length", "0") };
    request.headers.push((framing.0.into(), framing.1.into()));
    request.body = Bytes::from_static(body.as_bytes());
    request
}

/// An exchange that began and ended so many ms after the recording's beginning, on a connection of its own.
pub fn moment(exchange: u32, start_ms: u64, end_ms: u64) -> Moment {
    Moment {
        exchange: ExchangeIndex(exchange),
        start_ns: start_ms * MS,
        end_ns: Some(end_ms * MS),
        answered: true,
        connection: None,
        client: None,
        port: None,
    }
}

pub fn on(connection: u64, moment: Moment) -> Moment {
    Moment { connection: Some(connection), ..moment }
}

/// One after the other on one connection, 100 ms apart in the recording.
pub fn in_turn(count: u32) -> Vec<Moment> {
    (0..count).map(|at| on(1, moment(at, u64::from(at) * 100, u64::from(at) * 100 + 50))).collect()
}

/// A run that is being set up.
pub struct Setup {
    pub moments: Vec<Moment>,
    pub fake: Fake,
    pub pace: Pace,
    pub selection: Selection,
    pub limits: Limits,
    pub activity: Box<dyn Fn() -> Nanos + Send>,
    pub faults: Option<Arc<Faults>>,
}

impl Setup {
    /// At time scale 0.
    pub fn new(moments: Vec<Moment>, requests: Vec<Request>) -> Self {
        Self {
            moments,
            fake: Fake { requests, needs: BTreeMap::new(), told: Arc::default() },
            pace: Pace { time_scale: 0.0, ..Pace::default() },
            selection: Selection::default(),
            limits: Limits { wall_ns: LONG, idle_ns: LONG, window_ns: 0 },
            activity: Box::new(|| Nanos(0)),
            faults: None,
        }
    }

    pub fn begin(self, base: SocketAddr) -> (Running, Arc<Mutex<Told>>) {
        let told = Arc::clone(&self.fake.told);
        let job = Job {
            plan: Arc::new(Plan::new(self.moments, &self.selection, &self.pace)),
            bases: Bases::one(base),
            limits: self.limits,
            begun: clock::now(),
            exchanges: Box::new(self.fake),
            activity: self.activity,
            faults: self.faults,
        };
        (Driver::start(None).unwrap().begin(job).unwrap(), told)
    }

    pub fn run(self, base: SocketAddr) -> (Driven, Told) {
        let (running, told) = self.begin(base);
        let driven = running.wait().unwrap();
        (driven, std::mem::take(&mut *told.lock().unwrap()))
    }
}

/// A request as it arrived at a server.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The connection, from 0, in the order in which they were accepted.
    pub connection: usize,
    /// Every byte.
    pub text: String,
}

impl Arrived {
    pub fn target(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }
}

/// A server that answers with bytes, a thread a connection.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
pub struct Seen {
    arrived: Mutex<Vec<Arrived>>,
    changed: Condvar,
}

impl Seen {
    /// Waits until so many requests have arrived.
    pub fn wait_for(&self, count: usize) {
        let arrived = self.arrived.lock().unwrap();
        let (_arrived, late) = self
            .changed
            .wait_timeout_while(arrived, std::time::Duration::from_nanos(LONG), |seen| seen.len() < count)
            .unwrap();
        assert!(!late.timed_out(), "{count} requests never arrived");
    }
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Server {
    /// `answer` writes the answer to a request, and says whether the connection stays open.
    pub fn start(answer: impl Fn(&Arrived, &mut TcpStream, &Seen) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let (answer, shown) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&shown));
                std::thread::spawn(move || serve(connection, stream.unwrap(), &*answer, &seen));
            }
        });
        Self { address, seen }
    }

    /// Answers 200 to all.
    pub fn plain() -> Self {
        Self::start(|_, stream, _| stream.write_all(OK.as_bytes()).is_ok())
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.seen.arrived.lock().unwrap().clone()
    }

    pub fn targets(&self) -> Vec<String> {
        self.arrived().iter().map(|arrived| arrived.target().to_owned()).collect()
    }

    pub fn wait_for(&self, count: usize) {
        self.seen.wait_for(count);
    }
}

fn serve(
    connection: usize,
    stream: TcpStream,
    answer: &(dyn Fn(&Arrived, &mut TcpStream, &Seen) -> bool + Send + Sync),
    seen: &Seen,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(text) = read_request(&mut reader) {
        let arrived = Arrived { connection, text };
        seen.arrived.lock().unwrap().push(arrived.clone());
        seen.changed.notify_all();
        if !answer(&arrived, &mut writer, seen) {
            break;
        }
    }
}

/// Head and body, as they are.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        reader.read_line(&mut text).ok().filter(|count| *count > 0)?;
    }
    let head = text.to_ascii_lowercase();
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let length = rest.split("\r\n").next()?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        text.push_str(&String::from_utf8_lossy(&body));
    } else if head.contains("transfer-encoding: chunked") {
        while !text.ends_with("\r\n0\r\n\r\n") && !text.ends_with("\r\n\r\n0\r\n\r\n") {
            reader.read_line(&mut text).ok().filter(|count| *count > 0)?;
        }
    }
    Some(text)
}
