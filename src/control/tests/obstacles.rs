//! A machine that was flagged, and what its build needs is not here or does not run on it.

use super::*;
use crate::model::Processor;

#[tokio::test]
async fn what_cannot_be_booted_is_left_to_its_own_disk_and_says_why() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let attention = |control: &Control| control.status().attention.join("\n");
    assert_eq!(attention(&control), "");
    let arm64 = Firmware::from_code(0x0b);
    let facts_of = |firmware, stage| Facts {
        firmware: Some(firmware),
        stage,
        ..facts()
    };
    let told = |firmware, stage| control.ask(&facts_of(firmware, stage)).why.to_string();
    let (rom, ipxe) = (ClientStage::Rom, ClientStage::Ipxe);
    // its loader is here, and who knows what its kernel is for
    assert!(told(arm64, rom).starts_with("it is flagged"));
    // the kernel says that it is for x86
    let mut one = index();
    let mut kernel = (**one.get("debian-12", "linux").expect("here")).clone();
    kernel.nature.processor = Some(Processor::X86);
    one.insert(kernel);
    publish(&control, one.clone()).await;
    for stage in [rom, ipxe] {
        assert_eq!(
            told(arm64, stage),
            "its firmware (arm64-uefi) cannot boot this: `linux` of distro `debian-12` is for x86"
        );
        assert!(told(Firmware::UEFI, stage).starts_with("it is flagged"));
    }
    // no loader was ever made for it
    let riscv = Firmware::from_code(0x1b);
    let none = "its firmware (type 0x1b) cannot boot this: there is no network boot loader for it";
    assert_eq!(told(riscv, rom), none);
    control.seen_firmware(mac(), arm64);
    assert!(
        attention(&control)
            .contains("`web01` is flagged and would boot its own disk: its firmware"),
        "{}",
        attention(&control)
    );
    let shown = control.show("web01").await.expect("shown");
    assert!(shown.why.contains("is for x86"), "{}", shown.why);
    // nothing changed by it
    assert_eq!(phase(&control), Phase::Armed);

    let mut no_loader = ArtefactIndex::default();
    no_loader.insert((**one.get("debian-12", "linux").expect("here")).clone());
    publish(&control, no_loader).await;
    control.seen_firmware(mac(), Firmware::UEFI);
    let missing = "the boot loader `snponly.efi` is not on this server";
    assert_eq!(told(Firmware::UEFI, rom), missing);
    let shown = control.show("web01").await.expect("shown");
    assert_eq!(shown.hint.as_deref(), Some("farrier distro fetch loaders"));
    // iPXE is its own loader
    assert!(told(Firmware::UEFI, ipxe).starts_with("it is flagged"));

    publish(&control, ArtefactIndex::default()).await;
    let missing = "`linux` of distro `debian-12` is not on this server";
    assert_eq!(told(Firmware::UEFI, ipxe), missing);
    assert!(attention(&control).contains("farrier distro fetch debian-12"));
}

#[tokio::test]
async fn with_secure_boot_http_boot_needs_a_grub_with_http() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench
        .flag_with(&control, |pinned| pinned.secure_boot = true)
        .await;
    let http = Firmware::from_code(0x10);
    let ask = |firmware| {
        let facts = Facts {
            firmware: Some(firmware),
            stage: ClientStage::Rom,
            ..facts()
        };
        control.ask(&facts)
    };
    let by_http = ask(http);
    assert_eq!(by_http.action, Action::LocalDisk);
    assert!(
        by_http
            .why
            .to_string()
            .contains("has no HTTP, so it is left to boot by PXE"),
        "{}",
        by_http.why
    );
    assert!(matches!(ask(Firmware::UEFI).action, Action::Boot(_)));
    let arm64 = ask(Firmware::from_code(0x0b)).why.to_string();
    assert!(
        arm64.contains("there is no signed network boot loader"),
        "{arm64}"
    );
    let mut one = index();
    let mut grub = (**one.loader("grubx64.efi").expect("here")).clone();
    grub.nature.http = true;
    one.insert(grub);
    publish(&control, one).await;
    assert!(matches!(ask(http).action, Action::Boot(_)));
}

#[tokio::test]
async fn documents_that_fit_stay_and_what_cannot_be_made_again_is_not_booted() {
    let bench = Bench::new();
    let control = bench.open().await;
    let address = |ip: [u8; 4]| Ipv4Addr::from(ip);
    control.set_places(Places {
        addresses: vec![ServerAddress {
            interface: "eth1".into(),
            ip: address([10, 77, 0, 1]),
            network: "10.77.0.0/24".parse().expect("a network"),
        }],
        http_port: 80,
        https_port: 443,
    });
    let made_for = |ip| Some(std::net::SocketAddrV4::new(address(ip), 80));
    let at = address([10, 77, 0, 9]);
    let key = |epoch| crate::model::BuildKey {
        system: web01(),
        epoch,
    };
    bench
        .flag_with(&control, |pinned| pinned.server = made_for([10, 77, 0, 1]))
        .await;
    assert_eq!(control.settle(at, None, &key(1)).await, Ok(false));
    bench
        .flag_with(&control, |pinned| pinned.server = made_for([10, 78, 0, 1]))
        .await;
    // its profile is nowhere: nothing can be rendered
    let why = control
        .settle(at, None, &key(2))
        .await
        .expect_err("it does not fit");
    assert!(
        why.contains(
            "reaches this server at 10.78.0.1:80, and cannot be made again for one that reaches \
             this server at 10.77.0.1:80"
        ),
        "{why}"
    );
    assert_eq!(phase(&control), Phase::Armed);
    // what an older version pinned does not say where it is for
    bench
        .flag_with(&control, |pinned| pinned.server = None)
        .await;
    assert_eq!(control.settle(at, None, &key(3)).await, Ok(false));
}
