//! HTTP/1 on a redirected connection, an exchange at a time. What no rule hits goes on byte for byte; what stops being
//! HTTP is relayed.

use std::io;
use std::net::Shutdown;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::connection::{Facts, pass, silence};
use super::earlier::MOST_OF_SITE as MOST_KEPT;
use super::instead;
use super::message::{Answered, Asked};
use super::shared::Shared;
use super::side::{Side, fill, flushed, gone, speaks, write_all};
use super::standing::{cut, held, unless_held};
use super::treatment::{Changed, Cut, Instead, Treatment, occasion, whom};
use crate::clock;
use crate::protocol::http1_framing::{Reply, is_tunnel};
use crate::proxy::explicit::{Body, Buffer};
use crate::proxy::faulty::{Direction, Drip, Ending, Toxic};

/// The longest head.
const MAX_HEAD: usize = 256 << 10;
/// The longest response that is read whole to be changed; longer ones go on as they are.
const MOST_HELD: usize = 16 << 20;

/// What follows an exchange.
pub enum After {
    /// The next one.
    Next,
    /// Bytes: it ended, or broke off.
    Bytes,
    /// Bytes: both agreed on something else than HTTP/1.
    Switched,
    /// The end, so much later, with a FIN.
    Close,
    /// The end with a RST.
    Reset,
}

/// Serves a connection whose first bytes are a request.
pub async fn serve(shared: &Shared, facts: &Facts, client: TcpStream, server: TcpStream, ahead: BytesMut) {
    // What holds for the connection's end.
    let mut last = Vec::new();
    let (ahead, answered) = {
        let mut of_client = Side { stream: &client, buffer: Buffer::default() };
        of_client.buffer.push(clock::now(), &ahead);
        let mut of_server = Side { stream: &server, buffer: Buffer::default() };
        let host = OnceLock::new();
        let after = tokio::select! {
            biased;
            () = cut(shared, facts, &host) => After::Reset,
            after = exchanges(shared, (facts, &host), &mut of_client, &mut of_server, &mut last) => after,
        };
        match after {
            // As it does unless told otherwise.
            After::Reset => return,
            After::Close => {
                let _ = SockRef::from(&server).set_linger(None);
                drop(server);
                return close(client, &last).await;
            }
            After::Next | After::Bytes | After::Switched => (of_client.buffer, of_server.buffer),
        }
    };
    if write_all(&client, answered.bytes()).await.is_ok() {
        let ahead = Bytes::copy_from_slice(ahead.bytes());
        pass(shared, facts, (client, server), ahead, last).await;
    }
}

/// A FIN, as late as it is to be, and then what still comes is taken until the client has ended, too.
async fn close(client: TcpStream, last: &[Toxic]) {
    let mut drip = Drip::new(last, Direction::Downstream, 0);
    drip.end().await;
    let _ = SockRef::from(&client).set_linger(None);
    let _ = SockRef::from(&client).shutdown(Shutdown::Write);
    let _ = tokio::time::timeout(Duration::from_secs(1), silence(&client)).await;
}

/// One after the other, until something else follows.
async fn exchanges(
    shared: &Shared,
    whom: (&Facts, &OnceLock<String>),
    client: &mut Side<'_>,
    server: &mut Side<'_>,
    last: &mut Vec<Toxic>,
) -> After {
    loop {
        match exchange(shared, whom, client, server, last).await {
            After::Next => {}
            after => return after,
        }
    }
}

async fn exchange(
    shared: &Shared,
    (facts, known): (&Facts, &OnceLock<String>),
    client: &mut Side<'_>,
    server: &mut Side<'_>,
    last: &mut Vec<Toxic>,
) -> After {
    let length = match next_head(client, server.stream).await {
        Ok(Some(length)) => length,
        Ok(None) => return After::Bytes,
        Err(_) => return After::Reset,
    };
    let head = Bytes::copy_from_slice(&client.buffer.bytes()[..length]);
    let Ok(mut asked) = Asked::parse(&head) else { return After::Bytes };
    client.buffer.take(length);
    let mut body = asked.body.take();
    let names = whom((facts, known), &asked);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let occasion = occasion(&names, facts.address.port(), &asked);
    let hits = shared.rules.decide(&occasion);
    let met: Vec<u32> = hits.iter().map(|hit| hit.fired.rule).collect();
    let mut treatment = Treatment::of(hits, facts.number);
    if let Some(Instead::Hang(hit)) = &treatment.instead
        && shared.rules.stands(hit.fired.rule)
    {
        hit.observed("nothing was answered for as long as it held");
        if !held(shared, hit.fired.rule, client.stream).await {
            return After::Reset;
        }
        treatment.instead = None;
    }
    last.extend(treatment.last.iter().cloned());
    if let Some(instead) = &treatment.instead {
        return instead::answer(instead, client, &mut body, &treatment).await;
    }
    let to_client = client.stream;
    let carried = carry(shared, (client, server), (head, body), &asked, (&treatment, facts.number));
    match unless_held(shared, &occasion, met, to_client, carried).await {
        None => After::Reset,
        // What is done to an answer's bytes is done to those that come in its place.
        Some((After::Switched, _)) => {
            last.extend(treatment.pace.into_iter().chain(treatment.upstream));
            After::Bytes
        }
        // What is left of the request goes on as bytes.
        Some((After::Next, false)) => After::Bytes,
        Some((after, _)) => after,
    }
}

/// Passes the request on, and what is answered; and whether all of the request was sent.
async fn carry(
    shared: &Shared,
    (client, server): (&mut Side<'_>, &mut Side<'_>),
    (head, mut body): (Bytes, Option<Body>),
    asked: &Asked,
    (treatment, number): (&Treatment, u64),
) -> (After, bool) {
    let (sent, left) = (AtomicBool::new(false), AtomicBool::new(false));
    let (to_client, to_server) = (client.stream, server.stream);
    let drip = Drip::new(&treatment.upstream, Direction::Upstream, number);
    let up = send(client, to_server, head, &mut body, drip, &sent);
    let down = receive(shared, server, to_client, asked, treatment, &left);
    tokio::pin!(up, down);
    let after = tokio::select! {
        biased;
        after = &mut down => after,
        broke = &mut up => if broke {
            After::Reset
        } else {
            // The client has said all it will ever say: the server gets to see that, and answers.
            left.store(true, Relaxed);
            let _ = SockRef::from(to_server).shutdown(Shutdown::Write);
            down.await
        }
    };
    (after, sent.load(Relaxed))
}

/// The length of the next request's head; none if what comes is none, or the server ends or speaks first.
async fn next_head(client: &mut Side<'_>, server: &TcpStream) -> io::Result<Option<usize>> {
    loop {
        if let Some(length) = client.buffer.head() {
            return Ok(Some(length));
        }
        if client.buffer.bytes().len() > MAX_HEAD {
            return Ok(None);
        }
        tokio::select! {
            biased;
            got = fill(client) => if !got? { return Ok(None) },
            () = speaks(server) => return Ok(None),
        }
    }
}

/// Sends the request, and watches the client then: true if it breaks, false if it has ended.
async fn send(
    client: &mut Side<'_>,
    server: &TcpStream,
    head: Bytes,
    body: &mut Option<Body>,
    mut drip: Drip,
    sent: &AtomicBool,
) -> bool {
    match drip.write(server, head).await {
        Ok(None) => {}
        // The server may have answered already.
        Err(_) => return std::future::pending().await,
        Ok(Some(_)) => return true,
    }
    if let Some(body) = body {
        while !body.is_over() {
            let Ok(taken) = body.read(client.buffer.bytes()) else { return true };
            let piece = Bytes::copy_from_slice(&client.buffer.bytes()[..taken]);
            client.buffer.take(taken);
            match drip.write(server, piece).await {
                Ok(None) => {}
                Err(_) => return std::future::pending().await,
                Ok(Some(_)) => return true,
            }
            if body.is_over() {
                break;
            }
            match fill(client).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
    }
    sent.store(true, Relaxed);
    gone(client.stream).await
}

/// Receives the answer and passes it on.
async fn receive(
    shared: &Shared,
    server: &mut Side<'_>,
    client: &TcpStream,
    asked: &Asked,
    treatment: &Treatment,
    left: &AtomicBool,
) -> After {
    loop {
        let length = match answer_head(server).await {
            Ok(Some(length)) => length,
            Ok(None) => return After::Bytes,
            Err(_) => return After::Reset,
        };
        let Ok(answered) = Answered::parse(&server.buffer.bytes()[..length], asked.reply) else {
            return After::Bytes;
        };
        let switches = answered.status == 101 || is_tunnel(answered.status, asked.reply);
        if answered.is_interim() || switches {
            let head = Bytes::copy_from_slice(&server.buffer.bytes()[..length]);
            server.buffer.take(length);
            if switches {
                treatment.delay(left).await;
            }
            if write_all(client, &head).await.is_err() {
                return After::Reset;
            }
            if switches {
                return After::Switched;
            }
            continue;
        }
        treatment.delay(left).await;
        let of_head = treatment.is_of_head() && answered.body.is_some();
        let whole = treatment.is_of_whole() && !of_head || shared.rules.keep_answers();
        if whole && let Some(after) = whole_answer(shared, server, client, asked, treatment, length).await {
            return after;
        }
        let changes = of_head && treatment.is_of_whole();
        let head = changes.then(|| treatment.change_head(&server.buffer.bytes()[..length], &answered));
        return stream(server, client, (length, head), answered.body, treatment, asked).await;
    }
}

async fn answer_head(server: &mut Side<'_>) -> io::Result<Option<usize>> {
    loop {
        if let Some(length) = server.buffer.head() {
            return Ok(Some(length));
        }
        if server.buffer.bytes().len() > MAX_HEAD || !fill(server).await? {
            return Ok(None);
        }
    }
}

/// Passes on an answer as it comes, with another head if there is one.
async fn stream(
    server: &mut Side<'_>,
    client: &TcpStream,
    (mut first, mut changed): (usize, Option<Changed>),
    mut body: Option<Body>,
    treatment: &Treatment,
    asked: &Asked,
) -> After {
    let mut drip = Drip::new(&treatment.pace, Direction::Downstream, 0);
    loop {
        let taken = match &mut body {
            None => Ok(0),
            Some(body) => body.read(&server.buffer.bytes()[first..]),
        };
        let Ok(taken) = taken else { return After::Bytes };
        let (head, content) = server.buffer.bytes()[..first + taken].split_at(first);
        let (head, notes) = changed.take().unwrap_or_else(|| (Bytes::copy_from_slice(head), Vec::new()));
        let piece = Bytes::from([&head[..], content].concat());
        server.buffer.take(first + taken);
        first = 0;
        match drip.write(client, piece).await {
            Ok(None) => {}
            Ok(Some(ending)) => return ended(ending),
            Err(_) => return After::Reset,
        }
        notes.into_iter().for_each(|(hit, note)| hit.observed(note));
        if body.as_ref().is_none_or(Body::is_over) {
            return if asked.reply == Reply::Plain || asked.reply == Reply::Head {
                After::Next
            } else {
                After::Bytes
            };
        }
        match fill(server).await {
            Ok(true) => {}
            // With the server's FIN.
            Ok(false) => return After::Bytes,
            Err(_) => return After::Reset,
        }
    }
}

/// Reads an answer whole, changes it and sends it; none if it is too long for that, and nothing was sent yet.
async fn whole_answer(
    shared: &Shared,
    server: &mut Side<'_>,
    client: &TcpStream,
    asked: &Asked,
    treatment: &Treatment,
    head: usize,
) -> Option<After> {
    let answered = Answered::parse(&server.buffer.bytes()[..head], asked.reply).ok()?;
    let (mut body, mut length, mut ends) = (answered.body, head, false);
    let site = format!("{} {} {}", asked.field("host").unwrap_or_default(), asked.method, asked.target);
    let keeps = shared.rules.keep_answers();
    let most = if treatment.is_of_whole() { MOST_HELD } else { MOST_KEPT };
    while let Some(body) = body.as_mut().filter(|body| !body.is_over()) {
        length += body.read(&server.buffer.bytes()[length..]).ok()?;
        if body.is_over() {
            break;
        }
        if length > most {
            if keeps {
                shared.rules.earlier().keep(&site, None);
            }
            return None;
        }
        match fill(server).await {
            Ok(true) => {}
            Ok(false) if *body == Body::UntilClose => {
                ends = true;
                break;
            }
            // It broke off: the client gets to see that, as it is.
            _ => return None,
        }
    }
    let raw = Bytes::copy_from_slice(&server.buffer.bytes()[..length]);
    server.buffer.take(length);
    let mut answer = Answer::new(&raw, head, &answered, asked.reply);
    let notes = treatment.change(&mut answer, |back| shared.rules.earlier().get(&site, back));
    if keeps {
        shared.rules.earlier().keep(&site, Some(Answer::new(&raw, head, &answered, asked.reply)));
    }
    let after = put(client, &answer, treatment).await;
    if !matches!(after, After::Reset) || treatment.cut.is_some() {
        for (hit, note) in notes {
            hit.observed(note);
        }
    }
    Some(match after {
        After::Next if ends => After::Bytes,
        after => after,
    })
}

/// Sends an answer, cut and repeated as it is to be.
async fn put(client: &TcpStream, answer: &Answer, treatment: &Treatment) -> After {
    let written = answer.written();
    let mut drip = Drip::new(&treatment.pace, Direction::Downstream, 0);
    let cut = treatment.cut.as_ref().map(|(cut, hit)| (*cut, hit));
    let at = cut.map(|(cut, _)| cut.at()).and_then(|at| usize::try_from(at).ok());
    // What is cut behind its end is whole.
    let cut = cut.filter(|_| at.is_some_and(|at| at < written.content.len() || at == 0));
    let pieces = match at.filter(|_| cut.is_some()) {
        Some(at) => vec![written.before.clone(), written.content.slice(..at)],
        None => vec![written.before.clone(), written.content.clone(), written.behind.clone()],
    };
    let times = if treatment.twice.is_some() && cut.is_none() { 2 } else { 1 };
    for piece in pieces.iter().cycle().take(pieces.len() * times) {
        match drip.write(client, piece.clone()).await {
            Ok(None) => {}
            Ok(Some(ending)) => return ended(ending),
            Err(_) => return After::Reset,
        }
    }
    if let (Some(hit), 2) = (&treatment.twice, times) {
        hit.observed("answered twice");
    }
    let Some((cut, hit)) = cut else { return After::Next };
    // A RST makes the kernel throw away what it has not sent yet.
    flushed(client).await;
    let length = written.content.len();
    match cut {
        Cut::Reset(at) => {
            hit.observed(format!("reset after {at} of {length} bytes"));
            After::Reset
        }
        Cut::Truncate(at) => {
            hit.observed(format!("ended after {at} of {length} bytes"));
            After::Close
        }
    }
}

const fn ended(ending: Ending) -> After {
    match ending {
        Ending::Closed => After::Close,
        Ending::Reset => After::Reset,
    }
}
