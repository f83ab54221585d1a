//! A connection of a protocol that is not read: compared and answered turn by turn.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::flow::Pieces;
use super::shared::Shared;
use super::spoilt::Spoilt;
use super::thread::{Facts, read};
use super::turns::{Choice, Fit, Seat};
use super::wire::{self, Cut};
use crate::clock;
use crate::fault::Kind;
use crate::incident::cause::Identifiers;
use crate::protocol::Protocol;
use crate::replay::causes::{Asking, Found};
use crate::replay::fields::{self, Content, Difference};
use crate::replay::script::{Basis, CallIndex, Ending, ExchangeIndex, Reply};
use crate::replay::seen;

/// A turn's bytes are held up to here.
const MOST: usize = 64 << 20;
/// How long more bytes are waited for where those that came are all of one recorded turn and the beginning of another.
const MORE: Duration = Duration::from_millis(50);

/// A connection under way.
struct Talk {
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    stream: TcpStream,
    /// What came and belongs to no turn yet.
    held: BytesMut,
    /// How much came before that.
    offset: u64,
    /// An answer is under way.
    answering: bool,
    /// What faults do to it.
    spoilt: Spoilt,
}

/// How a connection goes on.
enum Next {
    /// With the next turn.
    Turn,
    /// It ends so.
    End(Cut),
    /// The other end has ended it.
    Gone,
}

/// Serves a connection to a dependency whose recorded connections were not read.
pub async fn serve(shared: Arc<Shared>, facts: Arc<Facts>, stream: TcpStream, ahead: BytesMut) {
    let (over, run) = (Arc::clone(&shared), facts.run());
    let mut talk =
        Talk { shared, facts, stream, held: ahead, offset: 0, answering: false, spoilt: Spoilt::default() };
    let end = tokio::select! {
        biased;
        end = talk.run() => end,
        () = over.over(run) => {
            if talk.held.is_empty() && !talk.answering {
                let _ = SockRef::from(&talk.stream).set_linger(None);
            }
            return;
        }
    };
    match end {
        Some(cut @ (Cut::Silence | Cut::Half)) => {
            let _meant = talk.shared.activity.on_purpose();
            wire::end(talk.stream, cut).await;
        }
        Some(cut) => wire::end(talk.stream, cut).await,
        None => wire::finish(talk.stream).await,
    }
}

/// Serves a connection whose first bytes are no HTTP/1: by turns where there are any; else it is closed and noted,
/// unless it is one that no stub speaks, of which all was said before the first run.
pub async fn unread(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    stream: TcpStream,
    ahead: BytesMut,
    protocol: Protocol,
) {
    if shared.turns().has(&facts.candidates) {
        return serve(shared, facts, stream, ahead).await;
    }
    let unserved =
        |name: &str| shared.setup.script.dependencies().iter().any(|it| &*it.name == name && it.unserved > 0);
    if !facts.candidates.iter().any(|name| unserved(name)) {
        let talk = Talk {
            shared,
            facts,
            stream,
            held: ahead,
            offset: 0,
            answering: false,
            spoilt: Spoilt::default(),
        };
        let found = talk.cause().await;
        talk.note(None, &found, false, Vec::new(), protocol.as_str());
        return wire::finish(talk.stream).await;
    }
    wire::finish(stream).await;
}

impl Talk {
    /// To the connection's end: none if the other end brought it.
    async fn run(&mut self) -> Option<Cut> {
        let (mut seat, mut is_one_of_many) = match self.choose().await {
            Ok(chosen) => chosen,
            Err(end) => return end,
        };
        self.meet();
        loop {
            match self.turn(seat.index, is_one_of_many).await {
                Next::Turn => {}
                Next::End(cut) => return Some(cut),
                Next::Gone => return None,
            }
            // Which connection it is was found by its first turn, and so was what that is.
            (seat, is_one_of_many) = match self.next(&seat).await {
                Ok(next) => (next, false),
                Err(end) => return end,
            };
        }
    }

    /// Finds the turn behind this one: on its recorded connection, or else on another, since a pool may take another.
    async fn next(&mut self, seat: &Seat) -> Result<Seat, Option<Cut>> {
        let (mut cause, mut no_more) = (None, false);
        loop {
            let own = self.shared.turns().next(seat);
            let fit_here = match &own {
                Some(own) => self.fits(own.index)?,
                None => Fit::Not,
            };
            if let (Some(own), Fit::Whole) = (&own, fit_here)
                && self.shared.turns().take(own)
            {
                return Ok(own.clone());
            }
            if self.held.is_empty() || fit_here == Fit::SoFar && !no_more {
                match self.soon(!self.held.is_empty()).await {
                    Some(true) => {}
                    Some(false) => return Err(None),
                    None => no_more = true,
                }
                continue;
            }
            if cause.is_none() {
                cause = self.cause().await.cause;
            }
            match self.elsewhere(cause) {
                Choice::This(seat, _) => return Ok(seat),
                _ if fit_here == Fit::SoFar && !self.more().await => return Err(None),
                _ if fit_here == Fit::SoFar => no_more = false,
                Choice::Open if self.held.len() <= MOST => {
                    if !self.more().await {
                        return Err(None);
                    }
                    no_more = false;
                }
                Choice::Open | Choice::None(_) => {
                    self.unlike(own).await;
                    return Err(Some(Cut::Close));
                }
            }
        }
    }

    /// An unused turn on whichever recorded connection that is what is held.
    fn elsewhere(&self, cause: Option<ExchangeIndex>) -> Choice {
        let (script, held) = (&self.shared.setup.script, &self.held);
        let fits = |index| script.turn(index).map_or(Fit::Not, |turn| fit_whole(&turn.asked, held));
        self.shared.turns().elsewhere(&self.facts.candidates, cause, fits)
    }

    /// Notes other bytes than were recorded; without a turn that was due, more than was recorded.
    async fn unlike(&self, due: Option<Seat>) {
        let due = due.filter(|due| self.shared.turns().take(due)).map(|due| due.index);
        let differences = due.map_or_else(Vec::new, |due| self.differences(due));
        let found = self.cause().await;
        self.note(due, &found, false, differences, "tcp");
        if due.is_some() {
            let name = self.facts.candidates.first().map_or("a dependency", String::as_str);
            self.shared.problem(format!(
                "{name} was sent other bytes than were recorded, and its connection was closed; if its clients say something \
                 new each time (a nonce, as in SCRAM), no recording can answer them: `--live {name}` relays it"
            ));
        }
    }

    /// How what is held fits a turn.
    fn fits(&self, index: CallIndex) -> Result<Fit, Option<Cut>> {
        match self.shared.setup.script.turn(index) {
            Ok(turn) => Ok(fit(&turn.asked, &self.held)),
            Err(error) => {
                self.shared.problem(error.to_string());
                Err(Some(Cut::Close))
            }
        }
    }

    /// Reads more, if `is_hurried` for as long as more may be part of a turn; false at the end, none if nothing came.
    async fn soon(&mut self, is_hurried: bool) -> Option<bool> {
        if !is_hurried {
            return Some(self.more().await);
        }
        timeout(MORE, self.more()).await.ok()
    }

    /// Finds which recorded connection it is, and whether others could be meant.
    async fn choose(&mut self) -> Result<(Seat, bool), Option<Cut>> {
        let mut cause = None;
        let mut no_more = false;
        loop {
            if cause.is_none() && !self.held.is_empty() {
                cause = self.cause().await.cause;
            }
            let choice = {
                let (script, held) = (&self.shared.setup.script, &self.held);
                let fits = |index| match script.turn(index) {
                    Ok(turn) => fit(&turn.asked, held),
                    Err(_) => Fit::Not,
                };
                self.shared.turns().choose(&self.facts.candidates, (cause, no_more), fits)
            };
            match choice {
                Choice::This(seat, is_one_of_many) => return Ok((seat, is_one_of_many)),
                Choice::None(nearest) if !self.held.is_empty() => match self.elsewhere(cause) {
                    Choice::This(seat, _) => return Ok((seat, false)),
                    Choice::Open if self.held.len() <= MOST => {
                        if !self.more().await {
                            return Err(None);
                        }
                    }
                    Choice::Open | Choice::None(_) => {
                        let found = self.cause().await;
                        let differences = nearest.map_or_else(Vec::new, |nearest| self.differences(nearest));
                        self.note(None, &found, false, differences, "tcp");
                        return Err(Some(Cut::Close));
                    }
                },
                Choice::Open | Choice::None(_) if self.held.len() > MOST => return Err(Some(Cut::Close)),
                Choice::Open if !self.held.is_empty() && !no_more => match timeout(MORE, self.more()).await {
                    Ok(true) => {}
                    Ok(false) => return Err(None),
                    Err(_) => no_more = true,
                },
                Choice::Open | Choice::None(_) => {
                    no_more = false;
                    if !self.more().await {
                        return Err(None);
                    }
                }
            }
        }
    }

    /// Answers a turn whose bytes have come; `is_one_of_many`: it decided which of several connections this is.
    async fn turn(&mut self, index: CallIndex, is_one_of_many: bool) -> Next {
        let turn = match self.shared.setup.script.turn(index) {
            Ok(turn) => turn,
            Err(error) => {
                self.shared.problem(error.to_string());
                return Next::End(Cut::Close);
            }
        };
        let found = self.cause().await;
        let ambiguous = is_one_of_many && found.basis == Basis::Ambiguous;
        let id = self.note(Some(index), &found, ambiguous, Vec::new(), "tcp");
        self.held.advance(turn.asked.len());
        self.offset += turn.asked.len() as u64;
        self.answering = true;
        let next = self.reply(&turn.reply, turn.asked.len()).await;
        self.answering = false;
        self.shared.matcher().answered(id, self.shared.at_ns());
        next
    }

    /// Asks which faults the connection meets.
    fn meet(&mut self) {
        if self.shared.setup.faults.is_empty() {
            return;
        }
        let names: Vec<&str> = self.facts.candidates.iter().map(String::as_str).collect();
        let port = self.facts.address.map(|address| address.port());
        let met = self.shared.meets(Kind::Call, &names, port, ("", "", &[]), clock::now());
        self.spoilt = Spoilt::of(met);
    }

    async fn reply(&mut self, reply: &Reply, asked: usize) -> Next {
        let (began, faults) = (Instant::now(), Arc::clone(&self.shared.setup.faults));
        let spoilt = self.spoilt.turn(&reply.body, asked);
        let wait = self.shared.scaled(reply.wait_ns).saturating_add(Duration::from_nanos(spoilt.delay_ns));
        if let (Some(cut), true) = (spoilt.cut, spoilt.bytes.is_empty()) {
            if spoilt.delay_ns > 0 {
                let _meant = self.shared.activity.on_purpose();
                sleep_until(began + Duration::from_nanos(spoilt.delay_ns)).await;
            }
            self.spoilt.observed(&faults, began);
            return Next::End(cut);
        }
        let start = began + wait;
        let mut rest = spoilt.bytes;
        let recorded = reply.chunks.iter().map(|(ns, bytes)| {
            (u64::try_from(self.shared.scaled(*ns).as_nanos()).unwrap_or(u64::MAX), *bytes)
        });
        for (at, bytes) in Pieces::new(recorded.collect(), rest.len(), spoilt.flow) {
            let due = start + Duration::from_nanos(at);
            if due > Instant::now() {
                let _meant = self.shared.activity.on_purpose();
                sleep_until(due).await;
            }
            if self.stream.write_all(&rest.split_to(bytes)).await.is_err() {
                return Next::Gone;
            }
            self.shared.activity.moved();
        }
        self.spoilt.observed(&faults, began);
        if let Some(cut) = spoilt.cut {
            return Next::End(cut);
        }
        match reply.ending {
            Ending::Whole => Next::Turn,
            Ending::ResetAfter(_) => Next::End(Cut::Reset),
            Ending::ClosedAfter(_) => Next::End(Cut::Close),
            Ending::Never => Next::End(Cut::Silence),
        }
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let more = matches!(read(&self.stream, &mut self.held).await, Ok(1..));
        self.shared.activity.moved();
        more
    }

    async fn cause(&self) -> Found {
        let identifiers = Identifiers::default();
        let Facts { cookie, process, .. } = *self.facts;
        let asking =
            Asking { cookie, offset: self.offset, identifiers: &identifiers, process, at: clock::now() };
        self.shared.setup.causes.of_call(asking).await
    }

    fn differences(&self, recorded: CallIndex) -> Vec<Difference> {
        let Ok(turn) = self.shared.setup.script.turn(recorded) else { return Vec::new() };
        let of = |bytes| fields::of_request("", &[], Content::Bytes(bytes));
        fields::compare(&of(&turn.asked), &of(&self.held))
    }

    fn note(
        &self,
        counterpart: Option<CallIndex>,
        found: &Found,
        ambiguous: bool,
        differences: Vec<Difference>,
        protocol: &str,
    ) -> usize {
        let is_exact = counterpart.is_some() && differences.is_empty();
        let asked = (!is_exact).then(|| {
            Box::new(seen::Asked {
                dependency: self.facts.candidates.first().cloned().unwrap_or_default(),
                method: String::new(),
                target: if protocol == "tcp" { String::new() } else { format!("({protocol})") },
                fields: fields::of_request("", &[], Content::Bytes(&self.held)),
            })
        });
        self.shared.called(self.facts.address);
        self.shared.matcher().note(seen::Call {
            counterpart,
            differences,
            cause: found.cause,
            basis: found.basis,
            ambiguous,
            asked,
            at_ns: self.shared.at_ns(),
            answered_ns: None,
        })
    }
}

/// How what was sent fits a recorded turn.
fn fit(asked: &[u8], sent: &[u8]) -> Fit {
    if sent.starts_with(asked) {
        Fit::Whole
    } else if asked.starts_with(sent) {
        Fit::SoFar
    } else {
        Fit::Not
    }
}

/// The same where nothing may follow: what is short is the beginning of much.
fn fit_whole(asked: &[u8], sent: &[u8]) -> Fit {
    match fit(asked, sent) {
        Fit::Whole if asked.len() < sent.len() => Fit::Not,
        fit => fit,
    }
}
