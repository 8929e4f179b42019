//! Systems that do not render: every verb says so before it says anything else.

use super::*;

fn unrendered() -> Workplace {
    let mut place = Workplace::new();
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    std::fs::write(&template, text + "# {{ vars.role }}\n").expect("written");
    // The others have one now.
    let file = place.site().join("systems.toml");
    let text = std::fs::read_to_string(&file).expect("there");
    let text = text.replace(
        "profile = \"debian-12\"\n",
        "profile = \"debian-12\"\nvars = { role = \"any\" }\n",
    );
    std::fs::write(&file, text).expect("written");
    place.serve();
    place
}

#[test]
fn a_system_that_does_not_render_is_said_to_be_broken() {
    let place = unrendered();
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    let text = text.replace("vars.role", "vars.rack");
    std::fs::write(&template, text).expect("written");
    assert_eq!(place.run("set web01 vars.rack=12").code, 0);
    place.check(
        "unrendered",
        &[
            "ls",
            "show web02",
            "why web02",
            "why web01",
            "apply",
            "plan",
            "rm web02 --yes",
        ],
    );
    let run = place.run("doctor");
    assert_eq!(run.code, 1, "something stops machines: {}", run.stdout);
    assert!(
        run.stdout
            .contains("FAIL  site       not every system renders"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_plan_names_what_would_not_render() {
    let place = unrendered();
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    std::fs::write(&template, text.replace("vars.role", "vars.rack")).expect("written");
    let run = place.run("plan");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr
            .contains("warning: profiles/debian-12/preseed.cfg.j2:5:"),
        "{}",
        run.stderr
    );
    let run = place.run("apply --dry-run");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: profiles/debian-12"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_a_profile_does_not_use_is_refused_where_it_stands() {
    let mut place = Workplace::new();
    assert_eq!(place.run("set web01 storage.raid=raid1").code, 0);
    let run = place.run("check");
    assert_eq!(run.code, 1, "{}", run.stderr);
    let said = "error: the profile `debian-12` does not use `storage.raid` (for `web01`)";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    assert!(run.stdout.contains("--> systems.toml:"), "{}", run.stdout);
    place.serve();
    let run = place.run("show web01 -o json");
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let broken = shown["system"]["broken"]
        .as_str()
        .or(shown["broken"].as_str());
    let broken = broken.unwrap_or_else(|| panic!("{}", run.stdout));
    assert!(broken.starts_with("systems.toml:"), "{broken}");
    assert!(broken.contains("does not use `storage.raid`"), "{broken}");
}
