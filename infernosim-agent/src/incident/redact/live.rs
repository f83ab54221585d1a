//! Live messages, redacted as a recording was: their secrets then compare by their tokens, and reach no report.

use super::echo::Values;
use super::media::{Coding, Media};
use super::spot::mask;
use super::{Redaction, Redactor, Whole, coding};

/// So much may come of compressed content, in bytes: of all of it, and for each byte and above a first MiB.
const MOST_DECODED: usize = 64 << 20;
const MOST_FOR_EACH: usize = 200;
const ALWAYS_DECODED: usize = 1 << 20;

/// Redacts live messages under a recording's key and policy.
#[derive(Debug, Default)]
pub struct Live {
    redactor: Option<Redactor>,
    /// The key is another than the recording's: tokens tell only that there was a secret.
    foreign: bool,
}

/// What of a message is another without its secrets.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    /// The target of a request.
    pub target: Option<String>,
    /// Header fields of an answer, all of them, in wire order.
    pub headers: Option<Vec<(String, Vec<u8>)>>,
    /// The body, as far as it could be read.
    pub body: Option<Vec<u8>>,
}

/// The secrets of a request that its answer may repeat.
#[derive(Clone, Debug, Default)]
pub struct Met(Values);

impl Live {
    /// By what was done to the recording; `foreign`: not under its key, which is lost.
    pub fn new(redaction: &Redaction, foreign: bool) -> Self {
        let mut redactor = redaction.redactor();
        if let Some(redactor) = &mut redactor {
            settle(redactor);
        }
        Self { redactor, foreign }
    }

    /// A request of the target.
    pub fn request(&mut self, target: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> Redacted {
        self.asked(target, headers, body).0
    }

    /// What an answer to this request may repeat.
    pub fn met(&mut self, target: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> Met {
        if let Some(redactor) = &mut self.redactor {
            redactor.met();
            headers.iter().for_each(|(name, value)| {
                let class = redactor.class(name.as_bytes());
                redactor.value(class, value);
            });
        }
        self.asked(target, headers, body).1
    }

    fn asked(&mut self, target: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> (Redacted, Met) {
        let Some(redactor) = &mut self.redactor else { return Default::default() };
        let target = redactor.url(target.as_bytes()).map(|url| text(&url));
        let body = whole(redactor, headers, &Values::default(), body);
        let met = Met(redactor.met());
        settle(redactor);
        (Redacted { target, headers: None, body }, met)
    }

    /// The answer to a request of which this was met.
    pub fn answer(&mut self, met: &Met, headers: &[(String, Vec<u8>)], body: &[u8]) -> Redacted {
        let Some(redactor) = &mut self.redactor else { return Redacted::default() };
        let fields = headers.iter().map(|(name, value)| {
            let class = redactor.class(name.as_bytes());
            (name.clone(), redactor.value(class, value).unwrap_or_else(|| value.clone()))
        });
        let fields = fields.collect();
        redactor.met();
        let body = whole(redactor, headers, &met.0, body);
        redactor.met();
        settle(redactor);
        Redacted { target: None, headers: Some(fields), body }
    }

    /// Text in which tokens tell as much as they can: all of it under the recording's key, else only that there is one.
    pub fn comparable<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.foreign { mask(text) } else { text.into() }
    }

    /// Whether tokens tell only that there was a secret.
    pub const fn is_foreign(&self) -> bool {
        self.foreign
    }
}

/// Nothing is written here: what tokens stand for is known to the recording, or to nobody.
fn settle(redactor: &mut Redactor) {
    if redactor.has_news() {
        redactor.news();
        redactor.told();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn whole(
    redactor: &mut Redactor,
    headers: &[(String, Vec<u8>)],
    values: &Values,
    body: &[u8],
) -> Option<Vec<u8>> {
    match redactor.whole(&Media::of(headers), values, body) {
        Whole::Same => None,
        Whole::Replaced(bytes) | Whole::Cut(bytes) => Some(bytes),
        Whole::Unreadable => Some(Vec::new()),
    }
}

/// Content without its coding; `None` if it has none, or cannot be decoded in whole or within bounds.
pub fn decoded(media: &Media, bytes: &[u8]) -> Option<Vec<u8>> {
    if media.coding == Coding::Identity {
        return None;
    }
    let (mut decoder, _) = coding::of(media.coding, bytes)?;
    let most = bytes.len().saturating_mul(MOST_FOR_EACH).clamp(ALWAYS_DECODED, MOST_DECODED);
    let mut out = Vec::new();
    let mut sink = |piece: &[u8]| {
        out.extend_from_slice(piece);
        out.len() <= most
    };
    decoder.feed(bytes, &mut sink).ok()?;
    decoder.finish(&mut sink);
    (out.len() <= most).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    fn live() -> Live {
        Live::new(&Redaction::with_key(Some(Policy::default()), [1; 32]), false)
    }

    fn fields(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    // printf hunter2 | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01
    const HUNTER2: &str = "redacted-f26b540759235a9d2d6decc1";

    #[test]
    fn a_live_secret_has_the_recordings_token() {
        let json = fields(&[("Content-Type", "application/json")]);
        let it = live().request("/a?token=hunter2&b=1", &json, b"{\"password\":\"hunter2\"}");
        assert_eq!(it.target.unwrap(), format!("/a?token={HUNTER2}&b=1"));
        assert_eq!(it.body.unwrap(), format!("{{\"password\":\"{HUNTER2}\"}}").into_bytes());
        let it = live().request("/a?b=1", &json, b"{\"b\":1}");
        assert_eq!((it.target, it.body), (None, None));
    }

    #[test]
    fn an_answer_may_repeat_what_its_request_said() {
        let mut live = live();
        let met = live.met("/", &fields(&[("Authorization", "Bearer hunter2")]), b"");
        let headers = fields(&[("Set-Cookie", "sid=hunter2; Path=/"), ("X", "y")]);
        let it = live.answer(&met, &headers, b"you said hunter2");
        assert_eq!(it.body.unwrap(), format!("you said {HUNTER2}").into_bytes());
        assert_eq!(
            it.headers.unwrap(),
            fields(&[("Set-Cookie", &format!("sid={HUNTER2}; Path=/")), ("X", "y")])
        );
        assert_eq!(live.answer(&Met::default(), &[], b"you said hunter2").body, None);
    }

    #[test]
    fn without_a_policy_nothing_is_replaced() {
        let mut live = Live::new(&Redaction::with_key(None, [0; 32]), false);
        assert_eq!(live.request("/?token=a", &[], b"password=b").target, None);
    }

    #[test]
    fn content_is_decoded_within_bounds() {
        use std::io::Write as _;
        let zipped = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let gzip = Media::of(&fields(&[("content-encoding", "gzip")]));
        assert_eq!(decoded(&gzip, &zipped(b"hello")).unwrap(), b"hello");
        assert_eq!(decoded(&gzip, &zipped(&vec![0; 8 << 20])), None, "a thousand times its size");
        assert_eq!(decoded(&gzip, b"hello"), None);
        assert_eq!(decoded(&Media::default(), b"hello"), None);
    }
}
