//! `packages` and `[repository]`.

use serde_json::{Map, Value as Json};

use super::{named, said, words};
use crate::inventory::distro::relative;
use crate::inventory::field::{Field, Section};
use crate::inventory::settings::url;

pub(super) fn packages(field: &Field<'_>) -> Json {
    let help = "write its name as the package manager knows it";
    words::list(field, "the name of a package", words::is_package, help)
}

pub(super) fn repositories(section: &Section<'_>) -> Map<String, Json> {
    named(
        section,
        "the name of a repository",
        words::is_file_name,
        "use letters, digits and `-_`: it becomes the name of a file",
        |_, section| repository(section),
    )
}

fn repository(section: &Section<'_>) -> Map<String, Json> {
    section.only(&["url", "key", "suite", "components"]);
    let key = section.get("key").and_then(|f| {
        let text = f.word()?;
        let key = match text.contains("://") {
            true => f.by("a URL", url)?,
            false => f.by("a file", relative)?,
        };
        Some(Json::from(key))
    });
    let suite = section.get("suite").and_then(|f| {
        let help = "write it as in a sources.list: `bookworm`, `stable`, `./`";
        words::word(&f, "a suite", |t| t == "./" || words::is_suite(t), help).map(Json::from)
    });
    let components = section.get("components").map(|f| {
        let help = "write them as in a sources.list: `[\"main\"]`";
        words::list(&f, "a component", words::is_suite, help)
    });
    let url = section.get("url").and_then(|f| address(&f));
    said([
        ("url", url),
        ("key", key),
        ("suite", suite),
        ("components", components),
    ])
}

/// A URL that stands in lines whose words are parted by blanks and quotes.
fn address(field: &Field<'_>) -> Option<Json> {
    let text = field.by("a URL", url)?;
    if text.contains(['"', '\'', '`', '\\', '[', ']', '$']) {
        field.error(
            format!("`{text}` holds a character that no list of repositories can hold"),
            "not plain",
            Some("percent-encode it".to_string()),
        );
        return None;
    }
    Some(Json::from(text))
}
