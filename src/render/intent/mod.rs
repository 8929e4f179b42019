//! The intent as templates see it, and the promise that none of it is dropped: what was asked for and
//! read by no template of the profile is an error, found when the site is loaded.

mod guard;
mod keyboard;
mod links;
mod unsupported;
mod values;
mod watch;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::model::intent::{Fault, Intent, Partial, Raid};
use crate::model::{Diagnostic, DiskRule, Profile, Subnet, System};

pub(super) use guard::unheeded;
pub(super) use unsupported::{Unsupported, register};
pub(super) use values::{Ground, Values, static_key, values};
pub(super) use watch::{Reads, Table, reads_of};

/// What a machine should be, and which of it somebody asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) intent: Intent,
    /// Keys whose reading is demanded of the templates.
    pub(super) asked: BTreeSet<String>,
}

/// The intent of a system under a profile, its own or another.
///
/// # Errors
/// What its layers say that does not go together, by key.
pub fn intent(system: &System, profile: &Profile) -> Result<Intent, Vec<Diagnostic>> {
    wanted(profile, system.intent.as_deref()).map(|wanted| wanted.intent)
}

/// The rule of the second disk, of a machine whose disks mirror each other. A rule that nobody wrote
/// matches any one disk that is not the first.
pub fn second_disk(system: &System, profile: &Profile) -> Option<DiskRule> {
    let storage = intent(system, profile).ok()?.storage;
    (storage.raid == Raid::Raid1).then(|| storage.second.unwrap_or_default())
}

/// What a profile and one layer over it want.
pub(super) fn wanted(profile: &Profile, over: Option<&Partial>) -> Result<Wanted, Vec<Diagnostic>> {
    let merged = over.map(|own| own.over(&profile.intent));
    let whole = merged.as_ref().unwrap_or(&profile.intent);
    let intent = whole.resolve().map_err(|faults| {
        let faults = faults.into_iter();
        faults.map(told).collect::<Vec<Diagnostic>>()
    })?;
    let mut problems = Vec::new();
    for (name, repository) in &intent.repositories {
        let Some(file) = repository.key_file() else {
            continue;
        };
        let key = format!("repository.{name}.key");
        let text = profile.files.get(file).map(|b| std::str::from_utf8(b));
        let (message, help) = match text {
            Some(Ok(text)) if !text.contains("PRIVATE KEY") => continue,
            Some(Ok(_)) => (
                format!("`{file}` holds a private key"),
                "export the public half: `gpg --armor --export`",
            ),
            Some(Err(_)) => (
                format!("the key `{file}` is not text"),
                "export it with `gpg --armor --export`",
            ),
            None => (
                format!("the profile `{}` has no file `{file}`", profile.name),
                "put the key into the profile's folder, or write its URL",
            ),
        };
        problems.push(Diagnostic::error(message).about(key).help(help));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut asked = profile.asked.clone();
    asked.extend(over.map(Partial::leaves).unwrap_or_default());
    let nothings = whole.nothings();
    asked.retain(|key| !nothings.contains(key));
    Ok(Wanted { intent, asked })
}

/// What of it the templates of a profile must heed. Where nothing is installed nothing is asked: a rescue
/// system has no disks to lay out.
pub(super) fn asked<'a>(
    profile: &Profile,
    system: &System,
    wanted: &'a Wanted,
    subnet: Option<&Subnet>,
) -> Cow<'a, BTreeSet<String>> {
    if !profile.kind.installs() {
        return Cow::Owned(BTreeSet::new());
    }
    let interfaces = &system.interfaces;
    let others = || interfaces.iter().skip(1);
    // Who asks for a permit is told the disk by it; the others must name the very disk themselves.
    let named = profile.kind.permitting_answer().is_some();
    let rule = system.disk.as_ref().unwrap_or(&profile.disk);
    let disk = |said: bool| named && said;
    let own = [
        ("static_ip", system.first().is_some_and(|i| i.static_ip)),
        ("interface.static_ip", others().any(|i| i.static_ip)),
        ("ssh_keys", !system.ssh_keys.is_empty()),
        ("ntp", subnet.is_some_and(|s| !s.ntp.is_empty())),
        ("disk.serial", disk(rule.serial.is_some())),
        ("disk.wwn", disk(rule.wwn.is_some())),
        ("disk.path", disk(rule.path.is_some())),
        ("disk.model", disk(rule.model.is_some())),
        ("disk.min_size", disk(rule.min_size.is_some())),
        ("disk.max_size", disk(rule.max_size.is_some())),
        (
            "interface.name",
            interfaces.iter().any(|i| i.name.is_some()),
        ),
        ("interface.ip6", interfaces.iter().any(|i| i.ip6.is_some())),
    ];
    let own = own.into_iter().filter(|(_, said)| *said);
    let mut asked = Cow::Borrowed(&wanted.asked);
    for (key, _) in own {
        asked.to_mut().insert(key.to_string());
    }
    asked
}

pub(super) fn told(fault: Fault) -> Diagnostic {
    let problem = Diagnostic::error(fault.message).help(fault.help);
    problem.about(fault.key)
}
