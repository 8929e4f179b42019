//! The answers of OpenBSD's autoinstall(8): `question = answer`, a line each.
//!
//! The installer takes the first line whose question is part of its own, a word at a time and whatever the
//! case, and uses it once. A line without `=` or without an answer it does not see at all.

use super::Findings;

/// The beginnings of what the installer asks, in small letters. Of the releases up to 7.8; it is a
/// warning only if a question is none of these.
const QUESTIONS: [&str; 51] = [
    "terminal type",
    "choose your keyboard layout",
    "system hostname",
    "network interface to configure",
    "which network interface do you wish to configure",
    "ipv4 address for",
    "netmask for",
    "default ipv4 route",
    "ipv6 address for",
    "ipv6 prefix length for",
    "ipv6 default router",
    "access point",
    "security protocol",
    "dns domain name",
    "dns nameservers",
    "password for root account",
    "public ssh key for root account",
    "start sshd(8) by default",
    "do you expect to run the x window system",
    "do you want the x window system to be started by xenodm(1)",
    "change the default console to",
    "which speed should",
    "setup a user",
    "full name for user",
    "password for user",
    "public ssh key for user",
    "allow root ssh login",
    "since you set up a user, disable sshd(8) logins to root",
    "what timezone are you in",
    "what sub-timezone of",
    "which disk is the root disk",
    "encrypt the root disk with a passphrase",
    "passphrase",
    "use (w)hole disk",
    "an efi/gpt disk may not boot. proceed",
    "disk has a valid efi/gpt. use it",
    "url to autopartitioning template for disklabel",
    "use (a)uto layout",
    "which disk do you wish to initialize",
    "location of sets",
    "http proxy url",
    "http server",
    "server directory",
    "unable to connect using https. use http instead",
    "set name(s)",
    "directory does not contain sha256.sig. continue without verification",
    "install.amd64 not found. use sets found here anyway",
    "fetching of buildinfo failed. continue anyway",
    "checksum test for",
    "unverified sets",
    "time appears wrong. set to",
];

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let Some((question, answer)) = line.split_once('=') else {
            findings.error(
                number,
                "a line is `question = answer`, and the installer does not see this one",
            );
            continue;
        };
        let question = question.trim().trim_end_matches('?').to_ascii_lowercase();
        if question.is_empty() {
            findings.error(number, "an answer without a question");
        } else if answer.trim().is_empty() {
            findings.error(
                number,
                format!("`{question}` has no answer, and the installer does not see the line; leave it out"),
            );
        } else if !QUESTIONS.iter().any(|asked| asks(asked, &question)) {
            findings.warning(
                number,
                format!("OpenBSD's installer asks nothing of `{question}`, as far as is known here; its default is taken instead"),
            );
        }
        if question.starts_with("password for") && plain(answer.trim()) {
            findings.error(
                number,
                "a password in the clear, which anyone on the network can read: write thirteen asterisks for none, or a hash of encrypt(1)",
            );
        }
    }
}

/// Whether the one is part of the other, in words.
fn asks(asked: &str, question: &str) -> bool {
    let within = |whole: &str, part: &str| {
        whole.match_indices(part).any(|(at, _)| {
            let before = at == 0 || whole.as_bytes()[at - 1] == b' ';
            let after = whole.as_bytes().get(at + part.len());
            before && after.is_none_or(|b| *b == b' ' || *b == b'?')
        })
    };
    within(asked, question)
        || question
            .strip_prefix(asked)
            .is_some_and(|rest| rest.is_empty() || !rest.as_bytes()[0].is_ascii_alphanumeric())
}

fn plain(password: &str) -> bool {
    !password.is_empty() && password != "*************" && !password.starts_with("$2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_the_installer_would_not_see_are_told() {
        for (line, part) in [
            ("System hostname = web01", ""),
            ("IPv4 address for em0 = autoconf", ""),
            ("Password for root = *************", ""),
            ("Use (W)hole disk = gpt", ""),
            ("# a comment", ""),
            ("System hostname web01", "does not see"),
            ("DNS nameservers =", "no answer"),
            ("= web01", "without a question"),
            ("System hostnam = web01", "asks nothing"),
            ("Password for root account = hunter2", "in the clear"),
        ] {
            let mut findings = Findings::new("profiles/x/install.conf", None);
            lint(&format!("# one\n{line}\n"), &mut findings);
            let all: Vec<_> = findings.into_iter().collect();
            match all.first() {
                None => assert!(part.is_empty(), "{line}: nothing found"),
                Some(found) => {
                    assert!(
                        !part.is_empty() && found.message.contains(part),
                        "{line}: {found:?}"
                    );
                    assert_eq!((all.len(), found.spans[0].line), (1, 2), "{line}");
                }
            }
        }
    }
}
