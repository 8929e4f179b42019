//! A network interface's hardware address: reads every common spelling, prints one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit Ethernet hardware address. It is the identity of a machine on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

/// Why a text is not a usable hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not twelve hexadecimal digits in a known grouping.
    #[error(
        "`{0}` is not a MAC address; write twelve hexadecimal digits such as `52:54:00:12:34:56`"
    )]
    Malformed(String),
    /// The group bit is set: a multicast or broadcast address names no machine.
    #[error("`{0}` is a multicast or broadcast address, not one machine's")]
    Group(String),
    /// All zero.
    #[error("`{0}` is all zero, not a machine's address")]
    Zero(String),
}

impl MacAddr {
    /// The form with dashes that boot loaders put into file names: `52-54-00-12-34-56`.
    pub fn dashed(&self) -> String {
        let b = self.0;
        format!(
            "{:02x}-{:02x}-{:02x}-{:02x}-{:02x}-{:02x}",
            b[0], b[1], b[2], b[3], b[4], b[5]
        )
    }

    /// Whether this names one interface (not multicast, not all zero).
    pub fn is_unicast(&self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// The first three bytes, which name the vendor.
    pub fn oui(&self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    /// Reads `aa:bb:cc:dd:ee:ff`, `aa-bb-..`, `aabb.ccdd.eeff`, `aabbccddeeff`, any case.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let malformed = || MacError::Malformed(text.to_string());
        let trimmed = text.trim();
        let groups: Vec<&str> = trimmed.split([':', '-', '.']).collect();
        let width = match groups.len() {
            1 => 12,
            2 => 6,
            3 => 4,
            6 => 2,
            _ => return Err(malformed()),
        };
        let single_digit_ok = width == 2;
        let mut digits = String::with_capacity(12);
        for group in &groups {
            if group.len() == 1 && single_digit_ok {
                digits.push('0');
            } else if group.len() != width {
                return Err(malformed());
            }
            digits.push_str(group);
        }
        if !digits.is_ascii() {
            return Err(malformed());
        }
        let mut bytes = [0u8; 6];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).map_err(|_| malformed())?;
        }
        let mac = MacAddr(bytes);
        if bytes == [0; 6] {
            return Err(MacError::Zero(trimmed.to_string()));
        }
        if !mac.is_unicast() {
            return Err(MacError::Group(trimmed.to_string()));
        }
        Ok(mac)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        write!(
            f,
            "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
            b[0], b[1], b[2], b[3], b[4], b[5]
        )
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_address() {
        for text in [
            "52:54:00:ab:cd:ef",
            "52-54-00-AB-CD-EF",
            "5254.00ab.cdef",
            "525400abcdef",
            "525400-abcdef",
            " 52:54:0:ab:cd:ef ",
        ] {
            let mac: MacAddr = text.parse().expect(text);
            assert_eq!(mac.to_string(), "52:54:00:ab:cd:ef", "{text}");
        }
    }

    #[test]
    fn what_names_no_machine_is_refused() {
        for text in [
            "",
            "52:54",
            "52:54:00:ab:cd:eg",
            "52:54:00:ab:cd:ef:01",
            "é2:54:00:ab:cd:ef",
        ] {
            assert!(
                matches!(text.parse::<MacAddr>(), Err(MacError::Malformed(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "ff:ff:ff:ff:ff:ff".parse::<MacAddr>(),
            Err(MacError::Group(_))
        ));
        assert!(matches!(
            "01:00:5e:00:00:01".parse::<MacAddr>(),
            Err(MacError::Group(_))
        ));
        assert!(matches!(
            "00:00:00:00:00:00".parse::<MacAddr>(),
            Err(MacError::Zero(_))
        ));
    }
}
