use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Netns, PYTHON, Service, eventually};

const SCRIPT: &str = include_str!("cable.py");

/// Names of this process's devices, two each.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Two namespaces joined by a cable that treats packets as it is told: `client` is 10.76.0.1, `server` is 10.76.0.2.
/// See `cable.py`.
pub struct Cable {
    pub client: Netns,
    pub server: Netns,
    script: RefCell<Service>,
}

impl Cable {
    /// The server's end.
    pub const SERVER: [u8; 4] = [10, 76, 0, 2];

    /// One that does no harm yet; the same seed does the same to the same packets.
    pub fn new(seed: u32) -> Self {
        let (client, server) = (Netns::new(), Netns::new());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|end| format!("i{}-{number}{end}", std::process::id()));
        let seed = seed.to_string();
        let script = Service::run(&[], &[PYTHON, "-c", SCRIPT, &names[0], &names[1], &seed]);
        for (netns, name, host) in [(&client, &names[0], 1), (&server, &names[1], 2)] {
            netns.take(name);
            netns.ip(&format!("addr add 10.76.0.{host}/24 dev {name}"));
            netns.ip(&format!("link set {name} up"));
            eventually("the cable is plugged in", || netns.has_link(name));
        }
        Self { client, server, script: RefCell::new(script) }
    }

    /// What becomes of the packets from here on; each word as in `drop=0.01`.
    pub fn treat(&self, words: &str) {
        self.treat_of_client(words);
        self.script.borrow_mut().line(&format!("treat 1 {words}"), "DONE");
    }

    /// What becomes of those that the client sends.
    pub fn treat_of_client(&self, words: &str) {
        self.script.borrow_mut().line(&format!("treat 0 {words}"), "DONE");
    }

    /// How often it did what so far.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        let line = self.script.borrow_mut().line("count", "DONE");
        let pairs = line.split(' ').skip(1).filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
    }
}
