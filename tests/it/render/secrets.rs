//! Secrets in templates: where they may stand, in which form, and what is said where they may not.

use std::collections::BTreeMap;
use std::time::Duration;

use farrier::model::{Answer, Diagnostic, Handoff, ProfileKind, SecretName};
use farrier::render::{Rendered, release, render};
use serde_json::json;
use zeroize::Zeroizing;

use super::site::{distro, one_answer, place, profile, run, with_vars};

/// Renders a step, in a profile whose system has the secret `db/main` in a var.
fn step(name: &str, text: &str) -> Result<Rendered, Vec<Diagnostic>> {
    let file = format!("steps/{name}.j2");
    let mut profile = profile(
        ProfileKind::Preseed,
        &[(&file, text), ("steps/10-x", "#!/bin/sh\ntrue\n")],
    );
    profile.handoff = Handoff::Steps {
        dir: "steps".into(),
        timeout: Duration::from_secs(60),
    };
    render(&system(), &profile, &distro(), &place())
}

fn system() -> farrier::model::System {
    with_vars(
        "web01",
        json!({ "db": { "password": { "secret": "db/main" }, "user": "app" } }),
    )
}

fn bundle(rendered: &Rendered) -> String {
    String::from_utf8(rendered.documents["bundle.sh"].bytes.clone()).expect("text")
}

/// What must be said, and where.
#[track_caller]
fn refused(rendered: Result<Rendered, Vec<Diagnostic>>, place: &str, said: &str) {
    let problems = rendered.expect_err("it is refused");
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        shown
            .iter()
            .any(|s| s.starts_with(place) && s.contains(said)),
        "wanted `{said}` at {place}: {shown:?}"
    );
}

#[test]
fn an_answer_or_a_command_line_with_a_secret_is_refused_with_file_and_line() {
    for text in [
        "a\nx={{ vars.db.password | sh }}\n",
        "a\nx={{ vars.db.password }}\n",
        "a\n{% include \"part.j2\" %}\n",
    ] {
        let files = [
            ("answer.sh.j2", text),
            ("part.j2", "\n{{ vars.db.password | sh }}"),
        ];
        let profile = one_answer(ProfileKind::Preseed, "answer.sh", &files);
        let place_of = match text.contains("include") {
            true => "profiles/test/part.j2:2: ",
            false => "profiles/test/answer.sh.j2:2: ",
        };
        let rendered = render(&system(), &profile, &distro(), &place());
        refused(
            rendered,
            place_of,
            "the secret `db/main` may not stand in an answer",
        );
    }
    let mut folder = profile(
        ProfileKind::Fai,
        &[("config/x.json.j2", "{{ vars | json }}")],
    );
    let dir = "config".to_string();
    folder.answers = BTreeMap::from([("config.tar.gz".to_string(), Answer::Folder { dir })]);
    let rendered = render(&system(), &folder, &distro(), &place());
    refused(
        rendered,
        "profiles/test/config/x.json.j2:1: ",
        "`db/main` stands within",
    );
    let mut line = profile(
        ProfileKind::Preseed,
        &[("profile.toml", "\ncmdline = \"x\"\n")],
    );
    line.cmdline = "quiet key={{ vars.db.password }}".to_string();
    let rendered = render(&system(), &line, &distro(), &place());
    refused(
        rendered,
        "profiles/test/profile.toml:2: ",
        "may not stand in an answer or a command line",
    );
}

#[test]
fn a_secret_is_printed_by_itself_or_not_at_all() {
    for (name, text, said) in [
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ vars.db.password }}\n",
            "nobody knows",
        ),
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ vars.db.password | json | sh }}\n",
            "cannot take the secret",
        ),
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ (vars.db.password ~ \"x\") | sh }}\n",
            "by itself",
        ),
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ vars.db.password | upper | sh }}\n",
            "by itself",
        ),
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ [vars.db.password] | sh }}\n",
            "stands within",
        ),
        (
            "20-a.sh",
            "#!/bin/sh\nx={{ [vars.db.password] | join(\" \") | sh }}\n",
            "stands within",
        ),
        ("a.json", "{\"x\":\n{{ vars.db | json }}}", "stands within"),
        (
            "a.toml",
            "x = 1\ny = {{ vars.db | toml }}\n",
            "stands within",
        ),
        ("a.txt", "a\n{{ vars.db.password }}\n", "line breaks"),
        (
            "a.preseed",
            "a\nd-i x/y string {{ vars.db.password }}\n",
            "no secret can stand",
        ),
    ] {
        refused(
            step(name, text),
            &format!("profiles/test/steps/{name}.j2:2: "),
            said,
        );
    }
    // what looks like one and was written by hand is none
    let made = step("20-a.sh", "#!/bin/sh\nx={{ vars.db.user | sh }}\n").expect("rendered");
    assert!(made.secrets.is_empty());
}

#[test]
fn a_step_gets_the_very_value_in_every_format() {
    let hostile = "it's \"$(id)\" `x` \\ <&> é\n--x {{ 7*7 }}";
    let db: SecretName = "db/main".parse().expect("a name");
    let opened = |text: &str, name: &str| {
        let rendered = step(name, text).expect("rendered");
        assert_eq!(rendered.secrets, [db.clone()].into());
        let before = bundle(&rendered);
        assert!(before.contains("db/main"), "{before}");
        let out = release(before.as_bytes(), &|_| {
            Ok(Zeroizing::new(hostile.to_string()))
        });
        String::from_utf8(out.expect("released").to_vec()).expect("text")
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("steps").display().to_string();
    let unpacked = |script: &str, name: &str| {
        let done = run("sh", &["-s", &at], script);
        let (ok, _, err) = done.expect("sh is here");
        assert!(ok, "{err}");
        std::fs::read_to_string(format!("{at}/{name}")).expect("a file")
    };
    let script = opened(
        "#!/bin/sh\nprintf %s {{ vars.db.password | sh }}\n",
        "20-a.sh",
    );
    let step = unpacked(&script, "20-a.sh");
    let (ok, out, err) = run("sh", &["-s"], &step).expect("sh is here");
    assert!(ok && out == hostile, "{out}{err}");
    let json = unpacked(
        &opened("{\"a\": {{ vars.db.password }}}\n", "a.json"),
        "a.json",
    );
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["a"], hostile);
    let toml = unpacked(&opened("a = {{ vars.db.password }}\n", "a.toml"), "a.toml");
    let toml: toml_edit::DocumentMut = toml.parse().expect("TOML");
    assert_eq!(toml["a"].as_str(), Some(hostile));
    let text = unpacked(&opened("{{ vars.db.password | text }}\n", "a.txt"), "a.txt");
    assert_eq!(text, format!("{hostile}\n"));
}
