/// An IP address as sixteen bytes in network order; IPv4 in its v4-mapped form (`::ffff:a.b.c.d`, RFC 4291
/// section 2.5.5.2), so that one key serves both families.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip(pub [u32; 4]);

const _: () = assert!(size_of::<Ip>() == 16);

impl Ip {
    /// Not bound, or not known.
    pub const UNSPECIFIED: Self = Self([0; 4]);
    const MAPPED_PREFIX: u32 = 0xffff_u32.to_be();

    /// From an IPv4 address in network order, as the kernel's contexts hold it.
    #[inline(always)]
    pub const fn from_v4(network_order: u32) -> Self {
        Self([0, 0, Self::MAPPED_PREFIX, network_order])
    }

    /// Whether this is an IPv4 address in mapped form.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.0[0] == 0 && self.0[1] == 0 && self.0[2] == Self::MAPPED_PREFIX
    }

    /// The IPv4 address in network order; meaningful when [`Ip::is_v4`].
    #[inline(always)]
    pub const fn v4(&self) -> u32 {
        self.0[3]
    }

    /// The first byte of the IPv4 address, or of the IPv6 address.
    #[inline(always)]
    pub const fn first_octet(&self) -> u8 {
        let word = if self.is_v4() { self.0[3] } else { self.0[0] };
        (u32::from_be(word) >> 24) as u8
    }

    /// Whether a connect to it ends on this host whatever the routes say: 127.0.0.0/8, `::1`, and the
    /// unspecified addresses, which connect(2) takes for loopback.
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        if self.is_v4() {
            self.first_octet() == 127 || self.0[3] == 0
        } else {
            self.0[0] == 0
                && self.0[1] == 0
                && self.0[2] == 0
                && (self.0[3] == 1_u32.to_be() || self.0[3] == 0)
        }
    }

    /// Multicast, broadcast or reserved: no TCP connection can be made to it (RFC 1112, RFC 4291 section 2.7).
    #[inline(always)]
    pub const fn is_not_unicast(&self) -> bool {
        if self.is_v4() { self.first_octet() >= 224 } else { self.first_octet() == 0xff }
    }

    /// fe80::/10: such an address means nothing without its interface, which the kernel's hook does not show.
    #[inline(always)]
    pub const fn is_link_local_v6(&self) -> bool {
        !self.is_v4() && u32::from_be(self.0[0]) >> 22 == 0xfe80 >> 6
    }
}

#[cfg(feature = "user")]
mod user {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::Ip;

    // SAFETY: repr(C) of four u32: any bytes are a value and there is no padding.
    unsafe impl aya::Pod for Ip {}

    impl From<IpAddr> for Ip {
        fn from(address: IpAddr) -> Self {
            match address {
                IpAddr::V4(v4) => Self::from_v4(u32::from_ne_bytes(v4.octets())),
                IpAddr::V6(v6) => {
                    let b = v6.octets();
                    let word = |i: usize| u32::from_ne_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
                    Self([word(0), word(4), word(8), word(12)])
                }
            }
        }
    }

    impl From<Ip> for IpAddr {
        fn from(ip: Ip) -> Self {
            if ip.is_v4() {
                return Self::V4(Ipv4Addr::from(u32::from_be(ip.v4())));
            }
            let mut octets = [0; 16];
            for (chunk, word) in octets.chunks_exact_mut(4).zip(ip.0) {
                chunk.copy_from_slice(&word.to_ne_bytes());
            }
            Self::V6(Ipv6Addr::from(octets))
        }
    }
}

#[cfg(test)]
#[cfg(feature = "user")]
mod tests {
    use core::net::IpAddr;

    use super::Ip;

    fn ip(text: &str) -> Ip {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn both_families_survive_the_round_trip() {
        for text in ["127.0.0.1", "10.0.0.7", "::1", "2001:db8::1", "fe80::1", "0.0.0.0"] {
            assert_eq!(IpAddr::from(ip(text)), text.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn loopback_is_what_never_leaves_the_host() {
        for text in ["127.0.0.1", "127.9.8.7", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"] {
            assert!(ip(text).is_loopback(), "{text}");
        }
        for text in ["10.0.0.1", "128.0.0.1", "::2", "2001:db8::1"] {
            assert!(!ip(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_dialled_are_known() {
        for text in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(ip(text).is_not_unicast(), "{text}");
        }
        for text in ["223.255.255.255", "fe80::1", "10.0.0.1"] {
            assert!(!ip(text).is_not_unicast(), "{text}");
        }
        assert!(ip("fe80::1").is_link_local_v6() && ip("febf::1").is_link_local_v6());
        assert!(!ip("fec0::1").is_link_local_v6() && !ip("254.128.0.1").is_link_local_v6());
    }
}
