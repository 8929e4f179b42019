//! YAML: values are written as JSON scalars, which YAML reads.

use super::Findings;

/// What the Ubuntu installer knows below `autoinstall:` (its reference of the format's version 1). Anything
/// else it drops with a line in its log, and installs without.
const AUTOINSTALL: [&str; 32] = [
    "version",
    "interactive-sections",
    "early-commands",
    "locale",
    "refresh-installer",
    "keyboard",
    "source",
    "network",
    "proxy",
    "apt",
    "storage",
    "identity",
    "active-directory",
    "ubuntu-pro",
    "ubuntu-advantage",
    "ssh",
    "codecs",
    "drivers",
    "oem",
    "snaps",
    "debconf-selections",
    "packages",
    "kernel",
    "kernel-crash-dumps",
    "timezone",
    "updates",
    "shutdown",
    "late-commands",
    "error-commands",
    "reporting",
    "user-data",
    "zdevs",
];

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    autoinstall(text, findings);
    for (number, line) in text.lines().enumerate() {
        if line
            .find(|c| c != ' ')
            .is_some_and(|at| line[at..].starts_with('\t'))
        {
            findings.error(number + 1, "a tab indents this line, which YAML forbids");
        }
    }
}

/// The keys of a table `autoinstall` that is written as lines.
fn autoinstall(text: &str, findings: &mut Findings<'_>) {
    let lines = text.lines().enumerate();
    let mut below = lines.skip_while(|(_, line)| line.trim_end() != "autoinstall:");
    if below.next().is_none() {
        return;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut depth = None;
    for (number, line) in below {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let at = indent(line);
        if at == 0 {
            return;
        }
        if at != *depth.get_or_insert(at) {
            continue;
        }
        let Some((key, _)) = line.trim_start().split_once(':') else {
            continue;
        };
        let key = key.trim_matches(['"', '\'']);
        let word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if key.chars().all(word) && !AUTOINSTALL.contains(&key) {
            let message = format!(
                "the Ubuntu installer knows no `{key}` below `autoinstall`, and would go on without it"
            );
            findings.error(number + 1, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_of_autoinstall_is_found() {
        let found = |text: &str| {
            let mut findings = Findings::new("profiles/x/user-data", None);
            lint(text, &mut findings);
            findings.into_iter().collect::<Vec<_>>()
        };
        let text = "#cloud-config\nautoinstall:\n  version: 1\n\n  # x\n  late-command:\n    - a: b\n  user-data:\n    what: x\nother: 1\n";
        let all = found(text);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].message.contains("`late-command`"), "{all:?}");
        assert_eq!(all[0].spans[0].line, 6);
        assert!(found("a:\n  late-command: 1\n").is_empty());
    }
}
