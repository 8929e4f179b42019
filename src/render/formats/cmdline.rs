//! The kernel command line.

use std::fmt::Write;

use super::{Findings, Refused, put, shell, shown};

/// What x86 and arm64 kernels take (`COMMAND_LINE_SIZE` 2048, one of them the final NUL).
const LONGEST: usize = 2047;

/// The kernel hands at most this many unknown words each to init as arguments and as environment,
/// and panics beyond (`MAX_INIT_ARGS`, `MAX_INIT_ENVS`; the Debian installation guide warns of it).
const UNKNOWN: usize = 32;

/// Words with `=` that a kernel keeps to itself.
const KERNELS_OWN: [&str; 22] = [
    "console",
    "root",
    "rootfstype",
    "rootflags",
    "rootdelay",
    "init",
    "initrd",
    "BOOT_IMAGE",
    "ip",
    "nfsroot",
    "loglevel",
    "log_buf_len",
    "panic",
    "pci",
    "acpi",
    "maxcpus",
    "mem",
    "vga",
    "video",
    "iommu",
    "intel_iommu",
    "amd_iommu",
];

pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    if shell::is_bare(value) {
        return put(out, value);
    }
    Err(Refused::because(format!(
        "{} cannot stand on a kernel command line",
        shown(value)
    ))
    .help("use letters, digits and `_@%+=:,./-` only, or put the value into a document"))
}

/// A template of several lines makes one line.
pub(in crate::render) fn fold(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    if text.len() > LONGEST {
        findings.error(
            1,
            format!(
                "the kernel command line has {} characters, and a kernel takes {LONGEST}",
                text.len()
            ),
        );
    }
    if let Some(c) = text.chars().find(|c| c.is_control() || !c.is_ascii()) {
        findings.error(
            1,
            format!(
                "the character U+{:04X} cannot stand on a kernel command line",
                u32::from(c)
            ),
        );
    }
    for (bad, why) in [
        ("${", "iPXE and GRUB would expand it"),
        ("$(", "a script would run it"),
        ("&&", "iPXE ends the command there"),
        ("||", "iPXE ends the command there"),
        ("`", "a script would run it"),
        ("\\", "loaders disagree on what it means"),
        ("'", "loaders disagree on what it means"),
    ] {
        if text.contains(bad) {
            findings.error(
                1,
                format!("`{bad}` cannot stand on a kernel command line: {why}"),
            );
        }
    }
    // What follows `---` or `--` is for the installed system or init, but it is handed to init too.
    let unknown = text
        .split(' ')
        .filter_map(|word| word.split_once('='))
        .filter(|(key, _)| !key.contains('.') && !KERNELS_OWN.contains(key))
        .count();
    if unknown > UNKNOWN {
        findings.error(
            1,
            format!(
                "{unknown} settings are unknown to the kernel, which hands at most {UNKNOWN} to \
                 the installer and panics; put some into the answer file"
            ),
        );
    }
    if text.split(' ').any(|word| word == "inst.ks") {
        findings.error(
            1,
            "`inst.ks` without a value makes the installer look for an NFS server",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lint::Findings;

    fn found(text: &str) -> Vec<String> {
        let mut findings = Findings::new("profiles/x/profile.toml", None);
        lint(text, &mut findings);
        findings.into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn limits_of_the_kernel() {
        assert!(found("auto=true console=ttyS0,115200n8 netcfg/x=y --- quiet").is_empty());
        assert_eq!(found(&"x".repeat(2048)).len(), 1);
        let many: Vec<String> = (0..33).map(|n| format!("a/k{n}=v")).collect();
        assert_eq!(found(&many.join(" ")).len(), 1);
        assert_eq!(found(&many[..32].join(" ")).len(), 0);
        assert_eq!(found("a=${net0/mac}").len(), 1);
    }
}
