//! `farrier logs`: lines as they come, and bundles.

use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::time::Duration;

use farrier::boot::Scope;
use farrier::model::BuildKey;

use super::*;

fn key(epoch: u32) -> BuildKey {
    BuildKey {
        system: "web01".parse().expect("a name"),
        epoch,
    }
}

fn installing(place: &Workplace) {
    let run = place.run("rebuild web01 --yes");
    assert_eq!(run.code, 0, "{}", run.stderr);
    place.tell("web01", EventKind::ScriptServed);
}

/// Reads lines until they are no more, into a channel.
fn lines_of(child: &mut std::process::Child) -> mpsc::Receiver<String> {
    let stdout = child.stdout.take().expect("a pipe");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

#[test]
fn followed_logs_show_lines_as_they_come_and_go_on_with_the_next_build() {
    let place = Workplace::served();
    installing(&place);
    let server = place.server.as_ref().expect("a server");
    let mac = "52:54:00:00:00:01".parse().expect("a mac");
    server.control.hear(mac, "before it was followed");
    let mut child = place
        .command("logs web01 --follow -o jsonl")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let lines = lines_of(&mut child);
    let next = || -> String {
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        line["text"].as_str().expect("text").to_string()
    };
    assert_eq!(next(), "before it was followed");
    // Each is said when the one before was seen, so it cannot have been there at the start.
    for line in ["first", "second", "third"] {
        server.control.hear(mac, line);
        assert_eq!(next(), line);
    }
    let failed = EventKind::InstallerFailed {
        stage: Stage::clean("extract"),
        detail: "no space".into(),
    };
    place.tell("web01", failed);
    installing(&place);
    server.control.hear(mac, "of the next build");
    assert_eq!(next(), "of the next build");
    child.kill().expect("ended");
    child.wait().expect("its end");
}

#[test]
fn a_bundle_is_named_where_a_failure_is_explained_and_fetched_once() {
    let place = Workplace::served();
    installing(&place);
    let server = place.server.as_ref().expect("a server");
    let keep = |bytes: &'static [u8]| {
        let (key, bytes) = (key(1), bytes::Bytes::from_static(bytes));
        let kept = server.control.keep_bundle(&key, bytes);
        server.runtime.block_on(kept).expect("kept");
    };
    assert_eq!(place.run("logs web01 --bundle").code, 3);
    assert_eq!(place.run("logs web01 --bundles -o json").stdout, "[]\n");
    keep(b"text at first");
    keep(b"\x1f\x8b packed");
    place.tell(
        "web01",
        EventKind::InstallerFailed {
            stage: Stage::clean("extract"),
            detail: "no space".into(),
        },
    );
    let why = place.run("why web01");
    let named = "its installer sent web01-1.tar.gz (9 B): farrier logs web01 --bundle";
    assert!(why.stdout.contains(named), "{}", why.stdout);
    let list = place.run("logs web01 --bundles -o name");
    assert_eq!(list.stdout, "web01-1.tar.gz\n");
    let run = place.run("logs web01 --bundle");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "web01-1.tar.gz\n"),
        "{}",
        run.stderr
    );
    let got = std::fs::read(place.site().join("web01-1.tar.gz")).expect("fetched");
    assert_eq!(got, b"\x1f\x8b packed");
    let again = place.run("logs web01 --bundle");
    assert_eq!(again.code, 1, "not written over: {}", again.stderr);
    assert_eq!(place.run("logs web01 --bundle=other.gz --build 1").code, 0);
    assert_eq!(place.run("logs web01 --bundle --build 2").code, 3);
    let token = server.control.key().token(&key(1), Scope::Report);
    assert!(!why.stdout.contains(token.reveal()));
}
