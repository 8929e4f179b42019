//! Which systems a command line means.

use super::*;

#[test]
fn an_empty_stdin_selects_nothing_and_never_everything() {
    let place = Workplace::served();
    for line in [
        "rebuild - -l web --yes --expect 3",
        "rebuild web01 - --yes",
        "cancel - --phase idle --yes --expect 4",
        "set - tags+=x -l web --yes --expect 3",
        "rm - -l web --yes --expect 3",
        "boot - rescue -l web --yes --expect 3",
        "ls -",
        "show -",
        "render -",
    ] {
        for stdin in ["", "# nobody\n\n"] {
            let run = place.run_with(line, stdin);
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (4, ""),
                "{line}: {}",
                run.stderr
            );
            assert!(
                run.stderr.contains("stdin holds none"),
                "{line}: {}",
                run.stderr
            );
        }
    }
    assert_eq!(
        place.run("ls -o name").stdout,
        "db01\nweb01\nweb02\nweb03\n"
    );
    assert_eq!(
        place.run("ls --phase armed -o name").stdout,
        "",
        "nothing was flagged"
    );
}

#[test]
fn wherever_a_name_does_a_set_a_tag_and_a_serial_do_too() {
    let place = Workplace::served();
    place.check(
        "sets",
        &[
            "show web[01-02]",
            "show -l web -o name",
            "show S3EVNX0K -o name",
            "show -l web --origin",
            "show",
            "why -l rack12",
            "why web01 db01 -o name",
            "ls S3EVNX0K -o name",
            "render S3EVNX0K cmdline",
            "render web[01-02] cmdline",
            "render @web -o name",
            "render web[01-02] --diff live",
            "ls S3EVNX0K,web01 -o name",
            "show zzzzzz",
        ],
    );
    let run = place.run("show web01 db01 -o json");
    let list: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(list[1]["system"]["name"], "web01");
    let run = place.run_with("render - cmdline -o json", "web02\nweb03\n");
    let list: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(list[1]["system"], "web03");
    assert_eq!(list[1]["documents"].as_array().map(Vec::len), Some(1));
    let run = place.run_with("why - -o jsonl", "web02\nweb03\n");
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
}

#[test]
fn events_of_a_removed_system_are_still_found() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web02 --yes").code, 0);
    assert_eq!(place.run("cancel web02").code, 0);
    assert_eq!(place.run("rm web02 --yes").code, 0);
    let run = place.run("events web02 -o name");
    assert_eq!(
        (run.code, run.stdout.lines().count()),
        (0, 2),
        "{}",
        run.stderr
    );
    assert_eq!(
        place.run("events web02 web77").code,
        3,
        "nothing was recorded of it"
    );
    let run = place.run("events --since 1h -o name");
    assert_eq!(run.stdout.lines().count(), 2);
    let run = place.run("events --since 1h -n 1");
    assert!(
        run.stderr.contains("only the latest 1 are shown"),
        "{}",
        run.stderr
    );
}

#[test]
fn data_that_cannot_be_written_is_a_failure() {
    let place = Workplace::served();
    for line in [
        "ls",
        "check -o json",
        "render web01 preseed.cfg",
        "show web01 -o name",
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("a device");
        let output = place
            .command(line)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    }
    let said = place
        .command("ls")
        .stdout(Stdio::null())
        .output()
        .expect("run");
    assert_eq!(said.status.code(), Some(0));
}
