//! What comes with the kernel instead of being fetched, read by real programs.

use farrier::model::{Answer, ProfileKind, Start};
use farrier::render::CompiledProfile;

use super::site::{distro, one_answer, place, profile, system};
use crate::artefacts::filled::cpio;

#[test]
fn the_overlay_is_what_cpio_reads() {
    let files = [
        ("ks.cfg.j2", "text {{ system.mac }} {{ url.report }}\n"),
        ("hook.sh", "#!/bin/sh\nexit 0\n"),
        ("empty", ""),
    ];
    let mut made = profile(ProfileKind::Kickstart, &files);
    for (name, file) in [
        ("ks.cfg", "ks.cfg.j2"),
        ("hook.sh", "hook.sh"),
        ("empty", "empty"),
    ] {
        let file = file.to_string();
        made.answers.insert(name.into(), Answer::Template { file });
    }
    made.executable.insert("hook.sh".into());
    made.delivery.overlay = [
        ("ks.cfg", "ks.cfg"),
        ("usr/lib/dracut/hooks/pre-pivot/90-farrier.sh", "hook.sh"),
        ("usr/lib/empty", "empty"),
    ]
    .map(|(path, name)| (path.to_string(), name.to_string()))
    .into();
    let rendered = CompiledProfile::new(&made)
        .expect("sound")
        .render(&system("web01"), &distro(), &place())
        .expect("rendered");
    let overlay = &rendered.documents["overlay.cpio"];
    assert_eq!(overlay.bytes.len() % 4, 0, "another archive may follow");
    let folder = tempfile::tempdir().expect("a folder");
    let Some(listed) = cpio(
        &["-itv", "--quiet", "--numeric-uid-gid"],
        &overlay.bytes,
        folder.path(),
    ) else {
        return;
    };
    let listed: Vec<Vec<&str>> = listed
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let modes: Vec<(&str, &str, &str)> = listed
        .iter()
        .map(|words| (words[0], words[2], *words.last().expect("a name")))
        .collect();
    assert_eq!(
        modes,
        [
            ("-rw-r--r--", "0", "ks.cfg"),
            ("drwxr-xr-x", "0", "usr"),
            ("drwxr-xr-x", "0", "usr/lib"),
            ("drwxr-xr-x", "0", "usr/lib/dracut"),
            ("drwxr-xr-x", "0", "usr/lib/dracut/hooks"),
            ("drwxr-xr-x", "0", "usr/lib/dracut/hooks/pre-pivot"),
            (
                "-rwxr-xr-x",
                "0",
                "usr/lib/dracut/hooks/pre-pivot/90-farrier.sh"
            ),
            ("-rw-r--r--", "0", "usr/lib/empty"),
        ]
    );
    // tokens are as long as what stands for them, so nothing moves when they are filled in
    let token = farrier::boot::Scope::Report.placeholder();
    let filled: Vec<u8> = {
        let text = String::from_utf8_lossy(&overlay.bytes).replace(token, &"a".repeat(40));
        text.into_bytes()
    };
    cpio(&["-idm", "--quiet"], &filled, folder.path()).expect("cpio");
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).expect("there");
    assert_eq!(
        read("ks.cfg"),
        format!(
            "text 52:54:00:00:00:01 http://10.77.0.1/r/{}\n",
            "a".repeat(40)
        )
    );
    assert_eq!(read("usr/lib/empty"), "");
    assert!(read("usr/lib/dracut/hooks/pre-pivot/90-farrier.sh").starts_with("#!/bin/sh"));
}

#[test]
fn an_overlay_that_cannot_be_is_refused_when_the_site_is_loaded() {
    let mut made = one_answer(
        ProfileKind::Proxmox,
        "answer.toml",
        &[("a.toml", "a = 1\n")],
    );
    made.delivery.overlay.insert("x".into(), "missing".into());
    made.delivery
        .overlay
        .insert("y".into(), "answer.toml".into());
    let problems = CompiledProfile::new(&made).expect_err("refused");
    let said: Vec<String> = problems.iter().map(|p| p.message.clone()).collect();
    assert!(
        said.iter()
            .any(|m| m.contains("there is no answer `missing`")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|m| m.contains("`answer.toml` is the permit to write")),
        "{said:?}"
    );
}

#[test]
fn a_seed_has_its_four_files() {
    let mut made = one_answer(
        ProfileKind::Autoinstall,
        "user-data",
        &[("u", "#cloud-config\n")],
    );
    let render = |made: &farrier::model::Profile| {
        CompiledProfile::new(made)
            .expect("sound")
            .render(&system("web01"), &distro(), &place())
            .expect("rendered")
            .documents
    };
    let documents = render(&made);
    let text = |name: &str| String::from_utf8_lossy(&documents[name].bytes).into_owned();
    assert_eq!(
        text("meta-data"),
        "instance-id: web01-3\nlocal-hostname: web01\n"
    );
    assert_eq!(
        (text("vendor-data"), text("network-config")),
        (String::new(), String::new())
    );
    // what the profile writes itself is left alone
    made.files
        .insert("m".into(), (*b"instance-id: own\n").into());
    made.answers
        .insert("meta-data".into(), Answer::Template { file: "m".into() });
    assert_eq!(&render(&made)["meta-data"].bytes, b"instance-id: own\n");
    let other = one_answer(ProfileKind::Preseed, "preseed.cfg", &[("p", "")]);
    assert!(!render(&other).contains_key("meta-data"));
}

#[test]
fn a_system_with_secure_boot_and_a_distro_that_cannot_is_refused() {
    let made = one_answer(ProfileKind::Windows, "x.txt", &[("x.txt", "x\n")]);
    let mut wimboot = distro();
    wimboot.way.start = Start::Wimboot;
    let mut secure = system("web01");
    let compiled = CompiledProfile::new(&made).expect("sound");
    assert!(compiled.render(&secure, &wimboot, &place()).is_ok());
    secure.secure_boot = true;
    let refused = compiled
        .render(&secure, &wimboot, &place())
        .expect_err("refused");
    assert!(
        refused[0].message.contains("starts Linux only"),
        "{}",
        refused[0].message
    );
    assert!(compiled.render(&secure, &distro(), &place()).is_ok());
}
