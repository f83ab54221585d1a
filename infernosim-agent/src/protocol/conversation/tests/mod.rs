//! Scripts: what was fed, and what was said of it, one line a message. See [`script`].

mod http1;
mod limits;
mod opaque;
mod property;
mod resume;

use super::Conversation;
use crate::protocol::{Field, Message, Sender};
use Sender::{Client as C, Server as S};

/// One thing that happens to a connection.
#[derive(Clone, Debug)]
enum Step {
    Feed(Sender, Vec<u8>),
    Gap(Sender, u64),
    Fin(Sender),
}

/// What was said: a line a message, content apart so that adjacent pieces of it can be joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said(Vec<Item>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Line(String),
    Content(&'static str, Vec<u8>),
}

impl Said {
    fn hear(&mut self, message: Message<'_>) {
        let line = match message {
            Message::Request { protocol, method, target, fields } => {
                format!("> {method} {target} {}{}", protocol.as_str(), list(fields))
            }
            Message::RequestEnd(trailers) => format!("> end{}", list(trailers)),
            Message::Interim { status, fields } => format!("< interim {status}{}", list(fields)),
            Message::Response { status, fields } => format!("< {status}{}", list(fields)),
            Message::ResponseEnd(trailers) => format!("< end{}", list(trailers)),
            Message::Tunnel => "tunnel".to_owned(),
            Message::Hello { sni, alpn } => format!("hello {sni:?} {alpn:?}"),
            Message::Opaque { protocol, error: None } => format!("opaque {}", protocol.as_str()),
            Message::Opaque { protocol, error: Some(error) } => {
                format!("opaque {}: {error}", protocol.as_str())
            }
            Message::Gap(from, bytes) => format!("gap {from:?} {bytes}"),
            Message::RequestBody(content) => return self.content("> body", content),
            Message::ResponseBody(content) => return self.content("< body", content),
            Message::Bytes(C, content) => return self.content("> bytes", content),
            Message::Bytes(S, content) => return self.content("< bytes", content),
        };
        self.0.push(Item::Line(line));
    }

    fn content(&mut self, kind: &'static str, content: &[u8]) {
        assert!(!content.is_empty(), "an empty {kind}");
        match self.0.last_mut() {
            Some(Item::Content(last, bytes)) if *last == kind => bytes.extend_from_slice(content),
            _ => self.0.push(Item::Content(kind, content.to_vec())),
        }
    }

    /// All content of one kind, joined.
    fn all(&self, kind: &str) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|item| {
                if let Item::Content(k, b) = item
                    && *k == kind
                {
                    b.as_slice()
                } else {
                    &[]
                }
            })
            .copied()
            .collect()
    }

    fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|item| match item {
                Item::Line(line) => line.clone(),
                Item::Content(kind, bytes) => format!("{kind} {}", bytes.escape_ascii()),
            })
            .collect()
    }

    fn opaque_at(&self) -> Option<usize> {
        self.0.iter().position(|item| matches!(item, Item::Line(line) if line.starts_with("opaque")))
    }
}

fn list(fields: &[Field<'_>]) -> String {
    fields.iter().map(|field| format!(" | {}: {}", field.name, field.value.escape_ascii())).collect()
}

fn play(steps: &[Step]) -> (Said, Conversation) {
    play_on(Conversation::new(), steps)
}

fn play_on(mut conversation: Conversation, steps: &[Step]) -> (Said, Conversation) {
    let mut said = Said::default();
    for step in steps {
        let mut emit = |message: Message<'_>| said.hear(message);
        match step {
            Step::Feed(from, bytes) => conversation.feed(*from, bytes, &mut emit),
            Step::Gap(from, bytes) => conversation.gap(*from, *bytes, &mut emit),
            Step::Fin(from) => conversation.fin(*from, &mut emit),
        }
    }
    (said, conversation)
}

/// Every feed cut into pieces of `size` bytes.
fn cut(steps: &[Step], size: usize) -> Vec<Step> {
    steps
        .iter()
        .flat_map(|step| match step {
            Step::Feed(from, bytes) => {
                bytes.chunks(size).map(|piece| Step::Feed(*from, piece.to_vec())).collect()
            }
            other => vec![other.clone()],
        })
        .collect()
}

/// Plays the steps, whole, in pieces of 1 byte and of a few other sizes, and compares with what must be said
/// (content with `\r\n` and bytes past ASCII escaped).
fn script<'b>(steps: impl IntoIterator<Item = (Sender, &'b [u8])>, expected: &[&str]) {
    let steps: Vec<_> = steps.into_iter().map(|(from, bytes)| Step::Feed(from, bytes.to_vec())).collect();
    check(&steps, expected);
}

/// As [`script`], with both sides closed at the end, the server's first.
fn closed<'b>(steps: impl IntoIterator<Item = (Sender, &'b [u8])>, expected: &[&str]) {
    let feeds = steps.into_iter().map(|(from, bytes)| Step::Feed(from, bytes.to_vec()));
    check(&feeds.chain([Step::Fin(S), Step::Fin(C)]).collect::<Vec<_>>(), expected);
}

fn check(steps: &[Step], expected: &[&str]) {
    assert_eq!(play(steps).0.lines(), expected, "in whole feeds");
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(play(&cut(steps, size)).0.lines(), expected, "in feeds of {size}");
    }
}
