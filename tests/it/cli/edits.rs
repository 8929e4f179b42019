//! Edits beside builds, and edits of more than was meant.

use super::*;

#[test]
fn a_flagged_system_keeps_its_hardware_and_is_not_protected() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    for change in [
        "protected=true",
        "mac=52:54:00:00:00:77",
        "macs+=52:54:00:00:00:77",
        "macs=52:54:00:00:00:77 --dry-run",
    ] {
        let run = place.run(&format!("set web01 {change}"));
        assert_eq!(run.code, 4, "{change}: {}", run.stderr);
        let said = "`web01` is flagged for a rebuild (build 1)";
        assert!(run.stderr.contains(said), "{change}: {}", run.stderr);
        assert!(run.stderr.contains("farrier cancel web01"), "{change}");
    }
    let run = place.run("set web01 tags+=x protected=false");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(place.run("cancel web01").code, 0);
    let run = place.run("set web01 protected=true");
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_system_is_not_removed_under_its_build_with_a_server_or_without() {
    let mut place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    assert_eq!(place.run("boot web02 rescue").code, 0);
    for served in [true, false] {
        if !served {
            place.server = None;
        }
        for name in ["web01", "web02"] {
            let run = place.run(&format!("rm {name} --yes"));
            assert_eq!(run.code, 4, "{name}, {served}: {}", run.stderr);
            let said = format!("build 1 of `{name}` is armed");
            assert!(run.stderr.contains(&said), "{served}: {}", run.stderr);
        }
    }
    let run = place.run("rm web03 --yes");
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_serial_number_means_one_system_unless_it_is_said_otherwise() {
    let mut place = Workplace::served();
    for served in [true, false] {
        if !served {
            place.server = None;
        }
        for name in ["web01", "web02"] {
            let run = place.run(&format!("set {name} disk.serial=TWICE1 wipe=false"));
            assert_eq!(run.code, 0, "{}", run.stderr);
        }
        for line in ["set TWICE1 wipe=true", "set TWICE1 wipe=true --yes"] {
            let run = place.run(line);
            assert_eq!(run.code, 4, "{line}: {}", run.stderr);
        }
        let text = std::fs::read_to_string(place.site().join("systems.toml"));
        assert!(!text.expect("there").contains("wipe = true"));
        let run = place.run("set TWICE1 wipe=true --yes --expect 2");
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn an_empty_word_does_not_mean_all_the_rest() {
    let mut place = Workplace::served();
    for served in [true, false] {
        if !served {
            place.server = None;
        }
        for line in [
            "set -l rack12 tags+=x --yes --expect 2",
            "rm -l rack12 --yes",
        ] {
            let output = place.command(line).arg("").output().expect("run");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(64), "{line}: {said}");
            assert!(said.contains("is empty"), "{line}: {said}");
        }
        let mut command = place.command("set web01 tags+=x");
        let output = command.args(["-l", ""]).output().expect("run");
        assert_eq!(output.status.code(), Some(64));
    }
}

#[test]
fn a_dry_run_shows_what_would_be() {
    let place = Workplace::served();
    let run = place.run("set web01 mac=52:54:00:00:00:77 profile=rescue --dry-run");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (mac, profile) = ("52:54:00:00:00:77", "rescue");
    let shown = run.stdout.contains(mac) && run.stdout.contains(profile);
    assert!(shown, "{}", run.stdout);
    let now = place.run("ls web01").stdout;
    assert!(!now.contains(mac) && !now.contains(profile), "{now}");
}

#[test]
fn a_one_shot_boot_has_no_number_of_attempts() {
    let place = Workplace::served();
    assert_eq!(place.run("boot web01 rescue --attempts 2").code, 64);
}
