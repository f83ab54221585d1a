//! What is measured: who is captured, and how, or what stands in the way instead.

use super::recorded::Kind;

/// One arrangement of client, server and what is between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// wrk asks the origin.
    Direct,
    /// The bare relay between the two.
    Relay,
    /// HAProxy, passing TCP on.
    Haproxy,
    /// wrk under capture, redirected.
    Capture,
    /// wrk under capture, tapped.
    Tap,
    /// The origin under capture.
    Inbound,
    /// wrk asks a service, which asks the origin.
    Service,
    /// That service under capture, what it asks redirected.
    BothProxy,
    /// That service under capture, what it asks tapped.
    BothTap,
}

/// What stands between wrk and the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// wrk itself.
    Client,
    /// The origin.
    Origin,
    /// The service before the origin.
    Service,
}

/// `--only` takes these; what they are compared with is measured anyway.
pub const GROUPS: [(&str, &[Side]); 4] = [
    ("outbound", &[Side::Relay, Side::Haproxy, Side::Capture]),
    ("tap", &[Side::Tap]),
    ("inbound", &[Side::Inbound]),
    ("both", &[Side::Service, Side::BothProxy, Side::BothTap]),
];

impl Side {
    /// In the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Direct,
        Self::Relay,
        Self::Haproxy,
        Self::Capture,
        Self::Tap,
        Self::Inbound,
        Self::Service,
        Self::BothProxy,
        Self::BothTap,
    ];

    /// For people, and for the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "bare relay",
            Self::Haproxy => "haproxy tcp",
            Self::Capture => "capture",
            Self::Tap => "tap",
            Self::Inbound => "inbound",
            Self::Service => "service",
            Self::BothProxy => "both, proxy",
            Self::BothTap => "both, tap",
        }
    }

    /// The same without anything in between.
    pub fn base(self) -> Self {
        match self {
            Self::Service | Self::BothProxy | Self::BothTap => Self::Service,
            _ => Self::Direct,
        }
    }

    /// Whether it stands where the bare relay could.
    pub fn is_beside_relay(self) -> bool {
        matches!(self, Self::Direct | Self::Haproxy | Self::Capture | Self::Tap)
    }

    /// Who is captured.
    pub fn captured(self) -> Option<Captured> {
        match self {
            Self::Capture | Self::Tap => Some(Captured::Client),
            Self::Inbound => Some(Captured::Origin),
            Self::BothProxy | Self::BothTap => Some(Captured::Service),
            Self::Direct | Self::Relay | Self::Haproxy | Self::Service => None,
        }
    }

    /// Of `infernosim capture`.
    pub fn options(self) -> &'static [&'static str] {
        if matches!(self, Self::Tap | Self::BothTap) { &["--via", "tap"] } else { &[] }
    }

    /// The lines that each request becomes.
    pub fn kinds(self) -> &'static [Kind] {
        match self.captured() {
            None => &[],
            Some(Captured::Client) => &[Kind::Call],
            Some(Captured::Origin) => &[Kind::Request, Kind::Response],
            Some(Captured::Service) => &Kind::ALL,
        }
    }

    /// The least share of the direct throughput that a tap is to leave, by the name of the load. It was reached by
    /// a program that did nothing but copy.
    pub fn aim(self, load: &str) -> Option<f64> {
        if !matches!(self, Self::Tap | Self::Inbound) {
            return None;
        }
        [("c64", 0.85), ("new16", 0.90), ("1m", 0.60)]
            .into_iter()
            .find(|(name, _)| *name == load)
            .map(|it| it.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::LOADS;
    use super::*;

    #[test]
    fn each_side_is_in_one_group_or_what_groups_are_compared_with() {
        for side in Side::ALL {
            let groups = GROUPS.iter().filter(|(_, sides)| sides.contains(&side)).count();
            assert_eq!(groups, usize::from(side != Side::Direct), "{side:?}");
            assert_eq!(side.base().base(), side.base());
            assert_eq!(side.captured().is_none(), side.kinds().is_empty(), "{side:?}");
        }
    }

    #[test]
    fn aims_are_for_loads_that_there_are() {
        let aimed: Vec<&str> =
            LOADS.iter().map(|load| load.name).filter(|name| Side::Inbound.aim(name).is_some()).collect();
        assert_eq!(aimed, ["c64", "new16", "1m"]);
        assert_eq!(Side::Capture.aim("c64"), None);
    }
}
