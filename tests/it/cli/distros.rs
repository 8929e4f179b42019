//! Boot files with no server running.

use super::*;

#[test]
fn adding_a_distro_fetches_it_when_asked_without_a_server() {
    let place = Workplace::new();
    let linux = place.site().join("files/linux").display().to_string();
    let run = place.run(&format!("distro add more --kernel {linux} --fetch"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("1 of 1 are here"), "{}", run.stderr);
    let run = place.run("distro ls -o json");
    let list: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let more = list
        .as_array()
        .expect("a list")
        .iter()
        .find(|d| d["name"] == "more");
    assert_eq!(more.expect("declared")["present"], 1);
}

#[test]
fn what_cannot_be_fetched_stops_nothing_else() {
    let place = Workplace::new();
    let boot = "kernel = \"linux\"\n[artefact.linux]\nfile = \"files/nosuch\"\n";
    std::fs::write(place.site().join("boot/absent.toml"), boot).expect("written");
    let run = place.run("distro fetch --all -o name");
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert_eq!(run.stdout, "debian-12\nrescue\n");
    assert!(
        run.stderr.contains("1 of 3 distros could not be fetched"),
        "{}",
        run.stderr
    );
    let cause = "No such file or directory";
    assert_eq!(
        run.stderr.matches(cause).count(),
        1,
        "once is enough: {}",
        run.stderr
    );
    assert_eq!(place.run("distro fetch absent").code, 1);
    let run = place.run("distro fetch nosuch");
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("farrier distro ls"), "{}", run.stderr);
}

#[test]
fn a_source_that_is_not_fetched_is_refused_and_one_without_a_digest_warned_of() {
    let place = Workplace::new();
    let run = place.run("distro add more --kernel ftp://mirror.example/linux");
    assert_eq!(run.code, 64, "{}", run.stderr);
    assert!(!place.site().join("boot/more.toml").exists());
    let run = place.run("distro add more --kernel http://mirror.example.org/linux");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: boot/more.toml:"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("has no `sha256`"), "{}", run.stderr);
}

#[test]
fn the_digest_of_an_unpinned_download_is_named() {
    let place = Workplace::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 4096];
        let read = std::io::Read::read(&mut stream, &mut request).expect("a request");
        assert!(read > 0);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nkernel";
        stream.write_all(answer.as_bytes()).expect("sent");
    });
    let run = place.run(&format!(
        "distro add more --kernel http://127.0.0.1:{port}/linux --fetch"
    ));
    assert_eq!(run.code, 0, "{}", run.stderr);
    server.join().expect("served");
    let digest = "6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c";
    let line = format!("sha256 = \"{digest}\"");
    assert!(run.stderr.contains(&line), "{}", run.stderr);
}

#[test]
fn what_is_here_is_in_the_boot_scripts_without_a_server() {
    let place = Workplace::new();
    let absent = place.run("render web01 boot.ipxe");
    assert_eq!(absent.code, 3, "{}", absent.stdout);
    let fix = "farrier distro fetch debian-12";
    assert!(absent.stderr.contains(fix), "{}", absent.stderr);
    assert_eq!(place.run(fix.trim_start_matches("farrier ")).code, 0);
    for (document, kernel) in [
        ("boot.ipxe", "kernel --name linux http://10.77.0.1/a/"),
        ("grub.cfg", "linux (tftp,10.77.0.1)/a/"),
        ("pxelinux.cfg", "KERNEL /a/"),
    ] {
        let run = place.run(&format!("render web01 {document}"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains(kernel), "{}", run.stdout);
    }
    let all = place.run("render web01 -o name").stdout;
    assert!(
        all.starts_with("boot.ipxe\ngrub.cfg\npxelinux.cfg\ncmdline\n"),
        "{all}"
    );
    let two = place.run("render web[01-02] boot.ipxe").stdout;
    assert_eq!(two.matches("#!ipxe").count(), 2, "{two}");
}

#[test]
fn the_loaders_are_listed_with_where_they_come_from_and_what_brings_them() {
    let place = Workplace::new();
    let run = place.run("distro ls -o json");
    let list: Vec<farrier::model::view::DistroView> =
        serde_json::from_str(&run.stdout).expect("JSON");
    let last = list.last().expect("a list");
    assert_eq!((last.name.as_str(), last.loaders.len()), ("loaders", 6));
    for loader in &last.loaders {
        let missing = loader.state == "missing";
        assert!(
            missing || ["host", "fetched"].contains(&loader.state.as_str()),
            "{loader:?}"
        );
        assert_eq!(
            (loader.origin.is_none(), loader.fix.is_some()),
            (missing, missing),
            "{loader:?}"
        );
    }
    let counted = last.loaders.iter().filter(|l| l.state != "missing").count();
    assert_eq!(last.present, counted);
    let programs: Vec<&str> = last.loaders.iter().map(|l| l.program.as_str()).collect();
    assert_eq!(programs, ["iPXE", "iPXE", "iPXE", "iPXE", "shim", "GRUB"]);
    // no package has this one, and it is not on any host of ours: never fetched, always said
    let table = place.run("distro ls loaders").stdout;
    let arm64 = table.lines().find(|l| l.starts_with("snponly-arm64.efi"));
    assert!(arm64.expect("listed").contains("put it at"), "{table}");
    assert!(!table.contains("debian-12"), "{table}");
    let names = place.run("distro ls -o name").stdout;
    assert_eq!(names, "debian-12\nrescue\nloaders\n");
    let unknown = place.run("distro ls debain-12");
    assert_eq!(unknown.code, 3);
    assert!(
        unknown.stderr.contains("did you mean `debian-12`?"),
        "{}",
        unknown.stderr
    );
}
