//! Pages made from the program, the doctor, a person at a terminal.

use super::*;

#[test]
fn completion_and_man_pages_are_made() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = place.run(&format!("completion {shell}"));
        assert_eq!(run.code, 0);
        assert!(run.stdout.contains("rebuild"), "{shell}");
    }
    let run = place.run("man man1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    for page in ["farrier.1", "farrier-rebuild.1", "farrier-distro-fetch.1"] {
        let text = std::fs::read_to_string(place.site().join("man1").join(page)).expect(page);
        for part in [".SH NAME", "EXIT STATUS", "FARRIER_SITE"] {
            assert!(text.contains(part), "{page}: {part}");
        }
    }
    // Each page is there under the name that another page's list gives it.
    let nested = place.site().join("man1/farrier-distro.1");
    let text = std::fs::read_to_string(nested).expect("a page");
    assert!(text.contains(r"farrier\-distro\-fetch(1)"), "{text}");
}

#[test]
fn docs_of_the_command_line_are_its_help() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = farrier::cli::reference();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/cli.md");
    assert!(
        written == page,
        "docs/cli.md is not what `--help` says; BLESS=1 cargo test --test it docs_of_the_command_line"
    );
}

#[test]
fn docs_of_the_json_contract_are_its_types() {
    use farrier::model::Refusal;
    use farrier::model::command as c;
    use farrier::model::view as v;

    fn same<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let typed: T =
            serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {text}"));
        let back = serde_json::to_value(&typed).expect("JSON");
        assert_eq!(back, value, "a field is missing, or one too many");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let text = std::fs::read_to_string(path).expect("docs/json.md");
    let mut checked = 0;
    for block in text.split("```json ").skip(1) {
        let (word, rest) = block.split_once('\n').expect("a type");
        let example = rest.split("```").next().expect("an example");
        match word {
            "refusal" => same::<Refusal>(example),
            "system" => same::<v::SystemView>(example),
            "show" => same::<v::ShowView>(example),
            "origin" => same::<v::OriginView>(example),
            "event" => same::<v::EventView>(example),
            "events" => same::<c::EventPage>(example),
            "why" => same::<v::WhyView>(example),
            "discovered" => same::<v::DiscoveredView>(example),
            "log" => same::<farrier::model::logs::LogPage>(example),
            "lease" => same::<v::LeaseView>(example),
            "distro" => same::<v::DistroView>(example),
            "secret" => same::<v::SecretView>(example),
            "node" => same::<farrier::model::NodeView>(example),
            "status" => same::<v::StatusView>(example),
            "flag-request" => same::<c::FlagRequest>(example),
            "flag-report" => same::<c::FlagReport>(example),
            "cancel-request" => same::<c::CancelRequest>(example),
            "cancel-report" => same::<c::CancelReport>(example),
            "edit-request" => same::<c::EditRequest>(example),
            "edit-report" => same::<c::EditReport>(example),
            "reload-report" => same::<c::ReloadReport>(example),
            "rendering" => same::<c::RenderView>(example),
            "revision" => same::<c::RevisionView>(example),
            other => panic!("docs/json.md has an example of an unknown `{other}`"),
        }
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} examples were found");
}

#[test]
fn the_doctor_looks_at_everything() {
    let place = Workplace::served();
    let run = place.run("doctor -o json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let findings: serde_json::Value = serde_json::from_str(&run.stdout).expect("a list");
    let findings = findings.as_array().expect("a list");
    for what in [
        "server",
        "rights",
        "limits",
        "state",
        "space",
        "clock",
        "site",
        "interface",
        "port",
        "artefacts",
    ] {
        let found = findings.iter().find(|f| f["what"] == what);
        let found = found.unwrap_or_else(|| panic!("`{what}` was not looked at"));
        let well = found["level"] == "ok";
        assert_eq!(
            found["help"].is_null(),
            well,
            "a finding has a fix: {found}"
        );
    }
    // This host has no address in the golden site's subnet.
    let strict = place.run("doctor --strict");
    assert_eq!(strict.code, 2, "{}", strict.stdout);
}

#[test]
fn a_person_at_a_terminal_types_the_name() {
    let place = Workplace::served();
    let Ok(version) = Command::new("script").arg("--version").output() else {
        crate::skipped!("`script` of util-linux is not on this host");
        return;
    };
    assert!(version.status.success());
    let ask = |line: &str, answer: &str| {
        let program = format!("{} {line}", env!("CARGO_BIN_EXE_farrier"));
        let mut child = Command::new("script")
            .args(["-qec", &program, "/dev/null"])
            .current_dir(place.site())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(answer.as_bytes()).expect("read by it");
        let output = child.wait_with_output().expect("its end");
        drop(pipe);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = ask("rebuild web01", "web02\n");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("Type `web01` to rebuild it"), "{said}");
    let (code, said) = ask("rebuild web01", "web01\n");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = ask("rebuild web[02-03]", "2\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Type 2 to rebuild these 2 systems"), "{said}");
}
