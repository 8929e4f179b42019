//! The agents' parts of a hand-off: what is in the bundle, that shells and shellcheck read it, and
//! Chef's contract against a stub that records.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use farrier::boot::Scope;
use farrier::model::agent::{AgentPlan, AgentSpec, Ansible, Cfengine, Chef, Puppet, Salt};
use farrier::model::{Agent, Handoff, ProfileKind, SecretName};
use farrier::render::{Rendered, release, render};
use zeroize::Zeroizing;

use super::first_boot::lint;
use super::server::Server;
use super::site::{distro, place, profile, run, system};

/// A repository's address may have what a shell would make something of.
const HOSTILE: &str = "https://git.example/it's/$(id)/`x`.git";

fn specs() -> Vec<AgentSpec> {
    vec![
        AgentSpec::Puppet(Puppet {
            server: "puppet.lab.example".to_string(),
            port: 8140,
            ca: "key.pub".to_string(),
            environment: Some("production".to_string()),
            wait: Duration::from_secs(60),
        }),
        AgentSpec::Salt(Salt {
            master: "salt.lab.example".to_string(),
            master_key: "key.pub".to_string(),
            state: Some("web".to_string()),
        }),
        AgentSpec::Ansible(Ansible::Pull {
            repository: HOSTILE.to_string(),
            commit: "0".repeat(40),
            playbook: "local.yml".to_string(),
        }),
        AgentSpec::Cfengine(Cfengine {
            hub: "10.77.0.1".to_string(),
            hub_key: "key.pub".to_string(),
        }),
        AgentSpec::Chef(Chef {
            server: "https://chef.example/organizations/it's".to_string(),
            client_key: "chef/{name}".to_string(),
            run_list: vec!["role[web]".to_string()],
            environment: Some("production".to_string()),
        }),
    ]
}

fn rendered(spec: AgentSpec, steps: &[(&str, &str)]) -> Result<Rendered, String> {
    let mut files = vec![("key.pub", "PUBLIC\n")];
    files.extend(steps);
    let mut profile = profile(ProfileKind::Preseed, &files);
    profile.handoff = Handoff::Agent(AgentPlan {
        spec,
        steps: (!steps.is_empty()).then(|| "steps".to_string()),
        timeout: Duration::from_secs(60),
    });
    render(&system("web01"), &profile, &distro(), &place()).map_err(|problems| {
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        shown.join("\n")
    })
}

fn bundle(rendered: &Rendered) -> String {
    String::from_utf8(rendered.documents["bundle.sh"].bytes.clone()).expect("text")
}

/// Unpacks a bundle as the unit does.
fn unpacked(text: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = folder.path().join("steps");
    let (ok, _, err) = run("dash", &["-s", &steps.display().to_string()], text)?;
    assert!(ok, "{err}");
    Some((folder, steps))
}

#[test]
fn every_agents_step_is_sound_and_its_values_are_what_was_said() {
    for spec in specs() {
        let agent = spec.agent();
        let rendered = rendered(spec, &[]).expect("rendered");
        let text = bundle(&rendered);
        assert!(text.contains(&format!("agent={agent}\n")), "{agent}");
        // what enrols is in the hand-off alone
        for document in rendered.documents.values().filter(|d| !d.secret) {
            let text = String::from_utf8_lossy(&document.bytes);
            assert!(!text.contains(Scope::Enrol.placeholder()), "{agent}");
            assert!(!text.contains(Scope::Secret.placeholder()), "{agent}");
        }
        assert_eq!(
            text.contains(Scope::Enrol.placeholder()),
            agent == Agent::Puppet,
            "{agent}"
        );
        let sends = matches!(agent, Agent::Salt | Agent::Cfengine);
        assert_eq!(
            text.contains(Scope::Secret.placeholder()),
            sends,
            "{agent}: only who sends a key needs the address"
        );
        let known = rendered.identity.as_ref().map(|i| i.name.as_str());
        let named = matches!(agent, Agent::Puppet | Agent::Salt | Agent::Cfengine);
        assert_eq!(known, named.then_some("web01.lab.example"), "{agent}");
        let Some((_folder, steps)) = unpacked(&text) else {
            return;
        };
        let step = steps.join(format!("50-{agent}"));
        // shellcheck follows what is sourced from where it is run
        let script = fs::read_to_string(&step).expect("a step");
        let script = script.replace(". ./", &format!(". {}/", steps.display()));
        fs::write(&step, script).expect("written");
        lint(&step);
        lint(&steps.join("agent.sh"));
        if agent == Agent::Ansible {
            let sourced = format!(
                ". '{}/ansible.env'; printf %s \"$REPOSITORY\"",
                steps.display()
            );
            let (_, said, _) = run("dash", &["-c", &sourced], "").expect("dash");
            assert_eq!(said, HOSTILE);
        }
    }
}

#[test]
fn a_step_of_the_profile_cannot_stand_in_for_the_agents() {
    let puppet = specs().remove(0);
    for name in ["50-puppet", "agent.sh", "puppet.env", "puppet-ca.pem"] {
        let file = format!("steps/{name}");
        let steps = [
            (file.as_str(), "#!/bin/sh\ntrue\n"),
            ("steps/10-x", "#!/bin/sh\ntrue\n"),
        ];
        let problem = rendered(puppet.clone(), &steps).expect_err("refused");
        assert!(problem.contains("the agent's own file"), "{problem}");
    }
    let steps = [("steps/60-after", "#!/bin/sh\ntrue\n")];
    let text = bundle(&rendered(puppet, &steps).expect("rendered"));
    assert!(text.contains("60-after") && text.contains("50-puppet"));
}

#[test]
fn a_push_leaves_nothing_to_do_on_the_machine() {
    let spec = AgentSpec::Ansible(Ansible::Push {
        playbook: "/srv/site.yml".to_string(),
        user: "root".to_string(),
        key: "/etc/farrier/key".to_string(),
    });
    let rendered = rendered(spec, &[]).expect("rendered");
    let push = rendered.push.as_ref().expect("something to push");
    assert_eq!(
        (push.playbook.as_str(), push.timeout),
        ("/srv/site.yml", 60)
    );
    assert!(!bundle(&rendered).contains("/etc/farrier/key"));
}

/// A stand-in for chef-client that writes down how it was called and what was there.
const STUB: &str = "#!/bin/sh\n\
    printf '%s\\n' \"$@\" >\"$RECORD/arguments\"\n\
    cp \"$FARRIER_CHEF\"/* \"$RECORD\"/\n\
    stat -c %a \"$FARRIER_CHEF/client.pem\" >\"$RECORD/mode\"\n\
    umask >\"$RECORD/umask\"\n\
    cat \"$RECORD/says\"\n\
    exit \"$(cat \"$RECORD/ends\")\"\n";

/// A stand-in for chef-client that cannot reach its server twice; the second time that is busy.
const DOWN: &str = "#!/bin/sh\n\
    echo run >>\"$RECORD/runs\"\n\
    case $(wc -l <\"$RECORD/runs\") in\n\
    1) echo \"[2026-11-26T04:00:00+00:00] FATAL: Errno::ECONNREFUSED: Connection refused connecting to $SERVER/nodes/web01, giving up\"; exit 1 ;;\n\
    2) cat \"$RECORD/second\"; exit 1 ;;\n\
    esac\n\
    echo 'Infra Phase complete, 1/2 resources updated'\n";

#[test]
fn a_chef_server_that_is_down_is_asked_again() {
    let chef = specs().pop().expect("chef");
    let server = "https://chef.example/organizations/it's";
    let rendered = rendered(chef, &[]).expect("rendered");
    let value = |_: &SecretName| Ok(Zeroizing::new("key\n".to_string()));
    let released = release(bundle(&rendered).as_bytes(), &value).expect("released");
    for (second, code, reason) in [
        (
            "FATAL: Net::HTTPFatalError: 503 \"Service Unavailable\"".to_string(),
            0,
            "",
        ),
        (
            format!("FATAL: SocketError: Error connecting to {server}/nodes/web01 - no address"),
            0,
            "",
        ),
        // what asking again would not mend
        (
            format!(
                "FATAL: OpenSSL::SSL::SSLError: SSL Error connecting to {server}/nodes/web01 - certificate verify failed"
            ),
            1,
            "SSL Error",
        ),
        (
            format!(
                "FATAL: Errno::ECONNREFUSED: remote_file[/x] had an error: Connection refused connecting to {server}/x, giving up"
            ),
            1,
            "remote_file[/x]",
        ),
        (
            "FATAL: Net::HTTPClientException: 401 \"Unauthorized\"".to_string(),
            1,
            "401",
        ),
    ] {
        let Some((folder, steps)) = unpacked(&String::from_utf8_lossy(&released)) else {
            return;
        };
        let at = |name: &str| folder.path().join(name);
        for name in ["bin", "record", "chef"] {
            fs::create_dir_all(at(name)).expect("a folder");
        }
        let stub = at("bin").join("chef-client");
        fs::write(&stub, DOWN).expect("written");
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::write(at("record").join("second"), format!("{second}\n")).expect("written");
        let done = Command::new("/bin/sh")
            .arg(steps.join("50-chef"))
            .current_dir(&steps)
            .env("PATH", format!("{}:/usr/bin:/bin", at("bin").display()))
            .env("RECORD", at("record"))
            .env("SERVER", server)
            .env("FARRIER_PAUSE", "1")
            .env("FARRIER_CHEF", at("chef"))
            .env("FARRIER_CLASS_FILE", at("class"))
            .env("FARRIER_REASON_FILE", at("reason"))
            .env("FARRIER_REBOOT_FLAG", at("flag"))
            .output()
            .expect("sh");
        assert_eq!(done.status.code(), Some(code), "{second}: {done:?}");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let down = format!("the Chef server {server} does not answer: Errno::ECONNREFUSED");
        assert!(said.contains(&down), "{said}");
        let runs = fs::read_to_string(at("record").join("runs")).expect("runs");
        assert_eq!(
            runs.lines().count(),
            if code == 0 { 3 } else { 2 },
            "{second}"
        );
        let left = fs::read_to_string(at("reason")).unwrap_or_default();
        assert!(left.contains(reason), "{left}");
        assert_eq!(at("class").exists(), code == 0, "{second}");
        assert_eq!(left.is_empty(), code == 0, "{left}");
    }
}

#[test]
fn a_key_is_sent_to_whom_the_machine_trusts_wherever_that_is_kept() {
    let server = Server::start(|path, _, before| match (path, before) {
        ("/h/secret/enrol", 0) => (503, "later\n".into()),
        ("/h/secret/enrol", _) => (200, String::new()),
        _ => (404, String::new()),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("trust")).expect("a folder");
    fs::write(at("trust").join("ca.crt"), server.authority().as_bytes()).expect("written");
    fs::write(at("key.pub"), "PUBLIC\n").expect("written");
    let common = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/render/handoff/agents/agent.sh"
    );
    let script = format!(
        ". {common}; enrol key.pub https://{}/h/secret",
        server.address
    );
    // curl and GNU wget where they are
    let done = Command::new("/bin/sh")
        .args(["-uc", &script])
        .current_dir(folder.path())
        .env("FARRIER_PAUSE", "1")
        .env("FARRIER_TRUST", at("trust"))
        .env("FARRIER_REASON_FILE", at("reason"))
        .output()
        .expect("sh");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(server.bodies("/h/secret/enrol"), ["PUBLIC\n", "PUBLIC\n"]);
}

#[test]
fn chef_is_given_its_own_key_and_no_validators() {
    let chef = specs().pop().expect("chef");
    let rendered = rendered(chef, &[]).expect("rendered");
    let names: Vec<String> = rendered.secrets.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["chef/web01"]);
    let key = "-----BEGIN RSA PRIVATE KEY-----\nit's $(id)\n-----END RSA PRIVATE KEY-----\n";
    let value = |_: &SecretName| Ok(Zeroizing::new(key.to_string()));
    let released = release(bundle(&rendered).as_bytes(), &value).expect("released");
    let Some((folder, steps)) = unpacked(&String::from_utf8_lossy(&released)) else {
        return;
    };
    let at = |name: &str| folder.path().join(name);
    for name in ["bin", "record", "chef"] {
        fs::create_dir_all(at(name)).expect("a folder");
    }
    fs::write(at("chef").join("validation.pem"), "left behind").expect("written");
    let stub = at("bin").join("chef-client");
    fs::write(&stub, STUB).expect("written");
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:/usr/bin:/bin", at("bin").display());
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    // what it says and its code, against the step's code, class and reason
    for (says, ends, code, class, reason, restarts) in [
        (
            "Infra Phase complete, 0/10 resources updated in 02 seconds",
            0,
            0,
            "ok 0",
            "",
            false,
        ),
        (
            "Infra Phase complete, 3/10 resources updated in 02 seconds",
            0,
            0,
            "changed 0",
            "",
            false,
        ),
        ("restart", 35, 0, "changed 35", "", true),
        ("restart", 37, 0, "changed 37", "", true),
        (
            "[2026-11-26T04:00:00+00:00] FATAL: no such recipe",
            1,
            1,
            "",
            "no such recipe",
            false,
        ),
        (
            "nothing",
            213,
            213,
            "",
            "chef-client ended with code 213",
            false,
        ),
    ] {
        for name in ["class", "reason", "flag"] {
            let _ = fs::remove_file(at(name));
        }
        fs::write(at("record").join("says"), format!("{says}\n")).expect("written");
        fs::write(at("record").join("ends"), ends.to_string()).expect("written");
        // as the unit runs it
        let done = Command::new("/bin/sh")
            .args(["-c", "umask 077; exec /bin/sh \"$0\""])
            .arg(steps.join("50-chef"))
            .current_dir(&steps)
            .env("PATH", &path)
            .env("RECORD", at("record"))
            .env("FARRIER_CHEF", at("chef"))
            .env("FARRIER_CLASS_FILE", at("class"))
            .env("FARRIER_REASON_FILE", at("reason"))
            .env("FARRIER_REBOOT_FLAG", at("flag"))
            .output()
            .expect("sh");
        assert_eq!(done.status.code(), Some(code), "{says}: {done:?}");
        assert_eq!(read(&at("class")).trim(), class, "{says}");
        assert_eq!(read(&at("reason")).trim(), reason, "{says}");
        assert_eq!(at("flag").exists(), restarts, "{says}");
    }
    let record = |name: &str| read(&at("record").join(name));
    assert_eq!(record("client.pem").trim_end(), key.trim_end());
    assert_eq!(record("mode").trim(), "600");
    assert_eq!(record("umask").trim(), "0022");
    assert_eq!(
        record("client.rb"),
        "chef_server_url 'https://chef.example/organizations/it\\'s'\nnode_name 'web01.lab.example'\nenvironment 'production'\n"
    );
    assert_eq!(
        record("first-boot.json").trim(),
        "{\"run_list\":[\"role[web]\"]}"
    );
    assert!(!at("chef").join("validation.pem").exists());
    let arguments = record("arguments");
    assert!(
        arguments.contains("--once\n") && arguments.contains("--chef-license\naccept-silent\n"),
        "{arguments}"
    );
}

/// What is enrolled is durable at the server at once: a key that a power cut takes away here would be
/// followed by another one, which is refused there.
#[test]
fn a_key_is_on_the_disk_before_it_is_enrolled() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (tool, text) in [
        ("sync", "echo sync >>log"),
        ("curl", "echo curl >>log; printf 200"),
    ] {
        fs::write(at(tool), format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(at(tool), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let agents = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/handoff/agents");
    fs::copy(agents.join("agent.sh"), at("agent.sh")).expect("copied");
    fs::write(at("key.pub"), "PUBLIC\n").expect("written");
    let out = Command::new("sh")
        .args(["-euc", ". ./agent.sh; enrol key.pub https://server/h/x"])
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("FARRIER_REASON_FILE", at("reason"))
        .output()
        .expect("run");
    assert!(out.status.success(), "{out:?}");
    assert_eq!(
        fs::read_to_string(at("log")).expect("a log"),
        "sync\ncurl\n"
    );
    // and the marker comes after the key that it stands for
    for agent in ["salt", "cfengine"] {
        let step = fs::read_to_string(agents.join(agent)).expect("a step");
        let marked = step.find("echo \"$BUILD\" >").expect("a marker");
        assert!(step[..marked].trim_end().ends_with("sync"), "{agent}");
    }
}
