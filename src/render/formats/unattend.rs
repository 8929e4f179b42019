//! Answers for Windows' own setup: which component may say something in which pass.
//!
//! Setup reads a component in its passes only, and stops at one that it does not know. The list is of
//! Windows 10, 11 and Server, of components that are said of an installation; drivers and languages of
//! Windows PE among them, though nothing reads `windowsPE` where an image is applied. Windows has more than
//! are here, so that another one is only warned of.

use super::Findings;
use super::xml::tag_length;

/// Passes, in their order.
const PASSES: [&str; 7] = [
    "windowsPE",
    "offlineServicing",
    "generalize",
    "specialize",
    "auditSystem",
    "auditUser",
    "oobeSystem",
];

/// Passes that several components have.
const INSTALLED: &[&str] = PASSES.split_at(1).1;
const RUNNING: &[&str] = PASSES.split_at(2).1;
const EARLY: &[&str] = &["offlineServicing", "generalize", "specialize"];
const TWICE: &[&str] = &["offlineServicing", "specialize", "oobeSystem"];
const LATE: &[&str] = &["specialize", "auditSystem", "oobeSystem"];

/// Components without `Microsoft-Windows-`, each with its passes.
const COMPONENTS: [(&str, &[&str]); 31] = [
    ("Shell-Setup", INSTALLED),
    ("Deployment", RUNNING),
    ("International-Core", &["specialize", "oobeSystem"]),
    ("International-Core-WinPE", &["windowsPE"]),
    ("Setup", &["windowsPE"]),
    ("TCPIP", &["windowsPE", "specialize"]),
    ("DNS-Client", &["windowsPE", "specialize"]),
    ("NetBT", &["windowsPE", "specialize"]),
    ("UnattendedJoin", &["specialize"]),
    ("TerminalServices-LocalSessionManager", EARLY),
    ("TerminalServices-RDP-WinStationExtensions", EARLY),
    ("RemoteAssistance-Exe", &["specialize"]),
    ("LUA-Settings", TWICE),
    (
        "PnpCustomizationsNonWinPE",
        &["offlineServicing", "auditSystem"],
    ),
    ("PnpCustomizationsWinPE", &["windowsPE"]),
    ("PnpSysprep", &["generalize", "specialize"]),
    ("Security-SPP", &["generalize", "specialize"]),
    ("Security-SPP-UX", &["specialize", "oobeSystem"]),
    ("SystemRestore-Main", &["specialize"]),
    ("ErrorReportingCore", LATE),
    ("SQMApi", &["specialize"]),
    ("powercpl", LATE),
    (
        "IE-InternetExplorer",
        &["windowsPE", "specialize", "auditSystem", "oobeSystem"],
    ),
    ("IE-ESC", &["specialize"]),
    ("ServerManager-SvrMgrNc", &["specialize"]),
    ("OutOfBoxExperience", &["specialize"]),
    ("SharedAccess", &["specialize"]),
    ("WinRE-RecoveryAgent", LATE),
    ("Win32-Service", &["specialize"]),
    ("SecureStartup-FilterDriver", TWICE),
    ("EnhancedStorage-Adm", TWICE),
];

/// Those that are called otherwise.
const OTHERS: [(&str, &[&str]); 2] = [
    ("Networking-MPSSVC-Svc", EARLY),
    ("OpenSSH-Server", &["specialize"]),
];

/// What identifies a component besides its name.
const ATTRIBUTES: [&str; 4] = [
    "processorArchitecture",
    "publicKeyToken",
    "language",
    "versionScope",
];

/// Checks a well-formed document whose root is `unattend`.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut open: Vec<&str> = Vec::new();
    let mut pass = "";
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let rest = &text[start..];
        let line = text[..start].matches('\n').count() + 1;
        let skipped = |open: &str, close: &str| {
            let end = rest.strip_prefix(open)?.find(close)?;
            Some(open.len() + end + close.len())
        };
        if let Some(length) = skipped("<!--", "-->").or_else(|| skipped("<![CDATA[", "]]>")) {
            at = start + length;
            continue;
        }
        let Some(length) = tag_length(rest) else {
            return;
        };
        at = start + length;
        let tag = &rest[1..length - 1];
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            open.pop();
            continue;
        }
        let name = tag.split([' ', '\t', '\n', '\r', '/']).next().unwrap_or("");
        match (open.as_slice(), name) {
            ([], _) => {}
            ([_], "settings") => {
                pass = attribute(tag, "pass").unwrap_or("");
                if !PASSES.contains(&pass) {
                    findings.error(line, format!("Windows' setup has no pass `{pass}`; it has {}", PASSES.join(", ")));
                } else if pass == "windowsPE" {
                    findings.warning(line, "nothing reads the pass `windowsPE` here: the image is applied, and setup begins with `offlineServicing`");
                }
            }
            ([_], "servicing") => {}
            // what the tools that write such files leave in them, and setup passes over
            ([_], name) if name.contains(':') || name == "Extensions" => {}
            ([_, above, ..], _) if above.contains(':') || *above == "Extensions" => {}
            ([_], other) => findings.error(line, format!("`<{other}>` stands in no answer file; below `<unattend>` is `<settings pass=\"..\">`")),
            ([_, "settings"], "component") => component(tag, pass, line, findings),
            ([_, "settings"], other) => findings.error(line, format!("`<{other}>` is no component; below `<settings>` is `<component name=\"..\">`")),
            (within, name) => {
                let parent = within.last().copied().unwrap_or("");
                let secret = name == "Value" && parent.ends_with("Password")
                    || matches!(name, "Password" | "MachinePassword") && matches!(parent, "Credentials" | "Identification");
                let value = text[at..].split('<').next().unwrap_or("").trim();
                if secret && !value.is_empty() {
                    findings.error(line, "a password, which anyone on the network can read and which stays in %WINDIR%\\Panther; `PlainText` false only encodes it");
                }
            }
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
}

fn component(tag: &str, pass: &str, line: usize, findings: &mut Findings<'_>) {
    let name = attribute(tag, "name").unwrap_or("");
    let short = name.strip_prefix("Microsoft-Windows-");
    let known = match short {
        Some(short) => COMPONENTS.iter().find(|(n, _)| *n == short),
        None => OTHERS.iter().find(|(n, _)| *n == name),
    };
    match known {
        None => findings.warning(
            line,
            format!("no component `{name}` of Windows is known here, and setup stops at one that it does not know"),
        ),
        Some((_, passes)) if !passes.contains(&pass) && PASSES.contains(&pass) => findings.error(
            line,
            format!("`{name}` says nothing in the pass `{pass}`; its passes are {}", passes.join(", ")),
        ),
        Some(_) => {}
    }
    let missing: Vec<&str> = ATTRIBUTES
        .into_iter()
        .filter(|a| attribute(tag, a).is_none())
        .collect();
    if !missing.is_empty() {
        findings.error(
            line,
            format!("a component also needs {}", missing.join(", ")),
        );
    }
}

/// The value of an attribute.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.match_indices(name).find_map(|(at, _)| {
        let before = tag[..at].ends_with([' ', '\t', '\n', '\r']);
        let rest = tag[at + name.len()..]
            .trim_start()
            .strip_prefix('=')?
            .trim_start();
        let quote = rest.chars().next().filter(|q| matches!(q, '"' | '\''))?;
        let value = rest[1..].split(quote).next()?;
        before.then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "<?xml version=\"1.0\"?>\n<!-- <settings pass=\"x\"> -->\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n\
        <settings pass=\"specialize\">\n\
        <component name=\"Microsoft-Windows-Shell-Setup\" processorArchitecture=\"amd64\" publicKeyToken=\"31bf3856ad364e35\" language=\"neutral\" versionScope=\"nonSxS\">\n\
        <ComputerName>web01</ComputerName>\n\
        <UserAccounts><AdministratorPassword><Value></Value></AdministratorPassword></UserAccounts>\n\
        </component>\n</settings>\n</unattend>\n";

    fn found(text: &str) -> Vec<(usize, String)> {
        let mut findings = Findings::new("profiles/x/unattend.xml", None);
        lint(text, &mut findings);
        let found = findings.into_iter();
        found.map(|d| (d.spans[0].line, d.message)).collect()
    }

    #[test]
    fn what_setup_would_not_read_is_told_with_its_line() {
        assert_eq!(found(SOUND), []);
        for (from, to, line, part) in [
            (
                "\"specialize\"",
                "\"specialise\"",
                4,
                "no pass `specialise`",
            ),
            (
                "Microsoft-Windows-Shell-Setup",
                "Microsoft-Windows-Shell-Setp",
                5,
                "no component",
            ),
            (
                "Shell-Setup",
                "International-Core-WinPE",
                5,
                "its passes are windowsPE",
            ),
            (" language=\"neutral\"", "", 5, "needs language"),
            (
                "<Value></Value>",
                "<Value>aHVudGVyMg==</Value>",
                7,
                "a password",
            ),
            (
                "</settings>\n",
                "</settings>\n<setting/>\n",
                10,
                "`<setting>` stands",
            ),
            (
                "</component>\n",
                "</component>\n<compnent/>\n",
                9,
                "`<compnent>` is no",
            ),
        ] {
            let all = found(&SOUND.replacen(from, to, 1));
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            assert_eq!(all[0].0, line, "{to}: {all:?}");
            assert!(all[0].1.contains(part), "{to}: {all:?}");
        }
        // what tools leave in such a file is none of setup's, and text is no tag
        for left in [
            "</settings>\n<cpi:offlineImage cpi:source=\"wim:x\" xmlns:cpi=\"urn:y\"/>\n",
            "</settings>\n<Extensions xmlns=\"urn:z\"><File path=\"x\"><Value>a</Value></File></Extensions>\n",
        ] {
            assert_eq!(found(&SOUND.replacen("</settings>\n", left, 1)), []);
        }
        let text = "<ComputerName><![CDATA[it's <a>x</a>]]></ComputerName>";
        let text = SOUND.replacen("<ComputerName>web01</ComputerName>", text, 1);
        assert_eq!(found(&text), []);
        let early = SOUND
            .replacen("\"specialize\"", "\"windowsPE\"", 1)
            .replacen("Shell-Setup", "Setup", 1);
        assert!(found(&early)[0].1.contains("nothing reads the pass"));
    }
}
