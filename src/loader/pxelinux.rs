//! PXELINUX configuration files, which U-Boot and petitboot read too.

use super::{Reason, Script, Unwritable, headline, script as choose, text};
use crate::boot::paths::artefact_path;
use crate::model::{BootPlan, Decision, MacAddr, PlannedFile};

const LOADER: &str = "PXELINUX";

/// The configuration of one machine. Kernel and initrd go by TFTP: plain PXELINUX and U-Boot have
/// no http.
pub fn config(decision: &Decision, mac: MacAddr) -> Script {
    choose(
        decision,
        &mac.to_string(),
        |plan| boot(decision, plan),
        own_disk,
    )
}

/// The configuration of a machine that boots its own disk: `LOCALBOOT 0` is the ordinary way for
/// PXELINUX, and what U-Boot's `localcmd` answers to.
pub fn own_disk(reason: &Reason) -> String {
    let mut out = String::from("DEFAULT local\nPROMPT 0\n");
    for line in text::own_disk_lines(reason) {
        out.push_str(&format!("SAY {line}\n"));
    }
    out.push_str("LABEL local\n  LOCALBOOT 0\n");
    out
}

fn boot(decision: &Decision, plan: &BootPlan) -> Result<String, Unwritable> {
    text::linux_only(plan, LOADER)?;
    let file = |file: &PlannedFile| {
        text::path(&artefact_path(&file.id, &file.digest), LOADER).map(|p| format!("/{p}"))
    };
    text::cmdline(&plan.cmdline, LOADER)?;
    let mut out = format!(
        "# {}, build {}, profile {}\nDEFAULT farrier\nPROMPT 0\nSAY {}\nLABEL farrier\n  KERNEL {}\n",
        plan.build.system,
        plan.build.epoch,
        plan.profile,
        headline(decision, plan),
        file(&plan.kernel)?
    );
    // A Linux's modules are more RAM disks.
    let modules = plan.way.modules.iter().map(|module| {
        text::path(&text::content_path(&module.content), LOADER).map(|p| format!("/{p}"))
    });
    let initrds: Result<Vec<String>, Unwritable> =
        plan.initrds.iter().map(file).chain(modules).collect();
    let initrds = initrds?;
    if !initrds.is_empty() {
        out.push_str(&format!("  INITRD {}\n", initrds.join(",")));
    }
    let cmdline = plan.cmdline.trim();
    if !cmdline.is_empty() {
        out.push_str(&format!("  APPEND {cmdline}\n"));
    }
    Ok(out)
}
