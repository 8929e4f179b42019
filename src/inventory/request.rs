//! From what an operator asks to edits of the text.

use std::collections::BTreeMap;

use super::assign::Assignment;
use super::edit::{Change as FileChange, Edit};
use super::files::FileSet;
use crate::model::command::{Change, ChangeVerb, EditRequest};
use crate::model::{Name, Refusal, Site, System};

/// The edits that a request means for the systems it selects, of this site.
pub fn edits(request: &EditRequest, selected: &[&System], site: &Site) -> Vec<Edit> {
    match request {
        EditRequest::Add {
            name,
            macs,
            profile,
            changes,
        } => vec![Edit::Add {
            name: name.clone(),
            macs: macs.clone(),
            profile: profile.clone(),
            ip: None,
            assignments: assignments(changes, None, profile.as_ref(), site),
        }],
        EditRequest::Set { changes, .. } => {
            let set = |system: &&System| Edit::Set {
                name: system.name.clone(),
                assignments: assignments(changes, Some(system), Some(&system.profile), site),
            };
            selected.iter().map(set).collect()
        }
        EditRequest::Remove { .. } => selected
            .iter()
            .map(|s| Edit::Remove {
                name: s.name.clone(),
            })
            .collect(),
    }
}

/// What edits come to.
#[derive(Debug)]
pub struct Applied {
    /// The files as they would be.
    pub files: FileSet,
    /// The files that change.
    pub changes: Vec<FileChange>,
    /// Each system of an edit.
    pub systems: BTreeMap<Name, Placed>,
}

/// What an edit comes to for its system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its entry would be another.
    pub changed: bool,
    /// The file that declares it, relative to the site.
    pub file: String,
}

/// Applies edits one after another. An edit that would change nothing is left out of the changes.
///
/// # Errors
/// The first edit that cannot be made; then nothing is to be written.
pub fn apply(edits: &[Edit], files: &FileSet) -> Result<Applied, Refusal> {
    let mut after = files.clone();
    let mut changes: Vec<FileChange> = Vec::new();
    let mut systems = BTreeMap::new();
    for edit in edits {
        let change = match edit.apply(&after) {
            Ok(change) => change,
            Err(super::EditError::Nothing) => {
                let placed = Placed {
                    changed: false,
                    file: edit.file(&after).unwrap_or_default(),
                };
                systems.insert(edit.name().clone(), placed);
                continue;
            }
            Err(error) => return Err(refusal(&error)),
        };
        let placed = Placed {
            changed: true,
            file: change.path.clone(),
        };
        systems.insert(edit.name().clone(), placed);
        after = after.with(&change.path, change.bytes.clone());
        match changes.iter_mut().find(|c| c.path == change.path) {
            Some(earlier) => {
                earlier.bytes = change.bytes;
                earlier.summary = format!("{}; {}", earlier.summary, change.summary);
            }
            None => changes.push(change),
        }
    }
    Ok(Applied {
        files: after,
        changes,
        systems,
    })
}

fn refusal(error: &super::EditError) -> Refusal {
    use super::EditError;
    match error {
        EditError::NotFound { name, .. } => {
            Refusal::new(crate::model::Code::NotFound, error.to_string())
                .help(format!("farrier add {name} MAC PROFILE"))
        }
        EditError::Exists { name, .. } => {
            Refusal::refused(error.to_string()).help(format!("farrier set {name} KEY=VALUE"))
        }
        EditError::Assignment(_) => Refusal::new(crate::model::Code::Usage, error.to_string()),
        EditError::Syntax { .. } => {
            Refusal::new(crate::model::Code::Invalid, error.to_string()).help("farrier check")
        }
        EditError::Nothing => Refusal::refused(error.to_string()),
    }
}

fn assignments(
    changes: &[Change],
    system: Option<&System>,
    profile: Option<&Name>,
    site: &Site,
) -> Vec<Assignment> {
    let profile = profile.and_then(|name| site.profiles.get(name));
    let said = |key: &[String]| match key {
        [table, var @ ..] if table == "vars" => {
            system.is_some_and(|s| has(&s.vars, var)) || profile.is_some_and(|p| has(&p.vars, var))
        }
        _ => false,
    };
    let assignment = |(at, change): (usize, &Change)| {
        // What an earlier change sets or removes is added to, and not what was there before.
        let of_key = |c: &Change| c.key == change.key && c.verb == ChangeVerb::Set;
        let earlier = changes[..at].iter().any(of_key);
        let inherited = match system {
            Some(system) if !earlier => inherited(&change.key, system),
            _ => Vec::new(),
        };
        Assignment {
            key: change.key.clone(),
            verb: change.verb,
            value: change.value.clone(),
            inherited,
            said_elsewhere: !earlier && said(&change.key),
        }
    };
    changes.iter().enumerate().map(assignment).collect()
}

/// Whether vars say something here.
fn has(vars: &serde_json::Map<String, serde_json::Value>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match vars.get(first) {
        Some(serde_json::Value::Object(table)) => has(table, rest),
        Some(_) => rest.is_empty(),
        None => false,
    }
}

/// What a list holds by `[defaults]` if the entry does not say it.
fn inherited(key: &[String], system: &System) -> Vec<String> {
    match key {
        [key] if key == "tags" => system.tags.clone(),
        [key] if key == "ssh_keys" => system.ssh_keys.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;
    use crate::model::Selection;

    const SITE: &str = "[defaults]\nprofile = \"p\"\ntags = [\"all\"]\n[system.a]\nmac = \"52:54:00:00:00:01\"\ntags = [\"old\", \"rack11\"]\n[system.b]\nmac = \"52:54:00:00:00:02\"\n";

    fn site() -> FileSet {
        FileSet::default()
            .with("systems.toml", SITE.as_bytes())
            .with(
                "systems.d/c.toml",
                &b"[system.c]\nmac = \"52:54:00:00:00:03\"\ntags = [\"web\"]\n"[..],
            )
            .with(
                "boot/d.toml",
                &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\""[..],
            )
            .with(
                "profiles/p/profile.toml",
                &b"kind = \"fai\"\ndistro = \"d\"\n[vars]\nports = [80]\nt = { list = [1] }"[..],
            )
    }

    #[test]
    fn what_the_profile_says_is_not_replaced_by_what_is_added_to_it() {
        let files = site();
        let site = parse(&files).site.expect("a site");
        let after = |typed: &[&str]| {
            let change = |typed: &&str| {
                let one: Assignment = typed.parse().expect(typed);
                Change {
                    key: one.key,
                    verb: one.verb,
                    value: one.value,
                }
            };
            let request = EditRequest::Set {
                selection: Selection::default(),
                expect: None,
                changes: typed.iter().map(change).collect(),
                dry_run: false,
            };
            apply(&edits(&request, &[&site.systems["b"]], &site), &files)
                .map(|applied| applied.changes[0].summary.clone())
                .map_err(|refusal| refusal.message)
        };
        for typed in ["vars.ports+=443", "vars.ports-=80", "vars.t.list+=2"] {
            let refused = after(&[typed]).expect_err(typed);
            assert!(refused.contains("of its own"), "{refused}");
        }
        for typed in [
            &["vars.more+=443"][..],
            &["vars.t.more+=2"],
            &["vars.ports=[80]", "vars.ports+=443"],
        ] {
            after(typed).expect(typed[0]);
        }
    }

    /// What a set on these systems comes to.
    fn set(names: &[&str], changes: &[(ChangeVerb, Option<&str>)]) -> Applied {
        let files = site();
        let site = parse(&files).site.expect("a site");
        let change = |(verb, value): &(ChangeVerb, Option<&str>)| Change {
            key: vec!["tags".to_string()],
            verb: *verb,
            value: value.map(str::to_string),
        };
        let request = EditRequest::Set {
            selection: Selection::default(),
            expect: None,
            changes: changes.iter().map(change).collect(),
            dry_run: false,
        };
        let system = |name: &&str| &*site.systems[*name];
        let selected: Vec<&System> = names.iter().map(system).collect();
        apply(&edits(&request, &selected, &site), &files).expect("applied")
    }

    #[test]
    fn several_changes_of_one_list_add_up() {
        use ChangeVerb::{Pull, Push, Set};
        let tags = |name: &str, changes: &[(ChangeVerb, Option<&str>)]| {
            let after = parse(&set(&[name], changes).files).site.expect("a site");
            after.systems[name].tags.join(" ")
        };
        let both = [(Push, Some("web")), (Pull, Some("old"))];
        assert_eq!(tags("a", &both), "rack11 web");
        assert_eq!(tags("b", &both), "all web", "from [defaults] on");
        let anew = [(Set, None), (Push, Some("web")), (Push, Some("x"))];
        assert_eq!(tags("a", &anew), "web x");
        assert_eq!(tags("b", &anew), "web x");
        let set = [(Set, Some("x,y")), (Pull, Some("x"))];
        assert_eq!(tags("a", &set), "y");
    }

    #[test]
    fn each_system_is_said_to_be_where_it_is() {
        let applied = set(&["a", "c"], &[(ChangeVerb::Push, Some("web"))]);
        let told: Vec<(&str, bool, &str)> = applied
            .systems
            .iter()
            .map(|(name, p)| (name.as_str(), p.changed, p.file.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("a", true, "systems.toml"),
                ("c", false, "systems.d/c.toml")
            ]
        );
        assert_eq!(applied.changes.len(), 1);
        assert_eq!(applied.changes[0].summary, "set a tags+=web");
    }
}
