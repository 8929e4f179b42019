//! What particular clients need, as data. Each row says who, how they are known, what is done for
//! them, and where the knowledge comes from. `docs/dhcp.md` lists them by name.
//!
//! What every client gets alike (the order of options, the padding, which options there are) is in
//! `reply` and `encode`; what a client is told to boot is the decision's, and `boot`'s.

use dhcproto::v4::MessageType;

use super::request::{Class, Request};
use crate::model::{Arch, Firmware};

/// One row.
#[derive(Debug)]
pub struct Quirk {
    /// What it is called in docs and logs.
    pub name: &'static str,
    /// Which clients, in words.
    pub who: &'static str,
    /// The same as a test of the request.
    applies: fn(&Request<'_>) -> bool,
    /// What is done for them.
    pub done: &'static [Change],
    /// How it is known.
    pub evidence: &'static str,
}

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is taken for this architecture, whatever its code says.
    Arch(Arch),
    /// It boots by HTTP, or not, whatever its code says.
    Http(bool),
    /// Option 43, whole; none where there must not be one.
    VendorOptions(Option<&'static [u8]>),
    /// Option 60; none where there must not be one.
    Class(Option<&'static str>),
    /// Option 60 where another server hands out the addresses.
    ProxyClass(&'static str),
    /// Options 66 and 67 end with a NUL, or not.
    Nul(bool),
    /// Option 97 comes back as it was sent.
    EchoMachineId,
    /// It has its own names for what it loads: there is no option 67.
    OwnNames,
    /// Option 175.176 = 1: it need not wait for a proxy.
    NoProxyWait,
    /// It is given a better iPXE first, once.
    BetterIpxe,
    /// What it left out of its REQUEST is what it said in its DISCOVER.
    Recall,
    /// Replies are sent to everyone although it did not ask for it.
    Broadcast,
}

/// What is done for one client: of every kind of change the first that a row names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// See [`Change::Arch`].
    pub arch: Option<Arch>,
    /// See [`Change::Http`].
    pub http: Option<bool>,
    vendor: Option<Option<&'static [u8]>>,
    class: Option<Option<&'static str>>,
    /// See [`Change::ProxyClass`].
    pub proxy_class: Option<&'static str>,
    nul: Option<bool>,
    /// See [`Change::EchoMachineId`].
    pub echo_machine_id: bool,
    /// See [`Change::OwnNames`].
    pub own_names: bool,
    /// See [`Change::NoProxyWait`].
    pub no_proxy_wait: bool,
    /// See [`Change::BetterIpxe`].
    pub better_ipxe: bool,
    /// See [`Change::Recall`].
    pub recall: bool,
    /// See [`Change::Broadcast`].
    pub broadcast: bool,
}

impl Effect {
    /// Option 43, whole.
    pub fn vendor_options(&self) -> Option<&'static [u8]> {
        self.vendor.flatten()
    }

    /// Option 60. `proxy`: another server hands out the addresses.
    pub fn class(&self, proxy: bool) -> Option<&'static str> {
        self.proxy_class
            .filter(|_| proxy)
            .or_else(|| self.class.flatten())
    }

    /// Names end with a NUL.
    pub fn terminate_names(&self) -> bool {
        self.nul.unwrap_or(true)
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Arch(arch) => _ = self.arch.get_or_insert(arch),
            Change::Http(http) => _ = self.http.get_or_insert(http),
            Change::VendorOptions(bytes) => _ = self.vendor.get_or_insert(bytes),
            Change::Class(class) => _ = self.class.get_or_insert(class),
            Change::ProxyClass(class) => _ = self.proxy_class.get_or_insert(class),
            Change::Nul(nul) => _ = self.nul.get_or_insert(nul),
            Change::EchoMachineId => self.echo_machine_id = true,
            Change::OwnNames => self.own_names = true,
            Change::NoProxyWait => self.no_proxy_wait = true,
            Change::BetterIpxe => self.better_ipxe = true,
            Change::Recall => self.recall = true,
            Change::Broadcast => self.broadcast = true,
        }
    }
}

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

/// A REQUEST that does not say what it is.
fn leaves_class_out(request: &Request<'_>) -> bool {
    request.kind == MessageType::Request && request.raw_class.is_none() && request.ipxe.is_none()
}

/// Firmware that boots by PXE or HTTP, and no iPXE. What says its architecture and not its class
/// boots by PXE.
fn is_rom(request: &Request<'_>, class: Class) -> bool {
    let half = class == Class::Pxe && leaves_class_out(request) && request.arch.is_some();
    request.ipxe.is_none() && (request.class == class || half)
}

fn is_boot_client(request: &Request<'_>) -> bool {
    request.ipxe.is_some() || is_rom(request, Class::Pxe) || is_rom(request, Class::Http)
}

fn firmware(request: &Request<'_>) -> Firmware {
    // DHCP takes what does not say for a BIOS PC.
    request.arch.map_or(Firmware::BIOS, Firmware::from_code)
}

/// The table. Of two rows that change the same thing for one client, the upper one holds.
pub static QUIRKS: [Quirk; 11] = [
    Quirk {
        name: "raspberry-pi",
        who: "the boot ROM of a Raspberry Pi 3, 4 or 5, known by its hardware address or by option 97",
        // Only the boot ROM: UEFI firmware on the same board says arch 0x0b and wants none of this.
        applies: |request| {
            let pi = RASPBERRY_PI.contains(&request.mac.oui())
                || request
                    .uuid
                    .as_deref()
                    .is_some_and(|uuid| uuid.get(1..4) == Some(b"RPi"));
            request.class != Class::Http && matches!(request.arch, Some(0 | 0x29)) && pi
        },
        done: &[
            Change::Arch(Arch::RaspberryPi),
            Change::VendorOptions(Some(RASPBERRY_PI_BOOT)),
            Change::Nul(false),
            Change::OwnNames,
        ],
        evidence: "it says architecture 0, a BIOS PC (raspberrypi/rpi-eeprom#182, #87; option 97 \
                   begins with `RPi` on later bootloaders); without tags 9 and 10 in option 43 it \
                   ignores the offer (tinkerbell/smee); a NUL in option 66 is under suspicion \
                   (raspberrypi/firmware#871)",
    },
    Quirk {
        name: "class-left-out",
        who: "a REQUEST without option 60, in the transaction of a DISCOVER that had one",
        applies: leaves_class_out,
        done: &[
            Change::Recall,
            Change::Class(Some("PXEClient")),
            Change::EchoMachineId,
        ],
        evidence: "Raspberry Pis leave option 60 out of the REQUEST (raspberrypi/rpi-eeprom#82)",
    },
    Quirk {
        name: "hw-client",
        who: "firmware whose option 60 is `HW-Client`",
        applies: |request| {
            let class = request.raw_class.as_deref().unwrap_or_default();
            request.ipxe.is_none() && class.starts_with(b"HW-Client")
        },
        done: &[Change::Class(Some("HW-Client"))],
        evidence: "some Huawei firmware says so in place of `PXEClient`, and takes only an offer that \
                   says the same (dnsmasq's --dhcp-pxe-vendor is for it)",
    },
    Quirk {
        name: "http-client",
        who: "firmware whose option 60 begins with `HTTPClient`",
        applies: |request| is_rom(request, Class::Http),
        done: &[
            Change::Http(true),
            Change::Class(Some("HTTPClient")),
            Change::VendorOptions(None),
        ],
        evidence: "EDK2 takes an offer for HTTP boot only if its first ten bytes are these, whatever \
                   code either side sent (NetworkPkg/HttpBootDxe/HttpBootDhcp4.c)",
    },
    Quirk {
        name: "pxe-client",
        who: "firmware whose option 60 begins with `PXEClient`",
        applies: |request| is_rom(request, Class::Pxe),
        done: &[Change::Http(false), Change::Class(Some("PXEClient"))],
        evidence: "without these nine bytes EDK2 takes an offer for one without boot data \
                   (NetworkPkg/UefiPxeBcDxe/PxeBcDhcp4.c); some firmware sends an HTTP code with \
                   them and means PXE",
    },
    Quirk {
        name: "arch-9",
        who: "64-bit x86 UEFI that says architecture 9 instead of 7",
        applies: |request| request.arch == Some(9),
        done: &[Change::Arch(Arch::X64Uefi)],
        evidence: "RFC 4578 had the two swapped once, and firmware of both readings is in the field; \
                   servers that know only one loop endlessly (xcat2/xcat-core#7645)",
    },
    Quirk {
        name: "bios-pxe",
        who: "a BIOS ROM's PXE",
        applies: |request| is_rom(request, Class::Pxe) && firmware(request).arch == Arch::X86Bios,
        done: &[Change::VendorOptions(Some(USE_THIS_OFFER))],
        evidence: "without discovery control some ROMs look for boot servers first and give up \
                   (PXE 2.1 section 2.2; dnsmasq and pixiecore send the same)",
    },
    Quirk {
        name: "uefi-pxe",
        who: "the PXE of UEFI firmware",
        applies: |request| is_rom(request, Class::Pxe) && firmware(request).is_uefi(),
        done: &[Change::VendorOptions(None)],
        evidence: "any of the tags 6 to 10 in option 43 makes EDK2 ask for PXE 1.0's boot server \
                   discovery (PxeBcDhcp4.c), and menus are broken in many (dnsmasq answers those on \
                   port 4011 only; pixiecore sends no option 43)",
    },
    Quirk {
        name: "ipxe",
        who: "iPXE, known by its user class or by option 175",
        applies: |request| request.ipxe.is_some(),
        done: &[
            Change::NoProxyWait,
            Change::Class(None),
            Change::ProxyClass("PXEClient"),
            Change::VendorOptions(None),
        ],
        evidence: "it waits two seconds for a proxy on every DHCP unless told not to; with an address \
                   and `PXEClient` it would go on to port 4011; an offer without an address it takes \
                   only with that word (src/net/udp/dhcp.c, dhcp_discovery_rx)",
    },
    Quirk {
        name: "ipxe-without-http",
        who: "an iPXE whose option 175 does not list HTTP (feature 19)",
        applies: |request| request.ipxe.is_some_and(|ipxe| !ipxe.http),
        done: &[Change::BetterIpxe],
        evidence: "some network cards' ROMs are built without it, and cannot fetch the script \
                   (iPXE's DOWNLOAD_PROTO_HTTP is a choice of who builds it)",
    },
    Quirk {
        name: "pxe-details",
        who: "every boot client",
        applies: is_boot_client,
        done: &[Change::Nul(true), Change::EchoMachineId],
        evidence: "dnsmasq always ends 66 and 67 with a NUL (\"some PXE ROMs have bugs and need \
                   zero-terminated names\"), and EDK2's HTTP boot writes one behind an option 67 that \
                   has none, over the next option's code (HttpBootDhcp4.c); option 97 is returned \
                   because PXE 2.1 has clients ignore offers without it, and may be missing or odd \
                   (pixiecore#21)",
    },
];

/// What is done for this client.
pub fn effect(request: &Request<'_>) -> Effect {
    let mut effect = Effect::default();
    for quirk in quirks(request) {
        quirk.done.iter().for_each(|change| effect.take(*change));
    }
    effect
}

/// The rows that apply, in their order.
pub fn quirks(request: &Request<'_>) -> impl Iterator<Item = &'static Quirk> {
    QUIRKS.iter().filter(|q| (q.applies)(request))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BIOS, HTTP, IPXE, UEFI, WEB01, discover, packet};
    use super::*;

    #[test]
    fn vendor_options_are_well_formed() {
        let rows = QUIRKS.iter().flat_map(|q| q.done);
        let mut seen = 0;
        for change in rows {
            let Change::VendorOptions(Some(vendor)) = change else {
                continue;
            };
            let codes: Vec<u8> = super::super::wire::suboptions(vendor)
                .map(|(c, _)| c)
                .collect();
            assert_eq!(codes[0], 6, "discovery control");
            assert_eq!(vendor.last(), Some(&255));
            seen += 1;
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn every_row_is_in_the_docs_with_its_evidence() {
        let docs = include_str!("../../docs/dhcp.md");
        for quirk in &QUIRKS {
            assert!(!quirk.done.is_empty(), "{}", quirk.name);
            for text in [quirk.who, quirk.evidence] {
                assert!(text.len() > 10, "{}", quirk.name);
            }
            assert!(
                docs.contains(&format!("| **{}** |", quirk.name)),
                "{}",
                quirk.name
            );
        }
        assert_eq!(docs.matches("| **").count(), QUIRKS.len(), "and no other");
    }

    #[test]
    fn each_row_is_for_its_client() {
        let check = |packet: Vec<u8>, expected: &[&str]| {
            let request = super::super::request::parse(&packet).expect("a request");
            let names: Vec<&str> = quirks(&request).map(|q| q.name).collect();
            assert_eq!(names, expected);
        };
        let pi = "dc:a6:32:00:00:01";
        check(
            discover(pi, BIOS),
            &["raspberry-pi", "pxe-client", "bios-pxe", "pxe-details"],
        );
        check(
            packet(3, pi, &[(93, &[0, 0])]),
            &[
                "raspberry-pi",
                "class-left-out",
                "pxe-client",
                "bios-pxe",
                "pxe-details",
            ],
        );
        check(packet(3, WEB01, &[(12, b"web01")]), &["class-left-out"]);
        check(
            discover(WEB01, BIOS),
            &["pxe-client", "bios-pxe", "pxe-details"],
        );
        check(
            discover(WEB01, UEFI),
            &["pxe-client", "uefi-pxe", "pxe-details"],
        );
        check(discover(WEB01, HTTP), &["http-client", "pxe-details"]);
        check(
            discover(WEB01, &[(60, b"PXEClient"), (93, &[0, 9])]),
            &["pxe-client", "arch-9", "uefi-pxe", "pxe-details"],
        );
        check(
            discover(WEB01, &[(60, b"HW-Client"), (93, &[0, 0])]),
            &["hw-client", "pxe-client", "bios-pxe", "pxe-details"],
        );
        check(discover(WEB01, IPXE), &["ipxe", "pxe-details"]);
        check(
            discover(WEB01, &[(77, b"iPXE"), (175, &[33, 1, 1])]),
            &["ipxe", "ipxe-without-http", "pxe-details"],
        );
        // what boots nothing is as any other
        check(discover(WEB01, &[(60, b"d-i")]), &[]);
        check(discover(WEB01, &[]), &[]);
    }

    #[test]
    fn the_upper_row_holds() {
        let of = |options: &[(u8, &[u8])], mac| {
            let packet = discover(mac, options);
            effect(&super::super::request::parse(&packet).expect("a request"))
        };
        let pi = of(BIOS, "dc:a6:32:00:00:01");
        assert_eq!(pi.vendor_options(), Some(RASPBERRY_PI_BOOT));
        assert!(!pi.terminate_names());
        let huawei = of(&[(60, b"HW-Client"), (93, &[0, 0])], WEB01);
        assert_eq!(huawei.class(false), Some("HW-Client"));
        let ipxe = of(IPXE, WEB01);
        assert_eq!(
            (ipxe.class(false), ipxe.class(true)),
            (None, Some("PXEClient"))
        );
    }
}
