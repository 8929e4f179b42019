//! The walls of the house, as data: which room may import which, which crate lives in which room,
//! what thought may not do, how long a file may be. Each broken rule is told with file, line and the
//! sentence of the rule.

mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Who may import whom: a room, and the rooms it may name. Arrows only point down the table.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("boot", &["model"]),
    ("lifecycle", &["model", "boot"]),
    ("dhcp", &["model", "boot"]),
    ("loader", &["model", "boot"]),
    ("render", &["model", "boot"]),
    ("image", &["model"]),
    ("inventory", THOUGHT),
    ("store", THOUGHT),
    ("artefacts", THOUGHT),
    ("power", THOUGHT),
    ("net", THOUGHT),
    ("vault", THOUGHT),
    ("enrol", THOUGHT),
    ("control", BELOW_CONTROL),
    ("serve", BELOW_DOORS),
    ("web", BELOW_DOORS),
    ("cli", EVERYTHING),
    ("agent", &["model"]),
];
const THOUGHT: &[&str] = &[
    "model",
    "boot",
    "lifecycle",
    "dhcp",
    "loader",
    "render",
    "image",
];
const BELOW_CONTROL: &[&str] = &[
    "model",
    "boot",
    "lifecycle",
    "dhcp",
    "loader",
    "render",
    "image",
    "inventory",
    "store",
    "artefacts",
    "power",
    "net",
    "vault",
    "enrol",
];
const BELOW_DOORS: &[&str] = &[
    "model",
    "boot",
    "lifecycle",
    "dhcp",
    "loader",
    "render",
    "image",
    "net",
    "control",
];
const EVERYTHING: &[&str] = &[
    "model",
    "boot",
    "lifecycle",
    "dhcp",
    "loader",
    "render",
    "image",
    "inventory",
    "store",
    "artefacts",
    "power",
    "net",
    "vault",
    "enrol",
    "control",
    "serve",
    "web",
];

/// What of `boot` its siblings may use: names that are shared, the decision, whether a build may
/// boot (which the state machine and the decision must see alike), and which loader is whose.
const SHARED_BOOT: &[&str] = &[
    "paths", "fit", "token", "Scope", "Token", "TokenKey", "decide", "fill",
];

/// Crates that live in one room only.
const CONFINED: &[(&str, &str)] = &[
    ("dhcproto", "src/dhcp"),
    ("minijinja", "src/render"),
    ("sqlx", "src/store"),
    ("toml_edit", "src/inventory"),
    ("axum", "src/serve/http"),
    ("async_tftp", "src/serve/tftp"),
    ("clap", "src/cli"),
    ("rcgen", "src/vault"),
    ("x509_parser", "src/enrol"),
    ("yaml_rust2", "src/enrol"),
];

/// Rooms that are pure: everything from outside is an argument.
const PURE: &[&str] = &[
    "model",
    "boot",
    "lifecycle",
    "dhcp",
    "loader",
    "render",
    "image",
];

/// What pure rooms may not name.
const IMPURE: &[&[&str]] = &[
    &["async"],
    &[".", "await"],
    &["tokio"],
    &["std", "::", "fs"],
    &["std", "::", "env"],
    &["std", "::", "thread"],
    &["std", "::", "process"],
    &["std", "::", "os"],
    &["std", "::", "io", "::", "stdin"],
    &["UdpSocket"],
    &["TcpStream"],
    &["TcpListener"],
    &["SystemTime"],
    &["Instant"],
    &["Timestamp", "::", "now"],
    &["Zoned", "::", "now"],
    &["rand"],
    &["getrandom"],
    &["new_v4"],
    &["now_v7"],
    &["tracing"],
    &["log", "::"],
];

/// Where something may be written to stdout or stderr.
const PRINTERS: &[&str] = &["src/cli/printer.rs", "src/cli/failure.rs"];

/// No file is longer.
const MOST_LINES: usize = 600;

/// A rule that was broken, and where.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Checks one file. `path` is relative to the package.
fn check(path: &str, text: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    let mut say = |line: usize, rule: String| {
        broken.push(Broken {
            path: path.to_string(),
            line,
            rule,
        });
    };
    if lines > MOST_LINES {
        say(
            lines,
            format!("no file is longer than {MOST_LINES} lines: split it by concept"),
        );
    }
    let Some(room) = room(path) else {
        return broken;
    };
    let source = Source::read(text);
    let upwards = source.paths_up(&module(path));
    for import in source.paths_after("crate").into_iter().chain(upwards) {
        let Some(wrong) = direction(room, &import.segments) else {
            continue;
        };
        say(import.line, wrong);
    }
    for (name, home) in CONFINED {
        if path.starts_with(home) {
            continue;
        }
        for line in source.find(&[name]) {
            say(line, format!("`{name}` lives in `{home}` only"));
        }
    }
    if PURE.contains(&room) {
        for words in IMPURE {
            for line in source.find(words) {
                say(
                    line,
                    format!(
                        "`{room}` is pure: `{}` is for hands; take what it yields as an argument",
                        words.concat()
                    ),
                );
            }
        }
    }
    if !PRINTERS.contains(&path) {
        for name in ["print", "println", "eprint", "eprintln"] {
            for line in source.find(&[name, "!"]) {
                say(
                    line,
                    format!("`{name}!` is for the printer in `src/cli/printer.rs` only"),
                );
            }
        }
    }
    if room != "net" {
        for line in source.find(&["unsafe"]) {
            say(line, "`unsafe` is for `net` only".to_string());
        }
    }
    broken
}

/// The room a file is in; `lib.rs` and `main.rs` are in none.
fn room(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let (room, _) = rest.split_once('/')?;
    Some(room)
}

/// The module that a file is: `src/serve/http/mod.rs` and `src/serve/http.rs` are `serve::http`.
fn module(path: &str) -> Vec<&str> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

fn direction(room: &str, segments: &[String]) -> Option<String> {
    let target = segments.first()?.as_str();
    if target == room || ROOMS.iter().all(|(name, _)| *name != target) {
        // An item of `lib.rs` itself.
        return None;
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return Some(format!("`{room}` is not in the table of rooms"));
    };
    if !allowed.contains(&target) {
        return Some(format!(
            "`{room}` may not import `{target}`: arrows point down the table of rooms"
        ));
    }
    let sibling = target == "boot" && PURE.contains(&room);
    match segments.get(1) {
        Some(item) if sibling && !SHARED_BOOT.contains(&item.as_str()) => Some(format!(
            "`{room}` may use {} of `boot`, not `{item}`",
            SHARED_BOOT.join(", ")
        )),
        _ => None,
    }
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|e| e.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_walls_stand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "xtask"] {
        sources(&root.join(dir), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    let mut broken = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).expect("below").to_string_lossy();
        let text = fs::read_to_string(&file).expect("text");
        if !source::is_test_file(&file) || text.lines().count() > MOST_LINES {
            broken.extend(check(&path, &text));
        }
    }
    let list: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}

/// Every rule can fail, and what is allowed passes.
#[test]
fn each_rule_bites() {
    #[track_caller]
    fn bites(path: &str, text: &str, want: &str) {
        let broken = check(path, text);
        assert!(
            broken.iter().any(|b| b.to_string().contains(want)),
            "{path}: {text}: wanted `{want}`, got {broken:?}"
        );
    }
    bites(
        "src/model/a.rs",
        "use crate::boot::paths;",
        "`model` may not import `boot`",
    );
    bites(
        "src/boot/a.rs",
        "\nuse crate::{model::X, dhcp::Y};",
        "src/boot/a.rs:2:",
    );
    bites("src/dhcp/a.rs", "use crate::boot::why::X;", "not `why`");
    bites(
        "src/store/a.rs",
        "fn f() { crate::inventory::read(); }",
        "`store` may not import `inventory`",
    );
    bites(
        "src/serve/dhcp.rs",
        "use crate::store::Store;",
        "`serve` may not import `store`",
    );
    bites(
        "src/serve/http/a.rs",
        "use crate::{\n  control,\n  power::{on, off},\n};",
        "http/a.rs:3:",
    );
    bites(
        "src/control/a.rs",
        "use crate::cli::x;",
        "`control` may not import `cli`",
    );
    bites(
        "src/agent/a.rs",
        "use crate::boot::x;",
        "`agent` may not import `boot`",
    );
    bites(
        "src/model/a.rs",
        "use super::super::boot::paths;",
        "`model` may not import `boot`",
    );
    bites(
        "src/serve/http/mod.rs",
        "fn f() { super::super::store::open(); }",
        "`serve` may not import `store`",
    );
    bites(
        "src/shed/a.rs",
        "use crate::model::x;",
        "`shed` is not in the table",
    );
    for (name, home) in CONFINED {
        bites("src/control/a.rs", &format!("use {name}::X;"), "lives in");
        assert_eq!(
            check(&format!("{home}/a.rs"), &format!("use {name}::X;")),
            []
        );
    }
    bites(
        "src/serve/tftp/a.rs",
        "use axum::Router;",
        "`axum` lives in `src/serve/http` only",
    );
    for (text, want) in [
        ("async fn f() {}", "`async`"),
        ("fn f() { x.await }", "`.await`"),
        ("use std::fs;", "`std::fs`"),
        ("use std::{io::Read, fs::File};", "`std::fs`"),
        ("use std::net::{Ipv4Addr, UdpSocket};", "`UdpSocket`"),
        ("fn f() { jiff::Timestamp::now(); }", "`Timestamp::now`"),
        ("fn f() { std::time::Instant::now(); }", "`Instant`"),
        ("fn f() { tracing::info!(1); }", "`tracing`"),
        ("fn f() { std::env::var(1); }", "`std::env`"),
        ("fn f() { Uuid::new_v4(); }", "`new_v4`"),
    ] {
        bites("src/lifecycle/a.rs", text, want);
        assert_eq!(check("src/control/a.rs", text), [], "{text}");
    }
    bites(
        "src/serve/a.rs",
        "fn f() { println!(); }",
        "`println!` is for",
    );
    bites(
        "src/cli/a.rs",
        "fn f() { unsafe { g() } }",
        "`unsafe` is for `net` only",
    );
    bites(
        "src/cli/a.rs",
        &"\n".repeat(601),
        "a.rs:601: no file is longer",
    );
    bites("tests/it/a.rs", &"\n".repeat(601), "no file is longer");
}

#[test]
fn what_is_allowed_passes() {
    for (path, text) in [
        (
            "src/dhcp/a.rs",
            "use crate::boot::paths::Urls;\nuse crate::model::*;",
        ),
        (
            "src/lifecycle/a.rs",
            "// std::fs would be wrong\nconst A: &str = \"tokio\";",
        ),
        (
            "src/lifecycle/b.rs",
            "#[cfg(test)]\nmod tests {\n fn f() { std::fs::read(\"}\"); }\n}",
        ),
        ("src/control/a.rs", "use crate::{inventory, store::Store};"),
        (
            "src/model/a.rs",
            "use super::boot;\nuse super::super::model::X;",
        ),
        (
            "src/serve/a.rs",
            "use crate::control::Control;\nuse crate::net::x;",
        ),
        ("src/cli/printer.rs", "fn f() { println!(); }"),
        ("src/net/a.rs", "unsafe fn f() {}"),
        ("src/lib.rs", "pub mod cli;"),
        ("src/model/operand.rs", "fn operand(brand: u8) {}"),
    ] {
        assert_eq!(check(path, text), [], "{path}: {text}");
    }
}
