//! What VMware ESXi reads: the commands and sections of its scripted installer (`ks.cfg`, which is not
//! Anaconda's language), and the configuration of its boot loader (`boot.cfg`).
//!
//! The lists are those of the installer's own grammar (weasel, of ESXi 7) and of mboot's sources. The
//! installer drops an option that it does not know with a line in its log that nobody sees.

use super::Findings;

/// Options that name the disk.
const DISK: [&str; 3] = ["--disk", "--drive", "--firstdisk"];

/// Each command with its options besides [`DISK`], if it takes a disk at all.
const COMMANDS: [(&str, bool, &[&str]); 19] = [
    ("vmaccepteula", false, &[]),
    ("accepteula", false, &[]),
    (
        "clearpart",
        false,
        &[
            "--all",
            "--alldrives",
            "--drives",
            "--firstdisk",
            "--ignoredrives",
            "--overwritevmfs",
        ],
    ),
    ("dryrun", false, &[]),
    (
        "install",
        true,
        &[
            "--overwritevmfs",
            "--preservevmfs",
            "--overwritevsan",
            "--novmfsondisk",
            "--ignoressd",
            "--ignoreprereqwarnings",
            "--ignoreprereqerrors",
            "--forceunsupportedinstall",
        ],
    ),
    (
        "installorupgrade",
        true,
        &[
            "--overwritevmfs",
            "--overwritevsan",
            "--ignoreprereqwarnings",
            "--ignoreprereqerrors",
            "--forcemigrate",
            "--forceunsupportedinstall",
        ],
    ),
    ("keyboard", false, &[]),
    (
        "network",
        false,
        &[
            "--bootproto",
            "--device",
            "--ip",
            "--gateway",
            "--nameserver",
            "--nodns",
            "--netmask",
            "--hostname",
            "--vlanid",
            "--addvmportgroup",
        ],
    ),
    ("paranoid", false, &[]),
    ("part", false, &["--ondisk", "--ondrive", "--onfirstdisk"]),
    (
        "partition",
        false,
        &["--ondisk", "--ondrive", "--onfirstdisk"],
    ),
    ("partitionembed", false, &[]),
    ("reboot", false, &["--noeject"]),
    ("rootpw", false, &["--iscrypted"]),
    ("serialnum", false, &["--esx"]),
    ("vmserialnum", false, &["--esx"]),
    (
        "upgrade",
        true,
        &[
            "--diskBootedFrom",
            "--overwritevmfs",
            "--savebootbank",
            "--deletecosvmdk",
            "--ignoreprereqwarnings",
            "--ignoreprereqerrors",
            "--forcemigrate",
            "--forceunsupportedinstall",
        ],
    ),
    ("%include", false, &[]),
    ("include", false, &[]),
];

/// Sections, each with its options.
const SECTIONS: [(&str, &[&str]); 3] = [
    ("%pre", &["--interpreter"]),
    ("%post", &["--interpreter", "--timeout", "--ignorefailure"]),
    ("%firstboot", &["--interpreter"]),
];

/// What runs a section.
const INTERPRETERS: [&str; 2] = ["python", "busybox"];

/// The installer's answers.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut in_section = false;
    let mut seen: Vec<&str> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        firewall(line, number, findings);
        let word = line.split_whitespace().next().unwrap_or("");
        if let Some((_, options)) = SECTIONS.iter().find(|(name, _)| *name == word) {
            in_section = true;
            section(line, number, options, findings);
            continue;
        }
        if in_section && word != "%include" {
            if word == "%end" {
                findings.error(
                    number,
                    "ESXi knows no `%end`: a section ends where the next one begins",
                );
            }
            continue;
        }
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        match COMMANDS.iter().find(|(name, ..)| *name == word) {
            Some((name, takes_disk, options)) => {
                seen.push(name);
                command(line, number, *takes_disk, options, findings);
            }
            None => findings.error(
                number,
                format!(
                    "ESXi's installer knows no command `{word}`; it knows {}, and the sections %pre, %post, %firstboot",
                    COMMANDS.map(|(name, ..)| name).join(", ")
                ),
            ),
        }
    }
    for (wanted, why) in [
        (
            &["vmaccepteula", "accepteula"][..],
            "the licence is not accepted (`vmaccepteula`), and the installer asks",
        ),
        (
            &["rootpw", "upgrade", "%include", "include"],
            "there is no `rootpw`, and the installer stops",
        ),
        (
            &[
                "install",
                "upgrade",
                "installorupgrade",
                "%include",
                "include",
            ],
            "nothing is installed: there is no `install`, and no `%include` of a file that says it",
        ),
    ] {
        if !seen.iter().any(|name| wanted.contains(name)) {
            findings.error(1, why);
        }
    }
}

fn command(
    line: &str,
    number: usize,
    takes_disk: bool,
    options: &[&str],
    findings: &mut Findings<'_>,
) {
    let name = line.split_whitespace().next().unwrap_or("");
    for word in line.split_whitespace().skip(1) {
        let option = word.split('=').next().unwrap_or(word);
        let known = options.contains(&option) || takes_disk && DISK.contains(&option);
        if option == "--firstdisk" || option == "--onfirstdisk" || option == "--alldrives" {
            findings.error(
                number,
                format!("`{option}` lets ESXi choose, and it may choose a LUN: write `--disk=` and the disk of the permit"),
            );
        } else if option.starts_with("--") && !known {
            let known = if takes_disk { &DISK[..2] } else { &[] };
            findings.error(
                number,
                format!(
                    "`{name}` has no option `{option}`; it has {}",
                    match options.is_empty() && known.is_empty() {
                        true => "none".to_string(),
                        false => [known, options].concat().join(", "),
                    }
                ),
            );
        }
    }
    if name == "rootpw" && !line.split_whitespace().any(|w| w == "--iscrypted") {
        findings.error(
            number,
            "a password in the clear, which anyone on the network can read: write `rootpw --iscrypted` and a hash",
        );
    }
}

fn section(line: &str, number: usize, options: &[&str], findings: &mut Findings<'_>) {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("");
    let mut interpreter = None;
    for word in words {
        let (option, value) = word.split_once('=').unwrap_or((word, ""));
        if !options.contains(&option) {
            findings.error(
                number,
                format!(
                    "`{name}` has no option `{option}`; it has {}",
                    options.join(", ")
                ),
            );
        }
        if option == "--interpreter" {
            interpreter = Some(value);
        }
    }
    match interpreter {
        Some(value) if INTERPRETERS.contains(&value) => {}
        Some(value) => findings.error(
            number,
            format!(
                "ESXi runs no `{value}`; write `--interpreter=python` or `--interpreter=busybox`"
            ),
        ),
        // then it is busybox
        None => {}
    }
}

/// The rule set that lets an installed host ask a web server (`httpClient`) knows two ports.
fn firewall(line: &str, number: usize, findings: &mut Findings<'_>) {
    for (at, _) in line.match_indices("https://") {
        let rest = &line[at + "https://".len()..];
        let end = rest.find(['/', '"', '\'', ' ', '?']).unwrap_or(rest.len());
        let port = rest[..end].rsplit_once(':').map(|(_, port)| port);
        if let Some(port) = port.filter(|p| !p.is_empty() && *p != "443" && *p != "80")
            && port.bytes().all(|b| b.is_ascii_digit())
        {
            findings.warning(
                number,
                format!(
                    "the firewall of an installed ESXi lets nothing out to port {port}, and its first boot cannot report; write `https_port = 443` below `[server]`, or open the port in the host's %firstboot"
                ),
            );
        }
    }
}

/// Keys of `boot.cfg`, and whether a number belongs to each. The last three are the installed system's.
const KEYS: [(&str, bool); 19] = [
    ("kernel", false),
    ("kernelopt", false),
    ("modules", false),
    ("title", false),
    ("prefix", false),
    ("nobootif", true),
    ("timeout", true),
    ("noquirks", true),
    ("norts", true),
    ("crypto", false),
    ("runtimewd", true),
    ("tftpblksize", true),
    ("acpitables", false),
    ("runtimewdtimeout", true),
    ("skip", true),
    ("errtimeout", true),
    ("bootstate", true),
    ("build", false),
    ("updated", true),
];

/// The boot loader's configuration.
pub(super) fn lint_boot(text: &str, findings: &mut Findings<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            findings.error(number, "a line of boot.cfg is `key=value`");
            continue;
        };
        match KEYS.iter().find(|(name, _)| *name == key) {
            None => findings.error(
                number,
                format!(
                    "mboot knows no key `{key}`; it knows {}",
                    KEYS.map(|(name, _)| name).join(", ")
                ),
            ),
            Some((_, true)) if value.trim().parse::<i64>().is_err() => {
                findings.error(number, format!("`{key}` is a number"));
            }
            Some(_) if seen.contains(&key) => {
                findings.error(number, format!("`{key}` is said twice"));
            }
            Some(_) => {}
        }
        if key == "modules" && value.split("---").any(|module| module.trim().is_empty()) {
            findings.error(
                number,
                "a module without a name: they are separated by one ` --- `",
            );
        }
        seen.push(key);
    }
    for wanted in ["kernel", "modules"] {
        if !seen.contains(&wanted) {
            findings.error(
                1,
                format!("there is no `{wanted}=`, and mboot starts nothing"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lint: fn(&str, &mut Findings<'_>), text: &str) -> Vec<(usize, String)> {
        let mut findings = Findings::new("profiles/x/ks.cfg", None);
        lint(text, &mut findings);
        let found = findings.into_iter();
        found.map(|d| (d.spans[0].line, d.message)).collect()
    }

    const SOUND: &str = "# a comment\nvmaccepteula\nrootpw --iscrypted $6$x\n\
        network --bootproto=dhcp --device=52:54:00:00:00:01\n%include /tmp/disk.cfg\nreboot\n\
        %pre --interpreter=python\nx = 7\nif x % 2:\n    print(\"https://10.0.0.1:443/r\")\n\
        %post --interpreter=busybox --ignorefailure=true\nsync\n%firstboot --interpreter=python\npass\n";

    #[test]
    fn what_the_installer_does_not_know_is_told_with_its_line() {
        assert_eq!(found(lint, SOUND), []);
        for (from, to, line, part) in [
            ("reboot\n", "reboots\n", 6, "no command `reboots`"),
            ("reboot\n", "%packages\n", 6, "no command `%packages`"),
            (
                "--bootproto=dhcp",
                "--onboot=on",
                4,
                "no option `--onboot`; it has --bootproto",
            ),
            ("reboot\n", "install --firstdisk\n", 6, "may choose a LUN"),
            (
                "reboot\n",
                "install --disk=x --force\n",
                6,
                "it has --disk, --drive, --over",
            ),
            ("reboot\n", "paranoid --yes\n", 6, "it has none"),
            (
                "--interpreter=busybox",
                "--interpreter=bash",
                11,
                "runs no `bash`",
            ),
            (
                "%firstboot",
                "%firstboot --level=9",
                13,
                "no option `--level`",
            ),
            ("sync\n", "sync\n%end\n", 13, "no `%end`"),
            ("--iscrypted ", "", 3, "in the clear"),
            ("vmaccepteula\n", "\n", 1, "licence"),
            ("%include /tmp/disk.cfg\n", "\n", 1, "nothing is installed"),
            ("1:443/r", "1:8443/r", 10, "port 8443"),
        ] {
            let text = SOUND.replacen(from, to, 1);
            let all = found(lint, &text);
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            assert_eq!(all[0].0, line, "{to}: {all:?}");
            assert!(all[0].1.contains(part), "{to}: {all:?}");
        }
        // busybox runs what names nothing, and a password is what an included file may say
        let plain = SOUND.replacen("%firstboot --interpreter=python", "%firstboot", 1);
        assert_eq!(found(lint, &plain), []);
        let included = SOUND.replacen("rootpw --iscrypted $6$x\n", "", 1);
        assert_eq!(found(lint, &included), []);
        let asks = found(lint, "vmaccepteula\ninstall --disk=x\n");
        assert!(
            asks.len() == 1 && asks[0].1.contains("`rootpw`"),
            "{asks:?}"
        );
    }

    #[test]
    fn what_mboot_does_not_know_is_told_with_its_line() {
        let sound = "bootstate=0\ntitle=A host\ntimeout=1\nkernel=b.b00\nmodules=a --- b\nbuild=\nupdated=0\n";
        assert_eq!(found(lint_boot, sound), []);
        for (from, to, line, part) in [
            ("timeout=1", "timeuot=1", 3, "no key `timeuot`"),
            ("timeout=1", "timeout=soon", 3, "a number"),
            ("timeout=1", "timeout 1", 3, "`key=value`"),
            ("timeout=1", "title=B", 3, "twice"),
            ("a --- b", "a ---  --- b", 5, "without a name"),
            ("kernel=b.b00", "", 1, "no `kernel=`"),
        ] {
            let all = found(lint_boot, &sound.replacen(from, to, 1));
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            assert_eq!(all[0].0, line, "{to}: {all:?}");
            assert!(all[0].1.contains(part), "{to}: {all:?}");
        }
    }
}
