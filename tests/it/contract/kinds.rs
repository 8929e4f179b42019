//! How machines of each firmware boot each shipped profile, and what a system must say for it.

/// What is expected of a machine that is flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boots {
    /// By iPXE, or shim and GRUB.
    Chain,
    /// By the distro's own boot program, which the firmware loads itself.
    Own,
    /// Not at all: its own disk, with the reason.
    OwnDisk,
    /// It cannot even be flagged.
    Refused,
}

/// The table that docs/installers.md has in words.
pub(super) fn boots(profile: &str, firmware: &str) -> Boots {
    match (profile, firmware) {
        ("windows" | "smartos" | "openbsd" | "freebsd", "secure" | "secure-http") => Boots::Refused,
        ("esxi", "secure" | "secure-http") => Boots::Own,
        ("esxi", "bios" | "arm64")
        | ("smartos" | "freebsd", "uefi" | "uefi-http" | "arm64")
        | ("windows" | "openbsd", "arm64") => Boots::OwnDisk,
        ("openbsd", _) => Boots::Own,
        _ => Boots::Chain,
    }
}

const HASH: &str = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ";

/// What a system of this profile has to say, in lines of its entry.
pub(crate) fn needs(profile: &str) -> String {
    let root = format!("users.root.password = \"{HASH}\"\n");
    match profile {
        "proxmox-ve" => format!("disk = {{ serial = \"S3EVNX0K\" }}\n{root}"),
        "esxi" => root,
        "smartos" => "vars = { every_disk = true, root_password = \"first login\" }\n".to_string(),
        "openbsd" => "disk = { path = \"/dev/sd0\" }\n".to_string(),
        _ => String::new(),
    }
}

/// Whether its installer takes keys for ssh: the others are refused to a system that has any.
pub(crate) fn takes_keys(profile: &str) -> bool {
    !matches!(profile, "talos" | "smartos")
}

/// Whether anything of it ever reports.
pub(super) fn reports(profile: &str) -> bool {
    !matches!(profile, "talos" | "smartos")
}
