//! GRUB configuration files.
//!
//! They run in the distribution's signed GRUB behind shim. Debian 12's has no http module, so kernel
//! and initrd go by TFTP unless GRUB itself was loaded by HTTP.

use super::{Reason, Script, Unwritable, headline, script as choose, text};
use crate::boot::paths::{Urls, artefact_path};
use crate::model::{BootPlan, Decision, Firmware, MacAddr, PlannedFile};

const LOADER: &str = "GRUB";
/// Boots tried before the own disk.
const TRIES: &str = "1 2 3 4";

/// How GRUB fetches the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By TFTP, which every GRUB for networks can.
    Tftp,
    /// By HTTP, for a GRUB that was itself loaded so.
    Http,
}

/// The configuration of one machine.
pub fn config(
    decision: &Decision,
    urls: &Urls,
    mac: MacAddr,
    firmware: Firmware,
    via: Via,
) -> Script {
    choose(
        decision,
        &mac.to_string(),
        |plan| boot(decision, plan, urls, firmware, via),
        own_disk,
    )
}

/// The configuration of a machine that boots its own disk.
pub fn own_disk(reason: &Reason) -> String {
    let mut out = String::new();
    for line in text::own_disk_lines(reason) {
        out.push_str(&format!("echo '{line}'\n"));
    }
    out.push_str("sleep 3\n");
    out.push_str(OWN_DISK);
    out
}

/// `grub/grub.cfg`, the same for every machine: goes on to the machine's own, on the way that it came.
pub fn generic(urls: &Urls, via: Via) -> String {
    let server = urls.server.ip();
    let own = place(urls, via, "grub/grub.cfg-$net_default_mac");
    format!(
        "# Farrier: goes on to the configuration of this machine
for try in {TRIES}; do
  configfile {own}
  echo \"Farrier: no answer from {server} for $net_default_mac (try $try)\"
  sleep 3
done
{OWN_DISK}"
    )
}

/// How GRUB is left for the machine's own disk.
///
/// UEFI: the boot loader on the machine's EFI system partition is started, since a GRUB that exits
/// returns success in many versions, and EDK2 then opens its menu instead of going on (the list and
/// its use are MAAS's and Foreman's practice). The vendors' folders come before `EFI/BOOT`, whose
/// shim would run the fallback program and put the disk before the network in the boot order.
const OWN_DISK: &str = "\
if [ \"$grub_platform\" = efi ]; then
  if [ \"$grub_cpu\" = arm64 ]; then
    suffix=aa64
  else
    suffix=x64
  fi
  for dir in debian ubuntu redhat rocky almalinux centos fedora opensuse sles; do
    for name in shim$suffix grub$suffix; do
      if search --no-floppy --file --set=esp /EFI/$dir/$name.efi; then
        if chainloader ($esp)/EFI/$dir/$name.efi; then
          boot
        fi
      fi
    done
  done
  for file in /EFI/Microsoft/Boot/bootmgfw.efi /EFI/BOOT/BOOT$suffix.EFI; do
    if search --no-floppy --file --set=esp $file; then
      if chainloader ($esp)$file; then
        boot
      fi
    fi
  done
fi
exit 1
";

fn boot(
    decision: &Decision,
    plan: &BootPlan,
    urls: &Urls,
    firmware: Firmware,
    via: Via,
) -> Result<String, Unwritable> {
    text::linux_only(plan, LOADER)?;
    let file = |file: &PlannedFile| {
        text::path(&artefact_path(&file.id, &file.digest), LOADER).map(|p| place(urls, via, &p))
    };
    // A bare kernel for BIOS (memtest86+) has the old 16-bit entry.
    let command = if plan.initrds.is_empty() && !firmware.is_uefi() {
        "linux16"
    } else {
        "linux"
    };
    let mut words = vec![command.to_string(), file(&plan.kernel)?];
    words.extend(cmdline(&plan.cmdline)?);
    let linux = words.join(" ");
    // A Linux's modules are more RAM disks.
    let modules = plan.way.modules.iter().map(|module| {
        let path = text::path(&text::content_path(&module.content), LOADER)?;
        Ok(place(urls, via, &path))
    });
    let initrds: Result<Vec<String>, Unwritable> =
        plan.initrds.iter().map(file).chain(modules).collect();
    let initrds = initrds?;
    let start = if initrds.is_empty() {
        "    boot".to_string()
    } else {
        format!(
            "    if initrd {}; then\n      boot\n    fi",
            initrds.join(" ")
        )
    };
    let headline = headline(decision, plan);
    let system = &plan.build.system;
    Ok(format!(
        "# {system}, build {}, profile {}
echo '{headline}'
for try in {TRIES}; do
  if {linux}; then
{start}
  fi
  echo \"Farrier: that did not work (try $try)\"
  sleep 5
done
echo 'Farrier: gave up. On the server, type: farrier why {system}'
sleep 3
{OWN_DISK}",
        plan.build.epoch, plan.profile
    ))
}

fn place(urls: &Urls, via: Via, path: &str) -> String {
    match via {
        Via::Tftp => format!("(tftp,{})/{path}", urls.server.ip()),
        Via::Http if urls.server.port() == 80 => format!("(http,{})/{path}", urls.server.ip()),
        Via::Http => format!("(http,{})/{path}", urls.server),
    }
}

/// The command line as GRUB's words. `name="a b"` becomes one word without the quotes: GRUB puts
/// them round the whole word again, which the kernel reads alike. Any other quote or backslash it
/// would escape (`grub_create_loader_cmdline`), so that the kernel saw something else.
fn cmdline(line: &str) -> Result<Vec<String>, Unwritable> {
    text::cmdline(line, LOADER)?;
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '\'' | '\\' => return Err(text::bad_cmdline(&c.to_string(), LOADER)),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    if quoted {
        return Err(text::bad_cmdline("\" without its other half", LOADER));
    }
    words.push(word);
    words.retain(|w| !w.is_empty());
    Ok(words.into_iter().map(|w| quote(&w)).collect())
}

fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_.,:/=+@%".contains(c);
    if word.chars().all(bare) {
        word.to_string()
    } else {
        format!("'{word}'")
    }
}
