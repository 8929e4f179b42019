//! Boot data: what a decision becomes in DHCP options.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::quirks::{self, Effect};
use super::request::Request;
use crate::boot::fit::loader;
use crate::boot::paths::Urls;
use crate::model::{Action, Arch, ClientStage, Decision, Facts, Firmware, LoaderKind};

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
/// None for programs that are not boot clients, whatever the decision: Debian's installer takes a
/// DHCP file name with `://` in it for its preseed URL.
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
    let name = here(plan.loader);
    match facts.stage {
        ClientStage::Ipxe => {
            match here(LoaderKind::Ipxe) {
                // It cannot fetch the script: it is given ours, once.
                Some(name) if effect.better_ipxe && !from.chained => {
                    Some(by_tftp(name, from, effect, true))
                }
                _ => Some(Boot {
                    file: Some(urls.ipxe(facts.mac).into()),
                    tftp: None,
                    class: effect.class(from.proxy),
                    vendor_options: effect.vendor_options().map(Cow::Borrowed),
                    terminate_names: effect.terminate_names(),
                    chained: false,
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
        }),
        ClientStage::Rom if firmware.http => Some(Boot {
            file: Some(urls.loader(name?).into()),
            tftp: None,
            class: effect.class(from.proxy),
            vendor_options: effect.vendor_options().map(Cow::Borrowed),
            terminate_names: effect.terminate_names(),
            chained: false,
        }),
        ClientStage::Rom => Some(by_tftp(name?, from, effect, false)),
        ClientStage::Grub | ClientStage::Pxelinux | ClientStage::Os => None,
    }
}

fn by_tftp(name: &'static str, from: Origin<'_>, effect: Effect, chained: bool) -> Boot {
    Boot {
        file: Some(name.into()),
        tftp: Some(*from.server.ip()),
        class: effect.class(from.proxy),
        vendor_options: effect.vendor_options().map(Cow::Borrowed),
        terminate_names: effect.terminate_names(),
        chained,
    }
}
