//! Which way an exchange goes, and that each way has a log of its own.

/// Seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A client asks the target.
    Inbound,
    /// The target asks a dependency.
    Outbound,
}

/// One for each direction.
#[derive(Clone, Debug, Default)]
pub struct Both<T> {
    /// That of what clients ask the target.
    pub inbound: T,
    /// That of all else.
    pub outbound: T,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The name of the log.
    pub const fn log(self) -> &'static str {
        match self {
            Self::Inbound => "inbound.log",
            Self::Outbound => "outbound.log",
        }
    }

    /// Whose log has the lines of this type.
    pub fn of_type(kind: &str) -> Self {
        if matches!(kind, "InboundRequest" | "InboundResponse") { Self::Inbound } else { Self::Outbound }
    }
}

impl<T> Both<T> {
    /// Makes one for each.
    pub fn make(mut make: impl FnMut(Direction) -> T) -> Self {
        Self { inbound: make(Direction::Inbound), outbound: make(Direction::Outbound) }
    }

    /// Makes one for each, or fails with the first that fails.
    pub fn try_make<E>(mut make: impl FnMut(Direction) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { inbound: make(Direction::Inbound)?, outbound: make(Direction::Outbound)? })
    }

    /// That of one direction.
    pub const fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    /// That of one direction, to be changed.
    pub const fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = (Direction, &T)> {
        Direction::ALL.into_iter().map(|direction| (direction, self.of(direction)))
    }
}
