//! Tokens that stand for secrets: equal for equal values, and telling nothing without the incident's key.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::echo::Values;
use crate::incident::json;

/// What every token begins with.
pub const PREFIX: &str = "redacted-";
/// Bytes of the MAC that a token shows, as twice as many hex digits.
const SHOWN: usize = 12;
/// The length of a token.
pub const LENGTH: usize = PREFIX.len() + 2 * SHOWN;
/// Longer values are replaced and not stored: what waits for its end is held in memory.
pub const LONGEST_VALUE: usize = 64 << 10;
/// Tokens that are known to be in `secrets.json`; beyond, a line may stand there twice.
const MOST_WRITTEN: usize = 100_000;
/// Lines for `secrets.json` that may wait for the end of a message, in bytes.
const MOST_PENDING: usize = 1 << 20;
/// Values seen lately whose token is remembered, a power of two, and how long they may be.
const RECENT: usize = 256;
const LONGEST_RECENT: usize = 4096;

/// `redacted-` and 24 hex digits.
pub type Token = [u8; LENGTH];

type Id = [u8; SHOWN];

/// What was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Values, each time they were met; a value that stands in a body that repeats counts once.
    pub values: u64,
    /// Different ones; at least so many, where there are more than 100,000.
    pub distinct: u64,
    /// Values of which `secrets.json` knows nothing: too long, or there was no room.
    pub unstored: u64,
}

/// Makes tokens, and the lines of `secrets.json` that tell what they stand for.
pub struct Tokens {
    /// The first line of secrets.json.
    first_line: Vec<u8>,
    mac: Hmac<Sha256>,
    recent: Vec<Option<Recent>>,
    written: BTreeSet<Id>,
    /// Lines for `secrets.json`, and whose they are.
    pending: Vec<u8>,
    pending_ids: Vec<Id>,
    replaced: Replaced,
    /// Values met since they were last asked for.
    met: Values,
}

struct Recent {
    value: Box<[u8]>,
    token: Token,
}

/// A secret as it comes, in pieces.
#[derive(Default)]
pub struct Held {
    kept: Vec<u8>,
    /// Of one that is too long to be kept: of all of it.
    mac: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the key nor a value belongs into a message.
        f.debug_struct("Tokens").field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Under this key, which is the first thing that `secrets.json` says.
    pub fn new(key: &[u8; 32]) -> Self {
        let first_line = first_line(key);
        Self {
            pending: first_line.clone(),
            first_line,
            mac: keyed(key),
            recent: Vec::new(),
            written: BTreeSet::new(),
            pending_ids: Vec::new(),
            replaced: Replaced::default(),
            met: Values::default(),
        }
    }

    /// What stands for `value`, which is looked for in what answers it, too.
    pub fn token(&mut self, value: &[u8]) -> Token {
        let token = self.quiet_token(value);
        self.met.add(value, token);
        token
    }

    /// What stands for `value`.
    pub fn quiet_token(&mut self, value: &[u8]) -> Token {
        self.replaced.values += 1;
        let place = (FixedState::default().hash_one(value) % RECENT as u64) as usize;
        if let Some(Some(recent)) = self.recent.get(place)
            && *recent.value == *value
        {
            return recent.token;
        }
        let mut mac = self.mac.clone();
        mac.update(value);
        let (id, token) = shown(mac);
        let stored = self.tell(id, &token, value);
        if stored && value.len() <= LONGEST_RECENT {
            self.recent.resize_with(RECENT, || None);
            self.recent[place] = Some(Recent { value: value.into(), token });
        }
        token
    }

    /// What stands for a value that came in pieces; it is forgotten.
    pub fn token_of(&mut self, held: &mut Held) -> Token {
        let token = match held.mac.take() {
            None => self.token(&held.kept),
            Some(mac) => {
                self.replaced.values += 1;
                self.replaced.unstored += 1;
                shown(mac).1
            }
        };
        held.clear();
        token
    }

    /// Adds to a value that comes in pieces.
    pub fn hold(&self, held: &mut Held, bytes: &[u8]) {
        if let Some(mac) = &mut held.mac {
            mac.update(bytes);
        } else if held.kept.len() + bytes.len() <= LONGEST_VALUE {
            held.kept.extend_from_slice(bytes);
        } else {
            let mut mac = self.mac.clone();
            mac.update(&held.kept);
            mac.update(bytes);
            *held = Held { kept: Vec::new(), mac: Some(mac) };
        }
    }

    /// The values met since the last time.
    pub fn met(&mut self) -> Values {
        std::mem::take(&mut self.met)
    }

    /// These were met once more.
    pub fn meet(&mut self, values: Values) {
        self.met.extend(values);
    }

    /// Counts values that were replaced elsewhere.
    pub const fn count(&mut self, values: u64) {
        self.replaced.values += values;
    }

    /// What was replaced so far.
    pub const fn replaced(&self) -> Replaced {
        self.replaced
    }

    /// Whether a secret was met of which `secrets.json` is to be told.
    pub const fn has_news(&self) -> bool {
        !self.pending_ids.is_empty()
    }

    /// The lines for `secrets.json` since the last time; its first line, with the key, before all others.
    pub fn news(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// The news were taken over.
    pub fn told(&mut self) {
        self.pending_ids.clear();
    }

    /// Another `secrets.json` begins, which knows nothing yet; the key stays.
    pub fn begin_file(&mut self) {
        self.recent.clear();
        self.written.clear();
        self.pending_ids.clear();
        self.pending = self.first_line.clone();
        self.replaced = Replaced::default();
    }

    /// There was no room for the news: they are told again when their values are met again.
    pub fn untold(&mut self, news: Vec<u8>) {
        self.recent.clear();
        let untold = self.pending_ids.len() as u64;
        self.replaced.unstored += untold;
        self.replaced.distinct -= untold;
        for id in self.pending_ids.drain(..) {
            self.written.remove(&id);
        }
        // The key's line stands for no value and is kept: without it the file cannot be read.
        if news.starts_with(b"{\"version\"") {
            let end = news.iter().position(|&byte| byte == b'\n').map_or(news.len(), |at| at + 1);
            self.pending = news;
            self.pending.truncate(end);
        }
    }

    /// Notes a line about a value, unless there is one. False where there is no room for it.
    fn tell(&mut self, id: Id, token: &Token, value: &[u8]) -> bool {
        if self.written.contains(&id) {
            return true;
        }
        if self.pending.len() + value.len() > MOST_PENDING || value.len() > LONGEST_VALUE {
            self.replaced.unstored += 1;
            return false;
        }
        self.replaced.distinct += 1;
        if self.written.len() < MOST_WRITTEN {
            self.written.insert(id);
        }
        self.pending_ids.push(id);
        let out = &mut self.pending;
        out.extend_from_slice(b"{\"token\":\"");
        out.extend_from_slice(token);
        match std::str::from_utf8(value) {
            Ok(text) => {
                out.extend_from_slice(b"\",\"value\":");
                json::string(out, text);
            }
            Err(_) => {
                out.extend_from_slice(b"\",\"valueB64\":\"");
                out.extend_from_slice(base64_simd::STANDARD.encode_to_string(value).as_bytes());
                out.push(b'"');
            }
        }
        out.extend_from_slice(b"}\n");
        true
    }
}

impl Held {
    /// Whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.mac.is_none()
    }

    /// All of it, unless it is too long to be kept.
    pub fn whole(&self) -> Option<&[u8]> {
        self.mac.is_none().then_some(&self.kept)
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.kept.shrink_to(4096);
        self.mac = None;
    }
}

/// What `secrets.json` begins with.
pub fn first_line(key: &[u8; 32]) -> Vec<u8> {
    let mut line = b"{\"version\":1,\"key\":\"".to_vec();
    json::hex(&mut line, key);
    line.extend_from_slice(b"\"}\n");
    line
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC takes keys of every length (RFC 2104 section 3): this does not fail.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn shown(mac: Hmac<Sha256>) -> (Id, Token) {
    let digest = mac.finalize().into_bytes();
    let (mut id, mut token) = ([0; SHOWN], [0; LENGTH]);
    id.copy_from_slice(&digest[..SHOWN]);
    let mut text = Vec::with_capacity(LENGTH);
    text.extend_from_slice(PREFIX.as_bytes());
    json::hex(&mut text, &id);
    token.copy_from_slice(&text);
    (id, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(token: Token) -> String {
        String::from_utf8(token.to_vec()).unwrap()
    }

    #[test]
    fn a_token_is_the_mac_of_its_value() {
        // printf hunter2 | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01
        let mut tokens = Tokens::new(&[1; 32]);
        let first = tokens.token(b"hunter2");
        assert_eq!(text(first), "redacted-f26b540759235a9d2d6decc1");
        assert_eq!(tokens.token(b"hunter2"), first);
        assert_ne!(tokens.token(b"hunter3"), first);
        assert_ne!(Tokens::new(&[2; 32]).token(b"hunter2"), first);
        assert_eq!(tokens.replaced(), Replaced { values: 3, distinct: 2, unstored: 0 });
    }

    #[test]
    fn each_value_is_told_once_behind_the_key() {
        let mut tokens = Tokens::new(&[0xab; 32]);
        assert!(!tokens.has_news(), "a key alone is no news");
        let (a, b) = (text(tokens.token(b"q\"\n")), text(tokens.token(b"\xff")));
        tokens.token(b"\xff");
        let news = String::from_utf8(tokens.news()).unwrap();
        let key = "ab".repeat(32);
        let expected = format!(
            "{{\"version\":1,\"key\":\"{key}\"}}\n{{\"token\":\"{a}\",\"value\":\"q\\\"\\n\"}}\n{{\"token\":\"{b}\",\"valueB64\":\"/w==\"}}\n"
        );
        assert_eq!(news, expected);
        tokens.told();
        tokens.token(b"\xff");
        assert!(!tokens.has_news());
    }

    #[test]
    fn what_could_not_be_told_is_told_the_next_time() {
        let mut tokens = Tokens::new(&[0; 32]);
        let token = tokens.token(b"one");
        let news = tokens.news();
        tokens.untold(news.clone());
        assert!(!tokens.has_news());
        assert_eq!(tokens.replaced().unstored, 1);
        assert_eq!(tokens.token(b"one"), token);
        assert!(tokens.has_news());
        assert_eq!(tokens.news(), news, "the key too");
    }

    #[test]
    fn a_value_in_pieces_has_the_token_of_the_whole_however_long() {
        for length in [0, 1, LONGEST_VALUE, LONGEST_VALUE + 1, 3 * LONGEST_VALUE] {
            let value: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut tokens = Tokens::new(&[0; 32]);
            let whole = tokens.token(&value);
            let mut held = Held::default();
            value.chunks(1000).for_each(|piece| tokens.hold(&mut held, piece));
            assert_eq!(tokens.token_of(&mut held), whole, "{length}");
            assert!(held.is_empty());
            assert_eq!(tokens.replaced().unstored, if length > LONGEST_VALUE { 2 } else { 0 }, "{length}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut tokens = Tokens::new(&[0; 32]);
        for number in 0..3_u32 << 15 {
            tokens.token(&[&number.to_be_bytes()[..], &[b'x'; 60]].concat());
        }
        assert!(tokens.pending.len() <= MOST_PENDING + 200, "{}", tokens.pending.len());
        let Replaced { values, distinct, unstored } = tokens.replaced();
        assert_eq!(values, distinct + unstored);
    }
}
