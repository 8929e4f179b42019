//! References to secrets: what names one that is not set, and where that was written.

use super::files::FileSet;
use super::origin::origins;
use crate::model::secret::references;
use crate::model::{Diagnostic, Profile, SecretName, Site, Span, System};
use crate::render::variables;

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// The dotted key that refers: `vars.db.password`.
    path: String,
    /// The name as written.
    name: String,
}

/// Every secret that a system refers to, its profile's references included: the dotted key, and the
/// name as written.
fn all(system: &System, profile: &Profile) -> Vec<(String, String)> {
    let vars = variables(system, profile);
    let mut found = references("vars", &vars);
    if let Some(serde_json::Value::Object(bmc)) = &system.bmc {
        found.extend(references("bmc", bmc));
    }
    let owned = found.into_iter();
    owned.map(|(path, name)| (path, name.to_string())).collect()
}

/// The names of the secrets that a system refers to.
pub fn referred(system: &System, profile: &Profile) -> Vec<SecretName> {
    let names = all(system, profile);
    names.iter().filter_map(|(_, n)| n.parse().ok()).collect()
}

/// The references of a system that name no secret that is set.
pub fn unset(
    system: &System,
    profile: &Profile,
    is_set: &dyn Fn(&SecretName) -> bool,
) -> Vec<Unset> {
    let leads = |name: &str| name.parse::<SecretName>().is_ok_and(|name| is_set(&name));
    all(system, profile)
        .into_iter()
        .filter(|(_, name)| !leads(name))
        .map(|(path, name)| Unset { path, name })
        .collect()
}

impl Unset {
    /// What is wrong and how to mend it.
    pub fn diagnostic(&self, place: Option<Span>) -> Diagnostic {
        let name = &self.name;
        let problem = match name.parse::<SecretName>() {
            Ok(_) => Diagnostic::error(format!("the secret `{name}` is not set"))
                .help(format!("farrier secret set {name}")),
            Err(error) => Diagnostic::error(error.to_string()),
        };
        match place {
            Some(place) => problem.at(place),
            None => problem,
        }
    }

    /// Where the reference stands. It is looked up in the text again, which costs a millisecond.
    pub fn place(&self, files: &FileSet, site: &Site, system: &System) -> Option<Span> {
        let origins = origins(files, site, &system.name);
        let inner = format!("{}.secret", self.path);
        let origin = origins
            .iter()
            .find(|o| o.key == inner)
            .or_else(|| origins.iter().find(|o| o.key == self.path))?;
        let file = files.files.get(&origin.file)?;
        let text = std::str::from_utf8(&file.bytes).ok()?;
        let line = text.lines().nth(origin.line.checked_sub(1)?)?;
        let quoted = line.find(&format!("\"{}\"", self.name));
        let (at, length) = match quoted {
            Some(at) => (at, self.name.chars().count() + 2),
            None => (0, line.chars().count().max(1)),
        };
        Some(Span {
            file: origin.file.clone(),
            line: origin.line,
            column: line[..at].chars().count() + 1,
            length,
            text: line.to_string(),
            label: "referred to here".to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    #[test]
    fn a_reference_that_leads_nowhere_is_shown_where_it_stands() {
        let files = FileSet::default()
            .with("systems.toml", &b"[system.web01]\nmac = \"52:54:00:00:00:01\"\nprofile = \"p\"\nbmc = { redfish = \"https://10.0.0.1\", user = \"admin\", password = { secret = \"bmc/web01\" } }\n[system.web01.vars]\ndb = { password = { secret = \"db main\" } }\nlist = [1, { secret = \"set\" }]\n"[..])
            .with("boot/d.toml", &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n"[..])
            .with("profiles/p/profile.toml", &b"kind = \"fai\"\ndistro = \"d\"\n[vars]\ntoken = { secret = \"join\" }\n"[..]);
        let parsed = parse(&files);
        let site = parsed.site.expect("sound");
        let system = &site.systems["web01"];
        let profile = &site.profiles["p"];
        let is_set = |name: &SecretName| name.as_str() == "set";
        let shown: Vec<String> = unset(system, profile, &is_set)
            .iter()
            .map(|u| {
                let d = u.diagnostic(u.place(&files, &site, system));
                let s = &d.spans[0];
                format!("{}:{}:{} {}", s.file, s.line, s.column, d.message)
            })
            .collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(
            shown
                .contains(&"profiles/p/profile.toml:4:20 the secret `join` is not set".to_string()),
            "{shown:?}"
        );
        assert!(
            shown.contains(&"systems.toml:4:77 the secret `bmc/web01` is not set".to_string()),
            "{shown:?}"
        );
        assert!(
            shown
                .iter()
                .any(|s| s.starts_with("systems.toml:6:") && s.contains("cannot be")),
            "{shown:?}"
        );
        assert_eq!(referred(system, profile).len(), 3);
    }
}
