//! Names seen lately and what was found of them: a service says the same few again and again.

/// A power of two.
const SLOTS: usize = 256;
/// Longer names are looked at anew each time.
const LONGEST: usize = 46;

/// Verdicts by name, exact to the byte. What is pushed out is only worked out again.
#[derive(Debug)]
pub struct Memo<V> {
    slots: Vec<Option<Slot<V>>>,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    name: [u8; LONGEST],
    length: u8,
    verdict: V,
}

impl<V: Copy> Default for Memo<V> {
    fn default() -> Self {
        Self { slots: vec![None; SLOTS] }
    }
}

impl<V: Copy> Memo<V> {
    /// What `judge` says of this name, or said the last time.
    pub fn verdict(&mut self, name: &[u8], judge: impl FnOnce(&[u8]) -> V) -> V {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return judge(name) };
        if name.len() > LONGEST {
            return judge(name);
        }
        let mixed =
            usize::from(*first) * 5 + usize::from(*last) * 29 + usize::from(name[name.len() / 2]) * 101;
        let slot = &mut self.slots[(mixed + name.len() * 7) % SLOTS];
        if let Some(known) = slot
            && known.name[..usize::from(known.length)] == *name
        {
            return known.verdict;
        }
        let verdict = judge(name);
        let mut copy = [0; LONGEST];
        copy[..name.len()].copy_from_slice(name);
        *slot = Some(Slot { name: copy, length: name.len() as u8, verdict });
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_share_a_place_do_not_share_a_verdict() {
        let mut memo = Memo::default();
        let names: Vec<String> =
            (0..2000).map(|n| format!("x{n}y")).chain([String::new(), "z".repeat(99)]).collect();
        for _ in 0..2 {
            for name in &names {
                let judged = memo.verdict(name.as_bytes(), |name| {
                    name.len() as u64 + u64::from(name.iter().map(|b| u32::from(*b)).sum::<u32>()) * 1000
                });
                let expected = name.len() as u64 + name.bytes().map(u64::from).sum::<u64>() * 1000;
                assert_eq!(judged, expected, "{name}");
            }
        }
        let mut asked = 0;
        for _ in 0..3 {
            memo.verdict(b"host", |_| {
                asked += 1;
                0
            });
        }
        assert_eq!(asked, 1);
    }
}
