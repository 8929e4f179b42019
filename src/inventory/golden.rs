//! Goldens: each folder of `tests/golden/inventory` is a site, and its `expected.txt` what a person
//! is told about it. `UPDATE_GOLDEN=1 cargo test inventory` writes them anew.

use std::path::Path;

use super::{Cache, parse, read, report};

#[test]
fn every_wrong_site_is_refused_with_place_and_fix() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inventory");
    let cases = std::fs::read_dir(&root).expect("the goldens");
    let mut failed = Vec::new();
    let mut count = 0;
    for case in cases {
        let folder = case.expect("a case").path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        count += 1;
        let files = read(&folder).expect("a readable case");
        let parsed = parse(&files);
        let told = match &parsed.site {
            Some(site) => format!(
                "{}sound: {} systems\n",
                report(&parsed.diagnostics, false),
                site.systems.len()
            ),
            None => report(&parsed.diagnostics, false),
        };
        let mut cache = Cache::default();
        for round in ["first", "second"] {
            let again = cache.parse(&files);
            assert_eq!(
                again.diagnostics, parsed.diagnostics,
                "{name}, {round} with a cache"
            );
        }
        let expected = folder.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &told).expect("written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            failed.push(format!("--- {name}\n{told}"));
        }
    }
    assert!(count >= 25, "only {count} cases found");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Pieces that meet in wrong files, and bytes that do not belong in any.
const PIECES: [&str; 30] = [
    "[system.a]\n",
    "[system.\"a.b\"]\n",
    "[[system.a.interface]]\n",
    "[defaults]\n",
    "[[subnet]]\n",
    "[artefact.k]\n",
    "mac = ",
    "ip = \"10.0.0.1\"\n",
    "network = \"10.0.0.0/8\"\n",
    "pool = \"10.0.0.5-10.0.0.9\"\n",
    "vars = ",
    "password = ",
    "disk = ",
    "inherit = \"p\"\n",
    "kind = \"fai\"\n",
    "deb = \"k\"\n",
    "\"52:54:00:00:00:01\"\n",
    "\"\"\"",
    "'''",
    "{ a = 1, ",
    "}",
    "[",
    "]",
    "\"",
    "# ä\n",
    "\r\n",
    "\\",
    "\u{7f}",
    "\u{1f600}",
    "99999999999999999999",
];

proptest::proptest! {
    #[test]
    fn no_file_stops_the_loader(
        picks in proptest::collection::vec((0..4usize, 0..PIECES.len()), 0..40),
        cut in 0..200usize,
    ) {
        let paths = ["systems.toml", "farrier.toml", "boot/d.toml", "profiles/p/profile.toml"];
        let mut texts = [const { String::new() }; 4];
        for (file, piece) in picks {
            texts[file].push_str(PIECES[piece]);
        }
        let mut files = super::FileSet::default();
        for (path, text) in paths.iter().zip(&texts) {
            let bytes = text.as_bytes();
            files = files.with(path, &bytes[..bytes.len().min(cut)]);
        }
        let parsed = parse(&files);
        let errors = parsed.diagnostics.iter().filter(|d| d.severity == crate::model::Severity::Error);
        proptest::prop_assert_eq!(parsed.site.is_none(), errors.count() > 0);
        for colour in [false, true] {
            report(&parsed.diagnostics, colour);
        }
        for name in ["a", "a.b"] {
            let name: crate::model::Name = name.parse().expect("a name");
            let assignments = vec!["vars.x=1".parse().expect("an assignment")];
            // Refused or not, it must say so.
            drop(super::Edit::Set { name: name.clone(), assignments }.apply(&files));
            drop(super::Edit::Remove { name }.apply(&files));
        }
    }
}

#[test]
fn colour_adds_no_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inventory/wrong-types");
    let diagnostics = parse(&read(&folder).expect("a readable case")).diagnostics;
    let (plain, coloured) = (report(&diagnostics, false), report(&diagnostics, true));
    assert_ne!(plain, coloured);
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    assert_eq!(bare, plain);
}
