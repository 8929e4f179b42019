//! Programs with made-up signatures, also for the tests of others.

use proptest::prelude::*;

use super::*;
use crate::boot::image::HEAD;

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]),
    }
    out.extend(content);
    out
}

/// A name in DER: a country and this common name.
pub(crate) fn authority(name: &str) -> Vec<u8> {
    let part = |oid: u8, text: &str| {
        let oid = der(6, &[&[0x55, 4, oid]]);
        der(
            SET,
            &[&der(SEQUENCE, &[&oid, &der(0x13, &[text.as_bytes()])])],
        )
    };
    der(SEQUENCE, &[&part(6, "XX"), &part(3, name)])
}

/// A program for UEFI on x86, signed by whom these authorities vouch for.
pub(crate) fn program(signed_by: &[&str]) -> Vec<u8> {
    let mut file = vec![0; HEAD];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x40;
    file[0x40..0x44].copy_from_slice(b"PE\0\0");
    file[0x44..0x46].copy_from_slice(&0x8664u16.to_le_bytes());
    file[0x58..0x5a].copy_from_slice(&0x020bu16.to_le_bytes());
    file[0x58 + 108] = 16;
    let mut table = Vec::new();
    for name in signed_by {
        let one = der(2, &[&[1]]);
        let signer = der(SEQUENCE, &[&one, &der(SEQUENCE, &[&authority(name), &one])]);
        let certificates = der(0xa0, &[&der(SEQUENCE, &[&[0; 600]])]);
        let data = der(
            SEQUENCE,
            &[
                &one,
                &der(SET, &[]),
                &der(SEQUENCE, &[]),
                &certificates,
                &der(SET, &[&signer]),
            ],
        );
        let message = der(SEQUENCE, &[&der(6, &[&[0x2a]]), &der(0xa0, &[&data])]);
        let length = (message.len() + 8) as u32;
        table.extend(length.to_le_bytes());
        table.extend([0, 2, 2, 0]);
        table.extend(message);
        table.resize(table.len().next_multiple_of(8), 0);
    }
    if !table.is_empty() {
        file[0x58 + 144..][..4].copy_from_slice(&(HEAD as u32).to_le_bytes());
        file[0x58 + 148..][..4].copy_from_slice(&(table.len() as u32).to_le_bytes());
    }
    file.extend(table);
    file
}

pub(crate) fn of_file(file: &[u8]) -> Option<Vec<Signer>> {
    let at = table(&file[..HEAD.min(file.len())])?;
    let at = usize::try_from(at.start).ok()?..usize::try_from(at.end).ok()?;
    Some(signers(file.get(at).unwrap_or_default()))
}

#[test]
fn a_program_says_who_signed_it() {
    let names = |file: &[u8]| -> Option<Vec<String>> {
        Some(of_file(file)?.into_iter().map(|s| s.name).collect())
    };
    let some = |names: &[&str]| Some(names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
    for signed_by in [
        &[][..],
        &["Debian Secure Boot CA"],
        &["Vendor CA 5", "Vendor (CA key 1)"],
    ] {
        let file = program(signed_by);
        assert_eq!(names(&file), some(signed_by));
        let all = of_file(&file).expect("a program");
        for (one, name) in all.iter().zip(signed_by) {
            assert_eq!(one.der, authority(name));
        }
    }
    assert_eq!(names(b"a kernel"), None);
    assert_eq!(names(b"\x1f\x8b\x08 compressed"), None);
}

proptest! {
    #[test]
    fn nothing_of_it_panics(
        at in 0..1800usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..16),
        cut in 0..1800usize,
    ) {
        let mut file = program(&["Debian Secure Boot CA"]);
        for (to, from) in file.iter_mut().skip(at).zip(bytes) {
            *to = from;
        }
        file.truncate(cut);
        of_file(&file);
        signers(&file);
    }
}
