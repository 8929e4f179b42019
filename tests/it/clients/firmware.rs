//! A machine that was flagged before anybody knew by which firmware it boots.

use farrier::cli::demo::rack::{Patience, Rack, RackError, tools, until};

use super::Desk;
use super::raw::{Asker, DISCOVER, Message};
use crate::rack::can_run;
use crate::rack::phantom::Phantom;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::LOADERS];

#[test]
fn its_documents_are_for_the_one_it_boots_by() -> Result<(), RackError> {
    if !can_run("unknown firmware", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let machine = Phantom::new(&rack, "client")?;
    let declared = [("web01", machine.mac().to_string(), Some("10.77.0.10"))];
    let mut desk = Desk::on(rack, &declared, "")?;
    let cmdline = |desk: &Desk, more: &[&str]| {
        let words = [&["render", "web01", "cmdline"], more].concat();
        desk.server.must(&words)
    };
    desk.server.must(&["distro", "fetch", "rescue"])?;
    desk.edit("as={{ system.firmware }}", "as=unknown")?;

    desk.flag("web01")?;
    assert!(cmdline(&desk, &[])?.contains("as=uefi"), "until it is seen");
    machine.host.address("10.77.0.10/24")?;
    let plain = format!("http://10.77.0.1/ipxe/{}", machine.mac().dashed());
    let first = machine.http(&plain, None)?.must_be(200, &plain)?.text();
    assert!(first.contains("platform=${platform}"), "{first}");
    assert!(!first.contains("as="), "it is asked first: {first}");
    let asker = Asker::everyone(&machine.host)?;
    let rom = Message::new(DISCOVER, machine.mac())
        .option(60, "PXEClient:Arch:00000:UNDI:002001")
        .option(93, [0, 0]);
    asker.ask(&rom);
    let url = format!(
        "http://10.77.0.1/ipxe/{}?platform=pcbios&arch=i386",
        machine.mac().dashed()
    );
    let script = || -> Result<String, RackError> {
        Ok(machine.http(&url, None)?.must_be(200, &url)?.text())
    };
    assert!(script()?.contains("as=bios"));
    assert!(cmdline(&desk, &[])?.contains("as=bios"));
    let why = desk.server.must(&["why", "web01"])?;
    assert!(
        why.contains("boots by UEFI, and are made again for one that boots by BIOS"),
        "{why}"
    );
    assert!(script()?.contains("as=bios"));
    assert_eq!(
        desk.server.log().matches("are made again").count(),
        1,
        "it is once made, and kept"
    );

    // what its last build booted by is known after a restart, before it is seen again
    until(
        "what was seen to be kept",
        Patience::seconds(20),
        || desk.server.tail(),
        || {
            let log = desk.server.log();
            Ok(log.contains("boot-began: bios").then_some(()))
        },
    )?;
    desk.server.kill();
    desk.server.up()?;
    desk.server.must(&["cancel", "web01", "--yes"])?;
    desk.flag("web01")?;
    assert!(cmdline(&desk, &[])?.contains("as=bios"));
    Ok(())
}
