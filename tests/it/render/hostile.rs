//! Values that want to be something else, in every format: the reader of the document gets the
//! very value, or rendering refuses with file and line.

use farrier::model::{Diagnostic, ProfileKind};
use farrier::render::render;

use super::site::{distro, one_answer, place, run, value, with_vars};

pub(super) const HOSTILE: [&str; 28] = [
    "plain",
    "back\\nslash",
    "two words",
    "a\"; rm -rf / #",
    "$(id)",
    "`id`",
    "${HOME}",
    "a\nb",
    "a\r\nb",
    "%end",
    "]]>",
    "{{7*7}}",
    "{% raw %}",
    "!!python/object/apply:os.system ['id']",
    "- a: b",
    "key: value # no comment",
    "'; DROP TABLE systems; --",
    "a && b || c; d | e > f",
    "\\",
    "trailing\\",
    " leading",
    "trailing ",
    "tab\there",
    "é ü 日本",
    "<b attr='x'>&amp;</b>",
    "-->",
    "true",
    "\u{1b}[2J\u{7f}\u{85}\u{2028}",
];

/// Renders `template` as the document `name` with one hostile value, and gives what its reader
/// makes of it; none if rendering refused, as it may.
fn check(name: &str, template: &str, read: impl Fn(&str) -> Option<String>, must_pass: &[&str]) {
    let file = format!("{name}.j2");
    let profile = one_answer(ProfileKind::Preseed, name, &[(file.as_str(), template)]);
    for hostile in HOSTILE {
        let system = with_vars("web01", value(hostile));
        match render(&system, &profile, &distro(), &place()) {
            Ok(rendered) => {
                let bytes = &rendered.documents[name].bytes;
                let text = std::str::from_utf8(bytes).expect("text");
                if let Some(seen) = read(text) {
                    assert_eq!(seen, hostile, "{name}: {template}\n{text}");
                }
            }
            Err(problems) => {
                assert!(
                    !must_pass.contains(&hostile),
                    "{name}: {hostile:?} refused: {problems:?}"
                );
                assert_placed(&problems, &file);
            }
        }
    }
}

fn assert_placed(problems: &[Diagnostic], file: &str) {
    for problem in problems {
        let span = problem.spans.first().expect("a place");
        assert_eq!(span.file, format!("profiles/test/{file}"), "{problem}");
        assert!(span.line >= 1, "{problem}");
    }
}

fn python(code: &str, text: &str) -> Option<String> {
    let (ok, out, err) = run("python3", &["-c", code], text)?;
    assert!(ok, "{err}\n{text}");
    Some(out)
}

/// Runs a script under each shell; they must agree.
fn shells(script: &str) -> Option<String> {
    let mut seen: Option<String> = None;
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let Some((_, out, err)) = run(shell[0], &[&shell[1..], &["-s"]].concat(), script) else {
            continue;
        };
        assert_eq!(err, "", "{shell:?}\n{script}");
        assert!(
            seen.as_ref().is_none_or(|s| *s == out),
            "{shell:?}\n{script}"
        );
        seen = Some(out);
    }
    seen
}

#[test]
fn shell_words() {
    let quoted = "printf %s {{ vars.value | sh }}\n";
    check(
        "x.sh",
        quoted,
        shells,
        &["two words", "$(id)", "a\nb", "é ü 日本", "trailing\\"],
    );
    check(
        "x.sh",
        "v={{ vars.value | sh }}; printf %s \"$v\"\n",
        shells,
        &["`id`"],
    );
    // without a filter, in and out of quotes
    check("x.sh", "printf %s {{ vars.value }}\n", shells, &["plain"]);
    check(
        "x.sh",
        "printf %s \"{{ vars.value }}\"\n",
        shells,
        &["plain"],
    );
    check("x.sh", "printf %s '{{ vars.value }}'\n", shells, &["plain"]);
    // a filter of another format is no way round
    check("x.sh", "printf %s {{ vars.value | json }}\n", |_| None, &[]);
    // through a macro and a capture
    check(
        "x.sh",
        "{% macro m(v) %}printf %s {{ v | sh }}{% endmacro %}{% set c %}{{ m(vars.value) }}{% endset %}{{ c }}\n",
        shells,
        &["$(id)"],
    );
}

#[test]
fn structured_formats() {
    let json = |text: &str| {
        let parsed: serde_json::Value = serde_json::from_str(text).expect("JSON");
        parsed["a"].as_str().map(str::to_string)
    };
    check("x.json", "{\"a\": {{ vars.value }}}\n", json, &HOSTILE);
    check(
        "x.json",
        "{\"a\": {{ vars.value | json }}}\n",
        json,
        &HOSTILE,
    );
    let toml = |text: &str| {
        let parsed: toml_edit::DocumentMut = text.parse().expect("TOML");
        parsed["a"].as_str().map(str::to_string)
    };
    check("x.toml", "a = {{ vars.value }}\n", toml, &HOSTILE);
    let yaml = |text: &str| {
        let known = run("python3", &["-c", "import yaml"], "")?.0;
        if !known {
            crate::skipped!("Python's yaml is not installed; read as JSON instead");
            let scalar = text.strip_prefix("a: ")?;
            return serde_json::from_str(scalar).ok();
        }
        python(
            "import sys,yaml; sys.stdout.write(yaml.safe_load(sys.stdin.read())['a'])",
            text,
        )
    };
    check("x.yaml", "a: {{ vars.value }}\n", yaml, &HOSTILE);
    let xml = |text: &str| {
        python(
            "import sys,xml.etree.ElementTree as e; r=e.fromstring(sys.stdin.read()); \
             assert r.text==r.get('b'), (r.text, r.get('b')); sys.stdout.reconfigure(newline=''); sys.stdout.write(r.text)",
            text,
        )
    };
    check(
        "x.xml",
        "<a b=\"{{ vars.value }}\">{{ vars.value }}</a>\n",
        xml,
        &["]]>", "<b attr='x'>&amp;</b>", "a\nb", "-->"],
    );
}

#[test]
fn preseed_answers() {
    // what the installer's own parser does with a line
    let debconf = |text: &str| {
        let line = text.lines().find(|l| l.starts_with("d-i x/y"))?;
        let value = line.strip_prefix("d-i x/y string")?;
        Some(value.strip_prefix(' ').unwrap_or(value).to_string())
    };
    check(
        "x.cfg",
        "d-i x/y string {{ vars.value }}\nd-i x/z string end\n",
        debconf,
        &[
            "two words",
            "$(id)",
            "!!python/object/apply:os.system ['id']",
            "é ü 日本",
        ],
    );
    let command = |text: &str| {
        let line = text.strip_prefix("d-i preseed/late_command string ")?;
        shells(line)
    };
    check(
        "x.cfg",
        "d-i preseed/late_command string printf %s {{ vars.value | sh }} || true\n",
        command,
        &["two words", "$(id)"],
    );
}

#[test]
fn kickstart_words() {
    let split = "import sys,shlex; l=[x for x in sys.stdin.read().split('\\n') if x.startswith('user')]; \
                 assert len(l)==1; w=shlex.split(l[0], comments=True); sys.stdout.write(w[1])";
    check(
        "ks.cfg",
        "user {{ vars.value | sh }}\n%post\ntrue\n%end\n",
        |text| python(split, text),
        &["two words", "$(id)", "a\"; rm -rf / #"],
    );
    check(
        "ks.cfg",
        "user {{ vars.value }}\n",
        |text| python(split, text),
        &["plain"],
    );
}

#[test]
fn formats_without_quoting_take_plain_words_only() {
    for (name, template) in [
        ("x.ipxe", "#!ipxe\nset a {{ vars.value }}\n"),
        ("grub.cfg", "set a={{ vars.value }}\n"),
    ] {
        let word = |text: &str| {
            let line = text.lines().last()?;
            line.rsplit([' ', '=']).next().map(str::to_string)
        };
        check(name, template, word, &["plain", "true"]);
    }
    let mut profile = one_answer(ProfileKind::Preseed, "x", &[("x", "")]);
    profile.cmdline = "a={{ vars.value }} b".into();
    for hostile in HOSTILE {
        let system = with_vars("web01", value(hostile));
        match render(&system, &profile, &distro(), &place()) {
            Ok(rendered) => assert_eq!(rendered.cmdline, format!("a={hostile} b")),
            Err(problems) => assert_placed(&problems, "profile.toml"),
        }
    }
}

#[test]
fn plain_text_gains_no_lines() {
    check(
        "motd",
        "{{ vars.value }}\n",
        |text| text.strip_suffix('\n').map(str::to_string),
        &["two words", "$(id)", "{{7*7}}"],
    );
    check(
        "motd",
        "{{ vars.value | text }}\n",
        |text| text.strip_suffix('\n').map(str::to_string),
        &["a\nb"],
    );
}

#[test]
fn a_quoting_filter_inside_quotes_is_refused_before_any_value_is_seen() {
    for (name, template) in [
        ("x.sh", "\n\nx=\"{{ vars.value | sh }}\"\n"),
        ("x.sh", "\n\ncat <<EOF\n{{ vars.value | sh }}\nEOF\n"),
        (
            "x.cfg",
            "\n\nd-i preseed/late_command string echo {{ vars.value }} || true\n",
        ),
        ("x.json", "\n\n{\"a\": \"{{ vars.value }}\"}\n"),
        ("x.yaml", "\n\na: \"{{ vars.value }}\"\n"),
        ("x.yaml", "\n\na: |\n  {{ vars.value }}\n"),
        ("x.xml", "\n\n<a><![CDATA[{{ vars.value }}]]></a>\n"),
    ] {
        let file = format!("{name}.j2");
        let profile = one_answer(ProfileKind::Preseed, name, &[(file.as_str(), template)]);
        let problems = farrier::render::CompiledProfile::new(&profile).expect_err(template);
        assert_placed(&problems, &file);
        assert!(problems[0].spans[0].line >= 3, "{}", problems[0]);
        assert!(problems[0].help.is_some(), "{}", problems[0]);
    }
}
