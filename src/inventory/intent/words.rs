//! What words may look like that end up in answer files of every format: each has a narrow alphabet
//! of its own, so that none needs quoting anywhere and a mistake is found where it stands.

use serde_json::Value as Json;

use crate::inventory::field::Field;

/// One word that passes a test.
pub(super) fn word<'a>(
    field: &Field<'a>,
    what: &str,
    ok: fn(&str) -> bool,
    help: &str,
) -> Option<&'a str> {
    let text = field.word()?;
    if ok(text) {
        return Some(text);
    }
    field.error(
        format!("`{text}` is not {what}"),
        format!("not {what}"),
        Some(help.to_string()),
    );
    None
}

/// A list of words, each once; one word stands for a list of one.
pub(super) fn list(field: &Field<'_>, what: &str, ok: fn(&str) -> bool, help: &str) -> Json {
    let mut found: Vec<&str> = Vec::new();
    for element in field.elements() {
        if let Some(word) = word(&element, what, ok, help)
            && !found.contains(&word)
        {
            found.push(word);
        }
    }
    Json::from(found)
}

/// One of a few words.
pub(super) fn one_of(field: &Field<'_>, words: &[&str]) -> Option<Json> {
    let pairs: Vec<(&str, &str)> = words.iter().map(|w| (*w, *w)).collect();
    crate::inventory::settings::one_of(field, &pairs).map(Json::from)
}

/// Letters, digits and some others, the first a letter, a digit or one of `first`.
fn plain(text: &str, first: &str, others: &str) -> bool {
    let mut chars = text.chars();
    let head = chars.next();
    head.is_some_and(|c| c.is_ascii_alphanumeric() || first.contains(c))
        && chars.all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

pub(super) fn is_locale(text: &str) -> bool {
    plain(text, "", "_.@-") && text.len() <= 40
}

pub(super) fn is_keymap(text: &str) -> bool {
    plain(text, "", "_-.") && text.len() <= 40
}

pub(super) fn is_zone(text: &str) -> bool {
    text.len() <= 60 && text.split('/').all(|part| plain(part, "", "_+-"))
}

pub(super) fn is_package(text: &str) -> bool {
    plain(text, "@^", "+-.:_=~@/^") && text.len() <= 200
}

/// What Linux and every configuration of it takes as an interface's name: at most 15 bytes.
pub(super) fn is_interface(text: &str) -> bool {
    plain(text, "", "_-.") && text.len() <= 15 && !text.starts_with(|c: char| c.is_ascii_digit())
}

pub(super) fn is_account(text: &str) -> bool {
    let low = |c: char| c.is_ascii_lowercase() || c == '_';
    text.len() <= 32
        && text.starts_with(low)
        && text
            .chars()
            .all(|c| low(c) || c.is_ascii_digit() || c == '-')
}

/// A name for a file in a directory, as `sources.list.d` wants it.
pub(super) fn is_file_name(text: &str) -> bool {
    plain(text, "", "_-") && text.len() <= 60
}

pub(super) fn is_suite(text: &str) -> bool {
    plain(text, "", "_-./+~") && text.len() <= 100
}

/// An absolute path without surprises.
pub(super) fn is_path(text: &str) -> bool {
    text.len() <= 200
        && text.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|part| plain(part, "_.", "_-.+") && part != "." && part != "..")
        })
}

/// As [`is_path`], or the root.
pub(super) fn is_mount(text: &str) -> bool {
    text == "/" || is_path(text)
}

pub(super) fn is_thumbprint(text: &str) -> bool {
    let url_safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (20..=100).contains(&text.len()) && text.bytes().all(url_safe)
}

/// A hash as crypt(3) writes it, of a kind that is not broken: `$6$`, `$5$`, `$y$` (crypt(5)).
pub(super) fn is_crypt(text: &str) -> bool {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b"./$=,".contains(&b);
    ["$6$", "$5$", "$y$"].iter().any(|p| text.starts_with(p))
        && (20..=200).contains(&text.len())
        && text.bytes().all(alphabet)
        && text.matches('$').count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_need_no_quoting() {
        for (test, good, bad) in [
            (
                is_locale as fn(&str) -> bool,
                &["en_US.UTF-8", "C.UTF-8", "de_DE@euro", "POSIX"][..],
                &["", ".", "en US", "en;US", "$LANG"][..],
            ),
            (
                is_zone,
                &["Etc/UTC", "America/Argentina/Ushuaia", "Etc/GMT+5"],
                &["", "/UTC", "a//b", "../x"],
            ),
            (
                is_package,
                &["vim", "libc6:i386", "g++", "@core", "nginx=1.2~3-1"],
                &["-x", "a b", "a;b", ""],
            ),
            (
                is_interface,
                &["bond0", "vlan20", "eth0.20", "lan_1"],
                &["0eth", "a/b", "verylonginterface", "a b"],
            ),
            (
                is_account,
                &["alice", "_apt", "www-data"],
                &["Alice", "0day", "a b", "a:b", "-x"],
            ),
            (
                is_path,
                &["/bin/bash", "/var/lib/x"],
                &["/", "bin/sh", "/a/../b", "/a//b", "/a b", "/./a"],
            ),
            (is_mount, &["/", "/var/log"], &["", "var", "/var/"]),
            (
                is_crypt,
                &[
                    "$6$rounds=5000$saltsalt$abcdefghijklmnop./ABC",
                    "$y$j9T$abcd$efghijklmnopqrst",
                ],
                &[
                    "secret",
                    "$1$salt$abcdefghijklmnopqrst",
                    "$6$a b$ccccccccccccccccccccc",
                    "$6$abcdefghijklmnopqrstuv",
                ],
            ),
        ] {
            for text in good {
                assert!(test(text), "{text}");
            }
            for text in bad {
                assert!(!test(text), "{text}");
            }
        }
    }
}
