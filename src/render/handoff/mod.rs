//! The hand-off: what takes over when the installed system runs for the first time.
//!
//! Two documents are made for every build. `first-boot.sh` is public and runs in the installer: it
//! pins the certificate authority of the hand-off, asks where the hand-off is, and places the
//! first-boot unit into the installed system.
//! `bundle.sh` is the hand-off itself, given out once, to the holder of the secret token: it
//! unpacks the numbered steps. docs/handoff.md has the protocol.

pub(super) mod agents;

use std::sync::LazyLock;
use std::time::Duration;

/// The name of the document that places the unit.
pub(super) const FIRST_BOOT: &str = "first-boot.sh";
/// The name of the document that holds the steps.
pub(super) const BUNDLE: &str = "bundle.sh";

const PLACE: &str = include_str!("place.sh");
const SCRIPT: &str = include_str!("first-boot");
const UNIT: &str = include_str!("farrier-first-boot.service");

/// Stands where the authority's certificate will: it is made when a server starts for the first time.
pub(super) const NO_AUTHORITY: &str =
    "(the certificate of this server's authority, made at its first start)";

/// Ends the files inside a script; no line of any of them may read so.
pub(super) const END: &str = "--END-OF-FARRIER-FILE--";

/// Everything after the lines that name the address and the authority: the same for every machine.
static PLACE_ALL: LazyLock<String> = LazyLock::new(|| {
    let mut out = PLACE.to_string();
    let mut file = |path: &str, mode: &str, text: &str| {
        out.push_str(&format!(
            "\ncat >\"$target{path}\" <<'{END}'\n{text}{END}\nchmod {mode} \"$target{path}\"\n"
        ));
    };
    file("/usr/lib/farrier/first-boot", "0755", SCRIPT);
    file(
        "/etc/systemd/system/farrier-first-boot.service",
        "0644",
        UNIT,
    );
    out.push_str(
        "
ln -sf ../farrier-first-boot.service \\
    \"$target/etc/systemd/system/multi-user.target.wants/farrier-first-boot.service\"

umask 077
printf 'handoff=%s\\nkey=%s\\n' \"$handoff\" \"$key\" >\"$state/pending.part\"
sync
mv -f \"$state/pending.part\" \"$state/pending\"
# whoever runs this reports the end next, and may restart without another word
sync
[ -z \"$itself\" ] || { systemctl daemon-reload && systemctl --no-block start farrier-first-boot.service; }
echo \"first-boot.sh: placed\"
",
    );
    out
});

/// `first-boot.sh TARGET`. `authority` is the certificate to pin, in PEM; it has no quotes.
pub(super) fn first_boot(report: &str, authority: &str) -> Vec<u8> {
    format!(
        "#!/bin/sh\n# Places Farrier's first-boot unit into a freshly installed system.\n\
         REPORT='{report}'\nAUTHORITY='{}'\n{}",
        authority.trim_end().replace('\'', ""),
        *PLACE_ALL
    )
    .into_bytes()
}

/// One file of the hand-off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Its name without folder; those that begin with a digit are run, in order.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// `bundle.sh DIR`: unpacks the steps.
///
/// # Errors
/// The name of a step that holds the line which ends files in a bundle.
pub(super) fn bundle(agent: &str, timeout: Duration, steps: &[Step]) -> Result<Vec<u8>, String> {
    let mut out = String::from(
        "#!/bin/sh\n# A hand-off: unpacks its steps into the directory it is given.\n\
         set -eu\numask 077\nmkdir -p \"$1\"\ncd \"$1\"\n",
    );
    let head = Step {
        // written last: it being there says that the rest is
        name: ".hand-off".to_string(),
        text: format!("agent={agent}\ntimeout={}\n", timeout.as_secs()),
    };
    for step in steps.iter().chain([&head]) {
        if step.text.lines().any(|line| line == END) {
            return Err(step.name.clone());
        }
        let line_break = if step.text.ends_with('\n') { "" } else { "\n" };
        out.push_str(&format!(
            "cat >'{}' <<'{END}'\n{}{line_break}{END}\nchmod 0700 '{}'\n",
            step.name, step.text, step.name
        ));
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_ours_ends_a_file_early() {
        for text in [PLACE, SCRIPT, UNIT] {
            assert!(!text.lines().any(|line| line == END));
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn a_step_cannot_end_the_bundle() {
        let step = Step {
            name: "10-x".to_string(),
            text: format!("#!/bin/sh\n{END}\nrm -rf /\n"),
        };
        assert_eq!(
            bundle("steps", Duration::from_secs(1), &[step]),
            Err("10-x".to_string())
        );
    }
}
