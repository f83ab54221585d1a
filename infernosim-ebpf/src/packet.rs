//! The headers of a packet, as a cgroup_skb program sees it: it begins with its IP header.

use aya_ebpf::programs::SkBuffContext;
use infernosim_common::Ip;
use infernosim_common::tap::flag;

pub const IPPROTO_TCP: u8 = 6;
pub const IPPROTO_UDP: u8 = 17;
/// The length of a UDP header.
pub const UDP_HEADER: u32 = 8;
/// Extension headers that may stand before what we look for (RFC 8200 section 4.1).
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const MAX_EXTENSIONS: u32 = 4;

/// The network layer.
pub struct Network {
    pub protocol: u8,
    pub source: Ip,
    pub destination: Ip,
    /// Where the transport header begins.
    pub transport: u32,
}

/// The parts of a TCP header that matter here, in host order.
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    /// See [`flag`].
    pub flags: u16,
    /// In bytes.
    pub length: u32,
}

#[inline(always)]
pub fn network(ctx: &SkBuffContext) -> Option<Network> {
    match ctx.load::<u8>(0).ok()? >> 4 {
        4 => {
            let header = ctx.load::<[u32; 5]>(0).ok()?;
            let first = u32::from_be(header[0]) >> 24;
            Some(Network {
                protocol: (u32::from_be(header[2]) >> 16) as u8,
                source: Ip::from_v4(header[3]),
                destination: Ip::from_v4(header[4]),
                transport: (first & 0xf) * 4,
            })
        }
        6 => network6(ctx),
        _ => None,
    }
}

#[inline(always)]
fn network6(ctx: &SkBuffContext) -> Option<Network> {
    let header = ctx.load::<[u32; 10]>(0).ok()?;
    let mut protocol = (u32::from_be(header[1]) >> 8) as u8;
    let mut transport = 40;
    let mut left = MAX_EXTENSIONS;
    while left > 0 && EXTENSIONS.contains(&protocol) {
        let extension = ctx.load::<[u8; 2]>(transport as usize).ok()?;
        protocol = extension[0];
        transport += (u32::from(extension[1]) + 1) * 8;
        left -= 1;
    }
    let source = Ip([header[2], header[3], header[4], header[5]]);
    let destination = Ip([header[6], header[7], header[8], header[9]]);
    Some(Network { protocol, source, destination, transport })
}

#[inline(always)]
pub fn tcp(ctx: &SkBuffContext, at: u32) -> Option<Tcp> {
    let header = ctx.load::<[u32; 4]>(at as usize).ok()?;
    let ports = u32::from_be(header[0]);
    let rest = u32::from_be(header[3]);
    let bit = |bit: u32, meaning: u16| if rest & (1 << (16 + bit)) != 0 { meaning } else { 0 };
    Some(Tcp {
        source: (ports >> 16) as u16,
        destination: ports as u16,
        sequence: u32::from_be(header[1]),
        acknowledgment: u32::from_be(header[2]),
        flags: bit(0, flag::FIN) | bit(1, flag::SYN) | bit(2, flag::RST) | bit(4, flag::ACK),
        length: (rest >> 28) * 4,
    })
}

/// Source and destination port of a UDP datagram, in host order.
#[inline(always)]
pub fn udp(ctx: &SkBuffContext, at: u32) -> Option<(u16, u16)> {
    let ports = u32::from_be(ctx.load::<u32>(at as usize).ok()?);
    Some(((ports >> 16) as u16, ports as u16))
}
