//! How many requests the target serves at a time, as its sockets tell: what is sent and not answered, without what it has
//! not read yet. A pool of workers shows as a number that is never exceeded while requests wait unread.

use std::collections::BTreeMap;

use super::queues::Queues;

/// Fewer looks tell nothing.
const LEAST_LOOKS: u64 = 5;
/// Of the looks that found requests waiting so many, of a hundred, found the usual number being served.
const USUALLY: u64 = 60;
/// Not more than so many of a hundred found more: requests that were read between the two halves of a look.
const SELDOM: u64 = 10;
/// Of all looks so many, of a hundred, must have found some waiting.
const WAITING: u64 = 50;

/// What was seen at all looks of a run that found requests open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    looks: u64,
    /// How many were served, and how often while others waited.
    while_waiting: BTreeMap<u64, u64>,
    /// The most that waited then.
    waiting: u64,
}

/// A number that is not exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plateau {
    /// Requests that were served at a time, mostly.
    pub served: u64,
    /// The most, at a look that may have been wrong.
    pub most: u64,
    /// Looks that found others waiting, and how many of these found `served`.
    pub looks: (u64, u64),
    /// The most that waited.
    pub waiting: u64,
}

impl Serving {
    /// Another look: so many requests are sent and not answered.
    pub fn look(&mut self, open: u64, queues: Queues) {
        if open == 0 {
            return;
        }
        self.looks += 1;
        if queues.not_read > 0 {
            *self.while_waiting.entry(open.saturating_sub(queues.not_read)).or_default() += 1;
            self.waiting = self.waiting.max(queues.not_read);
        }
    }

    /// The plateau, if there is one. Not all looks need to agree: what is read or answered between the two halves of a look makes
    /// it wrong.
    pub fn plateau(&self) -> Option<Plateau> {
        let waiting: u64 = self.while_waiting.values().sum();
        let (served, usual) = self.while_waiting.iter().max_by_key(|it| it.1).map(|(a, b)| (*a, *b))?;
        let most = *self.while_waiting.last_key_value()?.0;
        let above: u64 = self.while_waiting.range(served + 1..).map(|it| it.1).sum();
        let is_flat = usual * 100 >= waiting * USUALLY && above * 100 <= waiting * SELDOM;
        let is_short = waiting >= LEAST_LOOKS && waiting * 100 >= self.looks * WAITING;
        let plateau = Plateau { served, most, looks: (waiting, usual), waiting: self.waiting };
        (is_flat && is_short && served > 0 && self.waiting >= served).then_some(plateau)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(looks: &[(u64, u64)]) -> Option<Plateau> {
        let mut serving = Serving::default();
        looks.iter().for_each(|(open, not_read)| {
            serving.look(*open, Queues { not_read: *not_read, not_accepted: 0 });
        });
        serving.plateau()
    }

    #[test]
    fn a_number_that_is_not_exceeded_while_others_wait_is_a_plateau() {
        let looks = [(0, 0), (32, 28), (32, 29), (30, 26), (20, 16), (12, 8), (5, 1), (2, 0)];
        let expected = Plateau { served: 4, most: 4, looks: (6, 5), waiting: 29 };
        assert_eq!(seen(&looks), Some(expected));
        let once_wrong = [&[(32, 28); 10][..], &[(32, 26)]].concat();
        assert_eq!(seen(&once_wrong), Some(Plateau { most: 6, looks: (11, 10), waiting: 28, ..expected }));
        assert_eq!(seen(&[(9, 8); 5]).unwrap().served, 1);
    }

    #[test]
    fn what_varies_or_does_not_wait_is_none() {
        assert_eq!(seen(&[(32, 28); 4]), None, "too few looks");
        assert_eq!(seen(&[(32, 30), (32, 28), (32, 26), (32, 24), (32, 22), (32, 20)]), None, "it varies");
        assert_eq!(seen(&[(32, 28), (32, 28), (32, 28), (32, 28), (32, 28), (32, 20)]), None, "exceeded");
        let mostly_read = [[(32, 0); 7], [(32, 28); 7]].concat();
        assert!(seen(&mostly_read).is_some());
        assert_eq!(seen(&[&mostly_read[..], &[(32, 0)]].concat()), None, "they seldom wait");
        assert_eq!(seen(&[(32, 2); 9]), None, "hardly anybody waits");
        assert_eq!(seen(&[(4, 4); 9]), None, "nothing is served");
    }
}
