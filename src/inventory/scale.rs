//! A large site: the same answers with and without a cache, and what it costs.
//! `FARRIER_SCALE=100000 cargo test --release inventory::scale -- --nocapture` prints the figures.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Cache, Edit, FileSet, parse};

/// A site with `count` systems as an operator would write them.
fn site(count: usize) -> FileSet {
    let mut text = String::from("[defaults]\nprofile = \"debian-12\"\n\n");
    for n in 0..count {
        let (a, b, c) = (n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff);
        write!(
            text,
            "[system.node{n:06}]\nmac = \"52:54:01:{a:02x}:{b:02x}:{c:02x}\"\nip = \"10.{}.{b}.{c}\"\ntags = [\"rack{}\", \"compute\"]\nvars = {{ role = \"compute\", slot = {} }}\ndisk = {{ serial = \"S3EV{n:08}\" }}\n\n",
            a + 1,
            n / 40,
            n % 40
        )
        .expect("a string grows");
    }
    FileSet::default()
        .with(
            "farrier.toml",
            &b"[[subnet]]\nnetwork = \"10.0.0.0/8\"\nrouter = \"10.0.0.1\"\n"[..],
        )
        .with(
            "boot/debian-12.toml",
            &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n"[..],
        )
        .with(
            "profiles/debian-12/profile.toml",
            &b"kind = \"preseed\"\ndistro = \"debian-12\"\n"[..],
        )
        .with("systems.toml", text.into_bytes())
}

/// When something began, by the wall and by this process's own work: a busy machine slows only one.
struct Begun {
    wall: Instant,
    processor: Duration,
}

impl Begun {
    fn now() -> Self {
        Begun {
            wall: Instant::now(),
            processor: processor_time(),
        }
    }
}

/// What all threads of this process have used.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let spent = |task: std::fs::DirEntry| -> Option<u64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(spent).sum())
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[test]
fn a_large_site_is_loaded_and_a_small_edit_of_it_is_cheap() {
    let given = std::env::var("FARRIER_SCALE")
        .ok()
        .and_then(|n| n.parse().ok());
    let count: usize = given.unwrap_or(3000);
    let say = |what: &str, begun: Begun| {
        if given.is_some() {
            let wall = begun.wall.elapsed().as_millis();
            let cpu = (processor_time() - begun.processor).as_millis();
            let line = format!(
                "{what}: {wall} ms, {cpu} ms of processor, {} MiB resident\n",
                resident_mib()
            );
            // Written past the test's capture on purpose: these are figures, not failures.
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("stderr");
        }
    };
    let begun = Begun::now();
    let files = site(count);
    say("made", begun);
    if given.is_some() {
        let text = std::str::from_utf8(&files.files["systems.toml"].bytes).expect("text");
        let begun = Begun::now();
        let cut = super::chunk::cut(text);
        say("cut", begun);
        let begun = Begun::now();
        let n: usize = cut
            .parts
            .iter()
            .map(|p| crate::model::Digest::of(&text.as_bytes()[p.ranges[0].clone()]).0[0] as usize)
            .sum();
        say(&format!("hash {n}"), begun);
    }
    let mut cache = Cache::default();
    let begun = Begun::now();
    let first = cache.parse(&files).site.expect("sound");
    say("loaded", begun);
    assert_eq!(first.systems.len(), count);

    let begun = Begun::now();
    let name = format!("node{:06}", count / 2);
    let edit = Edit::Set {
        name: name.parse().expect("a name"),
        assignments: vec!["vars.role=login".parse().expect("an assignment")],
    };
    let change = edit.apply(&files).expect("an edit");
    say("edit worked out", begun);
    let begun = Begun::now();
    let edited = files.with(&change.path, change.bytes);
    say("digest", begun);
    let begun = Begun::now();
    let second = cache.parse(&edited).site.expect("sound");
    say("loaded again after one edit", begun);
    let begun = Begun::now();
    assert!(!super::origins(&edited, &second, &name).is_empty());
    say("origins of one system", begun);
    let begun = Begun::now();
    drop(first);
    say("dropped", begun);

    let fresh = parse(&edited).site.expect("sound");
    assert_eq!(fresh.systems, second.systems);
    assert_eq!(fresh.by_mac, second.by_mac);
    assert_eq!(fresh.by_ip, second.by_ip);
    assert_eq!(fresh.revision, second.revision);
    assert_eq!(second.systems[name.as_str()].vars["role"], "login");
}
