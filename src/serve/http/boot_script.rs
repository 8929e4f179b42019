//! `/ipxe/MAC`, `/autoexec.ipxe`, `/grub/grub.cfg`, `/grub/grub.cfg-01-MAC`.

use axum::http::StatusCode;

use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use crate::loader::grub::{self, Via};
use crate::loader::ipxe;
use crate::model::{Action, Arch, Door, Facts, Firmware, MacAddr};
use crate::serve::script::{Language, write};

/// The iPXE script of one machine.
///
/// Which firmware it has is known only if iPXE says so in the query. Where that decides which
/// kernel is sent (memtest86+ has one for each), or what the installer is told, and nobody has seen its
/// firmware, iPXE is first asked to say it: once, for there are platforms that this server does not
/// know, and one that says such a name would be asked again for ever.
pub(super) async fn ipxe(plane: &MachinePlane, asked: &Asked, mac: MacAddr) -> Answer {
    let firmware = firmware(asked);
    if !plane.waist.speaks_for(asked.from, mac) {
        return foreign(asked, mac);
    }
    if asked.query("platform").is_none() && depends_on_firmware(plane, asked, mac) {
        let script = ipxe::ask_platform(&asked.urls, mac);
        let response = reply::text(StatusCode::OK, script);
        return Answer {
            mac: Some(mac),
            ..Answer::remark(response, "asked for its firmware")
        };
    }
    script(plane, asked, mac, firmware, Language::Ipxe).await
}

/// The GRUB configuration of one machine, for a GRUB that came by HTTP.
pub(super) async fn grub(plane: &MachinePlane, asked: &Asked, mac: MacAddr) -> Answer {
    if !plane.waist.speaks_for(asked.from, mac) {
        return foreign(asked, mac);
    }
    let firmware = Firmware {
        http: true,
        ..Firmware::UEFI
    };
    script(plane, asked, mac, Some(firmware), Language::Grub(Via::Http)).await
}

/// The configuration that a GRUB which came by HTTP looks for.
pub(super) fn grub_generic(asked: &Asked) -> Answer {
    reply::text(StatusCode::OK, grub::generic(&asked.urls, Via::Http)).into()
}

/// The script that iPXE looks for next to itself.
pub(super) fn autoexec(asked: &Asked) -> Answer {
    reply::text(StatusCode::OK, ipxe::autoexec(&asked.urls)).into()
}

async fn script(
    plane: &MachinePlane,
    asked: &Asked,
    mac: MacAddr,
    firmware: Option<Firmware>,
    language: Language,
) -> Answer {
    let facts = facts(asked, mac, firmware, language);
    let written = write(plane.waist.as_ref(), &facts, &asked.urls, language);
    let remark = written.outcome();
    let text = if asked.looks_only() {
        written.script.text
    } else {
        written.served(plane.waist.as_ref()).await
    };
    Answer {
        response: reply::text(StatusCode::OK, text),
        mac: Some(mac),
        remark: Some(remark),
    }
}

fn facts(asked: &Asked, mac: MacAddr, firmware: Option<Firmware>, language: Language) -> Facts {
    Facts {
        mac,
        ip: Some(asked.from),
        door: Door::Http,
        firmware,
        stage: language.stage(),
    }
}

fn depends_on_firmware(plane: &MachinePlane, asked: &Asked, mac: MacAddr) -> bool {
    let plan = |firmware| {
        let facts = facts(asked, mac, Some(firmware), Language::Ipxe);
        match plane.waist.ask(&facts).action {
            Action::Boot(plan) => Some(plan),
            Action::LocalDisk | Action::Ignore => None,
        }
    };
    let (bios, uefi) = (plan(Firmware::BIOS), plan(Firmware::UEFI));
    let mut plans = bios.iter().chain(&uefi);
    let unseen = plans.any(|plan| plane.waist.waits_for_firmware(&plan.build));
    let sent = bios.map(|p| (p.kernel, p.initrds, p.cmdline));
    unseen || sent != uefi.map(|p| (p.kernel, p.initrds, p.cmdline))
}

/// iPXE's `${platform}` and `${buildarch}`.
fn firmware(asked: &Asked) -> Option<Firmware> {
    let arch = match (asked.query("platform")?, asked.query("arch")) {
        ("efi", Some("i386")) => Arch::X86Uefi,
        ("efi", Some("arm32")) => Arch::Arm32Uefi,
        ("efi", Some("arm64")) => Arch::Arm64Uefi,
        ("efi", _) => Arch::X64Uefi,
        ("pcbios", _) => Arch::X86Bios,
        _ => return None,
    };
    Some(Firmware { arch, http: false })
}

/// One machine asks with another's hardware address.
fn foreign(asked: &Asked, mac: MacAddr) -> Answer {
    tracing::warn!(client.address = %asked.from, %mac, "a client asked for the boot script of an interface that does not hold its address");
    let response = reply::not_found();
    Answer::remark(response, format!("{} does not hold {}", mac, asked.from))
}
