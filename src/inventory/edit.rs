//! Changes to the text of `systems.toml` that keep comments, order and every other byte.

use std::net::Ipv4Addr;
use std::ops::Range;

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::assign::{self, Assignment};
use super::chunk::{self, cut, join};
use super::files::{FileSet, SourceFile};
use super::suggest::instead;
use crate::model::{Digest, MacAddr, Name};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Declares a system, at the end of `systems.toml`.
    Add {
        /// Its name.
        name: Name,
        /// Its interfaces, at least one.
        macs: Vec<MacAddr>,
        /// Its profile; none leaves it to `[defaults]`.
        profile: Option<Name>,
        /// Its reserved address.
        ip: Option<Ipv4Addr>,
        /// Further keys.
        assignments: Vec<Assignment>,
    },
    /// Sets or removes keys of a system.
    Set {
        /// Which system.
        name: Name,
        /// What to set.
        assignments: Vec<Assignment>,
    },
    /// Removes a system.
    Remove {
        /// Which system.
        name: Name,
    },
}

/// What an edit does to one file. Nothing is written yet: load [`FileSet::with`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which file, relative to the site.
    pub path: String,
    /// The digest of what it replaces; none if the file is new.
    pub before: Option<Digest>,
    /// The file's new contents.
    pub bytes: Vec<u8>,
    /// One sentence for people and the revision's history.
    pub summary: String,
}

/// An edit that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No file declares the system.
    #[error("there is no system `{name}`{}", .near.as_ref().map(|n| format!("; {n}")).unwrap_or_default())]
    NotFound {
        /// The name asked for.
        name: Name,
        /// A similar one.
        near: Option<String>,
    },
    /// The name is taken. An odd spelling of it is found only when the changed site is loaded.
    #[error(
        "the system `{name}` is already in `{path}`; change it with `farrier set {name} KEY=VALUE`"
    )]
    Exists {
        /// The name.
        name: Name,
        /// Where it is declared.
        path: String,
    },
    /// The file is not TOML, so it cannot be changed with care.
    #[error("`{path}` is not valid TOML: {message}; run `farrier check`")]
    Syntax {
        /// Which file.
        path: String,
        /// What the parser said.
        message: String,
    },
    /// A key cannot be set.
    #[error("{0}")]
    Assignment(#[from] assign::AssignmentError),
    /// An edit that would do nothing.
    #[error("nothing to change")]
    Nothing,
}

impl Edit {
    /// Which system it is about.
    pub fn name(&self) -> &Name {
        match self {
            Edit::Add { name, .. } | Edit::Set { name, .. } | Edit::Remove { name } => name,
        }
    }

    /// The file that declares the system.
    pub(super) fn file(&self, files: &FileSet) -> Option<String> {
        let found = quick(files, self.name()).or_else(|| find(files, self.name()));
        found.map(|f| f.path)
    }

    /// Works the change out. Pure: nothing is written.
    ///
    /// # Errors
    /// A system that is missing or in the way, a file that is not TOML, a key that cannot be set.
    pub fn apply(&self, files: &FileSet) -> Result<Change, EditError> {
        let found = match (self, quick(files, self.name())) {
            (_, Some(found)) => Some(found),
            // That a new name is free in every spelling is seen when the changed site is loaded.
            (Edit::Add { .. }, None) => None,
            (_, None) => find(files, self.name()),
        };
        match self {
            Edit::Add {
                name,
                macs,
                profile,
                ip,
                assignments,
            } => {
                if let Some(found) = found {
                    return Err(EditError::Exists {
                        name: name.clone(),
                        path: found.path,
                    });
                }
                let mut table = Table::new();
                let texts =
                    |list: &[MacAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
                match texts(macs).as_slice() {
                    [one] => _ = table.insert("mac", toml_edit::value(one.as_str())),
                    many => {
                        let list = many.iter().map(String::as_str);
                        table.insert("macs", toml_edit::value(list.collect::<toml_edit::Array>()));
                    }
                }
                if let Some(ip) = ip {
                    table.insert("ip", toml_edit::value(ip.to_string()));
                }
                if let Some(profile) = profile {
                    table.insert("profile", toml_edit::value(profile.as_str()));
                }
                for assignment in assignments {
                    assignment.apply(&mut table)?;
                }
                let shown: Vec<String> = macs.iter().map(ToString::to_string).collect();
                let profile = profile.as_ref().map(|p| format!(", profile {p}"));
                let summary = format!(
                    "add {name} ({}{})",
                    shown.join(", "),
                    profile.unwrap_or_default()
                );
                Ok(append(files, name, table, summary))
            }
            Edit::Set { name, assignments } => {
                if assignments.is_empty() {
                    return Err(EditError::Nothing);
                }
                let found = found.ok_or_else(|| not_found(files, name))?;
                let shown: Vec<String> = assignments.iter().map(ToString::to_string).collect();
                let summary = format!("set {name} {}", shown.join(" "));
                found.rewrite(name, summary, |table| {
                    for assignment in assignments {
                        assignment.apply(table)?;
                    }
                    Ok(())
                })
            }
            Edit::Remove { name } => {
                let found = found.ok_or_else(|| not_found(files, name))?;
                found.remove(name)
            }
        }
    }
}

fn not_found(files: &FileSet, name: &Name) -> EditError {
    let texts: Vec<&str> = files
        .systems_files()
        .filter_map(|(_, f)| std::str::from_utf8(&f.bytes).ok())
        .collect();
    let names = texts.iter().flat_map(|t| cut(t).parts).map(|p| p.key);
    let names: Vec<&str> = names.collect();
    EditError::NotFound {
        name: name.clone(),
        near: instead(name, names),
    }
}

/// Where a system is declared.
struct Found<'a> {
    path: String,
    file: &'a SourceFile,
    text: &'a str,
    /// Its own ranges; none if it stands among the rest of the file.
    ranges: Option<Vec<Range<usize>>>,
}

/// Finds a system that is spelled as usual: fast in a large site.
fn quick<'a>(files: &'a FileSet, name: &Name) -> Option<Found<'a>> {
    files.systems_files().find_map(|(path, file)| {
        let text = std::str::from_utf8(&file.bytes).ok()?;
        let range = chunk::find(text, name)?;
        Some(Found {
            path: path.to_string(),
            file,
            text,
            ranges: Some(vec![range]),
        })
    })
}

/// Finds a system however it is spelled.
fn find<'a>(files: &'a FileSet, name: &Name) -> Option<Found<'a>> {
    for (path, file) in files.systems_files() {
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            continue;
        };
        let cut = cut(text);
        let found = |ranges| {
            let path = path.to_string();
            Some(Found {
                path,
                file,
                text,
                ranges,
            })
        };
        let own = |key: &str| key.eq_ignore_ascii_case(name);
        if let Some(part) = cut.parts.into_iter().find(|p| own(p.key)) {
            return found(Some(part.ranges));
        }
        let rest = join(text, &cut.rest);
        if !rest.contains("system") {
            continue;
        }
        let document = rest.parse::<DocumentMut>();
        let among = document.is_ok_and(|d| key_of(d.as_table(), name).is_some());
        if among {
            return found(None);
        }
    }
    None
}

/// How the document spells a system's name.
fn key_of(root: &Table, name: &Name) -> Option<String> {
    let systems = root.get("system")?.as_table_like()?;
    let mut keys = systems.iter().map(|(key, _)| key);
    keys.find(|key| key.eq_ignore_ascii_case(name))
        .map(str::to_string)
}

impl Found<'_> {
    /// Changes the system's table, parsing only its own part of the file if it is in one piece.
    fn rewrite(
        self,
        name: &Name,
        summary: String,
        change: impl FnOnce(&mut dyn TableLike) -> Result<(), EditError>,
    ) -> Result<Change, EditError> {
        let range = match self.ranges.as_deref() {
            Some([one]) => one.clone(),
            _ => 0..self.text.len(),
        };
        let part = &self.text[range.clone()];
        let mut document = self.parse(part)?;
        let no_table = || EditError::Syntax {
            path: self.path.clone(),
            message: format!("`system.{name}` is not a table"),
        };
        let key = key_of(document.as_table(), name).ok_or_else(no_table)?;
        let systems = document
            .get_mut("system")
            .and_then(Item::as_table_like_mut)
            .ok_or_else(no_table)?;
        let system = systems.get_mut(&key).and_then(Item::as_table_like_mut);
        change(system.ok_or_else(no_table)?)?;
        tidy(systems, &key);
        let mut new = document.to_string();
        if part.contains("\r\n") {
            new = new.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        if new == part {
            return Err(EditError::Nothing);
        }
        Ok(self.replaced(&[(range, new)], summary))
    }

    fn parse(&self, part: &str) -> Result<DocumentMut, EditError> {
        part.parse::<DocumentMut>()
            .map_err(|error| EditError::Syntax {
                path: self.path.clone(),
                message: error.message().replace('\n', " "),
            })
    }

    fn remove(self, name: &Name) -> Result<Change, EditError> {
        let summary = format!("remove {name}");
        if let Some(ranges) = &self.ranges {
            let own = |r: &Range<usize>| chunk::its_own(self.text, r.clone());
            let gone: Vec<_> = ranges.iter().map(|r| (own(r), String::new())).collect();
            return Ok(self.replaced(&gone, summary));
        }
        let mut document = self.parse(self.text)?;
        let key = key_of(document.as_table(), name).unwrap_or_default();
        if let Some(systems) = document.get_mut("system").and_then(Item::as_table_like_mut) {
            systems.remove(&key);
        }
        Ok(self.replaced(&[(0..self.text.len(), document.to_string())], summary))
    }

    fn replaced(&self, pieces: &[(Range<usize>, String)], summary: String) -> Change {
        let mut bytes = Vec::with_capacity(self.text.len() + 256);
        let mut at = 0;
        for (range, new) in pieces {
            bytes.extend_from_slice(&self.text.as_bytes()[at..range.start]);
            bytes.extend_from_slice(new.as_bytes());
            at = range.end;
        }
        bytes.extend_from_slice(&self.text.as_bytes()[at..]);
        Change {
            path: self.path.clone(),
            before: Some(self.file.digest),
            bytes,
            summary,
        }
    }
}

fn append(files: &FileSet, name: &Name, table: Table, summary: String) -> Change {
    let path = "systems.toml";
    let file = files.files.get(path);
    let mut systems = Table::new();
    systems.set_implicit(true);
    systems.insert(name, Item::Table(table));
    let mut document = DocumentMut::new();
    document.insert("system", Item::Table(systems));
    let mut new = document.to_string();
    let mut bytes = file.map(|f| f.bytes.to_vec()).unwrap_or_default();
    let crlf = bytes.windows(2).take(4096).any(|pair| pair == b"\r\n");
    if !bytes.is_empty() {
        let ends = bytes.ends_with(b"\n");
        new = format!("{}\n{}", if ends { "" } else { "\n" }, new.trim_start());
    }
    if crlf {
        new = new.replace('\n', "\r\n");
    }
    bytes.extend_from_slice(new.as_bytes());
    Change {
        path: path.to_string(),
        before: file.map(|f| f.digest),
        bytes,
        summary,
    }
}

/// Puts a value where another stood and keeps what is around it: spaces, and the comment behind.
pub(super) fn place(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(_) => {
            // A table with a header of its own gives way to a plain value.
            table.remove(key);
            table.insert(key, Item::Value(value));
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// The table under a key, made if it is missing.
pub(super) fn inner<'t>(table: &'t mut dyn TableLike, key: &str) -> Option<&'t mut dyn TableLike> {
    if !table.contains_key(key) {
        table.insert(key, Item::Value(Value::InlineTable(InlineTable::new())));
    }
    table.get_mut(key)?.as_table_like_mut()
}

/// Tidies the spaces of a one-line table that got or lost a key; a table of several lines is left
/// as its owner wrote it.
pub(super) fn tidy(table: &mut dyn TableLike, key: &str) {
    if let Some(Item::Value(Value::InlineTable(inline))) = table.get_mut(key)
        && !inline.to_string().contains('\n')
    {
        let decor = inline.decor().clone();
        inline.fmt();
        *inline.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# the lab\n\n[defaults]\nprofile = \"debian-12\" # for all\n\n# first\n[system.web01] # rack 1\nmac     = \"52:54:00:00:00:01\" # eth0\n# below\nvars    = { role = \"web\" }\n\n# second\n[system.\"db.lab\"]\nmac = \"52:54:00:00:00:02\"\n[system.\"db.lab\".vars]\nrole = \"db\"\n\n[system]\nold = { mac = \"52:54:00:00:00:03\" }\n# the end\n";

    fn site(text: &str) -> FileSet {
        FileSet::default().with("systems.toml", text.as_bytes())
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn set(system: &str, words: &[&str]) -> Edit {
        Edit::Set {
            name: name(system),
            assignments: words.iter().map(|w| w.parse().expect(w)).collect(),
        }
    }

    /// The lines that an edit removes and adds.
    fn difference(before: &str, edit: &Edit) -> String {
        let change = edit.apply(&site(before)).expect("an edit");
        let after = String::from_utf8(change.bytes).expect("text");
        let (old, new): (Vec<&str>, Vec<&str>) =
            (before.lines().collect(), after.lines().collect());
        let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let rest = old.len().min(new.len()) - head;
        let both = old.iter().rev().zip(new.iter().rev()).take(rest);
        let tail = both.take_while(|(a, b)| a == b).count();
        let gone = old[head..old.len() - tail].iter().map(|l| format!("-{l}"));
        let come = new[head..new.len() - tail].iter().map(|l| format!("+{l}"));
        gone.chain(come).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_set_touches_nothing_else() {
        for (words, want) in [
            (
                &["mac=52-54-00-00-00-09"][..],
                "-mac     = \"52:54:00:00:00:01\" # eth0\n+mac     = \"52-54-00-00-00-09\" # eth0",
            ),
            (
                &["mac=525400000009"],
                "-mac     = \"52:54:00:00:00:01\" # eth0\n+mac     = \"525400000009\" # eth0",
            ),
            (
                &["vars.port=8080", "vars.role=db"],
                "-vars    = { role = \"web\" }\n+vars    = { role = \"db\", port = 8080 }",
            ),
            (&["protected=true"], "+protected = true"),
            (&["tags=web, rack1"], "+tags = [\"web\", \"rack1\"]"),
            (&["disk.serial=123"], "+disk = { serial = \"123\" }"),
            (&["ip=10.0.0.1", "ip="], ""),
        ] {
            let edit = set("web01", words);
            if want.is_empty() {
                assert_eq!(
                    edit.apply(&site(FILE)),
                    Err(EditError::Nothing),
                    "{words:?}"
                );
            } else {
                assert_eq!(difference(FILE, &edit), want, "{words:?}");
            }
        }
        let removed = set("web01", &["vars="]);
        assert_eq!(
            difference(FILE, &removed),
            "-# below\n-vars    = { role = \"web\" }"
        );
        let elsewhere = set("db.lab", &["vars.role=mail"]);
        assert_eq!(
            difference(FILE, &elsewhere),
            "-role = \"db\"\n+role = \"mail\""
        );
        let inline = set("old", &["profile=x"]);
        assert_eq!(
            difference(FILE, &inline),
            "-old = { mac = \"52:54:00:00:00:03\" }\n+old = { mac = \"52:54:00:00:00:03\", profile = \"x\" }"
        );
        let several = set("web01", &["macs=52:54:00:00:00:08,52:54:00:00:00:09"]);
        let shown = difference(FILE, &several);
        assert!(
            !shown.contains("+mac ") && shown.contains("+macs = [\"52:54:00:00:00:08\", "),
            "{shown}"
        );
    }

    #[test]
    fn a_system_goes_with_the_comment_above_it() {
        let gone = |n: &str| difference(FILE, &Edit::Remove { name: name(n) });
        assert_eq!(
            gone("web01"),
            "-# first\n-[system.web01] # rack 1\n-mac     = \"52:54:00:00:00:01\" # eth0\n-# below\n-vars    = { role = \"web\" }\n-"
        );
        assert_eq!(gone("old"), "-old = { mac = \"52:54:00:00:00:03\" }");
        let apart = "[system.a]\nmac = \"1\"\n\n# rack 2\n\n[system.b]\nmac = \"2\"\n";
        assert_eq!(
            difference(apart, &Edit::Remove { name: name("a") }),
            "-[system.a]\n-mac = \"1\"\n-"
        );
        let unknown = Edit::Remove { name: name("web1") }.apply(&site(FILE));
        let message = unknown.expect_err("not there").to_string();
        assert_eq!(message, "there is no system `web1`; did you mean `web01`?");
    }

    #[test]
    fn an_added_system_stands_at_the_end() {
        let add = |n: &str| Edit::Add {
            name: name(n),
            macs: vec!["52:54:00:00:00:07".parse().expect("a MAC")],
            profile: Some(name("debian-12")),
            ip: None,
            assignments: vec!["vars.role=web".parse().expect("an assignment")],
        };
        let table =
            "mac = \"52:54:00:00:00:07\"\nprofile = \"debian-12\"\nvars = { role = \"web\" }\n";
        for (before, n, want) in [
            ("", "new", format!("[system.new]\n{table}")),
            ("# x", "new", format!("# x\n\n[system.new]\n{table}")),
            ("# x\n", "a.b", format!("# x\n\n[system.\"a.b\"]\n{table}")),
            (
                "a = 1\r\n",
                "new",
                format!("a = 1\n\n[system.new]\n{table}").replace('\n', "\r\n"),
            ),
        ] {
            let change = add(n).apply(&site(before)).expect("added");
            assert_eq!(String::from_utf8(change.bytes).expect("text"), want);
            assert_eq!(
                change.summary,
                format!("add {n} (52:54:00:00:00:07, profile debian-12)")
            );
        }
        assert!(matches!(
            add("WEB01").apply(&site(FILE)),
            Err(EditError::Exists { .. })
        ));
        let new = add("new").apply(&FileSet::default()).expect("a new file");
        assert_eq!(new.before, None);
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        let file = "[system.a]\r\nmac = \"1\" # c\r\n\r\n[system.b]\r\nmac = \"2\"\r\n";
        let change = set("a", &["wipe=true"]).apply(&site(file)).expect("set");
        let want =
            "[system.a]\r\nmac = \"1\" # c\r\nwipe = true\r\n\r\n[system.b]\r\nmac = \"2\"\r\n";
        assert_eq!(String::from_utf8(change.bytes).expect("text"), want);
    }

    #[test]
    fn what_is_typed_wrong_is_said() {
        for (typed, message) in [
            (
                "profile",
                "`profile` is not an assignment; write `key=value`, or `key=` to remove the key",
            ),
            (
                "proflie=x",
                "a system has no key `proflie`; did you mean `profile`?",
            ),
            (
                "vars..x=1",
                "`vars..x=1` is not an assignment; write `key=value`, or `key=` to remove the key",
            ),
            (
                "disk.path=\u{7}",
                "the value of `disk.path` holds a control character",
            ),
        ] {
            let error = typed
                .parse::<crate::inventory::Assignment>()
                .expect_err(typed);
            assert_eq!(error.to_string(), message);
        }
        let within = set("web01", &["mac.x=1"])
            .apply(&site(FILE))
            .expect_err("not a table");
        assert_eq!(
            within.to_string(),
            "`mac` is not a table, so nothing can be set within it"
        );
    }
}
