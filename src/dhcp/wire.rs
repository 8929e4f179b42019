//! Bytes to header fields and options, tolerant of what is wrong with them.
//!
//! `dhcproto`'s own decoder is not used on what strangers send: it panics on a hardware address
//! length above 16, ends silently at the first option it dislikes (so that an odd host name hides
//! the architecture that follows it), takes an option apart that must be echoed verbatim, and never
//! looks at the cookie. Its types and constants are safe, and are used throughout this room.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::{MAGIC, OptionCode};

use crate::model::MacAddr;

/// The fixed header and the cookie.
pub const HEADER: usize = 240;
/// The largest datagram that is looked at. No client needs more, and it bounds all work.
pub const LARGEST: usize = 4096;

/// Why a datagram is not a DHCP request. Each is counted by its [`Malformed::word`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than header and cookie, or longer than [`LARGEST`].
    #[error("it has {0} bytes, not 240 to 4096")]
    Length(usize),
    /// Not a BOOTREQUEST.
    #[error("its op is {0}, not 1")]
    Op(u8),
    /// Not Ethernet.
    #[error("its hardware type is {0}; only Ethernet (1) is served")]
    HardwareType(u8),
    /// Ethernet addresses have six bytes.
    #[error("its hardware address has {0} bytes, not 6")]
    HardwareLength(u8),
    /// All zero or a group address: names no machine.
    #[error("its hardware address names no machine")]
    HardwareAddress,
    /// RFC 2131's cookie is missing: plain BOOTP, or something else.
    #[error("its magic cookie is missing")]
    Cookie,
    /// No usable option 53.
    #[error("it has no message type")]
    MessageType,
}

impl Malformed {
    /// The word in counters.
    pub fn word(self) -> &'static str {
        match self {
            Malformed::Length(_) => "length",
            Malformed::Op(_) => "op",
            Malformed::HardwareType(_) => "htype",
            Malformed::HardwareLength(_) => "hlen",
            Malformed::HardwareAddress => "chaddr",
            Malformed::Cookie => "cookie",
            Malformed::MessageType => "type",
        }
    }
}

/// The header of a request whose every byte was checked to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Transaction id, chosen by the client. Not unique: Raspberry Pis all send one fixed value.
    pub xid: u32,
    /// Seconds since the client began, as it says.
    pub secs: u16,
    /// Flags as sent; relays look at them in the reply.
    pub flags: u16,
    /// Hops counted by relays.
    pub hops: u8,
    /// The client's own address, if it has one.
    pub ciaddr: Ipv4Addr,
    /// The relay, or zero.
    pub giaddr: Ipv4Addr,
    /// The client's hardware address.
    pub mac: MacAddr,
}

impl Header {
    /// Reads and checks the fixed part.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Header, Malformed> {
        if !(HEADER..=LARGEST).contains(&bytes.len()) {
            return Err(Malformed::Length(bytes.len()));
        }
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let address =
            |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        match (bytes[0], bytes[1], bytes[2]) {
            (1, 1, 6) => {}
            (1, 1, hlen) => return Err(Malformed::HardwareLength(hlen)),
            (1, htype, _) => return Err(Malformed::HardwareType(htype)),
            (op, ..) => return Err(Malformed::Op(op)),
        }
        if bytes[236..HEADER] != MAGIC {
            return Err(Malformed::Cookie);
        }
        let mut mac = [0; 6];
        mac.copy_from_slice(&bytes[28..34]);
        let mac = MacAddr(mac);
        if !mac.is_unicast() {
            return Err(Malformed::HardwareAddress);
        }
        Ok(Header {
            xid: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            secs: word(8),
            flags: word(10),
            hops: bytes[3],
            ciaddr: address(12),
            giaddr: address(24),
            mac,
        })
    }
}

/// The options this server reads, in the order of their slots.
const READ: [u8; 20] = [
    12, 43, 50, 52, 53, 54, 55, 57, 60, 61, 66, 67, 77, 82, 93, 94, 97, 118, 150, 175,
];

/// Options by code, each as the bytes that were sent. Repeats are joined (RFC 3396), wherever they
/// stand; an option that runs past the end is dropped and ends the walk, for nothing can follow it.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    slots: [Option<Cow<'a, [u8]>>; READ.len()],
}

impl<'a> Options<'a> {
    /// Walks the options of a datagram whose header was read.
    pub fn read(bytes: &'a [u8]) -> Options<'a> {
        let mut options = Options {
            slots: [const { None }; READ.len()],
        };
        options.walk(bytes.get(HEADER..).unwrap_or_default());
        // RFC 2131 section 4.1: option 52 says that the file and sname fields hold options too.
        match options.get(OptionCode::OptionOverload) {
            Some([1]) => options.walk(&bytes[108..236]),
            Some([2]) => options.walk(&bytes[44..108]),
            Some([3]) => {
                options.walk(&bytes[108..236]);
                options.walk(&bytes[44..108]);
            }
            _ => {}
        }
        options
    }

    fn walk(&mut self, mut rest: &'a [u8]) {
        loop {
            match rest {
                [0, tail @ ..] => rest = tail,
                [255, ..] | [] | [_] => return,
                [code, length, tail @ ..] => {
                    let Some((value, after)) = tail.split_at_checked(usize::from(*length)) else {
                        return;
                    };
                    self.add(*code, value);
                    rest = after;
                }
            }
        }
    }

    fn add(&mut self, code: u8, value: &'a [u8]) {
        let Ok(at) = READ.binary_search(&code) else {
            return;
        };
        match &mut self.slots[at] {
            slot @ None => *slot = Some(Cow::Borrowed(value)),
            Some(earlier) => earlier.to_mut().extend_from_slice(value),
        }
    }

    /// The bytes of an option. Asking for one that is not read is a mistake in this room, and finds
    /// nothing.
    pub fn get(&self, code: OptionCode) -> Option<&[u8]> {
        let at = READ.binary_search(&u8::from(code)).ok()?;
        self.slots[at].as_deref()
    }

    /// The same, keeping the datagram's lifetime.
    pub fn take(&mut self, code: OptionCode) -> Option<Cow<'a, [u8]>> {
        let at = READ.binary_search(&u8::from(code)).ok()?;
        self.slots[at].take()
    }

    /// An option that is exactly one address other than zero.
    pub fn address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        address(self.get(code)?)
    }
}

/// Four bytes as an address other than zero.
pub fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(bytes)).filter(|a| !a.is_unspecified())
}

/// Walks sub-options of the form code, length, value; stops where they stop making sense.
pub fn suboptions(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        while let [0, tail @ ..] = rest {
            rest = tail;
        }
        let [code, length, tail @ ..] = rest else {
            return None;
        };
        if *code == 255 {
            return None;
        }
        let (value, after) = tail.split_at_checked(usize::from(*length))?;
        rest = after;
        Some((*code, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1]);
        bytes[236..].copy_from_slice(&MAGIC);
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn the_slots_are_in_order() {
        assert!(READ.is_sorted());
    }

    #[test]
    fn headers_that_would_hurt_are_refused() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expected: Malformed| {
            let mut bytes = datagram(&[53, 1, 1, 255]);
            change(&mut bytes);
            assert_eq!(Header::read(&bytes), Err(expected));
            assert!(!expected.to_string().is_empty() && !expected.word().is_empty());
        };
        for hlen in [0, 5, 7, 16, 17, 212, 255] {
            check(&|b| b[2] = hlen, Malformed::HardwareLength(hlen));
        }
        check(&|b| b[1] = 32, Malformed::HardwareType(32));
        check(&|b| b[0] = 2, Malformed::Op(2));
        check(&|b| b[28] = 1, Malformed::HardwareAddress);
        check(&|b| b[28..34].fill(0), Malformed::HardwareAddress);
        check(&|b| b[239] = 0, Malformed::Cookie);
        for length in [0, 1, 239] {
            check(&|b| b.truncate(length), Malformed::Length(length));
        }
        check(&|b| b.resize(65_507, 0), Malformed::Length(65_507));
        assert!(Header::read(&datagram(&[])).is_ok());
    }

    #[test]
    fn a_bad_option_hides_nothing_that_can_be_found() {
        let check = |options: &[u8], code: OptionCode, expected: Option<&[u8]>| {
            let bytes = datagram(options);
            assert_eq!(Options::read(&bytes).get(code), expected, "{options:?}");
        };
        let arch = OptionCode::ClientSystemArchitecture;
        // host name in no encoding, before the architecture
        check(&[12, 2, 0xff, 0xfe, 93, 2, 0, 7, 255], arch, Some(&[0, 7]));
        // option 81 too short, 121 with prefix 33
        check(&[81, 1, 0, 121, 1, 33, 93, 2, 0, 7], arch, Some(&[0, 7]));
        // zero-length option, pads
        check(&[12, 0, 0, 0, 93, 2, 0, 9, 255], arch, Some(&[0, 9]));
        // a length past the end
        check(&[93, 2, 0, 7, 12, 200, 1], arch, Some(&[0, 7]));
        check(&[93, 2, 0], arch, None);
        // after END there is nothing
        check(&[255, 93, 2, 0, 7], arch, None);
        // joined though apart
        check(
            &[60, 3, b'P', b'X', b'E', 12, 1, b'a', 60, 2, b'C', b'l'],
            OptionCode::ClassIdentifier,
            Some(b"PXECl"),
        );
    }

    #[test]
    fn overloaded_fields_are_read() {
        let mut bytes = datagram(&[52, 1, 3, 255]);
        bytes[108..114].copy_from_slice(&[93, 2, 0, 7, 255, 0]);
        bytes[44..49].copy_from_slice(&[60, 1, b'x', 255, 0]);
        let options = Options::read(&bytes);
        let arch = options.get(OptionCode::ClientSystemArchitecture);
        assert_eq!(arch, Some(&[0, 7][..]));
        assert_eq!(options.get(OptionCode::ClassIdentifier), Some(&b"x"[..]));
    }

    #[test]
    fn suboptions_end_where_they_break() {
        let found: Vec<_> = suboptions(&[5, 4, 10, 0, 0, 1, 1, 9, 1]).collect();
        assert_eq!(found, [(5, &[10, 0, 0, 1][..])]);
    }
}
