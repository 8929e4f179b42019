//! What the netboot image of NixOS asks the real server for, in its order, up to the installed system's
//! first boot.

use farrier::cli::demo::rack::{Rack, RackError};
use farrier::model::Phase;

use super::NEEDS;
use super::consumers::{booted, word};
use crate::rack::can_run;
use crate::rack::phantom::{Installer, Told};

#[test]
fn a_nixos_installation_is_served_from_end_to_end() -> Result<(), RackError> {
    if !can_run("an installation of NixOS", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (server, machine, script) = booted(&rack, "nixos")?;
    assert!(word(&script, "init=").ends_with("/init"), "{script}");
    let base = word(&script, "farrier.url=");
    let get = |name: &str| -> Result<String, RackError> {
        let url = format!("{base}/{name}");
        Ok(machine.http(&url, None)?.must_be(200, &url)?.text())
    };
    // the image's service, which may have to ask more than once
    let environment = get("farrier.env")?;
    assert_eq!(get("farrier.env")?, environment);
    get("report.sh")?;
    let install = get("install.sh")?;
    assert_eq!(server.phase("web01")?, Phase::Installing);
    let report = environment.lines().find_map(|l| l.strip_prefix("REPORT="));
    let installer = Installer::of(&format!("{base}/"), report.expect("where to report"));
    machine.must_report(&installer, "start", "NixOS 25.05, kernel 6.12.41")?;
    let url = format!("{}/disks", installer.report_url());
    let permit = machine.http(&url, Some(&machine.disks()))?;
    assert!(permit.must_be(200, &url)?.text().starts_with("disk=/dev/"));
    // and what the script fetches itself
    let list = install.split_once("for file in ").expect("a list").1;
    let list = list.split_once(';').expect("its end").0;
    for name in list.split_whitespace() {
        machine.must_report(&installer, "progress/setup", "")?;
        get(name)?;
    }
    for stage in ["partition", "configure", "packages", "handoff"] {
        machine.must_report(&installer, &format!("progress/{stage}"), "")?;
    }
    let handoff = machine.hand_off(&installer)?;
    machine.must_report(&installer, "end", "installation finished!")?;
    assert_eq!(server.phase("web01")?, Phase::Installed);
    machine.first_boot(&handoff, "ok")?.must_be(200, &handoff)?;
    assert_eq!(server.phase("web01")?, Phase::Ready);
    assert_eq!(machine.boot()?, Told::OwnDisk);
    Ok(())
}
