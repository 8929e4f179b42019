//! `[users]`.

use serde_json::{Map, Value as Json};

use super::{named, said, words};
use crate::inventory::field::{Field, Section};
use crate::inventory::system::ssh_keys;
use crate::model::intent::ROOT;

pub(super) fn users(section: &Section<'_>) -> Map<String, Json> {
    named(
        section,
        "the name of an account",
        words::is_account,
        "use lower case letters, digits and `-_`, and begin with a letter",
        user,
    )
}

fn user(name: &str, section: &Section<'_>) -> Map<String, Json> {
    let all = ["groups", "ssh_keys", "password", "shell", "sudo"];
    match name {
        // Whatever else could be said of root it is already, or must not be changed.
        ROOT => section.only(&["ssh_keys", "password"]),
        _ => section.only(&all),
    }
    let groups = section.get("groups").map(|f| {
        let help = "use lower case letters, digits and `-_`, and begin with a letter";
        words::list(&f, "the name of a group", words::is_account, help)
    });
    let shell = section.get("shell").and_then(|f| {
        let help = "write an absolute path such as `/bin/bash`";
        words::word(&f, "a shell", words::is_path, help).map(Json::from)
    });
    said([
        ("groups", groups),
        (
            "ssh_keys",
            section.get("ssh_keys").map(|f| Json::from(ssh_keys(&f))),
        ),
        (
            "password",
            section.get("password").and_then(|f| password(&f, name)),
        ),
        ("shell", shell),
        ("sudo", section.boolean("sudo").map(Json::from)),
    ])
}

/// A hash. What is refused is not repeated: it may be the password itself.
fn password(field: &Field<'_>, name: &str) -> Option<Json> {
    let text = field.word()?;
    if words::is_crypt(text) {
        return Some(Json::from(text));
    }
    field.error(
        format!("the password of `{name}` is not a hash of a kind that is taken here"),
        "must begin with `$6$`, `$5$` or `$y$`",
        Some(
            "make one with `mkpasswd --method=sha512crypt`; never write a password itself"
                .to_string(),
        ),
    );
    None
}
