//! Inbound exchanges, each with the calls that it made happen.
//!
//! Calls are told by their lines, which name their cause; a call may be told of before its request is (that is told of
//! when it is whole), so all are read before the first is printed. Kept of each is its row.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::entry::Entry;
use super::filter::Filter;
use super::summary::Summary;
use super::table::{Cells, cells};
use super::text::{duration, escape_json};
use super::{Screen, Stop};
use crate::incident::event::{Event, Kind};

/// A row.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(rename = "type")]
    kind: String,
    sequence: Option<u64>,
    service: String,
    method: String,
    url: String,
    status: Option<u16>,
    /// In ns.
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause_basis: Option<String>,
    #[serde(skip)]
    cells: Cells,
    #[serde(skip)]
    selected: bool,
}

/// An exchange and what it made happen; without a request, what nobody knows the cause of.
#[derive(Debug, Default, Serialize)]
struct Branch {
    request: Option<Node>,
    calls: Vec<Node>,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    branches: Vec<Branch>,
    /// The place of a request's branch, by its line's id.
    by_id: BTreeMap<String, usize>,
    calls: Vec<(Option<String>, Node)>,
}

impl Tree {
    /// Takes in what a row of the table would tell of.
    pub fn add(&mut self, entry: &Entry<'_>, filter: &Filter, summary: &mut Summary) {
        let selected = filter.matches(entry);
        summary.count(entry, selected);
        let event = &entry.event;
        match event.kind {
            Kind::InboundRequest | Kind::InboundResponse => {
                let answered = self.by_id.get(&event.trace_id).and_then(|&at| self.branches.get_mut(at));
                if event.kind == Kind::InboundResponse
                    && let Some(Branch { request: Some(request), .. }) = answered
                {
                    return request.answered(entry, selected);
                }
                if !event.id.is_empty() {
                    self.by_id.insert(event.id.clone(), self.branches.len());
                }
                let request = Some(Node::of(entry, selected));
                self.branches.push(Branch { request, calls: Vec::new() });
            }
            Kind::OutboundCall | Kind::Connection | Kind::Dns => {
                self.calls.push((event.cause.clone(), Node::of(entry, selected)));
            }
            Kind::Lost | Kind::Fault | Kind::Other(_) => {}
        }
    }

    /// Prints what is selected: an exchange with all that belongs to it if any of it is.
    pub fn print(mut self, json: bool, screen: Screen, out: &mut impl Write) -> Result<bool, Stop> {
        let mut unknown = Branch::default();
        for (cause, call) in self.calls {
            let branch = cause.and_then(|cause| self.branches.get_mut(*self.by_id.get(&cause)?));
            branch.unwrap_or(&mut unknown).calls.push(call);
        }
        unknown.calls.retain(|call| call.selected);
        self.branches.retain(|it| it.request.iter().chain(&it.calls).any(|node| node.selected));
        self.branches.extend((!unknown.calls.is_empty()).then_some(unknown));
        let any = !self.branches.is_empty();
        for branch in self.branches {
            if json {
                branch.print_json(screen, out)?;
            } else {
                branch.print(out)?;
            }
        }
        Ok(any)
    }
}

impl Branch {
    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        match &self.request {
            Some(request) => writeln!(out, "{}", request.row())?,
            None => writeln!(out, "no known cause")?,
        }
        self.calls.iter().try_for_each(|call| writeln!(out, "    {}", call.row()))
    }

    fn print_json(&self, screen: Screen, out: &mut impl Write) -> Result<(), Stop> {
        let line = serde_json::to_string(self).map_err(std::io::Error::from)?;
        let line = if screen.terminal { escape_json(&line) } else { line.as_str().into() };
        Ok(writeln!(out, "{line}")?)
    }
}

impl Node {
    fn of(entry: &Entry<'_>, selected: bool) -> Self {
        let event: &Event = &entry.event;
        let mut node = Self {
            id: event.id.clone(),
            kind: event.kind.as_str().to_owned(),
            sequence: event.sequence,
            service: event.service.clone(),
            method: event.method.clone(),
            url: event.url.clone(),
            cause_basis: event.cause_basis.clone(),
            ..Self::default()
        };
        node.answered(entry, selected);
        node
    }

    /// Its answer, or all there is of it.
    fn answered(&mut self, entry: &Entry<'_>, selected: bool) {
        let outcome = entry.outcome();
        (self.status, self.duration) = (outcome.status, outcome.duration);
        self.error = outcome.error.clone().or_else(|| entry.event.error.clone());
        let cells = cells(entry);
        self.cells = Cells { way: if self.cells.way.is_empty() { cells.way } else { "in" }, ..cells };
        self.selected |= selected;
    }

    /// `#5  out  GET http://prices.test/v1  200  2.0ms  thread`
    fn row(&self) -> String {
        let Cells { way, method, url, status } = &self.cells;
        let number = self.sequence.map_or_else(|| "-".to_owned(), |number| format!("#{number}"));
        let took = self.duration.map_or_else(|| "-".to_owned(), duration);
        let row = format!("{number}  {way}  {method} {url}  {status}  {took}");
        match &self.cause_basis {
            Some(basis) => row + "  " + &super::text::escape(basis),
            None => row,
        }
    }
}
