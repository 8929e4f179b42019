//! Nothing is dropped silently.

use std::collections::BTreeSet;

use crate::model::{Diagnostic, Profile};

/// What was asked for and not read, as errors; as warnings where the profile says that it ignores it.
pub(in crate::render) fn unheeded(
    profile: &Profile,
    asked: &BTreeSet<String>,
    read: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    let missed = asked.iter().filter(|key| !heeded(key, read));
    let mut said: BTreeSet<&str> = BTreeSet::new();
    let mut problems = Vec::new();
    for key in missed {
        let shown = table(key, read);
        if !said.insert(shown) {
            continue;
        }
        let name = &profile.name;
        let word = shown.replace(".*", "");
        let locked = key == "storage.encrypt";
        problems.push(match ignored(profile, key) {
            // Said of the subnet, not of the machine, and DHCP says it too.
            _ if key == "ntp" => Diagnostic::warning(format!(
                "the profile `{name}` does not write the subnet's `ntp` into the system"
            )),
            true => Diagnostic::warning(format!("the profile `{name}` ignores `{word}`")),
            false if locked => Diagnostic::error(format!(
                "the profile `{name}` encrypts no disk, and `{word}` asks for it"
            ))
            .help("remove it or choose a profile that encrypts"),
            false => {
                let help = format!(
                    "remove it or choose a profile that heeds it; `ignores = [\"{word}\"]` in profiles/{name}/profile.toml makes this a warning"
                );
                Diagnostic::error(format!("the profile `{name}` does not use `{word}`")).help(help)
            }
        }.about(shown));
    }
    problems
}

/// The widest table around a key of which nothing was read: of an account that is left out altogether
/// one line is enough.
fn table<'a>(key: &'a str, read: &BTreeSet<String>) -> &'a str {
    let ends = key.match_indices('.').map(|(at, _)| at);
    let tables = ends.skip(1).map(|at| &key[..at]);
    let untouched = |table: &&str| {
        let within = format!("{table}.");
        !read.iter().any(|r| r.starts_with(&within))
    };
    tables.into_iter().find(untouched).unwrap_or(key)
}

fn heeded(key: &str, read: &BTreeSet<String>) -> bool {
    match key {
        // Which disk it is, the machine is told when it asks for its permit.
        "storage.second" => read.contains("storage.raid"),
        key => read.contains(key),
    }
}

/// Encryption that is asked for and not done is nobody's to ignore.
fn ignored(profile: &Profile, key: &str) -> bool {
    if key == "storage.encrypt" {
        return false;
    }
    profile.ignores.iter().any(|ignored| {
        let rest = key.strip_prefix(ignored.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
