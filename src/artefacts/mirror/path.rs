//! Paths below a mirror: one spelling each, and how long what they name stays true.

use std::fmt::Write;

use super::promise::Promise;

/// A path that is safe to ask an upstream for: no empty, `.` or `..` part, no trailing slash, no
/// query, percent-encoded in one way. It never names a file here: entries are found by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MirrorPath(String);

/// How long a file stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// For ever: its name says which version or content it is.
    Immutable,
    /// The head of a repository: a change here makes its indices stale.
    Head,
    /// Anything else.
    Index,
}

impl MirrorPath {
    /// Reads the part of a URL's path below the mirror.
    pub(super) fn parse(raw: &str) -> Option<MirrorPath> {
        if raw.len() > 1024 {
            return None;
        }
        let mut path = String::with_capacity(raw.len() + 8);
        for part in raw.split('/') {
            let part = decode(part)?;
            let good = !part.is_empty()
                && part != "."
                && part != ".."
                && !part.contains(['/', '\\'])
                && !part.chars().any(char::is_control);
            if !good {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            encode(&part, &mut path);
        }
        Some(MirrorPath(path))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn class(&self) -> Class {
        let parts: Vec<&str> = self.0.split('/').collect();
        let name = parts.last().copied().unwrap_or_default();
        let package = [".deb", ".udeb", ".ddeb", ".rpm", ".dsc"];
        if parts.contains(&"by-hash") || package.iter().any(|end| name.ends_with(end)) {
            return Class::Immutable;
        }
        // `pool/` holds sources too, all with their version in the name
        if parts.contains(&"pool") && name.contains(['_', '-']) {
            return Class::Immutable;
        }
        // repodata: SHA256-primary.xml.gz
        let hashed = name
            .split_once('-')
            .is_some_and(|(head, _)| head.len() == 64 && is_hex(head));
        if parts.contains(&"repodata") && hashed {
            return Class::Immutable;
        }
        match name {
            "Release" | "InRelease" | "Release.gpg" | "repomd.xml" | "repomd.xml.asc" => {
                Class::Head
            }
            _ => Class::Index,
        }
    }

    /// The repository that this file's truth depends on: `dists/bookworm` or `.../repodata`.
    pub(super) fn repository(&self) -> Option<&str> {
        let mut end = 0;
        let mut parts = self.0.split('/').peekable();
        while let Some(part) = parts.next() {
            end += part.len();
            if part == "repodata" {
                return Some(&self.0[..end]);
            }
            end += 1;
            if part == "dists" {
                return parts.peek().map(|suite| &self.0[..end + suite.len()]);
            }
        }
        None
    }

    /// `.../by-hash/SHA256/HEX`: what the content must hash to.
    pub(super) fn promise(&self) -> Option<Promise> {
        let mut parts = self.0.rsplit('/');
        let (hex, kind, by_hash) = (parts.next()?, parts.next()?, parts.next()?);
        let promise = match (by_hash, kind, hex.len()) {
            ("by-hash", "SHA256", 64) => Promise::Sha256(hex.to_ascii_lowercase()),
            ("by-hash", "SHA512", 128) => Promise::Sha512(hex.to_ascii_lowercase()),
            _ => return None,
        };
        is_hex(hex).then_some(promise)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                u8::try_from(value).ok()?
            }
            b'?' | b'#' => return None,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Unreserved characters and a few that every server takes as they are. Not `+`, which some object
/// stores read as a blank: apt encodes it too.
fn encode(part: &str, into: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$,=".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // writing to a String cannot fail
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_spelling() {
        for (raw, expected) in [
            ("pool/main/g/g%2b%2b_1.deb", "pool/main/g/g%2B%2B_1.deb"),
            ("pool/main/g/g++_1.deb", "pool/main/g/g%2B%2B_1.deb"),
            ("a/x_1%7erc1.deb", "a/x_1~rc1.deb"),
            ("a/x_1%3a2.deb", "a/x_1:2.deb"),
            ("%64ists/b", "dists/b"),
            (".treeinfo", ".treeinfo"),
            ("a/ü", "a/%C3%BC"),
            ("a b", "a%20b"),
        ] {
            let path = MirrorPath::parse(raw).map(|p| p.0);
            assert_eq!(path.as_deref(), Some(expected), "{raw}");
        }
    }

    #[test]
    fn tricks_are_no_paths() {
        for raw in [
            "",
            "/",
            "a/",
            "a//b",
            "/a",
            ".",
            "..",
            "a/../b",
            "a/%2e%2e/b",
            "%2E./b",
            "a/%2fb",
            "a%5cb",
            "a\\b",
            "a%00",
            "a%0d%0aHost:x",
            "a?b",
            "a#b",
            "a%3",
            "a%zz",
            "a/%ff",
        ] {
            assert_eq!(MirrorPath::parse(raw), None, "{raw}");
        }
        assert_eq!(MirrorPath::parse(&"a".repeat(1025)), None);
    }

    #[test]
    fn what_never_changes_is_told_from_what_does() {
        let hash = "a".repeat(64);
        let check = |raw: &str, class: Class, repository: Option<&str>| {
            let path = MirrorPath::parse(raw).expect(raw);
            assert_eq!(path.class(), class, "{raw}");
            assert_eq!(path.repository(), repository, "{raw}");
        };
        let bookworm = Some("dists/bookworm");
        check("pool/main/i/ipxe/ipxe_1.0_all.deb", Class::Immutable, None);
        check(
            "pool/main/i/ipxe/ipxe_1.0.orig.tar.xz",
            Class::Immutable,
            None,
        );
        check("dists/bookworm/InRelease", Class::Head, bookworm);
        check(
            "dists/bookworm/main/binary-amd64/Packages.xz",
            Class::Index,
            bookworm,
        );
        let by_hash = format!("dists/bookworm/main/binary-amd64/by-hash/SHA256/{hash}");
        check(&by_hash, Class::Immutable, bookworm);
        let kernel = "dists/bookworm/main/installer-amd64/current/images/netboot/linux";
        check(kernel, Class::Index, bookworm);
        check(
            "ubuntu/dists/noble/Release",
            Class::Head,
            Some("ubuntu/dists/noble"),
        );
        check(
            "9/os/repodata/repomd.xml",
            Class::Head,
            Some("9/os/repodata"),
        );
        let primary = format!("9/os/repodata/{hash}-primary.xml.gz");
        check(&primary, Class::Immutable, Some("9/os/repodata"));
        check("9/os/Packages/x-1.rpm", Class::Immutable, None);
        check("9/os/images/install.img", Class::Index, None);
    }

    #[test]
    fn a_name_by_hash_is_a_promise() {
        let hash = "0A".repeat(32);
        let promise = |raw: &str| MirrorPath::parse(raw).expect(raw).promise();
        let found = promise(&format!("d/by-hash/SHA256/{hash}"));
        assert_eq!(found, Some(Promise::Sha256(hash.to_lowercase())));
        for raw in [
            format!("d/by-hash/MD5Sum/{hash}"),
            "d/by-hash/SHA256/00".to_string(),
            format!("d/by-hash/SHA256/{}", "x".repeat(64)),
            format!("d/SHA256/{hash}"),
        ] {
            assert_eq!(promise(&raw), None, "{raw}");
        }
    }
}
