//! Who signed a program for UEFI, by what stands in the file: PE/COFF with Authenticode signatures
//! (Microsoft's "PE Format", Attribute Certificate Table; PKCS #7, RFC 2315).
//!
//! Nothing is verified: this is to tell an operator beforehand what shim would say.

use std::ops::Range;

use crate::model::Signer;
use crate::model::event::printable;

/// The longest table of certificates that is read; those of kernels have one or two kilobytes.
pub const LONGEST: u64 = 64 * 1024;

/// Signatures that are looked at; there are one or two.
const MOST: usize = 8;

/// Where in a file its signatures are, from its first [`super::image::HEAD`] bytes: nowhere (an empty
/// range) if it is not signed; none if it is no program for UEFI.
pub fn table(head: &[u8]) -> Option<Range<u64>> {
    let pe = usize::try_from(number(head, 0x3c, 4)?).ok()?;
    if !head.starts_with(b"MZ") || head.get(pe..pe.checked_add(4)?) != Some(b"PE\0\0") {
        return None;
    }
    let optional = pe + 24;
    let directories = match number(head, optional, 2)? {
        0x010b => optional + 96,
        0x020b => optional + 112,
        _ => return None,
    };
    // The fifth directory; how many there are stands before the first.
    if number(head, directories - 4, 4)? < 5 {
        return Some(0..0);
    }
    let at = number(head, directories + 32, 4)?;
    let size = number(head, directories + 36, 4)?;
    Some(at..at + size.min(LONGEST))
}

/// Who signed, from the table of certificates.
pub fn signers(mut table: &[u8]) -> Vec<Signer> {
    const PKCS_SIGNED_DATA: u64 = 2;
    let mut found = Vec::new();
    while found.len() < MOST {
        let (Some(length), Some(kind)) = (number(table, 0, 4), number(table, 6, 2)) else {
            break;
        };
        let Some(entry) = usize::try_from(length).ok().and_then(|l| table.get(8..l)) else {
            break;
        };
        if kind == PKCS_SIGNED_DATA {
            found.extend(of_message(entry).unwrap_or_default());
        }
        let Some(rest) = table.get((8 + entry.len()).next_multiple_of(8)..) else {
            break;
        };
        table = rest;
    }
    found.truncate(MOST);
    found
}

/// ContentInfo { type, [0] SignedData { version, digests, content, [0] certificates, [1] lists,
/// signers { SignerInfo { version, { issuer, serial } .. } } } }.
fn of_message(der: &[u8]) -> Option<Vec<Signer>> {
    let info = inside(der, SEQUENCE)?;
    let (_, wrapped) = element(info)?;
    let data = inside(inside(wrapped, 0xa0)?, SEQUENCE)?;
    let mut all = Vec::new();
    for infos in children(data).filter(|c| c.tag == SET).skip(1) {
        for info in children(infos.content) {
            let (_, rest) = element(info.content)?;
            let (issuer, _) = element(inside(rest, SEQUENCE)?)?;
            all.push(Signer {
                name: common_name(issuer.content).unwrap_or_else(|| "no name".to_string()),
                der: issuer.whole.to_vec(),
            });
        }
    }
    Some(all)
}

/// The common name in a name (OID 2.5.4.3).
fn common_name(name: &[u8]) -> Option<String> {
    let parts = children(name).flat_map(|set| children(set.content));
    parts.into_iter().find_map(|part| {
        let (kind, value) = element(part.content)?;
        let (value, _) = element(value)?;
        (kind.content == [0x55, 4, 3])
            .then(|| printable(&String::from_utf8_lossy(value.content), 80))
    })
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// One element in DER.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// The first element, and what stands behind it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        // more than 4 GiB is none, and so is a length that only an end tells
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = bytes.get(2..2 + count)?;
            let length = digits.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (2 + count, length)
        }
        _ => return None,
    };
    let end = head.checked_add(length)?;
    let whole = bytes.get(..end)?;
    let content = whole.get(head..)?;
    let element = Element {
        tag,
        content,
        whole,
    };
    Some((element, bytes.get(end..)?))
}

/// What is in the first element, if it is of that kind.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (element, _) = element(bytes)?;
    (element.tag == tag).then_some(element.content)
}

fn children(mut bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, rest) = element(bytes)?;
        bytes = rest;
        Some(element)
    })
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
#[path = "signature_tests.rs"]
pub(crate) mod tests;
