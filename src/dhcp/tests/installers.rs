//! What installers are told by DHCP, and by which program's own boot program.

use std::collections::BTreeMap;

use super::super::testing::*;
use crate::model::*;

fn rig(kind: ProfileKind) -> Rig {
    let mut rig = Rig::new();
    rig.flagged = Some(LoaderKind::Ipxe);
    rig.kind = kind;
    // a site without such a profile is not even asked
    let profile = Profile {
        name: "p".parse().expect("a name"),
        kind,
        distro: None,
        cmdline: String::new(),
        answers: BTreeMap::new(),
        files: BTreeMap::new(),
        executable: Default::default(),
        disk: DiskRule::default(),
        may_destroy: Vec::new(),
        vars: serde_json::Map::new(),
        handoff: Handoff::None,
        deadlines: Deadlines::default(),
        attempts: 1,
        retry_after_write: false,
        delivery: Delivery::default(),
        intent: Partial::default(),
        asked: Default::default(),
        ignores: Default::default(),
    };
    let name = profile.name.clone();
    rig.site.profiles.insert(name, std::sync::Arc::new(profile));
    rig
}

const OS: &[(u8, &[u8])] = &[(12, b"installer")];

#[test]
fn proxmox_is_told_where_to_post() {
    let mut rig = rig(ProfileKind::Proxmox);
    let offer = rig.send(&discover(WEB01, OS));
    assert_eq!(offer.text(250), Some("http://10.77.0.1/mine/answer.toml"));
    assert_eq!((offer.text(67), offer.text(60)), (None, None));
    rig.flagged = None;
    assert_eq!(
        rig.send(&discover(WEB01, OS)).text(250),
        None,
        "not flagged"
    );
    rig.flagged = Some(LoaderKind::Ipxe);
    assert_eq!(rig.send(&discover(WEB01, BIOS)).text(250), None, "firmware");
    rig.kind = ProfileKind::Preseed;
    assert_eq!(
        rig.send(&discover(WEB01, OS)).text(250),
        None,
        "another profile"
    );
}

#[test]
fn openbsd_firmware_and_installer_are_told_different_files() {
    let mut rig = rig(ProfileKind::Openbsd);
    let planned = |name: &str| PlannedFile {
        id: ArtefactRef {
            distro: "openbsd".into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    };
    rig.flagged = Some(LoaderKind::Own);
    rig.way = Way {
        start: Start::Own,
        own: Some(Own {
            bios: Some(planned("pxeboot")),
            uefi: Some(planned("BOOTX64.EFI")),
            config: "boot.conf".into(),
            config_names: vec!["etc/boot.conf".into()],
            files: BTreeMap::new(),
            signed: true,
        }),
        ..Way::default()
    };
    for (options, file, server) in [
        (BIOS, "own/pxeboot", Some("10.77.0.1")),
        (UEFI, "own/BOOTX64.EFI", Some("10.77.0.1")),
        (HTTP, "http://10.77.0.1/own/BOOTX64.EFI", None),
        (IPXE, "own/BOOTX64.EFI", Some("10.77.0.1")),
        (OS, "auto_install", Some("10.77.0.1")),
    ] {
        let offer = rig.send(&discover(WEB01, options));
        assert_eq!((offer.text(67), offer.text(66)), (Some(file), server));
        let reply = offer.reply.as_ref().expect("a reply");
        assert_eq!(reply.siaddr(), std::net::Ipv4Addr::from(SERVER));
    }
    rig.flagged = None;
    assert_eq!(rig.send(&discover(WEB01, OS)).text(67), None);
}
