//! What was in force, and what builds pinned.

use super::*;

fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", run.stdout, run.stderr))
}

#[test]
fn a_revision_that_comes_back_is_listed_again_and_marked_once() {
    let place = Workplace::served();
    let file = place.site().join("systems.toml");
    let before = std::fs::read_to_string(&file).expect("there");
    assert_eq!(place.run("set web01 vars.role=db").code, 0);
    std::fs::write(&file, before).expect("written");
    assert_eq!(place.run("apply").code, 0);
    let list = json(&place.run("revision ls -o json"));
    let field = |n: usize, key: &str| list[n][key].clone();
    assert_eq!(list.as_array().map(Vec::len), Some(3), "{list}");
    assert_eq!(field(0, "revision"), field(2, "revision"));
    assert_eq!(
        [field(0, "live"), field(1, "live"), field(2, "live")],
        [true, false, false]
    );
    assert_eq!(field(1, "summary"), "set web01 vars.role=db");
    assert_eq!(field(0, "summary"), "systems.toml changed");
    let table = place.run("revision ls").stdout;
    let first = table.lines().nth(1).expect("a row");
    assert!(first.contains(" live "), "{table}");

    let middle = field(1, "revision").as_str().expect("a digest").to_string();
    let diff = place.run(&format!("revision diff {middle}"));
    assert_eq!(diff.code, 2);
    assert!(
        diff.stdout.contains("-vars = { role = \"db\" }"),
        "{}",
        diff.stdout
    );
    assert!(
        diff.stdout.contains("+vars = { role = \"web\" }"),
        "{}",
        diff.stdout
    );
    let same = place.run(&format!(
        "revision diff {} live",
        field(2, "revision").as_str().expect("a digest")
    ));
    assert_eq!((same.code, same.stdout.as_str()), (0, ""));
}

#[test]
fn a_revision_is_named_by_date_or_build_wherever_one_is_taken() {
    let mut place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    std::fs::write(&template, text + "# later\n").expect("written");
    assert_eq!(place.run("apply").code, 0);
    for served in [true, false] {
        if !served {
            place.server = None;
        }
        for which in ["web01#1", "#1"] {
            let run = place.run(&format!("render web01 --next --diff {which}"));
            assert_eq!(run.code, 2, "{which}: {}", run.stderr);
            assert!(run.stdout.contains("+# later"), "{which}: {}", run.stdout);
            let run = place.run(&format!("render web01 preseed.cfg --as-of {which}"));
            assert!(!run.stdout.contains("# later"), "{which}: {}", run.stdout);
            assert_eq!(run.code, 0, "{which}: {}", run.stderr);
        }
        assert_eq!(place.run("plan --against web01#1").code, 2);
        let early = place.run("plan --against 2001-01-01");
        assert_eq!(early.code, 3, "{}", early.stderr);
        assert!(
            early.stderr.contains("nothing was in force yet"),
            "{}",
            early.stderr
        );
        assert_eq!(place.run("render web01 --as-of 2001-01-01").code, 3);
        assert_eq!(place.run("plan --against #1").code, 64);
    }
    place.serve();
    let run = place.run("revision show nosuch");
    assert!(run.stderr.contains("farrier revision ls"), "{}", run.stderr);
}

#[test]
fn an_armed_system_is_shown_what_its_build_pinned() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    std::fs::write(&template, text + "# later\n").expect("written");
    assert_eq!(place.run("apply").code, 0);
    let pinned = place.run("render web01 preseed.cfg");
    assert!(!pinned.stdout.contains("# later"), "{}", pinned.stdout);
    assert!(
        pinned.stderr.contains("build 1 is under way"),
        "{}",
        pinned.stderr
    );
    let next = place.run("render web01 preseed.cfg --next");
    assert!(next.stdout.contains("# later"), "{}", next.stdout);
    let view = json(&place.run("render web01 -o json"));
    assert_eq!(view["build"], 1);
    assert_eq!(view["documents"][0]["name"], "boot.ipxe");
    let script = view["documents"][0]["text"].as_str().expect("a text");
    assert!(
        script.contains("FARRIER-READ-TOKEN"),
        "tokens are placeholders: {script}"
    );
    // What the build is compared with is what is in force now.
    let run = place.run("render web01 --diff live");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stdout.contains("-# later"), "{}", run.stdout);
    // A one-shot is what it would boot first.
    assert_eq!(place.run("boot web01 rescue").code, 0);
    let view = json(&place.run("render web01 -o json"));
    assert_eq!(
        (&view["build"], view["profile"].as_str()),
        (&2.into(), Some("rescue"))
    );
}

#[test]
fn a_template_that_changes_is_planned_for_every_system_that_it_touches() {
    let mut place = Workplace::served();
    for n in 1..=9 {
        let add = format!("add node0{n} 52:54:00:00:07:0{n} debian-12");
        assert_eq!(place.run(&add).code, 0, "{add}");
    }
    assert_eq!(place.run("plan").code, 0);
    let template = place.site().join("profiles/debian-12/preseed.cfg.j2");
    let text = std::fs::read_to_string(&template).expect("there");
    let later =
        "{% if system.firmware == \"uefi\" %}# for UEFI\n{% else %}# for others\n{% endif %}";
    std::fs::write(&template, text.clone() + later).expect("written");
    for served in [true, false] {
        if !served {
            place.server = None;
        }
        let run = place.run("plan");
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(!run.stdout.contains("+# for"), "{}", run.stdout);
        let view = json(&place.run("plan --diff -o json"));
        let touched: Vec<&str> = view["systems"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|s| {
                s["documents"]
                    .as_array()
                    .is_some_and(|d| d.contains(&"preseed.cfg".into()))
            })
            .filter_map(|s| s["name"].as_str())
            .collect();
        assert!(touched.len() >= 10, "{view}");
        let patches = view["patches"].as_array().expect("patches");
        let named: usize = patches
            .iter()
            .filter(|p| p["document"] == "preseed.cfg")
            .map(|p| p["systems"].as_array().map_or(0, Vec::len))
            .sum();
        assert_eq!(named, touched.len(), "each is said once: {view}");
        let text = place.run("plan --diff").stdout;
        assert!(text.contains("+# for others"), "{text}");
        assert!(
            text.contains("~ profiles/debian-12/preseed.cfg.j2"),
            "{text}"
        );
        assert!(text.contains("  ~ node09 "), "{text}");
    }
    // offline the files are what would be sent; one system by itself
    let run = place.run("render node01 --diff live");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stdout.contains("+# for others"), "{}", run.stdout);
    // what only UEFI is told is seen too
    let uefi = "{% if system.firmware == \"uefi\" %}# for UEFI\n{% endif %}";
    std::fs::write(&template, text + uefi).expect("written");
    let run = place.run("plan --diff");
    assert!(run.stdout.contains("+# for UEFI"), "{}", run.stdout);
}
