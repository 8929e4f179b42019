//! What an imported medium changes: where packages and modules are.

use farrier::model::{Distro, Firmware};
use farrier::render::{CompiledProfile, Rendered};
use serde_json::json;

use super::text;
use crate::render::site::{distro_of, ground, shipped, system};

/// The profile's own distro as an import leaves it: the medium is one of its artefacts.
fn imported(profile: &str) -> Distro {
    let mut distro = distro_of(&shipped(profile));
    let any = distro.artefacts.values().next().cloned();
    distro
        .artefacts
        .insert("media.iso".into(), any.expect("an artefact"));
    distro
}

fn made(profile: &str, from_medium: bool, vars: &[(&str, serde_json::Value)]) -> Rendered {
    let own = shipped(profile);
    let compiled = CompiledProfile::new(&own).expect("a sound profile");
    let mut system = system("web01");
    for (name, value) in vars {
        system.vars.insert((*name).into(), value.clone());
    }
    let distro = match from_medium {
        true => imported(profile),
        false => distro_of(&own),
    };
    let rendered = compiled.render(&system, &distro, &ground(Firmware::UEFI));
    rendered.unwrap_or_else(|all| panic!("{profile}: {all:?}"))
}

/// SLES 16 has no repository without a registration; Leap's is on the Internet, and its medium may be one
/// without packages.
#[test]
fn agama_takes_the_packages_off_the_full_medium() {
    let url = |rendered: &Rendered| {
        let all: Vec<&str> = rendered.cmdline.split(' ').collect();
        let found = all.iter().find_map(|w| w.strip_prefix("inst.install_url="));
        found.map(ToString::to_string)
    };
    let sles = url(&made("sles-16", true, &[])).expect("a repository");
    assert!(sles.ends_with("/sles-16/media.iso/install"), "{sles}");
    assert_eq!(
        url(&made("sles-16", false, &[])).as_deref(),
        Some("http://mirror.example/sles-16/install")
    );
    let own = ("install_url", json!("http://10.77.0.9/sles"));
    assert_eq!(
        url(&made(
            "sles-16",
            true,
            &[own, ("from_medium", json!(false))]
        ))
        .as_deref(),
        Some("http://10.77.0.9/sles")
    );
    assert_eq!(url(&made("leap-16", true, &[])), None);
    let leap = url(&made("leap-16", true, &[("from_medium", json!(true))]));
    assert!(leap.is_some_and(|u| u.ends_with("/leap-16/media.iso/install")));
}

/// Of SLES 15 nearly all packages are in modules, which are on the full medium and in no registration here.
#[test]
fn yast_adds_the_modules_of_the_tree() {
    for (medium, tree) in [
        (false, "http://mirror.example/sles-15"),
        (true, "/sles-15/media.iso"),
    ] {
        let made = made("sles-15", medium, &[]);
        let answers = text(&made, "autoinst.xml");
        for (product, folder) in [
            ("sle-module-basesystem", "Module-Basesystem"),
            (
                "sle-module-server-applications",
                "Module-Server-Applications",
            ),
        ] {
            let wanted = format!(
                "{tree}</media_url><product>{product}</product><product_dir>/{folder}</product_dir>"
            );
            assert!(answers.contains(&wanted), "{answers}");
        }
        assert!(answers.contains("<do_registration t=\"boolean\">false</do_registration>"));
    }
    let leap = made("leap-15", true, &[]);
    assert!(!text(&leap, "autoinst.xml").contains("add-on"));
}
