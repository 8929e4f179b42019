//! A template that runs away, reaches out, or is wrong: refused in time, with its place.

use std::time::{Duration, Instant};

use farrier::model::{Answer, Diagnostic, Handoff, ProfileKind};
use farrier::render::{CompiledProfile, render};
use serde_json::json;

use super::site::{distro, one_answer, place, profile, system, with_vars};

fn refusal(name: &str, files: &[(&str, &str)]) -> Vec<Diagnostic> {
    let profile = one_answer(ProfileKind::Preseed, name, files);
    let system = with_vars(
        "web01",
        json!({"role": "web", "port": 80, "list": [1], "none": null}),
    );
    render(&system, &profile, &distro(), &place()).expect_err(files[0].1)
}

#[test]
fn what_runs_away_is_stopped() {
    for (text, part) in [
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "steps",
        ),
        ("{% for a in range(1000000000) %}x{% endfor %}", ""),
        ("{% include 'x.txt.j2' %}", ""),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ""),
        ("{% set t = 'x' * 4000000 %}{{ t }}{{ t }}", "MiB"),
        ("{{ 'x' * 1000000000000 }}", ""),
    ] {
        let begun = Instant::now();
        let problems = refusal("x.txt", &[("x.txt.j2", text)]);
        assert!(
            problems[0].message.contains(part),
            "{text}: {}",
            problems[0]
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{text}");
    }
    let deep = format!(
        "{}1{}",
        "{% if true %}".repeat(2000),
        "{% endif %}".repeat(2000)
    );
    refusal("x.txt", &[("x.txt.j2", &deep)]);
}

#[test]
fn nothing_outside_the_profile_is_reached() {
    for name in [
        "/etc/passwd",
        "../x",
        "./x.txt.j2",
        "snippets/../x",
        "no/such",
    ] {
        let text = format!("\n{{% include \"{name}\" %}}\n");
        let problems = refusal("x.txt", &[("x.txt.j2", &text)]);
        assert_eq!(problems[0].spans[0].line, 2, "{}", problems[0]);
        assert!(problems[0].message.contains("not there"), "{}", problems[0]);
    }
    for text in [
        "{{ vars.role | safe }}",
        "{{ vars.role | tojson }}",
        "{{ debug() }}",
    ] {
        refusal("x.sh", &[("x.sh.j2", text)]);
    }
    let text = "{% autoescape false %}{{ vars.role }}{% endautoescape %}";
    refusal("x.sh", &[("x.sh.j2", text)]);
}

#[test]
fn an_undefined_name_is_told_with_those_there_are() {
    for (text, message, help) in [
        (
            "a\n{{ vars.rol }}\n",
            "`vars.rol` is not defined",
            "did you mean `vars.role`? available in `vars`: list, none, port, role",
        ),
        (
            "a\n{% if vars.x.y %}{% endif %}\n",
            "`vars.x` is not defined",
            "available in `vars`",
        ),
        (
            "a\n{{ sytem.name }}\n",
            "`sytem` is not defined",
            "did you mean `system`?",
        ),
        (
            "a\n{{ system.hostnam }}\n",
            "`system.hostnam` is not defined",
            "did you mean `system.hostname`?",
        ),
        (
            "a\n{% for x in vars.nope %}{% endfor %}\n",
            "`vars.nope` is not defined",
            "available",
        ),
        (
            "a\n{{ vars.none }}\n",
            "there is no value here",
            "{{ vars.none or",
        ),
        (
            "a\n{{ vars.list }}\n",
            "a list or a table cannot be printed",
            "join",
        ),
        (
            "a\n{{ vars.role | shout }}\n",
            "no such filter",
            "docs/profiles.md",
        ),
        ("a\n{{ vars.role + }}\n", "syntax error", ""),
    ] {
        let problems = refusal("x.txt", &[("x.txt.j2", text)]);
        let problem = &problems[0];
        assert!(problem.message.contains(message), "{text}: {problem}");
        assert_eq!(problem.spans[0].line, 2, "{text}: {problem}");
        assert_eq!(problem.spans[0].file, "profiles/test/x.txt.j2");
        let said = problem.help.clone().unwrap_or_default();
        assert!(said.contains(help), "{text}: {said}");
    }
}

#[test]
fn the_place_is_that_of_the_snippet() {
    let problems = refusal(
        "x.txt",
        &[
            ("x.txt.j2", "one\ntwo\n{% include 'snippets/a.j2' %}"),
            ("snippets/a.j2", "\n\n\n  x {{ vars.nope }} y\n"),
        ],
    );
    let span = &problems[0].spans[0];
    assert_eq!(
        (span.file.as_str(), span.line),
        ("profiles/test/snippets/a.j2", 4)
    );
    assert_eq!(span.text, "  x {{ vars.nope }} y");
    assert_eq!(
        &span.text[span.column - 1..][..span.length],
        "vars.nope",
        "{span:?}"
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let mut profile = profile(
        ProfileKind::Preseed,
        &[("a.j2", "{{ vars.a }}"), ("b.j2", "{{ vars.b }}")],
    );
    for name in ["a", "b", "c"] {
        let file = format!("{name}.j2");
        profile
            .answers
            .insert(name.into(), Answer::Template { file });
    }
    profile.handoff = Handoff::Steps {
        dir: "steps".into(),
        timeout: Duration::from_secs(60),
    };
    let problems = CompiledProfile::new(&profile).expect_err("a file and a folder are missing");
    assert!(problems.len() >= 2, "{problems:?}");
    profile.answers.remove("c");
    profile.handoff = Handoff::None;
    let problems = render(&system("web01"), &profile, &distro(), &place()).expect_err("undefined");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn values_print_as_every_format_reads_them() {
    let text =
        "{{ true }} {{ system.static }} {{ 7 }} {{ 'a' if false }}{{ vars.list | join(',') }}";
    let profile = one_answer(ProfileKind::Preseed, "x.txt", &[("x.txt.j2", text)]);
    let system = with_vars("web01", json!({"list": [1, "a", true]}));
    let rendered = render(&system, &profile, &distro(), &place()).expect("rendered");
    assert_eq!(rendered.documents["x.txt"].bytes, b"true false 7 1,a,true");
}

#[test]
fn a_folder_is_packed_the_same_way_every_time() {
    let mut profile = profile(
        ProfileKind::Fai,
        &[
            (
                "config/class/50-x.j2",
                "#!/bin/sh\necho {{ system.name }}\n",
            ),
            ("config/a", "{{ not a template }}"),
            ("config/deep/er/b.j2", "{{ url.report }}\n"),
            ("other", "no"),
        ],
    );
    profile.executable.insert("config/class/50-x.j2".into());
    profile.answers.insert(
        "config.tar.gz".into(),
        Answer::Folder {
            dir: "config".into(),
        },
    );
    let made = || render(&system("web01"), &profile, &distro(), &place()).expect("rendered");
    let document = &made().documents["config.tar.gz"];
    assert_eq!(document, &made().documents["config.tar.gz"]);
    assert!(document.gzip);
    let mut archive = tar::Archive::new(document.bytes.as_slice());
    let seen: Vec<(String, u32)> = archive
        .entries()
        .expect("entries")
        .map(|e| {
            let e = e.expect("an entry");
            let path = e.path().expect("a path").display().to_string();
            (path, e.header().mode().expect("a mode"))
        })
        .collect();
    let want = [("a", 0o644), ("class/50-x", 0o755), ("deep/er/b", 0o644)];
    assert_eq!(seen, want.map(|(p, m)| (p.to_string(), m)));
    let text = String::from_utf8_lossy(&document.bytes);
    assert!(text.contains("echo web01"));
    assert!(text.contains("/r/FARRIER-REPORT-TOKEN"));
}
