//! What goes on until something happens.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::Duration;

use super::*;

fn failed() -> EventKind {
    EventKind::InstallerFailed {
        stage: Stage::clean("partition"),
        detail: "no disk".to_string(),
    }
}

#[test]
fn systems_of_a_phase_are_waited_for_when_they_have_left_it() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    let mut child = place
        .command("watch --phase armed --until failed --timeout 60s")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut talk = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    talk.read_line(&mut said).expect("where it stands");
    assert!(said.starts_with("web01 has been armed"), "{said}");
    place.tell("web01", EventKind::ScriptServed);
    place.tell("web01", failed());
    talk.read_to_string(&mut said).expect("the rest");
    let ended = child.wait().expect("its end");
    assert_eq!(ended.code(), Some(0), "{said}");

    let run = place.run("wait --phase armed --timeout 5s");
    assert_eq!(run.code, 3, "{}", run.stderr);
    let run = place.run("watch --phase armed --until ready --timeout 5s");
    assert_eq!(run.code, 3, "{}", run.stderr);
}

/// Reads one line and no more.
fn read_one(child: &mut Child) -> String {
    let mut line = String::new();
    let mut data = BufReader::new(child.stdout.take().expect("a pipe"));
    data.read_line(&mut line).expect("a line");
    line
}

/// The exit code; none if it did not end by itself.
fn end_of(mut child: Child) -> Option<i32> {
    for _ in 0..600 {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().expect("ended");
    child.wait().expect("its end");
    None
}

#[test]
fn what_nobody_reads_on_ends() {
    let place = Workplace::served();
    let server = place.server.as_ref().expect("a server");
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    place.tell("web01", EventKind::ScriptServed);
    let mac = "52:54:00:00:00:01".parse().expect("a MAC");
    server.control.hear(mac, "first");
    let follow = |line: &str| {
        let mut command = place.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("the program")
    };
    let mut logs = follow("logs web01 -f");
    assert!(read_one(&mut logs).contains("first"));
    server.control.hear(mac, "second");
    assert_eq!(end_of(logs), Some(0));

    let mut events = follow("events web01 -f");
    assert!(read_one(&mut events).contains("flagged"));
    place.tell("web01", failed());
    assert_eq!(end_of(events), Some(0));
}

#[test]
fn events_from_now_on_are_not_the_past() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    let mut child = place
        .command("events -n 0 -f -o jsonl")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    // told until it is seen: there is no sign that it listens
    let mut data = BufReader::new(child.stdout.take().expect("a pipe"));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        data.read_line(&mut line).expect("a line");
        drop(tell.send(line));
    });
    let mut lines = Vec::new();
    for system in ["web02", "web03", "web02", "web03", "web02", "web03"].repeat(20) {
        place.run(&format!("rebuild {system} --yes"));
        if let Ok(line) = told.recv_timeout(Duration::from_millis(500)) {
            lines.push(line);
            break;
        }
    }
    child.kill().expect("ended");
    child.wait().expect("its end");
    let first = lines.first().expect("an event");
    assert!(!first.contains("\"web01\""), "{first}");
}
