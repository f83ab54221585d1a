//! An HTTP/1 response that is changed. Fields that no fault concerns stay as they are on the wire, byte for byte.

use bytes::{Bytes, BytesMut};

use super::message::{self, Answered};
use crate::fault::{Effect, set_json};
use crate::protocol::http1_framing::Reply;
use crate::seed::Ids;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its lines, the first being the status line, without line ends.
    lines: Vec<Vec<u8>>,
    content: Bytes,
    /// What stands behind the last chunk: fields, and the line that ends them.
    trailers: Bytes,
    chunked: bool,
    /// Not so for HEAD, 204 and 304.
    has_body: bool,
    /// It answers a HEAD: whatever its status, there is no body.
    to_head: bool,
}

/// A response as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The head, and what begins a chunk.
    pub before: Bytes,
    /// The content.
    pub content: Bytes,
    /// What ends the chunks.
    pub behind: Bytes,
}

impl Answer {
    /// Of a whole response, head and body as they came.
    pub(super) fn new(raw: &[u8], head: usize, answered: &Answered, reply: Reply) -> Self {
        let (chunked, has_body) = (answered.chunked, answered.body.is_some());
        let lines =
            raw[..head].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.take_while(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        let content = if !has_body {
            Bytes::new()
        } else if chunked {
            message::content(raw).into()
        } else {
            Bytes::copy_from_slice(&raw[head..])
        };
        let trailers = Bytes::copy_from_slice(if chunked { message::trailers(&raw[head..]) } else { &[] });
        Self { lines, content, trailers, chunked, has_body, to_head: reply == Reply::Head }
    }

    /// One of our own, without content.
    pub fn own(status: u16) -> Self {
        let lines = [
            format!("HTTP/1.1 {status} {}", reason(status)),
            "Content-Length: 0".to_owned(),
            "X-InfernoSIM: injected".to_owned(),
        ];
        let lines = lines.map(String::into_bytes).to_vec();
        let (content, trailers) = (Bytes::new(), Bytes::new());
        Self { lines, content, trailers, chunked: false, has_body: true, to_head: false }
    }

    /// How much memory it takes, about.
    pub fn size(&self) -> usize {
        self.lines.iter().map(Vec::len).sum::<usize>() + self.content.len() + self.trailers.len()
    }

    /// Applies an effect; what is to be said of it once it has been sent, or none if it changes nothing.
    pub fn apply(&mut self, effect: &Effect) -> Option<String> {
        match effect {
            Effect::Status(status) => {
                let line = self.lines.first_mut()?;
                let version = line.split(|byte| *byte == b' ').next().unwrap_or_default().to_vec();
                *line = [&version[..], format!(" {status} {}", reason(*status)).as_bytes()].concat();
                self.frame(matches!(status, 204 | 304));
                Some(format!("status {status}"))
            }
            Effect::SetHeader(name, value) => {
                self.set_field(name, value);
                Some(format!("header {name} set"))
            }
            Effect::DropHeader(name) => {
                let before = self.lines.len();
                self.drop_field(name);
                (self.lines.len() < before).then(|| format!("header {name} dropped"))
            }
            Effect::SetBody(body) if self.has_body => {
                self.drop_field("content-encoding");
                self.set_content(body.clone());
                Some(format!("another body, {} bytes", body.len()))
            }
            Effect::SetJson(path, value) => {
                let json = set_json(&self.fields(), &self.content, path, value)?;
                self.drop_field("content-encoding");
                self.set_content(json.into());
                Some(format!("{path} was {value}"))
            }
            Effect::Corrupt { bytes, key } => {
                let count = spoil(&mut self.content, *bytes, *key);
                (count > 0).then(|| format!("{count} bytes were others"))
            }
            _ => None,
        }
    }

    /// As it goes out.
    pub fn written(&self) -> Written {
        let mut before = BytesMut::new();
        for line in &self.lines {
            before.extend_from_slice(line);
            before.extend_from_slice(b"\r\n");
        }
        before.extend_from_slice(b"\r\n");
        let mut behind = Bytes::new();
        if self.has_body && self.chunked {
            if self.content.is_empty() {
                behind = [b"0\r\n", &self.trailers[..]].concat().into();
            } else {
                before.extend_from_slice(format!("{:x}\r\n", self.content.len()).as_bytes());
                behind = [b"\r\n0\r\n", &self.trailers[..]].concat().into();
            }
        }
        let content = if self.has_body { self.content.clone() } else { Bytes::new() };
        Written { before: before.freeze(), content, behind }
    }

    /// A status without a body has nothing of its length either (RFC 9110 section 8.6); one that has a body says so where
    /// the other had none: a client would wait for the connection's end.
    fn frame(&mut self, is_bodiless: bool) {
        if self.to_head || is_bodiless != self.has_body {
            return;
        }
        (self.content, self.chunked, self.has_body) = (Bytes::new(), false, !is_bodiless);
        self.drop_field("transfer-encoding");
        if is_bodiless {
            self.drop_field("content-length");
        } else {
            self.set_field("Content-Length", "0");
        }
    }

    /// What is no field is passed over.
    fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let split = |line: &Vec<u8>| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((String::from_utf8(line[..colon].to_vec()).ok()?, line[colon + 1..].trim_ascii().to_vec()))
        };
        self.lines.iter().skip(1).filter_map(split).collect()
    }

    fn set_content(&mut self, content: Bytes) {
        if !self.chunked {
            self.set_field("Content-Length", &content.len().to_string());
        }
        self.content = content;
    }

    /// One field in the place of all of its name, where the first of them stood.
    fn set_field(&mut self, name: &str, value: &str) {
        let clean = |text: &str| text.replace(['\r', '\n', '\0'], " ");
        let line = format!("{}: {}", clean(name), clean(value)).into_bytes();
        let place = self.lines.iter().position(|line| is_field(line, name));
        self.drop_field(name);
        let place = place.unwrap_or(self.lines.len()).min(self.lines.len());
        self.lines.insert(place, line);
    }

    fn drop_field(&mut self, name: &str) {
        self.lines.retain(|line| !is_field(line, name));
    }
}

fn is_field(line: &[u8], name: &str) -> bool {
    line.split(|byte| *byte == b':').next().is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
        && line.len() > name.len()
}

/// Makes so many bytes others, at places that follow from the key; all of them where there are no more.
fn spoil(content: &mut Bytes, bytes: u64, key: u64) -> usize {
    let mut changed = BytesMut::from(&content[..]);
    let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(changed.len());
    let mut dice = Ids::from_key([key, 0]);
    let mut places = std::collections::BTreeSet::new();
    while places.len() < most {
        let drawn = dice.draw();
        let mut place = usize::try_from(drawn % changed.len() as u128).unwrap_or(0);
        while !places.insert(place) {
            place = (place + 1) % changed.len();
        }
        // Never by 0: the byte is another.
        changed[place] ^= (drawn >> 120) as u8 | 1;
    }
    *content = changed.freeze();
    most
}

fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Injected")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const PLAIN: &str =
        "HTTP/1.1 200 OK\r\nServer:  odd \r\ncontent-length: 9\r\nX-a: 1\r\nx-A: 2\r\n\r\n{\"a\":[1]}";

    fn answer(text: &str) -> Answer {
        answer_to(Reply::Plain, text)
    }

    fn answer_to(reply: Reply, text: &str) -> Answer {
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let answered = Answered::parse(&text.as_bytes()[..head], reply).unwrap();
        Answer::new(text.as_bytes(), head, &answered, reply)
    }

    fn text(answer: &Answer) -> String {
        let Written { before, content, behind } = answer.written();
        String::from_utf8([before, content, behind].concat()).unwrap()
    }

    fn with(effects: &[Effect]) -> String {
        let mut answer = answer(PLAIN);
        for effect in effects {
            assert!(answer.apply(effect).is_some(), "{effect:?}");
        }
        text(&answer)
    }

    #[test]
    fn unchanged_it_is_what_came() {
        assert_eq!(with(&[]), PLAIN);
    }

    #[test]
    fn only_what_a_fault_concerns_changes() {
        assert_eq!(with(&[Effect::Status(503)]), PLAIN.replace("200 OK", "503 Service Unavailable"),);
        let set = with(&[Effect::SetHeader("X-A".into(), "3\r\nevil: 1".into())]);
        assert_eq!(set, PLAIN.replace("X-a: 1\r\nx-A: 2", "X-A: 3  evil: 1"));
        assert_eq!(with(&[Effect::DropHeader("x-a".into())]), PLAIN.replace("X-a: 1\r\nx-A: 2\r\n", ""));
        let body = with(&[Effect::SetBody("hello".into())]);
        assert!(body.contains("\r\nContent-Length: 5\r\n") && body.ends_with("\r\n\r\nhello"), "{body}");
        let json = with(&[Effect::SetJson("a.0".into(), Value::from(7))]);
        assert!(json.ends_with("{\"a\":[7]}"), "{json}");
    }

    #[test]
    fn a_status_without_a_body_comes_and_goes() {
        let plain = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nab";
        let chunked = "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        for whole in [plain, chunked] {
            let mut it = answer(whole);
            it.apply(&Effect::Status(204));
            assert_eq!(text(&it), "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n");
        }
        // A 304 may tell the length that a 200 would have (RFC 9110 section 8.6).
        let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
        for bodiless in ["HTTP/1.1 204 No Content\r\n\r\n", not_modified] {
            let mut it = answer(bodiless);
            it.apply(&Effect::Status(503));
            assert_eq!(text(&it), "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
            it.apply(&Effect::SetBody("hello".into()));
            assert!(text(&it).ends_with("\r\nContent-Length: 5\r\n\r\nhello"), "{it:?}");
        }
        let mut it = answer_to(Reply::Head, not_modified);
        it.apply(&Effect::Status(503));
        assert_eq!(it.apply(&Effect::SetBody("hello".into())), None);
        assert_eq!(text(&it), "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\n");
    }

    #[test]
    fn what_cannot_apply_is_not_said() {
        let mut it = answer(PLAIN);
        assert_eq!(it.apply(&Effect::DropHeader("none".into())), None);
        assert_eq!(it.apply(&Effect::SetJson("a.9".into(), Value::Null)), None);
        assert_eq!(it.apply(&Effect::Rcode(crate::fault::Rcode::NxDomain)), None);
        assert_eq!(text(&it), PLAIN);
    }

    #[test]
    fn chunks_are_made_anew() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let mut it = answer(chunked);
        assert_eq!(it.content, "abcde");
        assert!(text(&it).ends_with("\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"));
        it.apply(&Effect::SetBody(Bytes::new()));
        assert!(text(&it).ends_with("\r\n\r\n0\r\n\r\n"));
        let trailed = chunked.replace("0\r\n\r\n", "0;x\r\nX-Sum:  9 \r\nB: 2\r\n\r\n");
        let it = answer(&trailed);
        assert!(
            text(&it).ends_with("\r\n\r\n5\r\nabcde\r\n0\r\nX-Sum:  9 \r\nB: 2\r\n\r\n"),
            "{}",
            text(&it)
        );
    }

    #[test]
    fn so_many_bytes_are_spoilt() {
        for bytes in [1_u64, 5, 99] {
            let mut content = Bytes::from(vec![b'x'; 20]);
            let spoilt = spoil(&mut content, bytes, 7);
            assert_eq!(spoilt as u64, bytes.min(20));
            assert_eq!(content.iter().filter(|byte| **byte != b'x').count(), spoilt);
        }
    }
}
