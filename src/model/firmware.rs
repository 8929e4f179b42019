//! What a booting machine is: processor architecture and the way its firmware boots.

use serde::{Deserialize, Serialize};

/// The processor and firmware family that DHCP option 93 names (RFC 4578 and the IANA registry
/// "Processor Architecture Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// x86 with a BIOS (0x00; also 0x14 over HTTP).
    X86Bios,
    /// 32-bit x86 UEFI (0x06, 0x0f over HTTP).
    X86Uefi,
    /// 64-bit x86 UEFI (0x07 and, in practice, 0x09; 0x10 over HTTP).
    X64Uefi,
    /// 32-bit ARM UEFI (0x0a, 0x12 over HTTP).
    Arm32Uefi,
    /// 64-bit ARM UEFI (0x0b, 0x13 over HTTP).
    Arm64Uefi,
    /// Raspberry Pi boot ROM (0x29, or 0x00 with a Raspberry Pi hardware address).
    RaspberryPi,
    /// Any other code.
    Other(u16),
}

/// A family of processors: what a kernel is made for, and what firmware can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processor {
    /// 32- and 64-bit x86: one kernel file may serve both.
    X86,
    /// 32-bit ARM.
    Arm32,
    /// 64-bit ARM.
    Arm64,
    /// 64-bit RISC-V.
    RiscV64,
}

impl Processor {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Processor::X86 => "x86",
            Processor::Arm32 => "arm32",
            Processor::Arm64 => "arm64",
            Processor::RiscV64 => "riscv64",
        }
    }
}

impl Arch {
    /// The processors that this firmware runs on, where the code tells: a Raspberry Pi's may be
    /// either ARM.
    pub fn processor(self) -> Option<Processor> {
        match self {
            Arch::X86Bios | Arch::X86Uefi | Arch::X64Uefi => Some(Processor::X86),
            Arch::Arm32Uefi => Some(Processor::Arm32),
            Arch::Arm64Uefi => Some(Processor::Arm64),
            Arch::RaspberryPi | Arch::Other(_) => None,
        }
    }
}

/// An architecture and whether its firmware asked for HTTP boot (vendor class `HTTPClient`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Firmware {
    /// The processor and firmware family.
    pub arch: Arch,
    /// The firmware fetches its first file by HTTP instead of TFTP.
    pub http: bool,
}

impl Firmware {
    /// A BIOS machine, the assumption where nothing is known.
    pub const BIOS: Firmware = Firmware {
        arch: Arch::X86Bios,
        http: false,
    };
    /// A 64-bit x86 UEFI machine that boots by PXE.
    pub const UEFI: Firmware = Firmware {
        arch: Arch::X64Uefi,
        http: false,
    };

    /// Reads an option 93 code. 7 and 9 are the same machine in practice: RFC 4578 had them
    /// swapped, and firmware of both readings is in the field.
    pub fn from_code(code: u16) -> Firmware {
        let (arch, http) = match code {
            0x00 => (Arch::X86Bios, false),
            0x06 => (Arch::X86Uefi, false),
            0x07 | 0x09 => (Arch::X64Uefi, false),
            0x0a => (Arch::Arm32Uefi, false),
            0x0b => (Arch::Arm64Uefi, false),
            0x0f => (Arch::X86Uefi, true),
            0x10 => (Arch::X64Uefi, true),
            0x12 => (Arch::Arm32Uefi, true),
            0x13 => (Arch::Arm64Uefi, true),
            0x14 => (Arch::X86Bios, true),
            0x29 => (Arch::RaspberryPi, false),
            other => (Arch::Other(other), false),
        };
        Firmware { arch, http }
    }

    /// Whether this is some UEFI.
    pub fn is_uefi(&self) -> bool {
        matches!(
            self.arch,
            Arch::X86Uefi | Arch::X64Uefi | Arch::Arm32Uefi | Arch::Arm64Uefi
        )
    }

    /// The word people and templates read: `bios`, `uefi`, `arm64-uefi`...
    pub fn word(&self) -> &'static str {
        match self.arch {
            Arch::X86Bios => "bios",
            Arch::X64Uefi => "uefi",
            Arch::X86Uefi => "uefi32",
            Arch::Arm32Uefi => "arm32-uefi",
            Arch::Arm64Uefi => "arm64-uefi",
            Arch::RaspberryPi => "raspberry-pi",
            Arch::Other(_) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readings_of_the_rfc_are_x64() {
        assert_eq!(Firmware::from_code(7), Firmware::from_code(9));
        assert!(Firmware::from_code(0x10).http);
        assert!(!Firmware::from_code(0).is_uefi());
    }
}
