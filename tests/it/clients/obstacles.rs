//! A machine that is flagged and cannot be booted: an address and its own disk, and the reason
//! wherever a person looks.

use farrier::cli::demo::rack::{Host, RackError, SERVER, tools};
use farrier::model::MacAddr;

use super::raw::{ACK, Asker, DISCOVER, Message, OFFER, REQUEST, Said};
use super::{Desk, Rack};
use crate::rack::can_run;
use crate::rack::phantom::Phantom;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::LOADERS];

/// As much of a kernel for x86 as says so.
fn x86() -> Vec<u8> {
    let mut kernel = vec![0; 0x1000];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel
}

pub(super) fn firmware(class: &str, arch: u8) -> impl Fn(u8, MacAddr) -> Message {
    move |kind, mac| {
        Message::new(kind, mac)
            .option(60, class)
            .option(93, [0, arch])
    }
}

/// The whole conversation: what was acknowledged.
pub(super) fn lease(host: &Host, asks: impl Fn(u8, MacAddr) -> Message) -> Result<Said, RackError> {
    host.no_address()?;
    let asker = Asker::everyone(host)?;
    let offer = asker.ask(&asks(DISCOVER, host.mac()));
    assert_eq!(offer.kind, OFFER, "{offer:?}");
    let ack = asker.ask(&asks(REQUEST, host.mac()).wants(offer.given).to(SERVER));
    assert_eq!(ack.kind, ACK, "{ack:?}");
    assert_eq!(ack.text(67), offer.text(67));
    Ok(ack)
}

#[track_caller]
fn is_an_address_alone(said: &Said) {
    for boot in [43, 60, 66, 67, 97] {
        assert_eq!(said.option(boot), None, "option {boot} in {said:?}");
    }
}

/// Everywhere that a person may look.
#[track_caller]
fn says(desk: &Desk, reason: &str) -> Result<(), RackError> {
    for look in [&["why", "web01"][..], &["show", "web01"], &["status"]] {
        let said = desk.server.must(look)?;
        assert!(said.contains(reason), "{look:?} does not say it: {said}");
    }
    let log = desk.server.log();
    assert!(log.contains(reason), "the log does not say it: {log}");
    assert!(
        log.contains("it is flagged and boots its own disk"),
        "{log}"
    );
    Ok(())
}

#[test]
fn secure_boot_by_http_goes_on_to_pxe_where_grub_has_no_http() -> Result<(), RackError> {
    if !can_run("Secure Boot by HTTP", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let web01 = ("web01", host.mac().to_string(), Some("10.77.0.11"));
    let desk = Desk::with_kernel(rack, &[web01], "", &x86())?;
    desk.server.must(&["set", "web01", "secure_boot=true"])?;
    desk.flag("web01")?;
    let by_http = lease(&host, firmware("HTTPClient:Arch:00016:UNDI:003001", 16))?;
    is_an_address_alone(&by_http);
    says(
        &desk,
        "`grubx64.efi` on this server has no HTTP, so it is left to boot by PXE",
    )?;
    let doctor = desk.server.farrier(&["doctor"])?;
    assert!(
        doctor
            .stdout
            .contains("with Secure Boot machines boot by PXE"),
        "{}",
        doctor.stdout
    );
    // as EDK2 does next
    let by_pxe = lease(&host, firmware("PXEClient:Arch:00007:UNDI:003016", 7))?;
    assert_eq!(by_pxe.text(67).as_deref(), Some("shimx64.efi"));
    let why = desk.server.must(&["why", "web01"])?;
    assert!(
        why.contains("boot: shimx64.efi, because it is flagged"),
        "{why}"
    );
    Ok(())
}

#[test]
fn a_kernel_for_another_processor_is_not_sent() -> Result<(), RackError> {
    if !can_run("another processor", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let machine = Phantom::new(&rack, "client")?;
    let web01 = ("web01", machine.mac().to_string(), Some("10.77.0.11"));
    let desk = Desk::with_kernel(rack, &[web01], "", &x86())?;
    desk.flag("web01")?;
    let reason = "`linux` of distro `rescue` is for x86";
    let arm64 = lease(
        &machine.host,
        firmware("PXEClient:Arch:00011:UNDI:003000", 11),
    )?;
    is_an_address_alone(&arm64);
    says(&desk, reason)?;
    // an iPXE that was loaded otherwise shows it on the machine's screen
    machine.host.address("10.77.0.11/24")?;
    let url = format!("http://{SERVER}/ipxe/{}", machine.mac().dashed());
    let script = machine.http(&format!("{url}?platform=efi&arch=arm64"), None)?;
    let script = script.must_be(200, &url)?.text();
    let shown = reason.replace('`', "");
    assert!(script.contains(&shown), "{script}");
    assert!(!script.contains("kernel --name"), "{script}");
    // and for its own processor nothing has changed
    let x86 = lease(
        &machine.host,
        firmware("PXEClient:Arch:00007:UNDI:003016", 7),
    )?;
    assert_eq!(x86.text(67).as_deref(), Some("snponly.efi"));
    Ok(())
}

#[test]
fn a_kernel_that_is_gone_is_missed_by_name() -> Result<(), RackError> {
    if !can_run("a kernel that is gone", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let machine = Phantom::new(&rack, "client")?;
    let web01 = ("web01", machine.mac().to_string(), Some("10.77.0.11"));
    let mut desk = Desk::with_kernel(rack, &[web01], "", &x86())?;
    desk.flag("web01")?;
    let shelf = desk.server.state().join("artefacts/rescue");
    std::fs::remove_dir_all(&shelf).map_err(RackError::file(&shelf))?;
    desk.server.kill();
    desk.server.up()?;
    let firmware = firmware("PXEClient:Arch:00007:UNDI:003016", 7);
    is_an_address_alone(&lease(&machine.host, &firmware)?);
    says(&desk, "`linux` of distro `rescue` is not on this server")?;
    let why = desk.server.must(&["why", "web01"])?;
    assert!(why.contains("farrier distro fetch rescue"), "{why}");
    machine.host.address("10.77.0.11/24")?;
    let url = format!("http://{SERVER}/ipxe/{}", machine.mac().dashed());
    let script = machine.http(&url, None)?.must_be(200, &url)?.text();
    assert!(
        script.contains("linux of distro rescue is not on this server"),
        "{script}"
    );
    // mended as it says, the same flag boots it
    desk.server.must(&["distro", "fetch", "rescue"])?;
    let again = lease(&machine.host, &firmware)?;
    assert_eq!(again.text(67).as_deref(), Some("snponly.efi"));
    Ok(())
}
