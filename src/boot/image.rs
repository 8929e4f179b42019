//! What a boot file is, by its own first bytes: nobody has to declare it, so nobody can declare it
//! wrongly.

use crate::model::{Nature, Processor};

/// How much of a file tells for which processor it is.
pub const HEAD: usize = 1024;

/// Reads what a file is for from its first [`HEAD`] bytes. None where they do not tell: a compressed
/// kernel, an archive, text.
pub fn processor(head: &[u8]) -> Option<Processor> {
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    };
    // x86: the setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst); it stands in
    // kernels that are EFI programs as well, and in memtest86+ for BIOS.
    if head.get(0x202..0x206) == Some(b"HdrS") {
        return Some(Processor::X86);
    }
    // arm64, riscv: the header of an uncompressed Image (Documentation/arch/arm64/booting.rst,
    // Documentation/arch/riscv/boot-image-header.rst).
    match head.get(0x38..0x3c) {
        Some(b"ARM\x64") => return Some(Processor::Arm64),
        Some(b"RSC\x05") => return Some(Processor::RiscV64),
        _ => {}
    }
    match head {
        // An EFI program: PE/COFF, its header at the offset that 0x3c says, the machine behind `PE`.
        [b'M', b'Z', ..] => {
            let at = usize::try_from(number(0x3c, 4)?).ok()?;
            if head.get(at..at.checked_add(4)?) != Some(b"PE\0\0") {
                return None;
            }
            match number(at + 4, 2)? {
                0x014c | 0x8664 => Some(Processor::X86),
                0x01c0 | 0x01c2 | 0x01c4 => Some(Processor::Arm32),
                0xaa64 => Some(Processor::Arm64),
                0x5064 => Some(Processor::RiscV64),
                _ => None,
            }
        }
        // ELF, little-endian: e_machine.
        [0x7f, b'E', b'L', b'F', _, 1, ..] => match number(0x12, 2)? {
            3 | 62 => Some(Processor::X86),
            40 => Some(Processor::Arm32),
            183 => Some(Processor::Arm64),
            243 => Some(Processor::RiscV64),
            _ => None,
        },
        _ => None,
    }
}

/// What a network boot loader can do, from its bytes.
pub fn loader(bytes: &[u8]) -> Nature {
    Nature {
        processor: processor(bytes),
        // GRUB's tftp module asks for that mode; the GRUBs on Debian's and Ubuntu's media lack it.
        tftp: memchr::memmem::find(bytes, b"octet\0").is_some(),
        // GRUB's http module ends its request lines so; Debian 12's signed GRUB does not have it.
        http: memchr::memmem::find(bytes, b" HTTP/1.1").is_some(),
        signers: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0; HEAD];
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    fn efi(machine: u16) -> Vec<u8> {
        let mut file = file(0x80, b"PE\0\0");
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x80;
        file[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        file
    }

    #[test]
    fn files_say_what_they_are_for() {
        let check = |bytes: &[u8], expected| assert_eq!(processor(bytes), expected);
        check(&file(0x202, b"HdrS"), Some(Processor::X86));
        check(&file(0x38, b"ARM\x64"), Some(Processor::Arm64));
        check(&file(0x38, b"RSC\x05"), Some(Processor::RiscV64));
        check(&efi(0x8664), Some(Processor::X86));
        check(&efi(0xaa64), Some(Processor::Arm64));
        check(&efi(0x1234), None);
        let mut elf = file(0, b"\x7fELF\x02\x01");
        elf[0x12] = 183;
        check(&elf, Some(Processor::Arm64));
        // nothing of it tells, and nothing of it panics
        check(b"", None);
        check(b"\x1f\x8b\x08 a compressed kernel", None);
        let mut far = file(0, b"MZ");
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        check(&far, None);
        for cut in 0..0x90 {
            processor(&efi(0x8664)[..cut]);
        }
    }

    #[test]
    fn a_loader_with_a_network_says_so() {
        assert!(loader(b"\0tsize\0octet\0blksize\0").tftp);
        assert!(!loader(b"octets tftp").tftp);
        assert!(loader(b"GET %s HTTP/1.1\r\nHost: ").http);
        assert!(!loader(b"tftp http").http);
    }
}
