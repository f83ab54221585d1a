use std::sync::Arc;

use tokio::sync::watch;

use super::Toxic;

/// Whether anything passes at all, whatever disturbs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// It does.
    #[default]
    Open,
    /// Nothing passes either way, FINs neither. It is held, and goes on once it is open again.
    Held,
    /// The connection is reset.
    Cut,
}

/// What a connection goes through. What changes in it holds at once.
#[derive(Clone, Debug)]
pub struct Course {
    /// What disturbs it.
    pub toxics: watch::Receiver<Arc<Vec<Toxic>>>,
    /// Whether anything passes.
    pub passage: watch::Receiver<Passage>,
    /// Its number, for what is drawn.
    pub connection: u64,
}

impl Course {
    /// Nothing but these disturb it.
    pub fn new(toxics: watch::Receiver<Arc<Vec<Toxic>>>, connection: u64) -> Self {
        Self { toxics, passage: watch::Sender::default().subscribe(), connection }
    }

    /// Until it is to be reset.
    pub async fn cut(&mut self) {
        if self.passage.wait_for(|passage| *passage == Passage::Cut).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending().await
        }
    }
}
