//! What boot clients are told.

use super::super::testing::*;
use super::super::{Destination, Silence};
use crate::model::{DhcpMode, Door, LoaderKind, MacAddr};

const SCRIPT: &str = "http://10.77.0.1/ipxe/52-54-00-00-00-01";

fn flagged(loader: LoaderKind) -> Rig {
    let mut rig = Rig::new();
    rig.flagged = Some(loader);
    rig
}

#[test]
fn every_firmware_gets_its_loader() {
    let check = |kind, options: &[(u8, &[u8])], file: Option<&str>, class: Option<&str>| {
        let mut rig = flagged(kind);
        let offer = rig.send(&discover(WEB01, options));
        assert_eq!(offer.word, "offer");
        assert_eq!(
            (offer.text(67), offer.text(60)),
            (file, class),
            "{options:?}"
        );
        let reply = offer.reply.as_ref().expect("a reply");
        assert_eq!(reply.siaddr(), std::net::Ipv4Addr::from(SERVER));
        let field = reply.fname().map(|f| {
            String::from_utf8_lossy(f)
                .trim_end_matches('\0')
                .to_string()
        });
        assert_eq!(field.filter(|f| !f.is_empty()).as_deref(), file);
        let tftp = file.is_some_and(|f| !f.contains("://"));
        assert_eq!(offer.text(66), tftp.then_some("10.77.0.1"));
        // the same in the ACK
        let mut selected = vec![(54, &SERVER[..]), (50, &[10, 77, 0, 11][..])];
        selected.extend_from_slice(options);
        let ack = rig.send(&packet(3, WEB01, &selected));
        assert_eq!((ack.text(67), ack.text(60)), (file, class), "{options:?}");
    };
    use LoaderKind::{Grub, Ipxe};
    let (pxe, http) = (Some("PXEClient"), Some("HTTPClient"));
    check(Ipxe, BIOS, Some("undionly.kpxe"), pxe);
    check(Ipxe, UEFI, Some("snponly.efi"), pxe);
    check(
        Ipxe,
        &[(60, b"PXEClient:Arch:00009:UNDI:003016"), (93, &[0, 9])],
        Some("snponly.efi"),
        pxe,
    );
    check(
        Ipxe,
        &[(60, b"PXEClient:Arch:00011"), (93, &[0, 11])],
        Some("snponly-arm64.efi"),
        pxe,
    );
    check(
        Ipxe,
        HTTP,
        Some("http://10.77.0.1/loader/snponly.efi"),
        http,
    );
    check(Ipxe, IPXE, Some(SCRIPT), None);
    check(Grub, UEFI, Some("shimx64.efi"), pxe);
    check(
        Grub,
        HTTP,
        Some("http://10.77.0.1/loader/shimx64.efi"),
        http,
    );
    check(Grub, IPXE, Some(SCRIPT), None);
    check(
        Ipxe,
        &[(60, b"HW-Client"), (93, &[0, 0])],
        Some("undionly.kpxe"),
        Some("HW-Client"),
    );
    check(Ipxe, &[(60, b"PXEClient")], Some("undionly.kpxe"), pxe);
    // nothing to load: an address only
    check(Ipxe, &[(60, b"PXEClient"), (93, &[0, 6])], None, None);
    check(Ipxe, &[(60, b"U-Boot.armv8"), (93, &[0, 0x16])], None, None);
    // the installer, a system
    check(Ipxe, &[(60, b"d-i")], None, None);
    check(Ipxe, &[], None, None);
}

#[test]
fn a_distros_own_shim_is_what_its_machines_are_told() {
    let mut rig = flagged(LoaderKind::Grub);
    let pair = own_pair("rocky-9");
    let path = crate::boot::paths::pair_path(&pair);
    rig.way.pair = Some(pair);
    // the server's own pair is not even here
    rig.place.loaders.clear();
    let pxe = rig.send(&discover(WEB01, UEFI));
    assert_eq!(pxe.text(67), Some(path.as_str()));
    let field = pxe.reply.as_ref().and_then(|r| r.fname()).expect("a file");
    // where shim looks for the directory that it came from
    let field = String::from_utf8_lossy(field);
    assert_eq!(field.trim_end_matches('\0'), path);
    let http = rig.send(&discover(WEB01, HTTP));
    assert_eq!(
        http.text(67),
        Some(format!("http://10.77.0.1/{path}").as_str())
    );
    assert_eq!(http.text(66), None);
    // it is for 64-bit x86, and for Secure Boot
    let arm64: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00011"), (93, &[0, 11])];
    assert_eq!(rig.send(&discover(WEB01, arm64)).text(67), None);
    rig.flagged = Some(LoaderKind::Ipxe);
    rig.place.loaders = crate::boot::paths::LOADERS.to_vec();
    assert_eq!(
        rig.send(&discover(WEB01, UEFI)).text(67),
        Some("snponly.efi")
    );
    assert_eq!(
        rig.send(&discover(WEB01, BIOS)).text(67),
        Some("undionly.kpxe")
    );
}

#[test]
fn a_loader_that_is_not_here_is_not_advertised() {
    let mut rig = flagged(LoaderKind::Ipxe);
    rig.place.loaders.retain(|l| *l != "snponly.efi");
    for firmware in [UEFI, HTTP] {
        let offer = rig.send(&discover(WEB01, firmware));
        assert_eq!((offer.word, offer.text(67)), ("offer", None));
        assert_eq!(offer.option(60), None, "an ordinary offer");
    }
    assert_eq!(
        rig.send(&discover(WEB01, BIOS)).text(67),
        Some("undionly.kpxe")
    );
    assert_eq!(rig.send(&discover(WEB01, IPXE)).text(67), Some(SCRIPT));
    rig.place.mode = DhcpMode::Proxy;
    let silence = rig.send(&discover(WEB01, UEFI)).silence;
    assert_eq!(silence, Some(Silence::NoLoader));
}

#[test]
fn details_that_firmware_stumbles_over() {
    let mut rig = flagged(LoaderKind::Ipxe);
    let uuid: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    let with_uuid = |firmware: &[(u8, &'static [u8])]| {
        let mut options = firmware.to_vec();
        options.push((97, uuid));
        options.push((55, &[1, 3, 66, 67, 150]));
        options
    };
    let bios = rig.send(&discover(WEB01, &with_uuid(BIOS)));
    assert_eq!(bios.option(97), Some(uuid));
    assert_eq!(bios.option(43), Some(&[6, 1, 8, 255][..]));
    assert_eq!(bios.option(67), Some(&b"undionly.kpxe\0"[..]));
    assert_eq!(bios.option(150), Some(&SERVER[..]));
    assert_eq!(bios.option(175), None);
    let uefi = rig.send(&discover(WEB01, &with_uuid(UEFI)));
    assert_eq!(uefi.option(43), None, "UEFI would ask for discovery");
    let ipxe = rig.send(&discover(WEB01, IPXE));
    assert_eq!(
        ipxe.option(175),
        Some(&[176, 1, 1][..]),
        "no waiting for a proxy"
    );
    rig.flagged = None;
    let local = rig.send(&discover(WEB01, &with_uuid(UEFI)));
    for boot in [60, 66, 67, 43, 97, 150] {
        assert_eq!(local.option(boot), None, "option {boot}");
    }
    assert_eq!(local.reply.expect("a reply").fname(), None);
}

#[test]
fn raspberry_pi() {
    let mut rig = flagged(LoaderKind::Ipxe);
    rig.add("pi01", "dc:a6:32:00:00:01", Some([10, 77, 0, 31]));
    let offer = rig.send(&discover("dc:a6:32:00:00:01", BIOS));
    let vendor = offer.option(43).expect("option 43");
    assert!(vendor.windows(17).any(|w| w == b"Raspberry Pi Boot"));
    assert_eq!(offer.option(66), Some(&b"10.77.0.1"[..]), "without a NUL");
    assert_eq!(offer.option(67), None);
    // its REQUEST has no class
    let ack = rig.send(&packet(
        3,
        "dc:a6:32:00:00:01",
        &[(54, &SERVER), (50, &[10, 77, 0, 31]), (93, &[0, 0])],
    ));
    assert_eq!(ack.option(43), Some(vendor));
    // and its system, with another transaction, is no boot client
    let mut system = packet(3, "dc:a6:32:00:00:01", &[(50, &[10, 77, 0, 31])]);
    system[4] = 0x99;
    assert_eq!(rig.send(&system).option(43), None);
}

#[test]
fn a_rom_without_http_is_given_our_ipxe_once() {
    let mut rig = flagged(LoaderKind::Ipxe);
    let old: &[(u8, &[u8])] = &[
        (60, b"PXEClient"),
        (93, &[0, 0]),
        (77, b"iPXE"),
        (175, &[33, 1, 1]),
    ];
    let mut selected = vec![(54, &SERVER[..]), (50, &[10, 77, 0, 11][..])];
    selected.extend_from_slice(old);
    let (discover, request) = (discover(WEB01, old), packet(3, WEB01, &selected));
    let told = |rig: &mut Rig, bytes: &[u8], transaction: u8| {
        let mut bytes = bytes.to_vec();
        bytes[7] = transaction;
        rig.send(&bytes).text(67).map(str::to_string)
    };
    let (ours, script) = (Some("undionly.kpxe"), Some(SCRIPT));
    for (bytes, expected, case) in [
        (&discover, ours, "asked"),
        (&discover, ours, "asked twice"),
        (&request, ours, "taken"),
        (&request, ours, "the ACK was lost"),
    ] {
        assert_eq!(told(&mut rig, bytes, 1).as_deref(), expected, "{case}");
    }
    rig.wait(5);
    for (bytes, case) in [
        (&discover, "it came back"),
        (&discover, "asked twice"),
        (&request, "taken"),
        (&request, "the ACK was lost"),
    ] {
        assert_eq!(told(&mut rig, bytes, 2).as_deref(), script, "{case}");
    }
    rig.wait(5);
    assert_eq!(told(&mut rig, &discover, 3).as_deref(), ours, "next boot");

    // there is no REQUEST to us in proxy mode
    let mut rig = flagged(LoaderKind::Ipxe);
    rig.place.mode = DhcpMode::Proxy;
    for (transaction, expected) in [(1, ours), (1, ours), (2, script), (2, script), (3, ours)] {
        let file = told(&mut rig, &discover, transaction);
        assert_eq!(file.as_deref(), expected, "transaction {transaction}");
        rig.wait(1);
    }
}

#[test]
fn proxy_mode_adds_boot_data_and_nothing_else() {
    let mut rig = flagged(LoaderKind::Ipxe);
    rig.place.mode = DhcpMode::Proxy;
    let offer = rig.send(&discover(WEB01, UEFI));
    assert_eq!((offer.word, offer.text(67)), ("offer", Some("snponly.efi")));
    assert!(offer.ip().is_unspecified());
    for address in [1, 3, 6, 12, 15, 28, 51, 58, 59] {
        assert_eq!(offer.option(address), None, "option {address}");
    }
    assert_eq!(offer.to, Some(Destination::Broadcast));
    // iPXE takes an offer without an address only with this class
    let ipxe = rig.send(&discover(WEB01, IPXE));
    assert_eq!(
        (ipxe.text(60), ipxe.text(67)),
        (Some("PXEClient"), Some(SCRIPT))
    );
    // the REQUEST is the other server's
    let taken = packet(
        3,
        WEB01,
        &[
            (54, &[10, 77, 0, 9]),
            (50, &[10, 77, 0, 77]),
            (60, b"PXEClient"),
        ],
    );
    assert_eq!(rig.send(&taken).silence, Some(Silence::OtherServer));
    assert_eq!(
        rig.send(&discover(WEB01, &[])).silence,
        Some(Silence::NotBooting)
    );
    assert_eq!(
        rig.send(&discover(STRANGER, UEFI)).silence,
        Some(Silence::Unknown)
    );
    let nothing = [(60, &b"PXEClient"[..]), (93, &[0, 6][..])];
    assert_eq!(
        rig.send(&discover(WEB01, &nothing)).silence,
        Some(Silence::NoLoader)
    );
    rig.flagged = None;
    assert_eq!(
        rig.send(&discover(WEB01, UEFI)).silence,
        Some(Silence::OwnDisk)
    );
}

#[test]
fn port_4011_answers_where_it_was_asked_from() {
    for mode in [DhcpMode::Proxy, DhcpMode::Full] {
        let mut rig = flagged(LoaderKind::Ipxe);
        rig.place.mode = mode;
        rig.place.door = Door::Proxy;
        rig.source = "10.77.0.77:4011".parse().expect("an address");
        for kind in [3, 8] {
            let ask = with(packet(kind, WEB01, UEFI), 12, [10, 77, 0, 77]);
            let ack = rig.send(&ask);
            assert_eq!((ack.word, ack.text(67)), ("ack", Some("snponly.efi")));
            assert_eq!(ack.to, Some(Destination::Address(rig.source)));
            assert_eq!(ack.option(51), None);
        }
        let menu = with(
            packet(
                3,
                WEB01,
                &[
                    (60, b"PXEClient"),
                    (93, &[0, 0]),
                    (43, &[71, 4, 0, 1, 0, 0, 255]),
                ],
            ),
            12,
            [10, 77, 0, 77],
        );
        assert_eq!(
            rig.send(&menu).option(43),
            Some(&[71, 4, 0, 1, 0, 0, 255][..])
        );
        assert_eq!(
            rig.send(&discover(WEB01, UEFI)).silence,
            Some(Silence::Kind)
        );
    }
}

#[test]
fn off_is_off() {
    let mut rig = flagged(LoaderKind::Ipxe);
    rig.place.mode = DhcpMode::Off;
    assert_eq!(rig.send(&discover(WEB01, UEFI)).silence, Some(Silence::Off));
}

#[test]
fn replies_find_a_client_without_an_address() {
    let mut rig = Rig::new();
    let mac: MacAddr = WEB01.parse().expect("a mac");
    let ip = [10, 77, 0, 11].into();
    assert_eq!(
        rig.send(&discover(WEB01, &[])).to,
        Some(Destination::Fresh { ip, mac })
    );
    let mut asks_broadcast = discover(WEB01, &[]);
    asks_broadcast[10] = 0x80;
    let seen = rig.send(&asks_broadcast);
    assert_eq!(seen.to, Some(Destination::Broadcast));
    assert_eq!(seen.bytes[10], 0x80, "flags are kept");
    let renewal = with(packet(3, WEB01, &[]), 12, [10, 77, 0, 11]);
    let to = "10.77.0.11:68".parse().expect("an address");
    assert_eq!(rig.send(&renewal).to, Some(Destination::Address(to)));
}
