//! Earlier answers, for `stale`: as many as there is room for.

use std::collections::{BTreeMap, VecDeque};

use super::answer::Answer;

/// So many bytes of the answers of one site are kept, and so many of all.
pub const MOST_OF_SITE: usize = 1 << 20;
const MOST: usize = 16 << 20;
/// Places of one site (`stale` goes back so far), and sites.
const MOST_PLACES: usize = 1000;
const MOST_SITES: usize = 4096;

/// The answers of all sites.
#[derive(Debug, Default)]
pub struct Earlier {
    by_site: BTreeMap<String, Site>,
    bytes: usize,
    /// What was asked for and not kept.
    lost: u64,
}

#[derive(Debug, Default)]
struct Site {
    /// How many there were.
    seen: u64,
    bytes: usize,
    /// The newest first; none in the place of one that was not kept.
    answers: VecDeque<Option<Answer>>,
}

impl Earlier {
    /// The answer of so many occurrences before the one that is served now; none where there were not so many, or it was not
    /// kept, which is counted.
    pub fn get(&mut self, site: &str, back: u32) -> Option<Answer> {
        let Some(of) = self.by_site.get(site) else {
            self.lost += u64::from(self.by_site.len() >= MOST_SITES);
            return None;
        };
        let place = usize::try_from(back.checked_sub(1)?).ok()?;
        let found = of.answers.get(place).cloned().flatten();
        self.lost += u64::from(found.is_none() && u64::from(back) <= of.seen);
        found
    }

    /// The one that was served now; none where it was too long to be read whole.
    pub fn keep(&mut self, site: &str, answer: Option<Answer>) {
        if self.by_site.len() >= MOST_SITES && !self.by_site.contains_key(site) {
            return;
        }
        let of = self.by_site.entry(site.to_owned()).or_default();
        let answer = answer.filter(|answer| answer.size() <= MOST_OF_SITE);
        let size = answer.as_ref().map_or(0, Answer::size);
        of.seen += 1;
        of.bytes += size;
        self.bytes += size;
        of.answers.push_front(answer);
        while of.bytes > MOST_OF_SITE || of.answers.len() > MOST_PLACES {
            self.bytes -= of.forget();
        }
        while self.bytes > MOST {
            let largest = self.by_site.values_mut().max_by_key(|site| site.bytes);
            self.bytes -= largest.map_or(self.bytes, Site::forget);
        }
    }

    /// What was asked for and not kept.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

impl Site {
    /// Forgets the oldest; how many bytes it had.
    fn forget(&mut self) -> usize {
        let bytes = self.answers.pop_back().flatten().map_or(0, |answer| answer.size());
        self.bytes -= bytes;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::message::Answered;
    use crate::protocol::http1_framing::Reply;

    fn answer(number: usize, bytes: usize) -> Option<Answer> {
        let raw = format!("HTTP/1.1 200 OK\r\nX: {number}\r\n\r\n{}", "x".repeat(bytes));
        let head = raw.find("\r\n\r\n").unwrap() + 4;
        let answered = Answered::parse(&raw.as_bytes()[..head], Reply::Plain).unwrap();
        Some(Answer::new(raw.as_bytes(), head, &answered, Reply::Plain))
    }

    fn number(answer: Option<Answer>) -> Option<usize> {
        let before = answer?.written().before;
        std::str::from_utf8(&before).unwrap().split("X: ").nth(1)?.trim().parse().ok()
    }

    #[test]
    fn as_far_back_as_the_grammar_goes() {
        let mut earlier = Earlier::default();
        assert_eq!(number(earlier.get("a", 1)), None);
        for at in 0..1500 {
            earlier.keep("a", answer(at, 10));
        }
        assert_eq!(number(earlier.get("a", 1)), Some(1499));
        assert_eq!(number(earlier.get("a", 1000)), Some(500));
        assert_eq!(
            (number(earlier.get("b", 1)), number(earlier.get("a", 1501)), earlier.lost()),
            (None, None, 0)
        );
    }

    #[test]
    fn what_is_not_kept_keeps_its_place_and_is_counted() {
        let mut earlier = Earlier::default();
        earlier.keep("a", answer(1, 10));
        earlier.keep("a", answer(2, 2 << 20));
        earlier.keep("a", None);
        earlier.keep("a", answer(4, 10));
        let got: Vec<_> = (1..=5).map(|back| number(earlier.get("a", back))).collect();
        assert_eq!((got, earlier.lost()), (vec![Some(4), None, None, Some(1), None], 2));
    }

    #[test]
    fn memory_is_bounded() {
        let mut earlier = Earlier::default();
        for at in 0..200 {
            earlier.keep(&format!("site {}", at % 40), answer(at, 300 << 10));
        }
        let bytes: usize = earlier.by_site.values().map(|site| site.bytes).sum();
        assert_eq!(bytes, earlier.bytes);
        assert!((MOST - (1 << 20)..=MOST).contains(&bytes), "{bytes}");
        assert_eq!(number(earlier.get("site 39", 1)), Some(199));
        for at in 0..5000 {
            earlier.keep(&format!("other {at}"), None);
        }
        assert_eq!(earlier.by_site.len(), MOST_SITES);
    }
}
