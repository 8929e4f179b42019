//! What a machine should be, in templates: every value that is promised, `unsupported`, and that
//! nothing which was asked for is dropped.

use std::collections::BTreeMap;

use farrier::model::{Answer, Diagnostic, Profile, ProfileKind, Severity, System};
use farrier::render::{Rendered, render};

use super::hostile::HOSTILE;
use super::site::{RICH, declared_as, distro, one_answer, place, profile, run, system};

/// The rich machine's values as one template sees them.
const EVERYTHING: &str = r#"
locale: {{ locale.language }} {{ locale.keyboard }} {{ locale.timezone }}
storage: {{ storage.layout }} {{ storage.raid }} {{ storage.filesystem }} {{ storage.swap_mib }} {{ storage.encrypt }} {{ storage.tang | length }}
{% for v in storage.volumes -%}
volume: {{ v.mount }} {{ v.size_mib or "-" }} {{ v.rest }} {{ v.filesystem }} {{ v.name }}
{% endfor -%}
disk: {{ disk.serial or "-" }} second: {{ disk.second.serial }}
ipv6: {{ network.ipv6 }}
{% for i in network.interfaces -%}
nic: {{ i.mac }} {{ i.name or "-" }} {{ i.ip or "-" }} {{ i.prefix or "-" }} {{ i.netmask or "-" }} static={{ i.static }} dhcp={{ i.dhcp }} {{ i.ip6 or "-" }} bond={{ i.bond or "-" }} boots={{ i.boots }}
{% endfor -%}
{% for b in network.bonds -%}
bond: {{ b.name }} {{ b.mode }} {{ b.interfaces | join(",") }} {{ b.ip }}/{{ b.prefix }} static={{ b.static }} dhcp={{ b.dhcp }} {{ b.ip6 }} boots={{ b.boots }}
{% endfor -%}
{% for v in network.vlans -%}
vlan: {{ v.name }} {{ v.link }} {{ v.id }} {{ v.ip or "-" }} {{ v.prefix or "-" }} {{ v.netmask or "-" }} {{ v.router or "-" }}
{% endfor -%}
{% for u in users -%}
user: {{ u.name }} [{{ u.groups | join(",") }}] {{ u.ssh_keys | length }} {{ u.password or "-" }} {{ u.shell }} {{ u.sudo }}
{% endfor -%}
packages: {{ packages | join(" ") }}
{% for r in repositories -%}
repository: {{ r.name }} {{ r.url }} {{ r.key or "-" }} {{ r.key_url or "-" }} {{ r.suite }} {{ r.components | join(",") }}
{% endfor -%}
"#;

fn reading(text: &str) -> Profile {
    one_answer(ProfileKind::Fai, "motd", &[("motd.j2", text)])
}

fn of(profile: &Profile, system: &System) -> Result<Rendered, Vec<Diagnostic>> {
    render(system, profile, &distro(), &place())
}

fn told(found: Result<Rendered, Vec<Diagnostic>>) -> Vec<String> {
    let problems = found.expect_err("refused");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn templates_see_everything() {
    let rendered = of(&reading(EVERYTHING), &declared_as("rich", RICH)).expect("rendered");
    assert_eq!(rendered.warnings, vec![]);
    let text = String::from_utf8_lossy(&rendered.documents["motd"].bytes).into_owned();
    insta::with_settings!({
        snapshot_path => "../../golden/render",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("intent-everything", text) });
}

#[test]
fn what_nobody_reads_is_an_error_with_its_key() {
    // Nothing is asked for, so nothing needs to be read.
    assert!(of(&reading("x\n"), &system("web01")).is_ok());
    let problems = of(&reading("x\n"), &declared_as("rich", RICH)).expect_err("unread");
    let keys: Vec<&str> = problems.iter().filter_map(|p| p.about.as_deref()).collect();
    assert_eq!(
        keys,
        [
            "interface.ip6",
            "interface.name",
            "locale.keyboard",
            "locale.language",
            "locale.timezone",
            "network.bond",
            "network.ipv6",
            "network.vlan",
            "packages",
            "repository.internal",
            "static_ip",
            "storage.layout",
            "storage.raid",
            "storage.second",
            "storage.swap",
            "storage.volumes",
            "users.alice",
            "users.app",
            "users.root",
        ]
    );
    assert!(
        problems[0]
            .message
            .starts_with("the profile `test` does not use `interface.ip6`")
    );
    // Part of a table is read, and the rest is not.
    let half = "{% for u in users %}{{ u.name }}{{ u.shell }}{% endfor %}{{ storage.raid }}{{ storage.layout }}\n";
    let problems = of(&reading(half), &declared_as("web01", "users.bob = { sudo = true, groups = [\"adm\"] }\nstorage = { raid = \"raid1\", second = \"/dev/vdb\" }")).expect_err("half read");
    let keys: Vec<&str> = problems.iter().filter_map(|p| p.about.as_deref()).collect();
    // Which disk the second one is the machine learns from its permit.
    assert_eq!(keys, ["users.bob.groups", "users.bob.sudo"]);
}

#[test]
fn asking_for_nothing_is_asking_nothing() {
    let lines =
        "packages = []\nstorage = { raid = \"none\", encrypt = \"none\" }\nnetwork.ipv6 = \"off\"";
    assert!(of(&reading("x\n"), &declared_as("web01", lines)).is_ok());
}

#[test]
fn a_filter_that_takes_a_whole_table_reads_all_of_it() {
    let lines = "[system.web01.users.bob]\nsudo = true\ngroups = [\"adm\"]";
    let profile = one_answer(
        ProfileKind::Fai,
        "x.json",
        &[("x.json.j2", "{{ users | json }}\n")],
    );
    assert!(of(&profile, &declared_as("web01", lines)).is_ok());
}

#[test]
fn every_document_the_command_line_and_the_steps_count() {
    let lines = "packages = [\"vim\"]\nlocale.timezone = \"Etc/GMT\"\nstorage.swap = 0";
    let mut profile = profile(
        ProfileKind::Fai,
        &[
            ("config/a.j2", "{{ packages | join(\" \") }}"),
            (
                "steps/10-x.sh.j2",
                "#!/bin/sh\necho {{ locale.timezone | sh }}\n",
            ),
        ],
    );
    profile.cmdline = "swap={{ storage.swap_mib }}".into();
    let dir = "config".to_string();
    profile.answers = BTreeMap::from([("config.tar.gz".to_string(), Answer::Folder { dir })]);
    profile.handoff = farrier::model::Handoff::Steps {
        dir: "steps".into(),
        timeout: std::time::Duration::from_secs(60),
    };
    let rendered = of(&profile, &declared_as("web01", lines)).expect("all of it is read");
    assert_eq!(rendered.cmdline, "swap=0");
}

#[test]
fn a_profile_may_ignore_what_it_names() {
    let mut profile = reading("{{ storage.raid }}\n");
    profile.ignores = ["locale", "storage", "ssh_keys"].map(str::to_string).into();
    let lines = "locale.timezone = \"Etc/GMT\"\nstorage = { swap = \"2GiB\", raid = \"raid1\" }\nssh_keys = []";
    // encryption that is asked for and not done is nobody's to ignore
    let locked = format!(
        "{}\nstorage.encrypt = \"tpm2\"",
        lines.replace("storage = { swap = \"2GiB\", raid = \"raid1\" }\n", "")
    );
    let refused = told(of(&profile, &declared_as("web01", &locked)));
    assert!(refused[0].contains("encrypts no disk"), "{refused:?}");
    let rendered = of(&profile, &declared_as("web01", lines)).expect("rendered");
    let warned: Vec<&str> = rendered
        .warnings
        .iter()
        .map(|w| w.message.as_str())
        .collect();
    assert_eq!(
        warned,
        [
            "the profile `test` ignores `locale.timezone`",
            "the profile `test` ignores `storage.swap`"
        ]
    );
    assert!(
        rendered
            .warnings
            .iter()
            .all(|w| w.severity == Severity::Warning)
    );
}

#[test]
fn what_installs_nothing_is_asked_for_nothing() {
    let mut profile = reading("x\n");
    profile.kind = ProfileKind::Live;
    assert!(of(&profile, &declared_as("rich", RICH)).is_ok());
}

#[test]
fn an_installer_says_what_it_cannot_do() {
    let text = "a\n{% if storage.encrypt != \"none\" %}\n{{ unsupported(\"no key can be put into this\") }}\n{% endif %}\n";
    let asked = declared_as("web01", "storage.encrypt = \"tpm2\"");
    let problems = of(&reading(text), &asked).expect_err("unsupported");
    let problem = &problems[0];
    assert_eq!(problem.message, "no key can be put into this");
    assert_eq!(problem.about.as_deref(), Some("storage.encrypt"));
    let span = problem.spans.first().expect("a place");
    assert_eq!(
        (span.file.as_str(), span.line),
        ("profiles/test/motd.j2", 3)
    );
    // The key can be said, and a macro of another file says it as well.
    let files = [
        (
            "motd.j2",
            "{% from \"m.j2\" import no %}{% if storage.raid == \"raid1\" %}{{ no() }}{% endif %}{{ storage.encrypt }}",
        ),
        (
            "m.j2",
            "{% macro no() %}{{ unsupported(\"no\", \"storage.layout\") }}{% endmacro %}",
        ),
    ];
    let profile = one_answer(ProfileKind::Fai, "motd", &files);
    let problems =
        of(&profile, &declared_as("web01", "storage.raid = \"raid1\"")).expect_err("unsupported");
    assert_eq!(problems[0].about.as_deref(), Some("storage.layout"));
}

#[test]
fn what_does_not_fit_the_machine_is_refused() {
    let profile = reading(EVERYTHING.replace("{{ disk.second.serial }}", "").as_str());
    for (lines, said) in [
        (
            "network.bond.bond0 = { interfaces = [\"52:54:00:00:00:09\"] }",
            "52:54:00:00:00:09, which is no interface of `web01`",
        ),
        (
            "network.bond = { a = { interfaces = [\"52:54:00:00:00:01\"] }, b = { interfaces = [\"52:54:00:00:00:01\"] } }",
            "52:54:00:00:00:01 is in the bonds `a` and `b`",
        ),
        (
            "network.vlan.v2 = { id = 2, link = \"bond7\" }",
            "which is no bond of this system",
        ),
        (
            "network.vlan.v2 = { link = \"\" }",
            "the VLAN `v2` has no number",
        ),
        (
            "repository.r = { url = \"http://r.example/\", key = \"keys/r.asc\" }",
            "has no file `keys/r.asc`",
        ),
        ("storage.encrypt = \"tang\"", "no server is named"),
    ] {
        let told = told(of(&profile, &declared_as("web01", lines)));
        assert!(told.iter().any(|t| t.contains(said)), "{lines}: {told:?}");
    }
}

#[test]
fn a_static_address_needs_the_network_it_lies_in() {
    let profile =
        reading("{% for i in network.interfaces %}{{ i.static }}{{ i.ip or \"-\" }}{% endfor %}\n");
    let two = "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n\
               [[system.web01.interface]]\nmac = \"52:54:00:00:00:02\"\nip = \"10.77.0.12\"\nstatic_ip = true\n";
    let mut nowhere = place();
    nowhere.subnet = None;
    for (lines, ip, key) in [
        ("static_ip = true", "10.77.0.11", "static_ip"),
        (two, "10.77.0.12", "interface.static_ip"),
    ] {
        let asked = declared_as("web01", lines);
        let problems = render(&asked, &profile, &distro(), &nowhere).expect_err("no prefix");
        assert_eq!(problems[0].about.as_deref(), Some(key));
        assert!(
            problems[0]
                .message
                .contains(&format!("no subnet of the site holds {ip}")),
            "{problems:?}"
        );
    }
    assert!(of(&profile, &declared_as("web01", "static_ip = true")).is_ok());
    // by DHCP nobody needs to know
    assert!(render(&declared_as("web01", ""), &profile, &distro(), &nowhere).is_ok());
}

#[test]
fn the_first_interfaces_address_is_not_the_others() {
    let asked = declared_as(
        "web01",
        "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\nstatic_ip = true\n\
         [[system.web01.interface]]\nmac = \"52:54:00:00:00:02\"\nip = \"10.77.0.12\"\nstatic_ip = true\n",
    );
    let mut at = place();
    let network = at.subnet.as_ref().expect("a subnet").network;
    at.networks
        .insert("10.77.0.12".parse().expect("an address"), network);
    let first = reading("{{ system.static }}{{ system.ip }}\n");
    let problems = render(&asked, &first, &distro(), &at).expect_err("the second's is not read");
    let keys: Vec<&str> = problems.iter().filter_map(|p| p.about.as_deref()).collect();
    assert_eq!(keys, ["interface.static_ip"]);
    let all = reading("{% for i in network.interfaces %}{{ i.static }}{{ i.ip }}{% endfor %}\n");
    assert!(render(&asked, &all, &distro(), &at).is_ok());
}

#[test]
fn a_bond_loses_no_members_address() {
    let profile = reading(
        "{% for b in network.bonds %}{{ b.name }}{{ b.interfaces | join(\" \") }}{{ b.static }}{{ b.ip6 or \"\" }}{% endfor %}{% for i in network.interfaces %}{{ i.static }}{% endfor %}\n",
    );
    let bond = "[system.web01.network.bond.b0]\ninterfaces = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n";
    for (first, second, key) in [
        (
            "",
            "ip = \"10.77.0.12\"\nstatic_ip = true\n",
            Some("interface.static_ip"),
        ),
        (
            "static_ip = true\n",
            "ip = \"10.77.0.12\"\nstatic_ip = true\n",
            Some("interface.static_ip"),
        ),
        (
            "ip6 = \"2001:db8::1/64\"\n",
            "ip6 = \"2001:db8::2/64\"\n",
            Some("interface.ip6"),
        ),
        ("static_ip = true\n", "ip6 = \"2001:db8::2/64\"\n", None),
        ("static_ip = true\n", "ip = \"10.77.0.12\"\n", None),
    ] {
        let lines = format!(
            "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n{first}\
             [[system.web01.interface]]\nmac = \"52:54:00:00:00:02\"\n{second}{bond}"
        );
        let mut at = place();
        let network = at.subnet.as_ref().expect("a subnet").network;
        at.networks
            .insert("10.77.0.12".parse().expect("an address"), network);
        let found = render(&declared_as("web01", &lines), &profile, &distro(), &at);
        let problems = found.err().unwrap_or_default();
        let about = problems.first().and_then(|p| p.about.as_deref());
        assert_eq!(about, key, "{first}{second}: {problems:?}");
        assert!(key.is_none() || problems[0].message.contains("in the bond `b0`"));
    }
}

#[test]
fn a_key_in_the_profiles_folder_is_text() {
    let lines = "repository.r = { url = \"http://r.example/\", key = \"keys/r.asc\" }";
    let template = "{% for r in repositories %}{{ r.url }} {{ r.key | text }}{% endfor %}";
    let files = [
        ("motd.j2", template),
        ("keys/r.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\nx\n"),
    ];
    let rendered = of(
        &one_answer(ProfileKind::Fai, "motd", &files),
        &declared_as("web01", lines),
    );
    let rendered = rendered.expect("rendered");
    let text = String::from_utf8_lossy(&rendered.documents["motd"].bytes).into_owned();
    assert!(
        text.contains("http://r.example/ -----BEGIN PGP PUBLIC KEY BLOCK-----\nx"),
        "{text}"
    );
    let files = [
        ("motd.j2", template),
        ("keys/r.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n"),
    ];
    let told = told(of(
        &one_answer(ProfileKind::Fai, "motd", &files),
        &declared_as("web01", lines),
    ));
    assert!(told[0].contains("holds a private key"), "{told:?}");
}

/// Every text of the intent, hostile, in the two profiles' documents. What the loader would refuse is
/// given to the renderer all the same: each of the two must hold by itself.
#[test]
fn hostile_values_are_refused_or_quoted_in_the_shipped_profiles() {
    let put = |hostile: &str| {
        let text = serde_json::Value::from(hostile);
        let said = serde_json::json!({
            "packages": [text],
            "locale": {"language": text, "keyboard": text, "timezone": text},
            "storage": {"volumes": [{"mount": text, "size": 5}]},
            "network": {
                "bond": {"b0": {"interfaces": ["52:54:00:00:00:01"], "mode": text}},
                "vlan": {hostile: {"id": 2}},
            },
            "users": {hostile: {"groups": [text], "ssh_keys": [text], "password": text, "shell": text, "sudo": true}},
            "repository": {hostile: {"url": text, "key": format!("http://{hostile}"), "suite": text, "components": [text]}},
        });
        said.as_object().cloned().expect("tables")
    };
    for hostile in HOSTILE {
        for (table, value) in put(hostile) {
            let keys: Vec<String> = match value.as_object() {
                Some(object) => object.keys().cloned().collect(),
                None => vec![String::new()],
            };
            for key in keys {
                let part = match (key.is_empty(), value.get(&key)) {
                    (false, Some(inner)) => {
                        serde_json::json!({ table.as_str(): { key.as_str(): inner } })
                    }
                    _ => serde_json::json!({ table.as_str(): value }),
                };
                let partial =
                    farrier::model::Partial::new(part.as_object().cloned().expect("a table"));
                let mut machine = system("web01");
                machine.intent = Some(std::sync::Arc::new(partial));
                for name in ["debian-12", "fai"] {
                    let mut distro = distro();
                    let built = farrier::model::ArtefactSource::Built {
                        builder: "fai".into(),
                    };
                    distro.artefacts.insert("squash.img".into(), built);
                    let shipped = super::site::shipped(name);
                    let Ok(rendered) = render(&machine, &shipped, &distro, &place()) else {
                        continue;
                    };
                    for document in rendered.documents.values().filter(|d| !d.gzip) {
                        sound(name, hostile, document);
                    }
                }
            }
        }
    }
}

/// A document that came of a hostile value still is what it was meant to be.
fn sound(profile: &str, hostile: &str, document: &farrier::model::Document) {
    let text = String::from_utf8_lossy(&document.bytes).into_owned();
    if document.name == "preseed.cfg" {
        for line in text.replace("\\\n", " ").lines() {
            let first = line.split(' ').next().unwrap_or("");
            let ours = ["", "#", "d-i", "tasksel", "popularity-contest"];
            assert!(
                ours.contains(&first) || line.starts_with('#'),
                "{profile}: {hostile:?}: {line}"
            );
        }
    } else if document.name.ends_with(".sh") && !document.secret {
        if let Some((ok, _, err)) = run("dash", &["-n"], &text) {
            assert!(
                ok && err.is_empty(),
                "{profile}: {hostile:?}: {}: {err}",
                document.name
            );
        }
        // Nothing of it runs: the value is within quotes or it is not there.
        let bare = text.lines().filter(|l| !l.trim_start().starts_with('#'));
        let bare: String = bare
            .map(|l| l.split('\'').step_by(2).collect::<String>() + "\n")
            .collect();
        if hostile.contains("$(id)") || hostile.contains("`id`") {
            assert!(
                !bare.contains(hostile),
                "{profile}: {hostile:?}: {}",
                document.name
            );
        }
    }
}
