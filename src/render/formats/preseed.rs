//! Preseed: answers for debconf, as the installer's own small parser reads them.
//!
//! `debconf-set-selections -c` is no help here: it accepts unknown types and broken lines with
//! exit code 0. What is checked below are the mistakes that leave a machine at a dialog.

use std::fmt::Write;

use super::{Findings, Refused, no_control, put, shown};

const TYPES: [&str; 10] = [
    "string",
    "boolean",
    "select",
    "multiselect",
    "note",
    "text",
    "password",
    "title",
    "error",
    "seen",
];

/// A value is the rest of its line, without blanks at either end; a backslash at the end would
/// join the next line to it.
pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    no_control(value, &[])?;
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err(Refused::because(format!(
            "{} begins or ends with a space, which debconf drops",
            shown(value)
        )));
    }
    if value.ends_with('\\') {
        return Err(Refused::because(format!(
            "{} ends with a backslash, which would join the next line to it",
            shown(value)
        )));
    }
    no_escape(value)?;
    put(out, value)
}

/// The installer's debconf turns a backslash and an `n` into a line break (seen in its own
/// `debconf-set-selections`); every other backslash stays.
pub(in crate::render) fn no_escape(value: &str) -> Result<(), Refused> {
    if value.contains("\\n") {
        return Err(Refused::because(format!(
            "{} has a backslash before an `n`, which debconf turns into a line break",
            shown(value)
        )));
    }
    Ok(())
}

/// Whether the answer to this question is run by a shell.
pub(in crate::render) fn is_command(question: &str) -> bool {
    question.ends_with("_command")
}

/// One answer, its continuation lines joined.
struct Entry<'a> {
    line: usize,
    owner: &'a str,
    question: &'a str,
    kind: &'a str,
    value: &'a str,
}

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut joined = String::new();
    let mut begun = 0;
    let mut has_hostname = false;
    let mut get_hostname = None;
    let mut packages = None;
    let mut can_fetch = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.ends_with(' ') || line.ends_with('\t') {
            findings.warning(number, "blanks at the end of the line belong to nothing");
        }
        if joined.is_empty() && (line.trim().is_empty() || line.starts_with('#')) {
            continue;
        }
        if joined.is_empty() {
            begun = number;
        }
        // the installer drops comments and empty lines before it joins the rest
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(part.trim());
        if continues {
            continue;
        }
        if let Some(entry) = parse(&joined, begun, findings) {
            has_hostname |= entry.question == "netcfg/hostname";
            if entry.question == "netcfg/get_hostname" {
                get_hostname = Some(entry.line);
            }
            if matches!(entry.question, "pkgsel/include" | "tasksel/first") {
                packages = Some(entry.line);
                // the standard system has wget
                let mut words = entry.value.split([' ', ',']);
                can_fetch |= words.any(|word| matches!(word, "curl" | "wget" | "standard"));
            }
            check(&entry, findings);
        }
        joined.clear();
    }
    if !joined.is_empty() {
        findings.error(
            begun,
            "the last line ends with a backslash and is never finished",
        );
    }
    if let (Some(line), false) = (packages, can_fetch) {
        findings.warning(
            line,
            "neither curl nor wget is installed, and the first boot needs one of them",
        );
    }
    if let (Some(line), false) = (get_hostname, has_hostname) {
        findings.warning(
            line,
            "`netcfg/get_hostname` gives way to a host name from DHCP; set `netcfg/hostname` too",
        );
    }
}

fn parse<'a>(text: &'a str, line: usize, findings: &mut Findings<'_>) -> Option<Entry<'a>> {
    let mut rest = text;
    let mut word = || {
        let (word, tail) = rest
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((rest, ""));
        rest = tail.trim_start();
        word
    };
    let (owner, question, kind) = (word(), word(), word());
    if kind.is_empty() {
        findings.error(
            line,
            "a line needs an owner, a question, a type and a value",
        );
        return None;
    }
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    if !owner.chars().all(name) {
        findings.error(
            line,
            format!("the owner `{owner}` is no package; it is mostly `d-i`"),
        );
        return None;
    }
    if !question.contains('/') {
        findings.error(line, format!("the question `{question}` has no `/`"));
        return None;
    }
    Some(Entry {
        line,
        owner,
        question,
        kind,
        value: rest,
    })
}

fn check(entry: &Entry<'_>, findings: &mut Findings<'_>) {
    let Entry {
        line,
        owner,
        question,
        kind,
        value,
    } = *entry;
    if !TYPES.contains(&kind) {
        findings.error(
            line,
            format!("`{kind}` is no type of debconf's; did you mean `string`?"),
        );
    }
    if matches!(kind, "boolean" | "seen") && !matches!(value, "true" | "false") {
        findings.error(
            line,
            format!("a {kind} is `true` or `false`, not {}", shown(value)),
        );
    }
    if value.contains("\\n") {
        findings.warning(line, "debconf turns `\\n` in a value into a line break");
    }
    let package = question.split('/').next().unwrap_or("");
    if owner == "d-i" && matches!(package, "tasksel" | "popularity-contest") {
        findings.error(
            line,
            format!("the owner of `{question}` is `{package}`, and `d-i` answers nothing here"),
        );
    }
    if is_command(question) && !value.is_empty() && !guarded(value) {
        findings.error(
            line,
            format!("if the command of `{question}` fails, a dialog waits for ever; end it with `|| true` or a report"),
        );
    }
    match question {
        "preseed/url/checksum" | "preseed/file/checksum" | "preseed/include/checksum"
            if value.split(' ').any(|sum| sum.len() != 32) =>
        {
            findings.error(line, "the installer knows MD5 sums only: 32 hexadecimal digits");
        }
        "passwd/root-password" | "passwd/root-password-again" | "passwd/user-password"
        | "passwd/user-password-again" => findings.error(
            line,
            "an answer file is readable by anyone on the network; use `-password-crypted`, or a locked root and ssh keys",
        ),
        "passwd/root-password-crypted" | "passwd/user-password-crypted" => {
            if value.starts_with("$1$") {
                findings.error(line, "an MD5 password hash; make one with `mkpasswd -m sha512crypt`");
            } else if value == "!" && question == "passwd/root-password-crypted" {
                // user-setup-ask of user-setup 1.95 and 1.107
                findings.error(line, "for a single `!` the installer asks for a password, and waits; `*` is none");
            } else if !value.starts_with('$') && !matches!(value, "!" | "*" | "!!") {
                findings.error(line, "not a password hash; make one with `mkpasswd -m sha512crypt`");
            }
        }
        "partman-crypto/passphrase" | "partman-crypto/passphrase-again" => findings.error(
            line,
            "a passphrase in an answer file is readable by anyone on the network",
        ),
        _ => {}
    }
}

/// Whether a command ends in something that cannot fail.
fn guarded(command: &str) -> bool {
    let end = command.trim_end_matches([' ', ';']);
    command.contains("||")
        || [" true", ";true", " :", ";:", " exit 0"]
            .iter()
            .any(|ending| end.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let mut findings = Findings::new("profiles/x/preseed.cfg", None);
        lint(text, &mut findings);
        findings
            .into_iter()
            .map(|d| (d.spans[0].line, d.message))
            .collect()
    }

    #[test]
    fn sound_lines_pass() {
        let text = "# a comment\n\nd-i debian-installer/locale string en_US.UTF-8\n\
            d-i partman-auto/expert_recipe string \\\n  root :: \\\n  500 1000 -1 ext4 .\n\
            tasksel tasksel/first multiselect\n\
            d-i pkgsel/include string openssh-server curl\n\
            d-i passwd/root-password-crypted password *\n\
            d-i preseed/late_command string sh /tmp/late.sh || true\n";
        assert_eq!(found(text), vec![]);
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        for (line, part) in [
            ("d-i x/y", "needs an owner"),
            ("d-i x/y strin v", "no type"),
            ("d-i xy string v", "no `/`"),
            ("D-I x/y string v", "no package"),
            ("d-i x/y boolean yes", "`true` or `false`"),
            ("d-i tasksel/first multiselect standard", "owner"),
            ("d-i preseed/late_command string sh /tmp/x", "dialog"),
            (
                "d-i preseed/url/checksum string e3b0c44298fc1c149afbf4c8996fb924",
                "",
            ),
            (
                "d-i preseed/url/checksum string e3b0c44298fc1c149afbf4c8996fb92427ae41e4",
                "MD5",
            ),
            ("d-i passwd/root-password password hunter2", "readable"),
            ("d-i passwd/root-password-crypted password $1$x$y", "MD5"),
            ("d-i passwd/root-password-crypted password !", "waits"),
            ("d-i netcfg/get_hostname string a", "netcfg/hostname"),
            ("d-i x/y string a \\", "never finished"),
            ("d-i pkgsel/include string vim", "neither curl nor wget"),
        ] {
            let text = format!("# one\n{line}\n");
            match found(&text).first() {
                Some((number, message)) => {
                    assert_eq!(*number, 2, "{line}");
                    assert!(
                        !part.is_empty() && message.contains(part),
                        "{line}: {message}"
                    );
                }
                None => assert!(part.is_empty(), "{line}: nothing found"),
            }
        }
    }
}
