//! What particular firmware needs, as data. Each row says where the knowledge comes from.

use super::request::{Class, Request};
use crate::model::Arch;

/// One row.
#[derive(Debug)]
pub struct Quirk {
    /// What it is called in docs and logs.
    pub name: &'static str,
    /// Which machines.
    applies: fn(&Request<'_>) -> bool,
    /// What is done for them.
    pub effect: Effect,
    /// How it is known.
    pub evidence: &'static str,
}

/// What is done differently. The default is what everyone else gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The architecture it really is.
    pub arch: Option<Arch>,
    /// Option 43, whole.
    pub vendor_options: Option<&'static [u8]>,
    /// End options 66 and 67 with a NUL. On by default: dnsmasq always does ("some PXE ROMs have
    /// bugs and need zero-terminated names"), and EDK2's HTTP boot writes a NUL *behind* an option
    /// 67 that has none, over the next option's code (NetworkPkg/HttpBootDxe/HttpBootDhcp4.c).
    pub terminate_names: bool,
    /// Send replies to the broadcast address although the client did not ask for it.
    pub broadcast: bool,
}

/// What everyone gets.
pub const PLAIN: Effect = Effect {
    arch: None,
    vendor_options: None,
    terminate_names: true,
    broadcast: false,
};

/// Discovery control (PXE 2.1, tag 6) = 8: no boot server discovery, use the file of this offer.
pub const USE_THIS_OFFER: &[u8] = &[6, 1, 8, 255];

/// Discovery control, the boot menu (tag 9: type 0, 17 bytes) and its prompt (tag 10).
const RASPBERRY_PI_BOOT: &[u8] =
    b"\x06\x01\x08\x09\x14\x00\x00\x11Raspberry Pi Boot\x0a\x04\x00PXE\xff";

/// Hardware addresses of Raspberry Pi (Trading) Ltd in the IEEE registry.
const RASPBERRY_PI: [[u8; 3]; 6] = [
    [0xb8, 0x27, 0xeb],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
    [0x28, 0xcd, 0xc1],
    [0xd8, 0x3a, 0xdd],
    [0x2c, 0xcf, 0x67],
];

/// The table. The first row that applies is used.
pub static QUIRKS: [Quirk; 1] = [Quirk {
    name: "raspberry-pi",
    // Only the boot ROM: UEFI firmware on the same board says arch 0x0b and wants none of this.
    applies: |request| {
        let pi = RASPBERRY_PI.contains(&request.mac.oui())
            || request
                .uuid
                .as_deref()
                .is_some_and(|uuid| uuid.get(1..4) == Some(b"RPi"));
        request.class != Class::Http && matches!(request.arch, Some(0 | 0x29)) && pi
    },
    effect: Effect {
        arch: Some(Arch::RaspberryPi),
        vendor_options: Some(RASPBERRY_PI_BOOT),
        terminate_names: false,
        broadcast: false,
    },
    evidence: "the boot ROM of models 3, 4 and 5 says architecture 0, a BIOS PC \
               (raspberrypi/rpi-eeprom#182, #87; option 97 begins with `RPi` on later bootloaders); \
               without tags 9 and 10 in option 43 it ignores the offer (tinkerbell/smee); a NUL in \
               option 66 is under suspicion (raspberrypi/firmware#871)",
}];

/// What is done for this client.
pub fn effect(request: &Request<'_>) -> Effect {
    quirk(request).map_or(PLAIN, |q| q.effect)
}

/// The row that applies.
pub fn quirk(request: &Request<'_>) -> Option<&'static Quirk> {
    QUIRKS.iter().find(|q| (q.applies)(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_options_are_well_formed() {
        for vendor in QUIRKS.iter().filter_map(|q| q.effect.vendor_options) {
            let codes: Vec<u8> = super::super::wire::suboptions(vendor)
                .map(|(c, _)| c)
                .collect();
            assert_eq!(codes, [6, 9, 10]);
            assert_eq!(vendor.last(), Some(&255));
        }
        assert!(QUIRKS.iter().all(|q| !q.evidence.is_empty()));
    }
}
