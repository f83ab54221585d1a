//! The decision.

use super::engine::Causes;
use super::requests::{Request, Ticket};
use super::threads::Who;
use super::{Basis, Identifiers};
use crate::clock::Nanos;

/// So many requests are looked at before it is said that they are several.
const MOST_LOOKED_AT: usize = 1024;
/// A call may have been made so much earlier than it was seen, in ns.
const SHORTLY_NS: u64 = 100_000_000;

/// A call whose cause is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// When it began.
    pub at: Nanos,
    /// What its head calls it.
    pub identifiers: &'a Identifiers,
    /// The thread that made it, where that is known.
    pub who: Option<Who>,
    /// The process, where that is known.
    pub process: Option<u32>,
    /// What [`Causes::named`] found when it began.
    pub named: Option<Ticket>,
}

/// Which request made a call happen, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<R> {
    /// Which.
    pub cause: Option<R>,
    /// How that is known; `None` where no request was open, and for one that is not recorded.
    pub basis: Option<Basis>,
}

impl<R> Found<R> {
    const NONE: Self = Self { cause: None, basis: None };
    const AMBIGUOUS: Self = Self { cause: None, basis: Some(Basis::Ambiguous) };
}

enum Alone<'a, R> {
    Nobody,
    One(&'a Request<R>),
    Several,
}

impl<R: Copy> Causes<R> {
    /// The cause of a call. Better asked when the call is over: what was told meanwhile counts.
    pub fn find(&mut self, asking: &Asking<'_>) -> Found<R> {
        let named = asking.named.filter(|it| self.requests.get(*it).is_some());
        if let Some(ticket) = named.or_else(|| self.by_header(asking)) {
            return self.known(ticket, Basis::Header);
        }
        if let Some(ticket) = asking.who.and_then(|who| self.by_thread(who, asking.at)) {
            return self.known(ticket, Basis::Thread);
        }
        if !self.requests.knows(asking.at) {
            return Found::AMBIGUOUS;
        }
        match self.alone(asking) {
            Alone::Nobody => Found::NONE,
            Alone::One(request) if !self.is_contradicted(asking, request) => {
                of(request.request, Basis::OnlyOneInFlight)
            }
            Alone::One(_) | Alone::Several => Found::AMBIGUOUS,
        }
    }

    /// Whether something was open at this time or shortly before, so that the thread that made a call, and when exactly
    /// it did, may matter.
    pub fn is_busy(&self, at: Nanos) -> bool {
        self.requests.was_open_since(Nanos(at.0.saturating_sub(SHORTLY_NS)))
    }

    fn known(&self, ticket: Ticket, basis: Basis) -> Found<R> {
        self.requests.get(ticket).map_or(Found::NONE, |request| of(request.request, basis))
    }

    /// An open request that has an identifier of the call's; or, where none has, one that was answered lately.
    pub(super) fn by_header(&mut self, asking: &Asking<'_>) -> Option<Ticket> {
        let Asking { at, identifiers, .. } = *asking;
        let mut found: [Vec<Ticket>; 2] = Default::default();
        for name in identifiers.iter() {
            if self.requests.is_common(name) {
                return None;
            }
            for (ticket, request) in self.requests.named(name, at) {
                let found = &mut found[usize::from(!request.is_open_at(at))];
                if !found.contains(&ticket) {
                    found.push(ticket);
                }
            }
        }
        let [open, lately] = found;
        let only = match (open.as_slice(), lately.as_slice()) {
            ([only], _) | ([], [only]) => *only,
            _ => return None,
        };
        let request = self.requests.get(only)?;
        self.passes_on |= request.identifiers.traces().any(|one| identifiers.iter().any(|it| it == one));
        Some(only)
    }

    /// The one request that this thread had open, in a process where that tells.
    fn by_thread(&self, who: Who, at: Nanos) -> Option<Ticket> {
        // It may have read thousands; few are open at a time.
        let read = self.threads.read_by(who)?;
        let open = self.requests.at(at).filter(|(ticket, it)| it.read_at <= at && read.contains(ticket));
        let mut open: Vec<(Ticket, &Request<R>)> = open.collect();
        open.sort_by_key(|(ticket, _)| *ticket);
        open.dedup_by_key(|(ticket, _)| *ticket);
        open.sort_by_key(|(_, it)| it.read_at);
        let (last, earlier) = open.split_last()?;
        // It had begun to answer the others before it read this one. Where such an answer has ended since, and nobody has
        // strayed, it was on its way already; where it has not, who knows whether the thread is done with it.
        let unsettled = earlier.iter().any(|(_, it)| it.is_open());
        (!unsettled && !self.has_unwatched(who.pid, at)).then_some(last.0)
    }

    /// Whether a request of this process was open of which nobody knows who read it.
    fn has_unwatched(&self, pid: u32, at: Nanos) -> bool {
        let of_it = |request: &Request<R>| request.process.is_none_or(|process| process == pid);
        self.requests.at(at).take(MOST_LOOKED_AT).any(|(_, it)| !it.watched && of_it(it))
    }

    /// Which were open: in the call's process, or in the whole target where that is not known, or is none that serves.
    fn alone(&self, asking: &Asking<'_>) -> Alone<'_, R> {
        let pid = asking.who.map(|who| who.pid).or(asking.process);
        let (mut within, mut elsewhere) = (None, None);
        let mut several_elsewhere = false;
        for (looked_at, (ticket, request)) in self.requests.at(asking.at).enumerate() {
            let is_other = |found: &Option<(Ticket, &Request<R>)>| found.is_some_and(|(it, _)| it != ticket);
            if looked_at >= MOST_LOOKED_AT {
                return Alone::Several;
            }
            if pid.is_some() && request.process.is_some() && pid != request.process {
                several_elsewhere |= is_other(&elsewhere);
                elsewhere = Some((ticket, request));
            } else if is_other(&within) {
                return Alone::Several;
            } else {
                within = Some((ticket, request));
            }
        }
        let serves = pid.is_some_and(|pid| self.threads.serves(pid));
        match (within, elsewhere) {
            (Some((_, request)), _) => Alone::One(request),
            (None, Some(_)) if !serves && several_elsewhere => Alone::Several,
            (None, Some((_, request))) if !serves => Alone::One(request),
            _ => Alone::Nobody,
        }
    }

    /// Whether something says that this request, the only one that was open, is not the cause.
    fn is_contradicted(&self, asking: &Asking<'_>, request: &Request<R>) -> bool {
        let (theirs, own) = (&request.identifiers, asking.identifiers);
        let other_trace = theirs.traces().next().is_some()
            && own.traces().next().is_some()
            && !theirs.traces().any(|one| own.traces().any(|other| one == other));
        // A thread that reads requests itself does not work for another's.
        let other_thread = asking.who.is_some_and(|who| {
            request.reader.is_some_and(|reader| reader != who) && self.threads.read_by(who).is_some()
        });
        self.passes_on && other_trace || other_thread
    }
}

const fn of<R>(request: Option<R>, basis: Basis) -> Found<R>
where
    R: Copy,
{
    // What is not recorded is nobody's cause, and nobody else is.
    if request.is_some() { Found { cause: request, basis: Some(basis) } } else { Found::NONE }
}
