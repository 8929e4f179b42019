//! One golden for each profile, firmware and way to an address.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::{Ready, all, four, unpacked};

/// What is made by the hand-off and not by the profile: tests/it/render/first_boot.rs.
const HANDOFF: [&str; 2] = ["bundle.sh", "first-boot.sh"];

#[test]
fn goldens() {
    let mut names = Vec::new();
    for ready in all() {
        let mut before = BTreeMap::new();
        for (case, system, at) in four(&ready.name) {
            let text = match ready.send(&system, &at) {
                Ok(sent) => {
                    let parts = parts(&ready, &sent);
                    told(&parts, &mut before, case)
                }
                Err(refused) => format!("refused: {refused}\n"),
            };
            let name = format!("{}-{case}", ready.name);
            insta::with_settings!({
                snapshot_path => "../../../golden/render/every",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(name.clone(), text) });
            names.push(format!("{name}.snap"));
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/render/every");
    for entry in std::fs::read_dir(folder).expect("goldens") {
        let name = entry.expect("a file").file_name();
        let name = name.to_string_lossy().into_owned();
        assert!(names.contains(&name), "{name} is of no profile");
    }
}

/// Everything that is sent, in order, by name.
fn parts(ready: &Ready, sent: &super::Sent) -> Vec<(String, String)> {
    let mut parts = vec![("cmdline".to_string(), format!("{}\n", sent.cmdline))];
    parts.extend(sent.scripts.clone());
    for (name, document) in &sent.documents {
        if HANDOFF.contains(&name.as_str()) {
            continue;
        }
        if let Some(file) = ready.own_file(document) {
            parts.push((name.clone(), format!("{file}, as it stands\n")));
        } else if let Some(files) = unpacked(document) {
            for (path, bytes) in files {
                let own = ready.profile.files.iter().find(|(file, whole)| {
                    !file.ends_with(".j2") && file.ends_with(&path) && ***whole == *bytes
                });
                let text = match own {
                    Some((file, _)) => format!("{file}, as it stands\n"),
                    None => String::from_utf8_lossy(&bytes).into_owned(),
                };
                parts.push((format!("{name}: {path}"), text));
            }
        } else {
            let text = String::from_utf8_lossy(&document.bytes).into_owned();
            parts.push((name.clone(), text));
        }
    }
    parts
}

/// The parts as one text; of those that an earlier case had too, that they are the same.
fn told(
    parts: &[(String, String)],
    before: &mut BTreeMap<(String, String), &'static str>,
    case: &'static str,
) -> String {
    let mut out = String::new();
    for (name, text) in parts {
        let earlier = before.entry((name.clone(), text.clone())).or_insert(case);
        let text = match *earlier == case {
            true => text.clone(),
            false => format!("the same as {earlier}\n"),
        };
        writeln!(out, "==> {name} <==\n{text}").expect("a string");
    }
    out
}
