//! How connections end, and what that says of the exchanges that were open on them.

use std::borrow::Cow;

use nix::errno::Errno;

use crate::protocol::Sender;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides said so; which was the first is not known.
    Closed,
    /// Both sides said so, this one first (its FIN: it has nothing more to say, but may still have listened).
    ClosedBy(Sender),
    /// One side's connection broke: of a tapped one, the side that sent the RST.
    Broke(Sender, Errno),
    /// The dependency could not be reached.
    DialFailed(Errno),
    /// We closed it, or stopped looking, at the end of the capture.
    Abandoned,
}

/// Why open exchanges get no further.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// What the codec says.
    Said(&'static str),
    /// The connection ended.
    Ended(Ending),
    /// It began where bytes had not been seen.
    Unseen,
}

/// What an outbound line says where the target closed the connection first, as one does that has waited long enough: in a
/// replay it is to wait again.
pub const TARGET_GAVE_UP: &str = "the target closed the connection before the exchange was over";

/// How far an inbound exchange came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The request is not whole.
    Request,
    /// There is no answer.
    Unanswered,
    /// The answer is not whole.
    Answer,
}

impl Ending {
    /// In order: what was being sent until then came to its end.
    pub(super) const fn is_orderly(self) -> bool {
        matches!(self, Self::Closed | Self::ClosedBy(_))
    }
}

impl Why {
    /// Of an outbound exchange.
    pub const fn outbound(self) -> &'static str {
        match self {
            Self::Said(why) => why,
            Self::Unseen => "bytes before these were not seen",
            Self::Ended(Ending::ClosedBy(Sender::Client)) => TARGET_GAVE_UP,
            Self::Ended(Ending::Closed | Ending::ClosedBy(Sender::Server)) => {
                "the connection ended before the exchange did"
            }
            Self::Ended(Ending::Broke(Sender::Client, _)) => "the target's connection broke",
            Self::Ended(Ending::Broke(Sender::Server, _)) => "the dependency's connection broke",
            Self::Ended(Ending::DialFailed(_)) => "the dependency could not be reached",
            Self::Ended(Ending::Abandoned) => "the capture ended before the exchange did",
        }
    }

    /// Of an inbound exchange: who did what, and before what.
    pub fn inbound(self, stage: Stage) -> Cow<'static, str> {
        let ending = match self {
            Self::Ended(ending) => ending,
            other => return other.outbound().into(),
        };
        let (who, by_target) = match ending {
            Ending::Closed | Ending::DialFailed(_) => ("the connection ended", false),
            Ending::ClosedBy(Sender::Client) => ("the client closed the connection", false),
            Ending::ClosedBy(Sender::Server) => ("the target closed the connection", true),
            Ending::Broke(Sender::Client, Errno::ECONNRESET) => ("the client reset the connection", false),
            Ending::Broke(Sender::Server, Errno::ECONNRESET) => ("the target reset the connection", true),
            Ending::Broke(Sender::Client, _) => ("the client's connection broke", false),
            Ending::Broke(Sender::Server, _) => ("the target's connection broke", true),
            Ending::Abandoned => ("the capture ended", false),
        };
        let what = match stage {
            Stage::Request => "before the request was whole",
            Stage::Unanswered if by_target => "without an answer",
            Stage::Unanswered => "before it was answered",
            Stage::Answer => "before the answer was whole",
        };
        format!("{who} {what}").into()
    }

    /// The error number that tells of it.
    pub const fn errno(self) -> Option<Errno> {
        match self {
            Self::Ended(Ending::Broke(_, errno) | Ending::DialFailed(errno)) => Some(errno),
            _ => None,
        }
    }
}
