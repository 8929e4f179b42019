//! Boot data: what a decision becomes in DHCP options.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::quirks::{self, Effect};
use super::request::Request;
use crate::boot::fit::loader;
use crate::boot::paths::{self, Urls};
use crate::model::{
    Action, Arch, BootPlan, ClientStage, Decision, Facts, Firmware, LoaderKind, ProfileKind,
};

/// Where a boot client finds its next program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Name or URL: option 67 and the file field. None where the ROM has its own names.
    pub file: Option<Cow<'static, str>>,
    /// The server that has it by TFTP: options 66 and 150, and the sname field. None with a URL.
    pub tftp: Option<Ipv4Addr>,
    /// Option 60, without which firmware takes the offer for one that has no boot data.
    pub class: Option<&'static str>,
    /// Option 43, whole.
    pub vendor_options: Option<Cow<'static, [u8]>>,
    /// Names end with a NUL.
    pub terminate_names: bool,
    /// The client is an iPXE that is being sent to another iPXE.
    pub chained: bool,
    /// Where Proxmox's installer posts what it is, to be answered: option 250.
    pub answers: Option<String>,
}

/// Where the answer comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The loaders that are there.
    pub loaders: &'a [&'static str],
    /// This server's address and HTTP port as the machine reaches them.
    pub server: SocketAddrV4,
    /// Someone else hands out the addresses.
    pub proxy: bool,
    /// This iPXE was sent to a better one a moment ago and came back.
    pub chained: bool,
}

/// The boot data for this client, or none: an address is all it gets.
///
/// None for programs that are not boot clients, save the installers that are told something by DHCP.
pub fn boot(
    request: &Request<'_>,
    facts: &Facts,
    decision: &Decision,
    from: Origin<'_>,
) -> Option<Boot> {
    let Action::Boot(plan) = &decision.action else {
        return None;
    };
    let firmware = facts.firmware.unwrap_or(Firmware::BIOS);
    let effect = quirks::effect(request);
    let urls = Urls {
        server: from.server,
    };
    // What is advertised is served: a loader that is not on this server is none.
    let here = |kind| loader(kind, firmware.arch).filter(|name| from.loaders.contains(name));
    // A distro's own shim was looked up with its kernel.
    let own_pair = plan
        .way
        .pair(firmware.arch)
        .filter(|_| plan.loader == LoaderKind::Grub);
    if plan.loader == LoaderKind::Own && matches!(facts.stage, ClientStage::Rom | ClientStage::Ipxe)
    {
        return own(plan, &urls, request, firmware, from, effect);
    }
    match facts.stage {
        ClientStage::Ipxe => {
            match here(LoaderKind::Ipxe) {
                // It cannot fetch the script: it is given ours, once.
                Some(name) if effect.better_ipxe && !from.chained => {
                    Some(by_tftp(name.into(), from, effect, true))
                }
                _ => Some(Boot {
                    file: Some(urls.ipxe(facts.mac).into()),
                    tftp: None,
                    class: effect.class(from.proxy),
                    vendor_options: effect.vendor_options().map(Cow::Borrowed),
                    terminate_names: effect.terminate_names(),
                    chained: false,
                    answers: None,
                }),
            }
        }
        // A Raspberry Pi, by its REQUEST too, which has no class of its own.
        ClientStage::Rom if effect.own_names || firmware.arch == Arch::RaspberryPi => Some(Boot {
            file: None,
            tftp: Some(*from.server.ip()),
            class: Some(effect.class(from.proxy).unwrap_or("PXEClient")),
            vendor_options: effect.vendor_options().map(Cow::Borrowed),
            terminate_names: effect.terminate_names(),
            chained: false,
            answers: None,
        }),
        ClientStage::Rom if firmware.http => {
            let url = match own_pair {
                Some(pair) => urls.pair(pair),
                None => urls.loader(here(plan.loader)?),
            };
            Some(Boot {
                file: Some(url.into()),
                tftp: None,
                class: effect.class(from.proxy),
                vendor_options: effect.vendor_options().map(Cow::Borrowed),
                terminate_names: effect.terminate_names(),
                chained: false,
                answers: None,
            })
        }
        ClientStage::Rom => {
            let name = match own_pair {
                Some(pair) => paths::pair_path(pair).into(),
                None => here(plan.loader)?.into(),
            };
            Some(by_tftp(name, from, effect, false))
        }
        ClientStage::Os => installer(plan, &urls, from),
        ClientStage::Grub | ClientStage::Pxelinux | ClientStage::Own => None,
    }
}

/// What an installer's own DHCP client is told. Most are told nothing: Debian's takes a file name
/// with `://` in it for the URL of its answers.
fn installer(plan: &BootPlan, urls: &Urls, from: Origin<'_>) -> Option<Boot> {
    let nothing = Boot {
        file: None,
        tftp: None,
        class: None,
        vendor_options: None,
        terminate_names: false,
        chained: false,
        answers: None,
    };
    match plan.kind {
        // autoinstall(8): the file name that says so, and the server to ask by HTTP.
        ProfileKind::Openbsd => Some(Boot {
            file: Some(AUTO_INSTALL.into()),
            tftp: Some(*from.server.ip()),
            ..nothing
        }),
        // proxmox-fetch-answer reads it out of dhclient's lease.
        ProfileKind::Proxmox => Some(Boot {
            answers: Some(urls.mine(plan.kind.permitting_answer()?)),
            ..nothing
        }),
        _ => None,
    }
}

/// What OpenBSD's installer takes for the order to install without questions.
const AUTO_INSTALL: &str = "auto_install";

/// The distro's own boot program. An iPXE gets it by TFTP too: it asks for its files there.
fn own(
    plan: &BootPlan,
    urls: &Urls,
    request: &Request<'_>,
    firmware: Firmware,
    from: Origin<'_>,
    effect: Effect,
) -> Option<Boot> {
    let own = plan.way.own.as_ref()?;
    let uefi = firmware.is_uefi();
    let program = if uefi { &own.uefi } else { &own.bios };
    let name = &program.as_ref()?.id.name;
    let by_http = firmware.http && request.ipxe.is_none();
    let path = match by_http {
        true => urls.own(name),
        false => paths::own_path(name),
    };
    Some(Boot {
        file: Some(path.into()),
        tftp: (!by_http).then_some(*from.server.ip()),
        class: effect.class(from.proxy),
        vendor_options: effect.vendor_options().map(Cow::Borrowed),
        terminate_names: effect.terminate_names(),
        chained: false,
        answers: None,
    })
}

fn by_tftp(name: Cow<'static, str>, from: Origin<'_>, effect: Effect, chained: bool) -> Boot {
    Boot {
        file: Some(name),
        tftp: Some(*from.server.ip()),
        class: effect.class(from.proxy),
        vendor_options: effect.vendor_options().map(Cow::Borrowed),
        terminate_names: effect.terminate_names(),
        chained,
        answers: None,
    }
}
