//! Differences between what a system was and would be sent, as patches.

use serde::Serialize;
use similar::TextDiff;

use super::render::readable;
use crate::model::command::{DocumentView, RenderView};

/// One document that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DocumentChange {
    /// Its name.
    pub(super) document: String,
    /// A unified diff; archives are compared file by file.
    pub(super) diff: String,
}

/// What differs, by document.
pub(super) fn changes(before: &RenderView, after: &RenderView) -> Vec<DocumentChange> {
    let names = before.documents.iter().chain(&after.documents);
    let mut names: Vec<&str> = names.map(|d| d.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |view: &RenderView, name: &str| -> Option<DocumentView> {
        view.documents.iter().find(|d| d.name == name).cloned()
    };
    names
        .into_iter()
        .filter_map(|name| {
            let (old, new) = (of(before, name), of(after, name));
            let text = |d: &Option<DocumentView>| d.as_ref().map(readable).unwrap_or_default();
            let same =
                old.as_ref().map(DocumentView::bytes) == new.as_ref().map(DocumentView::bytes);
            (!same).then(|| DocumentChange {
                document: name.to_string(),
                diff: patch(
                    &text(&old),
                    &text(&new),
                    &format!("{}:{name}", before.revision),
                    &format!("{}:{name}", after.revision),
                ),
            })
        })
        .collect()
}

pub(super) fn patch(old: &str, new: &str, from: &str, to: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(from, to)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(revision: &str, documents: &[(&str, &str)]) -> RenderView {
        RenderView {
            system: "web01".parse().expect("a name"),
            profile: "p".parse().expect("a name"),
            revision: revision.to_string(),
            build: None,
            note: None,
            documents: documents
                .iter()
                .map(|(name, text)| DocumentView::new(*name, "text/plain", text.as_bytes()))
                .collect(),
        }
    }

    #[test]
    fn only_what_differs_is_shown() {
        let before = view("aaa", &[("cmdline", "quiet\n"), ("a", "1\n2\n")]);
        let after = view(
            "bbb",
            &[("cmdline", "quiet\n"), ("a", "1\n3\n"), ("b", "new\n")],
        );
        let changes = changes(&before, &after);
        let names: Vec<&str> = changes.iter().map(|c| c.document.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(
            changes[0].diff,
            "--- aaa:a\n+++ bbb:a\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n"
        );
    }
}
