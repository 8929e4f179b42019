//! Revisions: finding one, its files, what was in force when.

use std::collections::HashMap;
use std::sync::Arc;

use super::Control;
use crate::inventory::{FileSet, Manifest};
use crate::model::command::{DocumentView, FileView, RevisionView};
use crate::model::{BuildKey, Code, Name, Refusal, Timestamp};
use crate::store::{RevisionRow, Store, StoreError};

/// Most rows of the history that are listed.
const LISTED: i64 = 500;

impl Control {
    /// The files of a stored revision.
    pub(super) async fn files_of(&self, row: &RevisionRow) -> Result<FileSet, Refusal> {
        files_of(&self.store, row).await
    }

    /// The row of a revision, as [`find`] reads its name; `live` is the one in force.
    pub(super) async fn find_revision(&self, which: &str) -> Result<RevisionRow, Refusal> {
        let live = self.site().revision.to_string();
        find(&self.store, if which == "live" { &live } else { which }).await
    }

    /// What was in force, the latest first, without files.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revisions(&self) -> Result<Vec<RevisionView>, Refusal> {
        let rows = self.store.history(LISTED).await.map_err(failed)?;
        let live = self.site().revision.to_string();
        let now = rows.iter().position(|row| row.digest == live);
        let view = |(number, row)| RevisionView {
            live: Some(number) == now,
            ..view(row)
        };
        Ok(rows.into_iter().enumerate().map(view).collect())
    }

    /// One revision with its files.
    ///
    /// # Errors
    /// If there is none, or its files cannot be recalled.
    pub async fn revision(&self, which: &str) -> Result<RevisionView, Refusal> {
        let row = self.find_revision(which).await?;
        let files = self.files_of(&row).await?;
        let file = |(path, file): (&String, &crate::inventory::SourceFile)| FileView {
            document: DocumentView::new(path, "text/plain", &file.bytes),
            executable: file.executable,
        };
        Ok(RevisionView {
            live: row.digest == self.site().revision.to_string(),
            files: files.files.iter().map(file).collect(),
            ..view(row)
        })
    }
}

fn view(row: RevisionRow) -> RevisionView {
    RevisionView {
        revision: row.digest,
        time: row.time,
        author: row.author,
        summary: row.summary,
        live: false,
        files: Vec::new(),
    }
}

fn failed(error: StoreError) -> Refusal {
    Refusal::failed(error.to_string())
}

/// Finds a revision by its digest or the beginning of that, by a time (the one in force then), or by
/// a build (`web01#3`: the one it pins).
///
/// # Errors
/// If there is none, or the store fails.
pub(crate) async fn find(store: &Store, which: &str) -> Result<RevisionRow, Refusal> {
    let none = |message: String| Refusal::new(Code::NotFound, message).help("farrier revision ls");
    if let Some((system, number)) = which.split_once('#') {
        let key = build_key(system, number).ok_or_else(|| {
            Refusal::new(Code::Usage, format!("`{which}` names no build"))
                .help("write NAME#NUMBER, such as web01#3")
        })?;
        let build = store.build(&key).await.map_err(failed)?;
        let build = build.ok_or_else(|| {
            none(format!("`{}` has no build {}", key.system, key.epoch))
                .help(format!("farrier events {}", key.system))
        })?;
        let digest = build.revision.to_string();
        let row = store.revision(&digest).await.map_err(failed)?;
        return row.ok_or_else(|| none(format!("the revision of `{which}` is not in the store")));
    }
    if let Ok(time) = which.parse::<Timestamp>() {
        let row = store.revision_at(time).await.map_err(failed)?;
        return row.ok_or_else(|| none(format!("nothing was in force yet at {time:.0}")));
    }
    let row = store.revision(which).await.map_err(failed)?;
    row.ok_or_else(|| none(format!("no revision begins with `{which}`")))
}

fn build_key(system: &str, number: &str) -> Option<BuildKey> {
    Some(BuildKey {
        system: system.parse::<Name>().ok()?,
        epoch: number.parse().ok()?,
    })
}

/// The files of a stored revision.
///
/// # Errors
/// If one is missing or altered, or the store fails.
pub(crate) async fn files_of(store: &Store, row: &RevisionRow) -> Result<FileSet, Refusal> {
    let manifest: Manifest = serde_json::from_str(&row.manifest)
        .map_err(|e| Refusal::failed(format!("the revision cannot be read: {e}")))?;
    let mut contents = HashMap::new();
    for entry in manifest.files.values() {
        let bytes = store.blob(&entry.digest.to_string()).await;
        if let Some(bytes) = bytes.map_err(failed)? {
            contents.insert(entry.digest, Arc::<[u8]>::from(bytes));
        }
    }
    FileSet::from_parts(&manifest, |digest| contents.get(digest).cloned())
        .map_err(|e| Refusal::failed(e.to_string()))
}

/// What changed from one set of files to the next: `systems.toml changed`, `3 files added, 1 removed`.
pub(super) fn summary(before: &FileSet, now: &FileSet) -> String {
    let mut of: [(&str, Vec<&str>); 3] =
        [("added", vec![]), ("changed", vec![]), ("removed", vec![])];
    for (path, file) in &now.files {
        match before.files.get(path) {
            None => of[0].1.push(path),
            Some(old) if old != file => of[1].1.push(path),
            Some(_) => {}
        }
    }
    let gone = before.files.keys().filter(|p| !now.files.contains_key(*p));
    of[2].1.extend(gone.map(String::as_str));
    let said = of
        .iter()
        .filter_map(|(word, paths)| match paths.as_slice() {
            [] => None,
            [one] => Some(format!("{one} {word}")),
            many => Some(format!("{} files {word}", many.len())),
        });
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_one_file_and_counts_more() {
        let set = |files: &[(&str, &str)]| {
            files.iter().fold(FileSet::default(), |set, (path, text)| {
                set.with(path, text.as_bytes())
            })
        };
        let before = set(&[("systems.toml", "a"), ("boot/d.toml", "b")]);
        let check = |now: &[(&str, &str)], want: &str| {
            assert_eq!(summary(&before, &set(now)), want);
        };
        check(
            &[("systems.toml", "x"), ("boot/d.toml", "b")],
            "systems.toml changed",
        );
        check(
            &[("systems.toml", "x")],
            "systems.toml changed, boot/d.toml removed",
        );
        check(
            &[
                ("systems.toml", "x"),
                ("boot/d.toml", "y"),
                ("farrier.toml", ""),
            ],
            "farrier.toml added, 2 files changed",
        );
    }
}
