//! What OpenBSD reads: the answers of autoinstall(8), `question = answer`, a line each; the template of
//! disklabel(8); the commands of its boot program, boot(8).
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

/// The template for a disk's partitions: `/usr 2G-* 50%`.
pub(super) fn lint_disklabel(text: &str, findings: &mut Findings<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mount, size, share) = match words.as_slice() {
            [] => continue,
            [mount, ..] if mount.starts_with('#') => continue,
            [mount, size] => (*mount, *size, None),
            [mount, size, share] => (*mount, *size, Some(*share)),
            _ => {
                findings.error(
                    number,
                    "a line is a mount point, a size, and maybe a share: `/usr 2G-* 50%`",
                );
                continue;
            }
        };
        if !mount.starts_with('/') && !matches!(mount, "swap" | "raid") {
            findings.error(
                number,
                format!("`{mount}` is no mount point, nor `swap` or `raid`"),
            );
        } else if seen.contains(&mount) {
            findings.error(number, format!("`{mount}` is there twice"));
        }
        let (least, most) = size.split_once('-').unwrap_or((size, "*"));
        if !is_size(least) || !(most == "*" || is_size(most)) {
            findings.error(
                number,
                format!("`{size}` is no size: a number and one of B, K, M, G, T, and maybe `-` and the most, or `*`"),
            );
        }
        let percent = |s: &str| s.strip_suffix('%').and_then(|n| n.parse::<u8>().ok());
        if share.is_some_and(|s| percent(s).is_none_or(|n| n > 100)) {
            findings.error(number, "the last word is a share of the disk, as `50%`");
        }
        seen.push(mount);
    }
    // sixteen letters, of which `c` is the whole disk
    if seen.len() > 15 {
        findings.error(
            1,
            format!("{} partitions, and a disk has at most 15", seen.len()),
        );
    }
    if !seen.contains(&"/") {
        findings.error(1, "there is no `/`");
    }
}

fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| "bkmgtBKMGT".contains(c));
    !digits.is_empty()
        && text.len() - digits.len() == 1
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Commands of boot(8).
const COMMANDS: [&str; 10] = [
    "boot", "echo", "env", "help", "hexdump", "ls", "machine", "reboot", "set", "stty",
];

/// What `set` knows.
const VARIABLES: [&str; 8] = [
    "addr",
    "db_console",
    "debug",
    "device",
    "howto",
    "image",
    "timeout",
    "tty",
];

/// What the boot program is told.
pub(super) fn lint_boot(text: &str, findings: &mut Findings<'_>) {
    let mut starts = false;
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let mut words = line.split_whitespace();
        let Some(command) = words.next().filter(|w| !w.starts_with('#')) else {
            continue;
        };
        if !COMMANDS.contains(&command) {
            findings.error(
                number,
                format!(
                    "OpenBSD's boot program has no command `{command}`; it has {}",
                    COMMANDS.join(", ")
                ),
            );
        }
        let variable = words.next().unwrap_or("");
        if command == "set" && !VARIABLES.contains(&variable) {
            findings.error(
                number,
                format!(
                    "there is no `{variable}` to set; there are {}",
                    VARIABLES.join(", ")
                ),
            );
        }
        starts |= command == "boot" || command == "set" && variable == "image";
    }
    if !starts {
        findings.error(
            1,
            "no `boot bsd.rd`: the boot program would start an installed system",
        );
    }
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

    fn told(lint: fn(&str, &mut Findings<'_>), text: &str) -> Vec<(usize, String)> {
        let mut findings = Findings::new("profiles/x/y", None);
        lint(text, &mut findings);
        let found = findings.into_iter();
        found.map(|d| (d.spans[0].line, d.message)).collect()
    }

    #[test]
    fn what_disklabel_and_the_boot_program_do_not_know_is_told() {
        let disk = "# a comment\nswap 1024M\n/var 2G-8G 10%\n/ 4G-*\n";
        assert_eq!(told(lint_disklabel, disk), []);
        for (from, to, line, part) in [
            ("swap 1024M", "swap 1024", 2, "no size"),
            ("2G-8G", "2G-", 3, "no size"),
            ("10%", "110%", 3, "a share"),
            ("10%", "10% x", 3, "a line is"),
            ("/var", "var", 3, "no mount point"),
            ("/var", "/", 4, "twice"),
            ("/ 4G", "/home 4G", 1, "no `/`"),
        ] {
            let all = told(lint_disklabel, &disk.replacen(from, to, 1));
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            assert!(all[0].0 == line && all[0].1.contains(part), "{to}: {all:?}");
        }
        let boot = "stty com0 115200\nset tty com0\nboot bsd.rd\n";
        assert_eq!(told(lint_boot, boot), []);
        for (from, to, line, part) in [
            ("stty", "sty", 1, "no command `sty`"),
            ("set tty", "set ttty", 2, "no `ttty`"),
            ("boot bsd.rd", "", 1, "no `boot bsd.rd`"),
        ] {
            let all = told(lint_boot, &boot.replacen(from, to, 1));
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            assert!(all[0].0 == line && all[0].1.contains(part), "{to}: {all:?}");
        }
    }
}
