//! How long a system takes: a site of 100,000 is rendered whole when it is loaded.

use std::time::Instant;

use farrier::model::ProfileKind;
use farrier::render::CompiledProfile;
use serde_json::json;

use super::site::{distro, one_answer, place, shipped, with_vars};

/// Prints what it measures; the bound only catches an order of magnitude, for any build and load.
#[test]
fn many_systems() {
    let simple = one_answer(
        ProfileKind::Preseed,
        "x.cfg",
        &[(
            "x.cfg.j2",
            "d-i netcfg/hostname string {{ system.hostname }}\n\
             {% for server in system.dns %}d-i x/dns string {{ server }}\n{% endfor %}\
             d-i x/role string {{ vars.role }}\n",
        )],
    );
    for (name, profile) in [("simple", simple), ("debian-12", shipped("debian-12"))] {
        let compiled = CompiledProfile::new(&profile).expect("a sound profile");
        let (distro, place) = (distro(), place());
        let mut best = f64::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            for n in 0..200 {
                let system = with_vars(&format!("web{n}"), json!({"role": "web"}));
                let rendered = compiled.render(&system, &distro, &place);
                assert!(rendered.is_ok(), "{rendered:?}");
            }
            best = best.min(begun.elapsed().as_secs_f64() / 200.0);
        }
        eprintln!("{name}: {:.0} us a system", best * 1e6);
        assert!(best < 0.02, "{name}: {best} s a system");
    }
}
