//! The repository's own site is the example; it must load, and its lines mean what they say.

use std::path::Path;

use super::{origins, parse, read, report};
use crate::model::{DhcpMode, Name, ProfileKind};

#[test]
fn the_example_site_is_sound() {
    let files = read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("readable");
    let parsed = parse(&files);
    let told = report(&parsed.diagnostics, false);
    let site = parsed.site.unwrap_or_else(|| panic!("{told}"));
    assert_eq!(told, "");
    assert_eq!(site.dhcp, DhcpMode::Full);
    let system = site.system("db01").expect("declared");
    assert_eq!(system.interfaces.len(), 2);
    assert!(system.protected);
    let profile = site.profile_of(system).expect("a profile");
    assert_eq!(profile.kind, ProfileKind::Preseed);
    assert_eq!(profile.distro.as_deref(), Some("debian-12"));
    assert!(profile.vars.contains_key("console"), "inherited from base");
    assert!(site.mirrors.contains_key("debian"));
    let names: Vec<&Name> = site.systems.keys().collect();
    for name in names {
        let origins = origins(&files, &site, name);
        let mac = origins.iter().find(|o| o.key.starts_with("mac"));
        assert!(
            mac.is_some_and(|o| o.file == "systems.toml" && o.line > 1),
            "{name}"
        );
    }
}
