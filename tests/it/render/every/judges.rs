//! Each script, systemd unit and boot script in whatever is sent, however deep inside of it, judged by
//! shellcheck, systemd-analyze and GRUB's own parser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Ready, Sent, all, four, ground, machine, needs, run, steps, unpacked};
use farrier::model::Firmware;

/// More that a system may ask for, by the profiles that give it: scripts grow with what is asked.
const MORE: &str = "packages = [\"nginx\"]\nusers.alice = { groups = [\"adm\"], shell = \"/bin/sh\", \
                    ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example\"] }\n";

/// What shells read, by the name that says where it was found.
#[derive(Default)]
struct Found {
    scripts: BTreeMap<String, String>,
    units: BTreeMap<String, String>,
}

impl Found {
    fn look(&mut self, at: &str, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let name = at.rsplit(['/', ' ']).next().unwrap_or(at);
        let shebang = text.lines().next().unwrap_or("");
        let shell = shebang.starts_with("#!/bin/") && shebang.contains("sh");
        if shell || [".sh", ".env"].iter().any(|e| name.ends_with(e)) {
            self.scripts.insert(at.to_string(), text.to_string());
        } else if [".service", ".mount", ".timer"]
            .iter()
            .any(|e| name.ends_with(e))
        {
            self.units.insert(at.to_string(), text.to_string());
        } else if name == "ks.cfg" {
            self.kickstart(at, text);
        } else if name == "preseed.cfg" {
            self.preseed(at, text);
        } else if name == "user-data" {
            self.user_data(at, text);
        } else if name.ends_with(".xml") {
            self.xml(at, text);
        } else if name.ends_with(".ign") {
            let read: Value = serde_json::from_str(text).expect("JSON");
            self.ignition(at, &read);
        } else if name == "profile.json" {
            let read: Value = serde_json::from_str(text).expect("JSON");
            self.agama(at, &read["scripts"]);
        }
    }

    fn kickstart(&mut self, at: &str, text: &str) {
        let mut section: Option<(String, String)> = None;
        for line in text.lines() {
            if line.starts_with("%pre") || line.starts_with("%post") || line.starts_with("%onerror")
            {
                section = Some((line.to_string(), String::new()));
            } else if line == "%end" {
                if let Some((head, body)) = section.take() {
                    self.scripts.insert(format!("{at} {head}"), body);
                }
            } else if let Some((_, body)) = &mut section {
                body.push_str(line);
                body.push('\n');
            }
        }
        // ESXi's sections are Python: compiled in tier3.rs
    }

    fn preseed(&mut self, at: &str, text: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let mut words = line.splitn(4, ' ');
            let (question, command) = (words.nth(1).unwrap_or(""), words.nth(1).unwrap_or(""));
            if question.ends_with("_command") {
                self.scripts
                    .insert(format!("{at} {question}"), command.to_string());
            }
        }
    }

    fn user_data(&mut self, at: &str, text: &str) {
        let script = "import sys, json, yaml\na = yaml.safe_load(sys.stdin.read())['autoinstall']\n\
                      print(json.dumps([c if isinstance(c, str) else ' '.join(c) for k in a if k.endswith('-commands') for c in a[k]]))";
        let (ok, out, err) = run("/usr/bin/python3", &["-c", script], text).expect("python3");
        assert!(ok, "{err}");
        let all: Vec<String> = serde_json::from_str(&out).expect("JSON");
        assert!(all.len() >= 3, "{all:?}");
        for (n, command) in all.into_iter().enumerate() {
            self.scripts.insert(format!("{at} command {n}"), command);
        }
    }

    fn xml(&mut self, at: &str, text: &str) {
        let script = "import sys, json, xml.etree.ElementTree as x\n\
                      print(json.dumps([s.text for s in x.fromstring(sys.stdin.read()).iter('{http://www.suse.com/1.0/yast2ns}source')]))";
        let (ok, out, err) = run("python3", &["-c", script], text).expect("python3");
        assert!(ok, "{err}");
        let all: Vec<String> = serde_json::from_str(&out).expect("JSON");
        for (n, source) in all.into_iter().enumerate() {
            self.scripts.insert(format!("{at} source {n}"), source);
        }
    }

    /// Its units, and its files as far as they are in it.
    fn ignition(&mut self, at: &str, read: &Value) {
        for unit in read["systemd"]["units"].as_array().into_iter().flatten() {
            if let (Some(name), Some(text)) = (unit["name"].as_str(), unit["contents"].as_str()) {
                self.units.insert(format!("{at} {name}"), text.to_string());
            }
        }
        for file in read["storage"]["files"].as_array().into_iter().flatten() {
            let source = file["contents"]["source"].as_str().unwrap_or("");
            let path = file["path"].as_str().unwrap_or("");
            if source.starts_with("data:") {
                let script = "import sys, urllib.request\nsys.stdout.buffer.write(urllib.request.urlopen(sys.stdin.read()).read())";
                let (ok, out, err) = run("python3", &["-c", script], source).expect("python3");
                assert!(ok, "{err}");
                self.look(&format!("{at} {path}"), out.as_bytes());
            }
        }
    }

    fn agama(&mut self, at: &str, scripts: &Value) {
        for (when, all) in scripts.as_object().into_iter().flatten() {
            for script in all.as_array().into_iter().flatten() {
                let body = script["content"].as_str().or(script["body"].as_str());
                let body = body.expect("a script within the profile");
                self.scripts
                    .insert(format!("{at} {when}"), body.to_string());
            }
        }
    }
}

fn everything(sent: &Sent) -> Found {
    let mut found = Found::default();
    for (name, document) in &sent.documents {
        match unpacked(document) {
            Some(files) => {
                for (path, bytes) in files {
                    found.look(&format!("{name}: {path}"), &bytes);
                }
            }
            None => found.look(name, &document.bytes),
        }
        if name == "first-boot.sh" {
            let files = placed(&String::from_utf8_lossy(&document.bytes));
            assert_eq!(files.len(), 2);
            for (path, text) in files {
                found.look(&format!("{name}: {path}"), text.as_bytes());
            }
        }
        if name == "bundle.sh" {
            for (path, bytes) in steps(document) {
                found.look(&format!("{name}: {path}"), &bytes);
            }
        }
    }
    found
}

/// The four machines, and one that asks for more if the profile can give it.
fn cases(ready: &Ready) -> Vec<(String, Sent)> {
    let four = four(&ready.name).into_iter();
    let more = ["bios", "uefi"].into_iter().filter_map(|word| {
        let firmware = match word {
            "bios" => Firmware::BIOS,
            _ => Firmware::UEFI,
        };
        let asks = ready.profile.kind.installs() && !needs(&ready.name).contains("users");
        asks.then(|| (word, machine(&ready.name, MORE), ground(firmware)))
    });
    let all = four.chain(more);
    all.filter_map(|(case, system, at)| Some((case.to_string(), ready.send(&system, &at).ok()?)))
        .collect()
}

/// Sourced by others, which are checked together with them.
const SOURCED: [&str; 3] = ["report.sh", "boot-order.sh", "farrier.env"];

#[test]
fn every_script_passes_shellcheck() {
    let Some((true, _, _)) = run("shellcheck", &["--version"], "") else {
        return;
    };
    let mut judged = BTreeSet::new();
    let mut seen = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    for ready in all() {
        for (case, sent) in cases(&ready) {
            let folder = tempfile::tempdir().expect("a folder");
            for (name, document) in &sent.documents {
                std::fs::write(folder.path().join(name), &document.bytes).expect("a file");
            }
            for (at, text) in everything(&sent).scripts {
                *seen.entry(ready.name.clone()).or_insert(0) += 1;
                if SOURCED.iter().any(|s| at.ends_with(s)) || !judged.insert(text.clone()) {
                    continue;
                }
                let what = format!("{} {case} {at}", ready.name);
                wrong.extend(shellcheck(&what, &text, folder.path()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // every build has the hand-off's, but what installs nothing
    let none: Vec<String> = all()
        .into_iter()
        .map(|r| r.name)
        .filter(|n| !seen.contains_key(n))
        .collect();
    assert_eq!(none, ["memtest"]);
}

/// What it finds wrong.
fn shellcheck(what: &str, text: &str, folder: &Path) -> Option<String> {
    let fai = what.starts_with("fai ") || what.starts_with("rescue ");
    let file = folder.join("judged");
    std::fs::write(&file, text).expect("a file");
    let source = format!("--source-path={}", folder.display());
    let file = file.display().to_string();
    let mut arguments = vec!["--external-sources", &source];
    if !text.starts_with("#!") {
        // FAI sources its hooks into a bash, and gives all of them its variables
        arguments.push(if fai { "--shell=bash" } else { "--shell=sh" });
    } else if !fai {
        arguments.push("--shell=sh");
    }
    if fai {
        arguments.extend([
            "--severity=warning",
            "--exclude=SC2154,SC1090,SC1091,SC2034",
        ]);
    }
    arguments.push(&file);
    let (ok, out, err) = run("shellcheck", &arguments, "").expect("asked above");
    (!ok).then(|| format!("{what}: {out}{err}"))
}

#[test]
fn every_unit_is_one_of_systemd() {
    let mut judged = BTreeSet::new();
    let mut wrong = Vec::new();
    for ready in all() {
        for (case, sent) in cases(&ready) {
            for (at, text) in everything(&sent).units {
                if !judged.insert(text.clone()) {
                    continue;
                }
                let name = at.rsplit(['/', ' ']).next().expect("a name");
                let folder = tempfile::tempdir().expect("a folder");
                let file = folder.path().join(name);
                std::fs::write(&file, &text).expect("a file");
                let file = file.display().to_string();
                let Some((ok, out, err)) = run("systemd-analyze", &["verify", &file], "") else {
                    return;
                };
                // what it starts is not on this host
                let mut said = err.lines().chain(out.lines()).filter(|l| l.contains(name));
                let said = said.find(|l| !l.contains("is not executable"));
                if let Some(line) = said {
                    wrong.push(format!("{} {case} {at}: {line}", ready.name));
                }
                let _ = ok;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(judged.len() >= 2, "{judged:?}");
}

/// The files that first-boot.sh places: its unit, and what the unit starts.
fn placed(script: &str) -> Vec<(String, String)> {
    const END: &str = "--END-OF-FARRIER-FILE--";
    let mut files = Vec::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let path = line
            .strip_prefix("cat >\"$target")
            .and_then(|rest| rest.split('"').next());
        if let Some(path) = path.filter(|_| line.ends_with(&format!("<<'{END}'"))) {
            let body = lines.by_ref().take_while(|l| *l != END);
            let body: Vec<&str> = body.collect();
            files.push((path.to_string(), body.join("\n") + "\n"));
        }
    }
    files
}

#[test]
fn grub_and_ipxe_read_every_boot_script() {
    for ready in all() {
        for (case, sent) in cases(&ready) {
            let what = format!("{} {case}", ready.name);
            let grub = &sent.scripts["grub.cfg"];
            if let Some((ok, out, err)) = run("grub-script-check", &[], grub) {
                assert!(ok, "{what}: {out}{err}\n{grub}");
            }
            // iPXE's has no checker: a line is a command with words, and none of what it would expand,
            // split or join is there but where Farrier wrote it
            let script = &sent.scripts["boot.ipxe"];
            assert!(script.starts_with("#!ipxe\n"), "{what}: {script}");
            for line in script.lines().skip(1) {
                assert!(!line.ends_with('\\'), "{what}: {line}");
                assert!(line.len() < 4096, "{what}: {line}");
            }
            let label = sent.cmdline.split(' ').find(|w| w.contains("/b/"));
            if let Some(word) = label.filter(|_| script.contains("\nkernel ")) {
                assert!(
                    script.contains(word) && grub.contains(word) || grub.contains("own disk"),
                    "{what}: {word}"
                );
            }
        }
    }
}

/// What reads a document of this name, and how it is told to only judge.
fn judge_of(name: &str) -> Option<&'static [&'static str]> {
    const YAML: &str = "import sys, yaml; list(yaml.safe_load_all(sys.stdin.read()))";
    const TOML: &str = "import sys, tomllib; tomllib.loads(sys.stdin.read())";
    Some(match name.rsplit('/').next().unwrap_or(name) {
        "preseed.cfg" => &["debconf-set-selections", "--checkonly"],
        "user-data" | "meta-data" | "vendor-data" | "network-config" => {
            &["/usr/bin/python3", "-c", YAML]
        }
        last if last.ends_with(".yaml") => &["/usr/bin/python3", "-c", YAML],
        last if last.ends_with(".toml") => &["/usr/bin/python3", "-c", TOML],
        last if last.ends_with(".xml") => &["xmllint", "--noout", "-"],
        last if last.ends_with(".ign") => &["ignition-validate", "-"],
        last if last.ends_with(".json") => &["/usr/bin/python3", "-m", "json.tool"],
        _ => return None,
    })
}

#[test]
fn every_answer_passes_the_validator_of_its_format() {
    let mut judged: BTreeMap<&str, usize> = BTreeMap::new();
    for ready in all() {
        for (case, sent) in cases(&ready) {
            for (name, document) in &sent.documents {
                let Some(words) = judge_of(name) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&document.bytes);
                let Some((ok, _, err)) = run(words[0], &words[1..], &text) else {
                    continue;
                };
                let what = format!("{} {case} {name}", ready.name);
                // debconf says what is wrong and ends well all the same: only silence is a pass
                assert!(ok && err.is_empty(), "{what}: {err}\n{text}");
                *judged.entry(words[0]).or_default() += 1;
            }
        }
    }
    eprintln!("{judged:?}");
    // each judge that this host has judged something: that one is missing, `run` says
    for (name, at_least) in [
        ("preseed.cfg", 4),
        ("user-data", 4),
        ("answer.toml", 2),
        ("autoinst.xml", 4),
        ("config.ign", 4),
        ("profile.json", 4),
    ] {
        let words = judge_of(name).expect("a judge");
        if run(words[0], &["--version"], "").is_none() {
            crate::skipped!(
                "no document like `{name}` was judged: `{}` is missing",
                words[0]
            );
            continue;
        }
        let found = judged.get(words[0]).copied().unwrap_or(0);
        assert!(
            found >= at_least,
            "{name}: {found} were judged by {}: {judged:?}",
            words[0]
        );
    }
}
