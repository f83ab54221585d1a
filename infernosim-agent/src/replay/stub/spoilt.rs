//! What faults do to a connection whose protocol is not read. Pure; bytes are counted over the whole connection, each
//! direction for itself.

use bytes::Bytes;
use tokio::time::Instant;

use super::disturbed::corrupt;
use super::flow::{Flow, Slice};
use super::upstream;
use super::wire::Cut;
use crate::fault::{Effect, Faults, Fired, Stream};

/// The faults of a connection.
#[derive(Debug, Default)]
pub struct Spoilt {
    met: Vec<Fired>,
    /// Bytes that were sent.
    sent: u64,
    /// Bytes that came.
    asked: u64,
}

/// An answer as it is to be sent.
#[derive(Debug, Default)]
pub struct Turned {
    /// What is sent of it.
    pub bytes: Bytes,
    /// Real time before it, in ns, beyond the recorded.
    pub delay_ns: u64,
    /// How it goes out.
    pub flow: Flow,
    /// The end behind it, where it is one on purpose.
    pub cut: Option<Cut>,
}

impl Spoilt {
    /// Of what a connection meets.
    pub fn of(met: Vec<Fired>) -> Self {
        Self { met, sent: 0, asked: 0 }
    }

    /// What becomes of the next answer, to so many bytes.
    pub fn turn(&mut self, answer: &Bytes, asked: usize) -> Turned {
        self.asked += asked as u64;
        let sizes = upstream::Asked { bytes: asked as u64, body: self.asked, so_far: self.asked };
        let mut turned = Turned { bytes: answer.clone(), ..Turned::default() };
        for Fired { effect, stream, .. } in &self.met {
            let seen = match stream {
                Stream::Downstream => Some(effect.clone()),
                Stream::Upstream => upstream::seen(effect, sizes),
            };
            let Some(effect) = &seen else { continue };
            let left = |bytes: &u64| usize::try_from(bytes.saturating_sub(self.sent)).unwrap_or(usize::MAX);
            let mut end = |kept: usize, cut| {
                if kept < turned.bytes.len() {
                    turned.bytes.truncate(kept);
                    turned.cut = Some(cut);
                }
            };
            match effect {
                Effect::Delay(ns) => turned.delay_ns = turned.delay_ns.saturating_add(*ns),
                Effect::Hang | Effect::Blackhole => end(0, Cut::Silence),
                Effect::Reset(None) => end(0, Cut::Reset),
                Effect::HalfClose => end(0, Cut::Half),
                Effect::Reset(Some(bytes)) => end(left(bytes), Cut::Reset),
                Effect::Truncate(bytes) | Effect::LimitBytes(bytes) => end(left(bytes), Cut::Close),
                Effect::Corrupt { bytes, key } if !turned.bytes.is_empty() => {
                    turned.bytes = corrupt(&turned.bytes, *bytes, key.wrapping_add(self.sent));
                }
                Effect::Bandwidth(rate) => turned.flow.rate = Some(*rate),
                Effect::Slice { size, variation, delay, key } => {
                    let (size, variation, delay_ns, key) = (*size, *variation, *delay, *key);
                    turned.flow.slice = Some(Slice { size, variation, delay_ns, key });
                }
                _ => {}
            }
        }
        self.sent += turned.bytes.len() as u64;
        turned
    }

    /// An answer went out as it was to, in the time since then. Told once.
    pub fn observed(&mut self, faults: &Faults, since: Instant) {
        let (sent, took) = (self.sent, since.elapsed().as_secs_f64() * 1e3);
        for Fired { id, effect, stream, .. } in &self.met {
            let counted = if *stream == Stream::Upstream { self.asked } else { sent };
            let said = match effect {
                Effect::Bandwidth(_) | Effect::Slice { .. } if *stream == Stream::Upstream => {
                    format!("{counted} bytes of requests, answered after {took:.1}ms")
                }
                Effect::Delay(_) => format!("answered after {took:.1}ms"),
                Effect::Hang | Effect::Blackhole => "nothing was answered".to_owned(),
                Effect::Reset(_) => format!("reset after {counted} bytes"),
                Effect::HalfClose => "a FIN instead of an answer".to_owned(),
                Effect::Truncate(_) | Effect::LimitBytes(_) => format!("ended after {counted} bytes"),
                Effect::Corrupt { bytes, .. } => format!("{bytes} bytes were others"),
                Effect::Bandwidth(_) | Effect::Slice { .. } => format!("{sent} bytes in {took:.1}ms"),
                _ => continue,
            };
            let is_yet_to_come = match effect {
                Effect::Reset(Some(bytes)) | Effect::Truncate(bytes) | Effect::LimitBytes(bytes) => {
                    counted < *bytes || (*stream == Stream::Upstream && counted == *bytes)
                }
                _ => false,
            };
            if !is_yet_to_come {
                faults.observed(*id, said);
            }
        }
        self.met.retain(|fired| !matches!(fired.effect, Effect::Corrupt { .. }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FiredId;

    fn spoilt(effects: &[Effect]) -> Spoilt {
        let fired = |effect: &Effect| Fired {
            id: FiredId(0),
            rule: 0,
            effect: effect.clone(),
            stream: Stream::Downstream,
        };
        Spoilt::of(effects.iter().map(fired).collect())
    }

    #[test]
    fn bytes_are_counted_over_all_turns() {
        let answer = Bytes::from_static(b"+PONG\r\n");
        let mut it = spoilt(&[Effect::Delay(5), Effect::Reset(Some(10))]);
        let first = it.turn(&answer, 6);
        assert_eq!((first.bytes.len(), first.delay_ns, first.cut), (7, 5, None));
        let second = it.turn(&answer, 6);
        assert_eq!((&second.bytes[..], second.cut), (&b"+PO"[..], Some(Cut::Reset)));
    }

    #[test]
    fn what_the_target_sends_is_counted_by_itself() {
        let met = [Effect::LimitBytes(10), Effect::Bandwidth(6)];
        let met = met.map(|effect| Fired { id: FiredId(0), rule: 0, effect, stream: Stream::Upstream });
        let mut it = Spoilt::of(met.to_vec());
        let answer = Bytes::from(vec![0; 100]);
        let first = it.turn(&answer, 6);
        assert_eq!((first.bytes.len(), first.delay_ns, first.cut), (100, 1_000_000_000, None));
        let second = it.turn(&answer, 6);
        assert_eq!((second.bytes.len(), second.cut), (0, Some(Cut::Half)));
    }

    #[test]
    fn what_ends_it_before_any_byte_sends_none() {
        for (effect, cut) in [
            (Effect::Hang, Cut::Silence),
            (Effect::Reset(None), Cut::Reset),
            (Effect::HalfClose, Cut::Half),
            (Effect::LimitBytes(0), Cut::Close),
        ] {
            let turned = spoilt(&[effect]).turn(&Bytes::from_static(b"x"), 1);
            assert_eq!((turned.bytes.len(), turned.cut), (0, Some(cut)));
        }
        let turned = spoilt(&[Effect::Corrupt { bytes: 1, key: 7 }]).turn(&Bytes::from_static(b"x"), 1);
        assert_ne!(&turned.bytes[..], b"x");
    }
}
