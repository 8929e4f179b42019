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
